package main

import (
	"fmt"
	"regexp"
	"strings"
)

var knot = peer{
	name: "knot", origin: "Debian: apt-get install knot", title: "Knot DNS", binary: "knotd",
	version: []string{"--version"}, number: regexp.MustCompile(`version (\S+)`),
	can: abilities{static: true, steer: true, ecs: true, operator: true, signed: true},
	configure: func(s *setup) ([]string, error) {
		files := map[string]string{
			"knot.conf":             knotConfig(s),
			"steered.example.zone":  steeredZoneText(steeredZone, "A "+sites[0].address),
			"operator.example.zone": steeredZoneText(operatorZone, "A "+sites[0].address),
			"geo.yaml":              knotGeo(),
			"operators.yaml":        knotOperators(),
			"storage/.keep":         "",
		}
		return []string{"-c", s.file("knot.conf")}, s.write(files)
	},
}

func knotConfig(s *setup) string {
	var b strings.Builder
	fmt.Fprintf(&b, `server:
    rundir: "%[1]s"
    listen: 127.0.0.1@%[2]d
    udp-workers: %[3]d
    tcp-workers: 1
    background-workers: 1
    edns-client-subnet: on
log:
  - target: stderr
    any: warning
database:
    storage: "%[1]s/storage"
`, s.dir, s.port, s.workers)
	if s.with.steer || s.with.operator {
		b.WriteString("mod-geoip:\n")
	}
	if s.with.steer {
		fmt.Fprintf(&b, `  - id: country
    config-file: "%s"
    ttl: %d
    mode: geodb
    geodb-file: "%s"
    geodb-key: country/iso_code
`, s.file("geo.yaml"), ttl, s.data.database)
	}
	if s.with.operator {
		fmt.Fprintf(&b, `  - id: operator
    config-file: "%s"
    ttl: %d
    mode: geodb
    geodb-file: "%s"
    geodb-key: (id)autonomous_system_number
`, s.file("operators.yaml"), ttl, s.data.operators)
	}
	b.WriteString("zone:\n")
	for _, z := range s.plainZones() {
		fmt.Fprintf(&b, "  - domain: %s\n    file: \"%s\"\n", z.name, z.file)
	}
	if s.with.operator {
		fmt.Fprintf(&b, "  - domain: %s\n    file: \"%s\"\n    module: mod-geoip/operator\n", operatorZone, s.file("operator.example.zone"))
	}
	if s.with.steer {
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

func knotOperators() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:\n", operatorName)
	for _, site := range sites[1:] {
		fmt.Fprintf(&b, "  - geo: \"%d\"\n    A: %s\n", site.asn, site.address)
	}
	return b.String()
}
