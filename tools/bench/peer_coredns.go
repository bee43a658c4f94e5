package main

import (
	"fmt"
	"regexp"
	"strings"
)

// CoreDNS gives no client subnet option back, so that no cache could keep its
// answers apart; loadgen finds that, and the page says it.
var coredns = peer{
	name: "coredns", origin: "a release of github.com/coredns/coredns, in PATH", title: "CoreDNS", binary: "coredns",
	version: []string{"-version"}, number: regexp.MustCompile(`CoreDNS-(\S+)`),
	can: abilities{static: true, steer: true, ecs: true, signed: true},
	configure: func(s *setup) ([]string, error) {
		files := map[string]string{"Corefile": corednsConfig(s)}
		for _, site := range sites {
			files[site.name+".zone"] = steeredZoneText(steeredZone, "A "+site.address)
		}
		return []string{"-conf", s.file("Corefile")}, s.write(files)
	},
}

// corednsConfig steers by a view for each site; the block without one is for
// everyone else.
func corednsConfig(s *setup) string {
	var b strings.Builder
	for _, z := range s.plainZones() {
		fmt.Fprintf(&b, "%s:%d {\n\tbind 127.0.0.1\n\tfile %s\n}\n", z.name, s.port, z.file)
	}
	if !s.with.steer {
		return b.String()
	}
	for _, site := range append(sites[1:len(sites):len(sites)], sites[0]) {
		fmt.Fprintf(&b, "%s:%d {\n\tbind 127.0.0.1\n\tmetadata\n\tgeoip %s {\n\t\tedns-subnet\n\t}\n", steeredZone, s.port, s.data.database)
		if site.places != nil {
			var countries []string
			for _, p := range site.places {
				countries = append(countries, fmt.Sprintf("'%s'", p.country))
			}
			fmt.Fprintf(&b, "\tview %s {\n\t\texpr metadata('geoip/country/code') in [%s]\n\t}\n", site.name, strings.Join(countries, ", "))
		}
		fmt.Fprintf(&b, "\tfile %s\n}\n", s.file(site.name+".zone"))
	}
	return b.String()
}
