package balancer

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestReadiness(t *testing.T) {
	a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
	cfg := config(a, b)
	cfg.Listen = append(cfg.Listen, "127.0.0.1:0", ":0")
	cfg.ReadyServers = 2
	r := newRig(t, cfg, nil)
	is := func(what string, ready bool, why string) {
		t.Helper()
		got := r.Readiness()
		if len(got) != 1 || got[0].Frontend != "www" || got[0].Ready != ready || !strings.Contains(got[0].Why, why) {
			t.Errorf("%s: %+v, want ready %v, %q", what, got, ready, why)
		}
		if want := []netip.Addr{netip.MustParseAddr("127.0.0.1")}; !slices.Equal(got[0].Addresses, want) {
			t.Errorf("%s: addresses %v, want %v", what, got[0].Addresses, want)
		}
	}
	is("both are there", true, "servers that take connections: 2")
	if err := r.Drain("www", a.address, 0); err != nil {
		t.Fatal(err)
	}
	is("one is", false, "1, of at least 2")
	cfg.ReadyServers = 1
	if err := r.Apply([]Config{cfg}, nil); err != nil {
		t.Fatal(err)
	}
	is("one is enough", true, "1")
	if err := r.Drain("www", b.address, 0); err != nil {
		t.Fatal(err)
	}
	is("none is", false, "no server is available")
	if err := r.Undrain("www", b.address); err != nil {
		t.Fatal(err)
	}
	is("one is again", true, "1")
	// A frontend that only routes has the servers of those that it leads to.
	routes := Config{Name: "in", Listen: []string{"127.0.0.1:0"}, Routes: []RouteConfig{{ServerNames: []string{"a.example"}, To: "www"}}}
	if err := r.Apply([]Config{routes, cfg}, nil); err != nil {
		t.Fatal(err)
	}
	if got := r.Readiness(); !got[0].Ready {
		t.Errorf("a frontend that routes: %+v", got)
	}
	r.stop()
	if got := r.Readiness(); got[0].Ready || got[1].Ready {
		t.Errorf("at the end: %+v", got)
	}
}

// TestFreebind: a frontend listens at an address that the machine does not have, if it is to.
func TestFreebind(t *testing.T) {
	if !canFreebind {
		t.Skip("is for Linux")
	}
	away := []string{"192.0.2.77:0"}
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		l.Close()
		away = append(away, "[2001:db8::77]:0")
	}
	for _, protocol := range []string{TCP, UDP} {
		for _, engine := range Engines() {
			for _, address := range away {
				cfg := Config{Name: "www", Protocol: protocol, Engine: engine, Listen: []string{address}, Servers: []ServerConfig{{Address: "127.0.0.1:9"}}}
				listen := func() error {
					b, err := New([]Config{cfg}, nil, slog.New(slog.DiscardHandler), Options{})
					if err != nil {
						t.Fatal(err)
					}
					err = b.Listen()
					b.planes.apply(nil, func() {}) // closes
					return err
				}
				if err := listen(); err == nil || !strings.Contains(err.Error(), "freebind = true") {
					t.Errorf("%s, %s, %s: %v, want a word on freebind", protocol, engine, address, err)
				}
				cfg.Freebind = true
				if err := listen(); err != nil {
					t.Errorf("%s, %s: %v", protocol, engine, err)
				}
			}
		}
	}
}

func TestValidateVirtual(t *testing.T) {
	for _, c := range []struct {
		change func(c *Config)
		want   string
	}{
		{func(c *Config) { c.Announce = true }, `announce: needs listen with the virtual address`},
		{func(c *Config) { c.Announce, c.Listen = true, []string{"192.0.2.1:80"} }, ""},
		{func(c *Config) { c.ReadyServers = 2 }, "ready_servers: 2: must be 1 to 1"},
		{func(c *Config) { c.ReadyServers = -1 }, "ready_servers: -1"},
		{func(c *Config) { c.Freebind, c.Plane, c.Listen = true, PlaneNAT, []string{"192.0.2.1:80"} }, "freebind: is for plane"},
	} {
		cfg := Config{Name: "www", Listen: []string{":80"}, Servers: []ServerConfig{{Address: "10.0.0.1:80"}}}
		c.change(&cfg)
		var got []string
		cfg.validateVirtual(func(key, msg string) { got = append(got, key+": "+msg) })
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
