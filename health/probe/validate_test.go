package probe

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// allTypes is the list of types in an error message.
func allTypes() string {
	var names []string
	for _, k := range kinds {
		names = append(names, fmt.Sprintf("%q", k.name))
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// only is what is said of a key that a type does not have.
func only(key, typ string) string {
	return fmt.Sprintf("is only for %s, and this check is of type %q", ownersOf(key), typ)
}

func TestValidate(t *testing.T) {
	good := Config{Type: "http"}
	tests := []struct {
		name string
		edit func(*Config)
		want map[string]string // key to message; empty: valid
	}{
		{"defaults of http", func(c *Config) {}, nil},
		{"defaults of https", func(c *Config) { c.Type = "https" }, nil},
		{"tcp with port", func(c *Config) { c.Type, c.Port = "tcp", 5432 }, nil},
		{"everything", func(c *Config) {
			*c = Config{Type: "https", Port: 8443, Interval: time.Hour, Timeout: time.Hour, Rise: 100, Fall: 100,
				Path: "/a?b=%20", Host: "www.abc.com:8443", Status: []Status{{100, 100}, {500, 599}}, CA: "ca.pem"}
		}, nil},
		{"short interval, default timeout", func(c *Config) { c.Interval = 100 * time.Millisecond }, nil},
		{"host is an address", func(c *Config) { c.Host = "[2001:db8::1]:80" }, nil},
		{"no type", func(c *Config) { c.Type = "" }, map[string]string{"type": "is not set: must be " + allTypes()}},
		{"slip", func(c *Config) { c.Type = "htpt" }, map[string]string{"type": `"htpt": must be ` + allTypes() + `; did you mean "http"?`}},
		{"upper case", func(c *Config) { c.Type = "HTTPS" }, map[string]string{"type": `"HTTPS": must be ` + allTypes() + `; did you mean "https"?`}},
		{"far off", func(c *Config) { c.Type = "gopher" }, map[string]string{"type": `"gopher": must be ` + allTypes()}},
		{"negative interval", func(c *Config) { c.Interval = -time.Second }, map[string]string{"interval": "-1s: must be 100ms to 1h"}},
		{"short interval", func(c *Config) { c.Interval = 99 * time.Millisecond }, map[string]string{"interval": "99ms: must be 100ms to 1h"}},
		{"long interval", func(c *Config) { c.Interval = time.Hour + 1 }, map[string]string{"interval": "1h0m0.000000001s: must be 100ms to 1h"}},
		{"negative timeout", func(c *Config) { c.Timeout = -1 }, map[string]string{"timeout": "-1ns: must be at least 1ms"}},
		{"timeout beyond the interval", func(c *Config) { c.Timeout = 3 * time.Second },
			map[string]string{"timeout": "3s: must be at most the interval, 2s, or a probe would run into the next"}},
		{"rise and fall", func(c *Config) { c.Rise, c.Fall = -1, 101 }, map[string]string{"rise": "-1: must be 1 to 100", "fall": "101: must be 1 to 100"}},
		{"port", func(c *Config) { c.Port = 65536 }, map[string]string{"port": "65536: must be 1 to 65535"}},
		{"negative port", func(c *Config) { c.Port = -1 }, map[string]string{"port": "-1: must be 1 to 65535"}},
		{"tcp without port", func(c *Config) { c.Type = "tcp" }, map[string]string{"port": `is not set: a check of type "tcp" must state the port`}},
		{"path", func(c *Config) { c.Path = "healthz" }, map[string]string{"path": `"healthz": must begin with "/"`}},
		{"path with a line", func(c *Config) { c.Path = "/a\r\nX: y" },
			map[string]string{"path": `"/a\r\nX: y": must be as it is sent: no blank, no "#", others than ASCII percent-encoded`}},
		{"host", func(c *Config) { c.Host = "a b" }, map[string]string{"host": `"a b": must be a host name or an address, and perhaps a port`}},
		{"host is a URL", func(c *Config) { c.Host = "http://a/" }, map[string]string{"host": `"http://a/": must be a host name or an address, and perhaps a port`}},
		{"status", func(c *Config) { c.Status = []Status{{200, 299}, {99, 99}} }, map[string]string{"status[1]": "99: must be 100 to 599, or a range within that"}},
		{"keys of http in tcp", func(c *Config) { *c = Config{Type: "tcp", Port: 1, Path: "/", Host: "a", Status: []Status{{200, 200}}} }, map[string]string{
			"path":   only("path", "tcp"),
			"host":   only("host", "tcp"),
			"status": only("status", "tcp")}},
		{"keys of tls in http", func(c *Config) { c.SkipVerify, c.CA = true, "x" }, map[string]string{
			"skip_verify": only("skip_verify", "http"),
			"ca":          only("ca", "http")}},
		{"skip_verify and ca", func(c *Config) { c.Type, c.SkipVerify, c.CA = "https", true, "x" },
			map[string]string{"skip_verify": "true: must not stand beside ca, since nothing would be verified against it"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := good
			test.edit(&c)
			for _, c := range []Config{c, c.WithDefaults()} {
				got := map[string]string{}
				c.Validate(func(key, msg string) { got[key] = msg })
				if c.Timeout < 0 && c.Interval < 0 { // the defaults of a bad interval are bad too
					delete(got, "timeout")
				}
				if !maps.Equal(got, test.want) {
					t.Errorf("got  %q\nwant %q", got, test.want)
				}
			}
		})
	}
}

func TestWithDefaults(t *testing.T) {
	got := Config{Type: "https"}.WithDefaults()
	if got.Port != 443 || got.Interval != 2*time.Second || got.Timeout != time.Second || got.Rise != 4 || got.Fall != 3 || got.Path != "/" {
		t.Errorf("https: %+v", got)
	}
	if got := (Config{Type: "http", Interval: 500 * time.Millisecond}).WithDefaults(); got.Timeout != 500*time.Millisecond || got.Port != 80 {
		t.Errorf("short interval: %+v", got)
	}
	if got := (Config{Type: "tcp"}).WithDefaults(); got.Port != 0 || got.Path != "" {
		t.Errorf("tcp: %+v", got)
	}
}

func TestNewErrors(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("not a certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		cfg     Config
		address string
		want    string // "" for none
	}{
		{Config{Type: "http"}, "192.0.2.1", ""},
		{Config{Type: "http"}, "2001:db8::1", ""},
		{Config{Type: "http"}, "[2001:db8::1]", ""},
		{Config{Type: "http"}, "[2001:db8::1]:80", ""},
		{Config{Type: "http"}, "www.abc.com", ""},
		{Config{Type: "tcp"}, "www.abc.com:80", ""},
		{Config{Type: "tcp", Interval: time.Millisecond}, "www.abc.com:80", ""}, // not New's matter
		{Config{Type: "tcp"}, "192.0.2.1", `target "kt": address "192.0.2.1" has no port, and neither has its check`},
		{Config{Type: "http"}, "", `target "kt": address "": must be an address or a host name, and perhaps a port`},
		{Config{Type: "http"}, "a b", `target "kt": address "a b": must be an address or a host name, and perhaps a port`},
		{Config{Type: "http"}, "a:b:c", `target "kt": address "a:b:c": must be host or host:port`},
		{Config{Type: "http"}, "a:0", `target "kt": address "a:0": port must be 1 to 65535`},
		{Config{Type: "http"}, "a:65536", `target "kt": address "a:65536": port must be 1 to 65535`},
		{Config{Type: "http"}, "a:http", `target "kt": address "a:http": port must be 1 to 65535`},
		{Config{Type: "htp"}, "a:80", `check of kt at a:80: type "htp": must be ` + allTypes() + `; did you mean "http"?`},
		{Config{Type: "http", Path: "x"}, "a", `check of kt at a: path "x": must begin with "/"`},
		{Config{Type: "https", CA: filepath.Join(dir, "none.pem")}, "a", "no such file"},
		{Config{Type: "https", CA: empty}, "a", "empty.pem: has no PEM certificate"},
	}
	for _, test := range tests {
		_, err := New(test.cfg, Target{Name: "kt", Address: test.address})
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.address, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%+v %s:\ngot  %v\nwant %s", test.cfg, test.address, err, test.want)
		}
	}
}

func FuzzDialAddress(f *testing.F) {
	for _, s := range []string{"", "a", "a:1", "[::1]", "[::1]:80", "::1", "[", "]", "[]", "a:", ":80", "fe80::1%eth0", "a\x00:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		address, err := dialAddress(Config{Port: 80}, Target{Address: s})
		if err == nil && strings.ContainsAny(address, " \r\n\x00/") {
			t.Errorf("%q gives %q", s, address)
		}
	})
}
