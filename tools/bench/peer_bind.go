package main

import (
	"fmt"
	"regexp"
)

// BIND could steer by source address with a view for each site, but takes no
// client subnet; it is measured without steering.
var bind = peer{
	name: "bind", title: "BIND", binary: "named",
	version: []string{"-v"}, number: regexp.MustCompile(`BIND (\d+\.\d+\.\d+)`),
	configure: func(s *setup) ([]string, error) {
		return []string{"-g", "-n", "1", "-c", s.file("named.conf")}, s.write(map[string]string{"named.conf": bindConfig(s)})
	},
}

func bindConfig(s *setup) string {
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
};
controls { };
zone "%s" { type primary; file "%s"; };
`, s.dir, s.port, staticZone, s.data.static)
}
