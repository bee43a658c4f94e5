package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var gdnsd = peer{
	name: "gdnsd", origin: "Debian: apt-get install gdnsd", title: "gdnsd", binary: "gdnsd",
	version: []string{"-h"}, number: regexp.MustCompile(`gdnsd version (\S+)`),
	can: abilities{static: true, steer: true, ecs: true},
	configure: func(s *setup) ([]string, error) {
		files := map[string]string{
			"config":      gdnsdConfig(s),
			"run/.keep":   "",
			"state/.keep": "",
		}
		if s.with.steer {
			files["zones/steered.example"] = steeredZoneText(steeredZone, fmt.Sprintf("%d DYNA geoip!www", ttl))
		}
		return []string{"-c", s.dir, "start"}, errors.Join(s.write(files), s.linkZones())
	},
}

// linkZones names zones' files after the zones, by which gdnsd knows them.
func (s *setup) linkZones() error {
	for _, z := range s.plainZones() {
		if err := s.link("zones/"+strings.TrimSuffix(z.name, "."), z.file); err != nil {
			return err
		}
	}
	return nil
}

func gdnsdConfig(s *setup) string {
	var b strings.Builder
	fmt.Fprintf(&b, `options => {
  listen => [ 127.0.0.1:%d ],
  udp_threads => %d,
  tcp_threads => 1,
  run_dir => %s/run,
  state_dir => %s/state,
}
`, s.port, s.workers, s.dir, s.dir)
	if !s.with.steer {
		return b.String()
	}
	var datacenters, addresses []string
	continents := map[string][]string{}
	for _, site := range sites {
		datacenters = append(datacenters, site.name)
		addresses = append(addresses, fmt.Sprintf("%s => %s", site.name, site.address))
		for _, p := range site.places {
			continents[p.continent] = append(continents[p.continent], fmt.Sprintf("%s => [%s]", p.country, site.name))
		}
	}
	var countries []string
	for name, list := range continents {
		countries = append(countries, fmt.Sprintf("        %s => { %s },\n", name, strings.Join(list, ", ")))
	}
	slices.Sort(countries)
	fmt.Fprintf(&b, `plugins => { geoip => {
  maps => {
    country => {
      geoip2_db => %s,
      datacenters => [%s],
      map => {
        default => [%s],
%s      }
    }
  }
  resources => {
    www => { map => country, service_types => up, dcmap => { %s } }
  }
}}
`, s.data.database, strings.Join(datacenters, ", "), sites[0].name, strings.Join(countries, ""), strings.Join(addresses, ", "))
	return b.String()
}
