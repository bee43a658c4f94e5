package main

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

var powerdns = peer{
	name: "powerdns", origin: "Debian: apt-get install pdns-server pdns-backend-bind pdns-backend-geoip", title: "PowerDNS", binary: "pdns_server",
	version: []string{"--version"}, number: regexp.MustCompile(`Authoritative Server (\S+)`),
	can: abilities{static: true, steer: true, ecs: true, operator: true, signed: true},
	configure: func(s *setup) ([]string, error) {
		var zones strings.Builder
		for _, z := range s.plainZones() {
			fmt.Fprintf(&zones, "zone \"%s\" { type native; file \"%s\"; };\n", z.name, z.file)
		}
		err := s.write(map[string]string{
			"pdns.conf":  powerdnsConfig(s),
			"named.conf": zones.String(),
			"geo.yaml":   powerdnsGeo(s),
		})
		if err == nil && s.with.signed {
			err = powerdnsPresigned(s)
		}
		return []string{"--config-dir=" + s.dir}, err
	},
}

func powerdnsConfig(s *setup) string {
	var b strings.Builder
	if s.with.steer || s.with.operator {
		var databases []string
		if s.with.steer {
			databases = append(databases, "mmdb:"+s.data.database)
		}
		if s.with.operator {
			databases = append(databases, "mmdb:"+s.data.operators)
		}
		fmt.Fprintf(&b, "launch=bind,geoip\ngeoip-database-files=%s\ngeoip-zones-file=%s\nedns-subnet-processing=yes\n", strings.Join(databases, " "), s.file("geo.yaml"))
	} else {
		b.WriteString("launch=bind\n")
	}
	if s.with.signed {
		fmt.Fprintf(&b, "bind-dnssec-db=%s\n", s.file("dnssec.db"))
	}
	fmt.Fprintf(&b, `bind-config=%s
bind-check-interval=0
local-address=127.0.0.1
local-port=%d
receiver-threads=%d
distributor-threads=1
socket-dir=%s
daemon=no
guardian=no
disable-syslog=yes
loglevel=3
webserver=no
security-poll-suffix=
`, s.file("named.conf"), s.port, s.workers, s.dir)
	return b.String()
}

// powerdnsPresigned tells its database that the signatures of the zone file are to be served.
func powerdnsPresigned(s *setup) error {
	util, ok := findBinary("pdnsutil")
	if !ok {
		return errors.New("a zone signed beforehand needs pdnsutil, which is not installed")
	}
	for _, args := range [][]string{{"create-bind-db", s.file("dnssec.db")}, {"set-presigned", strings.TrimSuffix(signedZone, ".")}} {
		if out, err := exec.Command(util, append([]string{"--config-dir=" + s.dir}, args...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("pdnsutil %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}

// powerdnsGeo is the geoip backend's zones: a steered name is a service whose
// candidates are names by country or operator, the first that exists answering.
func powerdnsGeo(s *setup) string {
	var b strings.Builder
	b.WriteString("domains:\n")
	if s.with.steer {
		powerdnsDomain(&b, steeredZone)
		for _, site := range sites {
			for _, p := range site.places {
				powerdnsCandidate(&b, strings.ToLower(p.country)+".country", steeredZone, site)
			}
		}
		powerdnsService(&b, "%cc.country", steeredZone)
	}
	if s.with.operator {
		powerdnsDomain(&b, operatorZone)
		for _, site := range sites[1:] {
			powerdnsCandidate(&b, fmt.Sprint(site.asn, ".as"), operatorZone, site)
		}
		powerdnsService(&b, "%as.as", operatorZone)
	}
	return b.String()
}

func powerdnsDomain(b *strings.Builder, zone string) {
	fmt.Fprintf(b, `- domain: %[1]s
  ttl: %[2]d
  records:
    %[1]s:
      - soa: ns1.%[1]s hostmaster.%[1]s 1 3600 900 604800 %[2]d
      - ns: ns1.%[1]s
    ns1.%[1]s:
      - a: 192.0.2.53
`, strings.TrimSuffix(zone, "."), ttl)
	powerdnsCandidate(b, "default", zone, sites[0])
}

func powerdnsCandidate(b *strings.Builder, label, zone string, s site) {
	fmt.Fprintf(b, "    %s.%s:\n      - a: %s\n", label, strings.TrimSuffix(zone, "."), s.address)
}

func powerdnsService(b *strings.Builder, labels, zone string) {
	fmt.Fprintf(b, "  services:\n    www.%[2]s: [ '%[1]s.%[2]s', 'default.%[2]s' ]\n", labels, strings.TrimSuffix(zone, "."))
}
