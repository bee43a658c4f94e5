package main

import (
	"fmt"
	"regexp"
	"strings"
)

var knot = peer{
	name: "knot", title: "Knot DNS", binary: "knotd",
	version: []string{"--version"}, number: regexp.MustCompile(`version (\S+)`),
	can: abilities{steer: true, ecs: true},
	configure: func(s *setup) ([]string, error) {
		files := map[string]string{
			"knot.conf":            knotConfig(s),
			"steered.example.zone": steeredZoneText("A " + sites[0].address),
			"geo.yaml":             knotGeo(),
			"storage/.keep":        "",
		}
		return []string{"-c", s.file("knot.conf")}, s.write(files)
	},
}

func knotConfig(s *setup) string {
	var b strings.Builder
	fmt.Fprintf(&b, `server:
    rundir: "%[1]s"
    listen: 127.0.0.1@%[2]d
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    edns-client-subnet: on
log:
  - target: stderr
    any: warning
database:
    storage: "%[1]s/storage"
`, s.dir, s.port)
	if s.steer {
		fmt.Fprintf(&b, `mod-geoip:
  - id: country
    config-file: "%s"
    ttl: %d
    mode: geodb
    geodb-file: "%s"
    geodb-key: country/iso_code
`, s.file("geo.yaml"), ttl, s.data.database)
	}
	fmt.Fprintf(&b, "zone:\n  - domain: %s\n    file: \"%s\"\n", staticZone, s.data.static)
	if s.steer {
		fmt.Fprintf(&b, "  - domain: %s\n    file: \"%s\"\n    module: mod-geoip/country\n", steeredZone, s.file("steered.example.zone"))
	}
	return b.String()
}

// knotGeo is the geoip module's own file. Whoever matches nothing gets what the
// zone has.
func knotGeo() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:\n", steeredName)
	for _, site := range sites {
		for _, p := range site.places {
			fmt.Fprintf(&b, "  - geo: \"%s\"\n    A: %s\n", p.country, site.address)
		}
	}
	return b.String()
}
