package main

import (
	"slices"
	"strings"
	"testing"

	"gslb/config"
	"gslb/zones"
)

// TestZonesFromElsewhere: what comes by transfer or update, and does not fit the
// configuration, is a problem, not a fault that keeps the node from starting; it goes
// when it is over.
func TestZonesFromElsewhere(t *testing.T) {
	const text = `[node]
name = "n"
[dns]
listen = ["127.0.0.1:0"]
[[zone]]
name = "abc.com."
primaries = [{ address = "192.0.2.1" }]
dnssec = "default"
[[site]]
name = "kt"
cname = "a.www.abc.com."
addresses = ["192.0.2.10"]
[[site]]
name = "lgu"
cname = "back.abc.com."
addresses = ["192.0.2.11"]
[[steer]]
name = "www.abc.com."
answer = "cname"
  [[steer.rule]]
  to = ["kt", "lgu"]
`
	cfg, err := config.Parse("gslb.toml", []byte(text), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	zone := func(more string) *zones.Zone {
		z, err := zones.Read(zones.Config{Name: "abc.com.", File: "copy"}, strings.NewReader("$TTL 300\n@ SOA ns1 hostmaster 1 7200 900 1209600 60\n NS ns1\nns1 A 192.0.2.53\n"+more))
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	const good, back = "a.www A 192.0.2.10\n", "back A 192.0.2.11\n"
	has := func(what string, got []string, want ...string) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: %q, want %q", what, got, want)
		}
		for _, w := range want {
			if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, w) }) {
				t.Errorf("%s: %q, want %q", what, got, w)
			}
		}
	}
	const without = "gslb.toml:9: site[0]: site kt: cname a.www.abc.com.: the zone abc.com., as transfers or updates have made it, has neither A nor AAAA"
	var topo *topology
	for what, c := range map[string]struct {
		more string
		want []string
	}{
		"good":                         {good + back, nil},
		"no address":                   {back, []string{without}},
		"a loop":                       {good + "back CNAME www\n", []string{"gslb.toml:17: steer[0]: the cnames of its sites lead back to it: www.abc.com. -> www.abc.com."}},
		"a TTL that no roll waits for": {good + back + "long 200000 TXT x\n", []string{`long.abc.com. TXT has TTL 200000, its DNSSEC policy says max_zone_ttl = "24h0m0s"`}},
	} {
		others := func(func([]byte) *zones.Zone) ([]*zones.Zone, error) { return []*zones.Zone{zone(c.more)}, nil }
		topo, err = ingredients{others: others}.compile(cfg)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		has(what, topo.problems(), c.want...)
	}

	topo, err = ingredients{others: func(func([]byte) *zones.Zone) ([]*zones.Zone, error) {
		return []*zones.Zone{zone(good + back)}, nil
	}}.compile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	came := func(more string) []string {
		t.Helper()
		z := zone(more)
		if topo.db, err = topo.db.With([]*zones.Zone{z}, nil); err != nil {
			t.Fatal(err)
		}
		return topo.arrived([]*zones.Zone{z})
	}
	has("it loses its address", came(back), without)
	has("still", came(back))
	has("its problems", topo.problems(), without)
	has("it has one again", came(good+back))
	has("no problems", topo.problems())
}
