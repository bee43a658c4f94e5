package config

import (
	"strings"
	"testing"
	"time"
)

func TestAnnounced(t *testing.T) {
	const (
		speaker = "[bgp]\nas = 65010\nrouter_id = \"10.0.0.2\"\n[[bgp.neighbor]]\naddress = \"10.0.0.1\"\nas = 65000\n"
		site    = "[[site]]\nname = \"kt\"\naddresses = [\"192.0.2.10\"]\n"
		www     = "[[frontend]]\nname = \"www\"\nlisten = [\"192.0.2.10:80\"]\nannounce = true\n[[frontend.server]]\naddress = \"10.0.1.11:80\"\n"
	)
	for _, c := range []struct{ name, text, want string }{
		{"announced", "[node]\nroles = [\"balancer\"]\n" + speaker + site + www, ""},
		{"no speaker", "[node]\nroles = [\"balancer\"]\n" + site + www, "needs [bgp]"},
		{"nothing to announce", "[node]\nroles = [\"balancer\"]\n" + speaker + site + strings.Replace(www, "announce = true\n", "", 1), "warning: announces nothing"},
		{"no DNS here", "[node]\nroles = [\"balancer\"]\n" + strings.Replace(speaker, "[[bgp", "dns = [\"192.0.2.53\"]\n[[bgp", 1) + site + www, `needs the role "dns"`},
		{"wait", "[node]\nroles = [\"balancer\"]\nshutdown_wait = \"1h\"\n" + speaker + site + www, "must be at most 10m"},
		{"a key", "[node]\nroles = [\"balancer\"]\n" + strings.Replace(speaker, "as = 65000", "as = 65000\npasword = \"x\"", 1) + site + www, `did you mean "password"`},
	} {
		cfg, err := Parse("gslb.toml", []byte(c.text), t.TempDir())
		got := ""
		switch {
		case err != nil:
			got = err.Error()
		case len(cfg.Warnings) > 0:
			got = "warning: " + cfg.Warnings[0].Message
		case cfg.Node.ShutdownWait != time.Second || cfg.BGP.Neighbors[0].HoldTime != 9*time.Second:
			t.Errorf("%s: the defaults: %+v %+v", c.name, cfg.Node.ShutdownWait, cfg.BGP)
		}
		if !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
