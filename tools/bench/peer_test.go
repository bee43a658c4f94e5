package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s: not as before (go test -update writes it anew):\n%s", file, text)
	}
}

var exampleData = &dataset{names: 10, static: "/data/bench.example.zone", signed: "/data/signed.example.zone", database: "/data/city.mmdb", operators: "/data/asn.mmdb"}

func TestConfigurations(t *testing.T) {
	s := &setup{dir: "/server", port: 5300, workers: 1, with: everything, data: exampleData}
	for name, text := range map[string]string{
		"gslb.toml":           gslbConfig(s),
		"knot.conf":           knotConfig(s),
		"knot-geo.yaml":       knotGeo(),
		"knot-operators.yaml": knotOperators(),
		"named.conf":          bindConfig(s),
		"named-views.conf":    bindViewsConfig(s),
		"nsd.conf":            nsdConfig(s),
		"gdnsd.conf":          gdnsdConfig(s),
		"pdns.conf":           powerdnsConfig(s),
		"pdns-geo.yaml":       powerdnsGeo(s),
		"Corefile":            corednsConfig(s),
		"bench.example.zone":  staticZoneText(3),
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, text) })
	}
}

// What is left out of the setup is not referred to.
func TestConfigurationsOfLess(t *testing.T) {
	configs := map[string]func(*setup) string{
		"gslb": gslbConfig, "knot": knotConfig, "gdnsd": gdnsdConfig, "powerdns": powerdnsConfig, "coredns": corednsConfig, "nsd": nsdConfig, "bind": bindConfig,
	}
	for name, config := range configs {
		text := config(&setup{dir: "/server", port: 5300, workers: 1, with: abilities{static: true}, data: exampleData})
		for _, word := range []string{"mmdb", "steered.example", "operator.example", "signed.example"} {
			if strings.Contains(text, word) {
				t.Errorf("%s: refers to %s:\n%s", name, word, text)
			}
		}
		if !strings.Contains(text, "5300") {
			t.Errorf("%s: does not listen on its port:\n%s", name, text)
		}
		signed := config(&setup{dir: "/server", port: 5300, workers: 1, with: abilities{static: true, signed: true}, data: exampleData})
		if can := name != "gdnsd"; can == (signed == text) {
			t.Errorf("%s: the signed zone is not as it can be:\n%s", name, signed)
		}
	}
}

// What configure returns must be files that it wrote.
func TestConfigureWritesWhatItNames(t *testing.T) {
	for _, p := range peers {
		with := p.can
		with.signed = false // a tool of PowerDNS would read the example's files
		s := &setup{dir: t.TempDir(), port: 5300, workers: 1, with: with, data: exampleData}
		args, err := p.configure(s)
		if err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		for _, a := range args {
			_, path, _ := strings.Cut(a, s.dir)
			if !strings.Contains(a, s.dir) {
				continue
			}
			if _, err := os.Lstat(filepath.Join(s.dir, path)); err != nil {
				t.Errorf("%s: argument %q: %v", p.name, a, err)
			}
		}
	}
}

func TestVersions(t *testing.T) {
	for _, test := range []struct {
		peer      peer
		out, want string
	}{
		{knot, "knotd (Knot DNS), version 3.2.6", "3.2.6"},
		{bind, "BIND 9.18.49-1~deb12u3-Debian (Extended Support Version) <id:>", "9.18.49"},
		{nsd, "NSD version 4.6.1\nWritten by NLnet Labs.", "4.6.1"},
		{gdnsd, "gdnsd version 3.8.1\nUsage: gdnsd", "3.8.1"},
		{powerdns, "Nov 22 21:50:52 PowerDNS Authoritative Server 4.7.3 (C) 2001-2022", "4.7.3"},
		{coredns, "CoreDNS-1.12.4\nlinux/amd64, go1.26.8,", "1.12.4"},
	} {
		m := test.peer.number.FindStringSubmatch(test.out)
		if m == nil || m[1] != test.want {
			t.Errorf("%s: %q in %q, must be %s", test.peer.name, m, test.out, test.want)
		}
	}
}
