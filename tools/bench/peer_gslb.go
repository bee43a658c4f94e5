package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
)

var gslb = peer{
	name: "gslb", title: "gslb", binary: "gslb",
	can: abilities{static: true, steer: true, ecs: true, operator: true, signed: true},
	configure: func(s *setup) ([]string, error) {
		return []string{"serve", "-config", s.file("gslb.toml")}, s.write(map[string]string{
			"gslb.toml":             gslbConfig(s),
			"steered.example.zone":  steeredZoneText(steeredZone, ""),
			"operator.example.zone": steeredZoneText(operatorZone, ""),
		})
	},
}

// gslbConfig has the country rules that the others get. The sites have no
// checks: all of them can be chosen.
func gslbConfig(s *setup) string {
	var b strings.Builder
	spread := ""
	switch {
	case s.workers > 1:
		spread = "pin = \"auto\"\nspread = \"cpu\"\n"
	case s.data.api != "":
		// Things happen to it beside the queries: left alone, the kernel puts the worker
		// on the generator's core now and then, where it waits for tens of milliseconds.
		spread = "pin = \"auto\"\n"
	}
	fmt.Fprintf(&b, `[node]
name = "bench"
roles = ["dns"]
data_dir = "data"
log_level = "warn"

[dns]
listen = ["127.0.0.1:%d"]
workers = %d
%s
[etcd]
listen = "127.0.0.1:0"

[api]
listen = %q
`, s.port, s.workers, spread, cmp.Or(s.data.api, "off"))
	if len(s.data.many) > 0 {
		fmt.Fprintf(&b, "\n[[zones]]\nfiles = %q\n", filepath.Join(filepath.Dir(s.data.many[0].file), "*"))
	}
	for _, z := range s.fewZones() {
		fmt.Fprintf(&b, "\n[[zone]]\nname = %q\nfile = %q\n", z.name, z.file)
	}
	if !s.with.steer && !s.with.operator {
		return b.String()
	}
	var databases []string
	if s.with.steer {
		databases = append(databases, fmt.Sprintf("%q", s.data.database))
		fmt.Fprintf(&b, "\n[[zone]]\nname = %q\nfile = \"steered.example.zone\"\n", steeredZone)
	}
	if s.with.operator {
		databases = append(databases, fmt.Sprintf("%q", s.data.operators))
		fmt.Fprintf(&b, "\n[[zone]]\nname = %q\nfile = \"operator.example.zone\"\n", operatorZone)
	}
	fmt.Fprintf(&b, "\n[geo]\ndatabases = [%s]\nreload = \"200ms\"\n", strings.Join(databases, ", "))
	for _, site := range sites {
		fmt.Fprintf(&b, "\n[[site]]\nname = %q\naddresses = [%q]\n", site.name, site.address)
	}
	if s.with.steer {
		gslbCountries(&b)
	}
	if s.with.operator {
		gslbOperators(&b)
	}
	return b.String()
}

// gslbCountries steers steeredName. The second tier is for when the site is down.
func gslbCountries(b *strings.Builder) {
	fmt.Fprintf(b, "\n[[steer]]\nname = %q\nanswer = \"address\"\nttl = \"%ds\"\n", steeredName, ttl)
	for _, site := range sites[1:] {
		var countries []string
		for _, p := range site.places {
			countries = append(countries, fmt.Sprintf("%q", p.country))
		}
		fmt.Fprintf(b, "  [[steer.rule]]\n  country = [%s]\n  to = [%q, %q]\n", strings.Join(countries, ", "), site.name, sites[0].name)
	}
	fmt.Fprintf(b, "  [[steer.rule]]\n  to = [%q]\n", sites[0].name)
}

// gslbOperators steers operatorName.
func gslbOperators(b *strings.Builder) {
	fmt.Fprintf(b, "\n[[steer]]\nname = %q\nanswer = \"address\"\nttl = \"%ds\"\n", operatorName, ttl)
	for _, site := range sites[1:] {
		fmt.Fprintf(b, "  [[steer.rule]]\n  asn = [%d]\n  to = [%q, %q]\n", site.asn, site.name, sites[0].name)
	}
	fmt.Fprintf(b, "  [[steer.rule]]\n  to = [%q]\n", sites[0].name)
}
