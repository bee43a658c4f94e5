package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var bindVersion = regexp.MustCompile(`BIND (\d+\.\d+\.\d+)`)

// BIND takes no client subnet; by source address it steers with views, which
// every query then pays for: bindViews.
var bind = peer{
	name: "bind", origin: "Debian: apt-get install bind9", title: "BIND", binary: "named",
	version: []string{"-v"}, number: bindVersion,
	can: abilities{static: true, signed: true},
	configure: func(s *setup) ([]string, error) {
		return bindArgs(s), s.write(map[string]string{"named.conf": bindConfig(s)})
	},
}

// bindViews has a view for each site, matched by country.
var bindViews = peer{
	name: "bind-views", origin: "Debian: apt-get install bind9", title: "BIND views", binary: "named",
	version: []string{"-v"}, number: bindVersion,
	can: abilities{steer: true},
	configure: func(s *setup) ([]string, error) {
		files := map[string]string{"named.conf": bindViewsConfig(s)}
		for _, site := range sites {
			files[site.name+".zone"] = steeredZoneText(steeredZone, "A "+site.address)
		}
		// It looks for databases by name in a directory.
		return bindArgs(s), errors.Join(s.write(files), s.link("GeoLite2-City.mmdb", s.data.database))
	},
}

func bindArgs(s *setup) []string {
	return []string{"-g", "-n", fmt.Sprint(s.workers), "-c", s.file("named.conf")}
}

func bindOptions(s *setup, more string) string {
	return fmt.Sprintf(`options {
	directory "%s";
	listen-on port %d { 127.0.0.1; };
	listen-on-v6 { none; };
	pid-file none;
	session-keyfile none;
	recursion no;
	dnssec-validation no;
	minimal-responses yes;
	notify no;
%s};
controls { };
`, s.dir, s.port, more)
}

func bindConfig(s *setup) string {
	var b strings.Builder
	b.WriteString(bindOptions(s, ""))
	for _, z := range s.plainZones() {
		fmt.Fprintf(&b, "zone \"%s\" { type primary; file \"%s\"; };\n", z.name, z.file)
	}
	return b.String()
}

func bindViewsConfig(s *setup) string {
	var b strings.Builder
	b.WriteString(bindOptions(s, fmt.Sprintf("\tgeoip-directory \"%s\";\n", s.dir)))
	for _, site := range append(sites[1:len(sites):len(sites)], sites[0]) {
		clients := "any; "
		if site.places != nil {
			clients = ""
			for _, p := range site.places {
				clients += fmt.Sprintf("geoip country %s; ", p.country)
			}
		}
		fmt.Fprintf(&b, "view \"%s\" {\n\tmatch-clients { %s};\n\tzone \"%s\" { type primary; file \"%s\"; };\n", site.name, clients, steeredZone, s.file(site.name+".zone"))
		if site.places == nil {
			fmt.Fprintf(&b, "\tzone \"%s\" { type primary; file \"%s\"; };\n", staticZone, s.data.static)
		}
		b.WriteString("};\n")
	}
	return b.String()
}
