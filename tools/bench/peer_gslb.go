package main

import (
	"fmt"
	"strings"
)

var gslb = peer{
	name: "gslb", title: "gslb", binary: "gslb",
	can: abilities{steer: true, ecs: true},
	configure: func(s *setup) ([]string, error) {
		return []string{"serve", "-config", s.file("gslb.toml")}, s.write(map[string]string{
			"gslb.toml":            gslbConfig(s),
			"steered.example.zone": steeredZoneText(""),
		})
	},
}

// gslbConfig has the country rules that the others get. The sites have no
// checks: all of them can be chosen.
func gslbConfig(s *setup) string {
	var b strings.Builder
	fmt.Fprintf(&b, `[node]
name = "bench"
roles = ["dns"]
data_dir = "data"
log_level = "warn"

[dns]
listen = ["127.0.0.1:%d"]
workers = 1

[etcd]
listen = "127.0.0.1:0"

[api]
listen = "off"

[[zone]]
name = %q
file = %q
`, s.port, staticZone, s.data.static)
	if !s.steer {
		return b.String()
	}
	fmt.Fprintf(&b, "\n[[zone]]\nname = %q\nfile = \"steered.example.zone\"\n\n[geo]\ndatabases = [%q]\n", steeredZone, s.data.database)
	for _, site := range sites {
		fmt.Fprintf(&b, "\n[[site]]\nname = %q\naddresses = [%q]\n", site.name, site.address)
	}
	fmt.Fprintf(&b, "\n[[steer]]\nname = %q\nanswer = \"address\"\nttl = \"%ds\"\n", steeredName, ttl)
	for _, site := range sites[1:] {
		var countries []string
		for _, p := range site.places {
			countries = append(countries, fmt.Sprintf("%q", p.country))
		}
		fmt.Fprintf(&b, "  [[steer.rule]]\n  country = [%s]\n  to = [%q]\n", strings.Join(countries, ", "), site.name)
	}
	fmt.Fprintf(&b, "  [[steer.rule]]\n  to = [%q]\n", sites[0].name)
	return b.String()
}
