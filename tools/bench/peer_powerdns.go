package main

import (
	"fmt"
	"regexp"
	"strings"
)

var powerdns = peer{
	name: "powerdns", title: "PowerDNS", binary: "pdns_server",
	version: []string{"--version"}, number: regexp.MustCompile(`Authoritative Server (\S+)`),
	can: abilities{steer: true, ecs: true},
	configure: func(s *setup) ([]string, error) {
		return []string{"--config-dir=" + s.dir}, s.write(map[string]string{
			"pdns.conf":  powerdnsConfig(s),
			"named.conf": fmt.Sprintf("zone \"%s\" { type native; file \"%s\"; };\n", staticZone, s.data.static),
			"geo.yaml":   powerdnsGeo(),
		})
	},
}

func powerdnsConfig(s *setup) string {
	launch := "launch=bind\n"
	if s.steer {
		launch = fmt.Sprintf("launch=bind,geoip\ngeoip-database-files=mmdb:%s\ngeoip-zones-file=%s\nedns-subnet-processing=yes\n", s.data.database, s.file("geo.yaml"))
	}
	return launch + fmt.Sprintf(`bind-config=%s
bind-check-interval=0
local-address=127.0.0.1
local-port=%d
receiver-threads=1
distributor-threads=1
socket-dir=%s
daemon=no
guardian=no
disable-syslog=yes
loglevel=3
webserver=no
security-poll-suffix=
`, s.file("named.conf"), s.port, s.dir)
}

// powerdnsGeo is the geoip backend's zone: the steered name is a service whose
// candidates are names by country, the first that exists answering.
func powerdnsGeo() string {
	zone := strings.TrimSuffix(steeredZone, ".")
	var b strings.Builder
	fmt.Fprintf(&b, `domains:
- domain: %[1]s
  ttl: %[2]d
  records:
    %[1]s:
      - soa: ns1.%[1]s hostmaster.%[1]s 1 3600 900 604800 %[2]d
      - ns: ns1.%[1]s
    ns1.%[1]s:
      - a: 192.0.2.53
`, zone, ttl)
	for i, site := range sites {
		if i == 0 {
			fmt.Fprintf(&b, "    default.%s:\n      - a: %s\n", zone, site.address)
		}
		for _, p := range site.places {
			fmt.Fprintf(&b, "    %s.country.%s:\n      - a: %s\n", strings.ToLower(p.country), zone, site.address)
		}
	}
	fmt.Fprintf(&b, "  services:\n    www.%[1]s: [ '%%cc.country.%[1]s', 'default.%[1]s' ]\n", zone)
	return b.String()
}
