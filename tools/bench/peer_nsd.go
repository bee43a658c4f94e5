package main

import (
	"fmt"
	"regexp"
)

var nsd = peer{
	name: "nsd", title: "NSD", binary: "nsd",
	version: []string{"-v"}, number: regexp.MustCompile(`NSD version (\S+?)\.?\s`),
	configure: func(s *setup) ([]string, error) {
		return []string{"-d", "-c", s.file("nsd.conf")}, s.write(map[string]string{"nsd.conf": nsdConfig(s)})
	},
}

// nsdConfig switches the response rate limit off, which many builds have on:
// one client asks all the questions here.
func nsdConfig(s *setup) string {
	return fmt.Sprintf(`server:
	server-count: 1
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
zone:
	name: "%[3]s"
	zonefile: "%[4]s"
`, s.dir, s.port, staticZone, s.data.static)
}
