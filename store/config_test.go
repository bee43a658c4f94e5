package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestWithDefaults(t *testing.T) {
	if got, want := fmt.Sprint(Config{}.WithDefaults()), fmt.Sprint(Config{Embedded: true, Listen: DefaultListen, Name: "gslb", Prefix: "/gslb/"}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	c := Config{Endpoints: []string{"http://e:1"}, Prefix: "/x"}.WithDefaults()
	if c.Embedded || c.Listen != "" || c.Prefix != "/x/" {
		t.Errorf("outside: %+v", c)
	}
}

func TestValidate(t *testing.T) {
	out := []string{"http://10.0.0.5:2379"}
	tls := []string{"https://10.0.0.5:2379"}
	cluster := "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380"
	for _, tc := range []struct {
		cfg  Config
		want string // key, or nothing
		says string
	}{
		{Config{}, "", ""},
		{Config{Embedded: true, Listen: "127.0.0.1:0"}, "", ""},
		{Config{Listen: "[::1]:2379", PeerListen: "10.0.0.1:2380", Name: "a", Cluster: cluster}, "", ""},
		{Config{Endpoints: out}, "", ""},
		{Config{Endpoints: tls, Cert: "c", Key: "k", CA: "ca", User: "u", Password: "p"}, "", ""},
		{Config{Name: "a", Cluster: strings.ReplaceAll(cluster, "http:", "https:"), Cert: "c", Key: "k", CA: "ca"}, "", ""},
		{Config{Embedded: true, Endpoints: out}, "embedded", "either"},
		{Config{Listen: "127.0.0.1"}, "listen", `"127.0.0.1"`},
		{Config{Listen: "127.0.0.1:99999"}, "listen", "99999"},
		{Config{PeerListen: "x"}, "peer_listen", `"x"`},
		{Config{Endpoints: out, Listen: "127.0.0.1:1"}, "listen", "beside endpoints"},
		{Config{Endpoints: out, Cluster: cluster}, "cluster", "beside endpoints"},
		{Config{Cluster: cluster}, "name", "cluster"},
		{Config{Name: "z", Cluster: cluster}, "cluster", `"z"`},
		{Config{Name: "a", Cluster: "a=nonsense"}, "cluster", "nonsense"},
		{Config{Name: "a", Cluster: strings.ReplaceAll(cluster, "http:", "https:")}, "cluster", "http://"},
		{Config{Name: "a", Cluster: cluster, Cert: "c", Key: "k", CA: "ca"}, "cluster", "https://"},
		{Config{Endpoints: []string{"10.0.0.5:2379"}}, "endpoints[0]", "URL"},
		{Config{Endpoints: []string{out[0], "http://10.0.0.5"}}, "endpoints[1]", "port"},
		{Config{Endpoints: []string{"http://10.0.0.5:1/path"}}, "endpoints[0]", "only"},
		{Config{Endpoints: []string{"ftp://10.0.0.5:1"}}, "endpoints[0]", "URL"},
		{Config{Endpoints: []string{"http://:1"}}, "endpoints[0]", "host"},
		{Config{Endpoints: tls, Cert: "c"}, "cert", "both"},
		{Config{Endpoints: out, CA: "ca"}, "endpoints", "https"},
		{Config{Cert: "c", Key: "k"}, "ca", "both"},
		{Config{Endpoints: out, Password: "p"}, "password", "user"},
		{Config{Endpoints: out, User: "u"}, "user", "password"},
		{Config{User: "u", Password: "p"}, "user", "endpoints"},
		{Config{Prefix: "gslb/"}, "prefix", "slash"},
	} {
		var keys, msgs []string
		tc.cfg.Validate(func(key, msg string) { keys, msgs = append(keys, key), append(msgs, msg) })
		switch {
		case tc.want == "" && len(keys) > 0:
			t.Errorf("%+v: %q", tc.cfg, msgs)
		case tc.want != "" && (!slices.Equal(keys, []string{tc.want}) || !strings.Contains(msgs[0], tc.says)):
			t.Errorf("%+v: keys %q %q, want %q with %q", tc.cfg, keys, msgs, tc.want, tc.says)
		}
	}
}

// TestFatal: what etcd calls fatal ends the goroutine, not the process.
func TestFatal(t *testing.T) {
	lg, note := newZap(quiet())
	for _, f := range []func(){func() { lg.Fatal("disk gone") }, func() { lg.Panic("more") }} {
		done := make(chan struct{})
		survived := false
		go func() {
			defer close(done)
			f()
			survived = true
		}()
		<-done
		if survived {
			t.Error("the goroutine went on after a fatal message")
		}
	}
	if got := note.get(); got != "disk gone" {
		t.Errorf("noted %q", got)
	}
}
