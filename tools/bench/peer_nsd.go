package main

import (
	"fmt"
	"regexp"
	"strings"
)

var nsd = peer{
	name: "nsd", origin: "Debian: apt-get install nsd", title: "NSD", binary: "nsd",
	version: []string{"-v"}, number: regexp.MustCompile(`NSD version (\S+?)\.?\s`),
	can: abilities{static: true, signed: true},
	configure: func(s *setup) ([]string, error) {
		return []string{"-d", "-c", s.file("nsd.conf")}, s.write(map[string]string{"nsd.conf": nsdConfig(s)})
	},
}

// nsdConfig switches the response rate limit off, which many builds have on:
// one client asks all the questions here.
func nsdConfig(s *setup) string {
	var b strings.Builder
	fmt.Fprintf(&b, `server:
	server-count: %[3]d
	reuseport: yes
	ip-address: 127.0.0.1@%[2]d
	username: ""
	chroot: ""
	zonesdir: "%[1]s"
	database: ""
	pidfile: "%[1]s/nsd.pid"
	xfrdfile: "%[1]s/xfrd.state"
	xfrdir: "%[1]s"
	zonelistfile: "%[1]s/zone.list"
	rrl-ratelimit: 0
	rrl-whitelist-ratelimit: 0
	minimal-responses: yes
remote-control:
	control-enable: no
`, s.dir, s.port, s.workers)
	for _, z := range s.plainZones() {
		fmt.Fprintf(&b, "zone:\n\tname: \"%s\"\n\tzonefile: \"%s\"\n", z.name, z.file)
	}
	return b.String()
}
