package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// expecting is a configuration with two sites, of which one has IPv6, and a place for %s.
func expecting(t *testing.T, more string) string {
	t.Helper()
	path := simulated(t, `
[node]
name = "n"
[dns]
listen = ["127.0.0.1:0"]
[geo]
databases = ["city.mmdb", "isp.mmdb"]
[[geo.override]]
networks = ["203.0.113.0/24"]
place = { country = "KR", isp = "KT" }
[[zone]]
name = "abc.com."
file = "abc.com.zone"
[[site]]
name = "kt"
cname = "a.www.abc.com."
addresses = ["192.0.2.10", "192.0.2.11", "2001:db8::10"]
[[site]]
name = "lgu"
cname = "b.www.abc.com."
addresses = ["192.0.2.20"]
[[steer]]
name = "www.abc.com."
answer = "cname"
  [[steer.rule]]
  isp = ["KT"]
  to = ["kt", "lgu"]
  [[steer.rule]]
  to = ["lgu", "kt"]
[[steer]]
name = "addr.abc.com."
answer = "address"
  [[steer.rule]]
  isp = ["KT"]
  to = ["kt"]
  [[steer.rule]]
  to = ["kt", "lgu"]
`+more)
	write(t, filepath.Join(filepath.Dir(path), "abc.com.zone"), "$TTL 300\n@ SOA ns1 hostmaster 1 7200 900 1209600 60\n NS ns1\nns1 A 192.0.2.53\na.www A 192.0.2.10\nb.www A 192.0.2.20\nback CNAME www\n")
	return path
}

func TestExpect(t *testing.T) {
	const kt, us = `client = "203.0.113.7"`, `place = { country = "US" }`
	for _, test := range []struct{ client, expect, want string }{
		{kt, `site = "kt"`, ""},
		{kt, `cname = "a.www.abc.com"`, ""},
		{kt, "down = [\"kt\"]\nsite = \"lgu\"", ""},
		{kt, "drain = [\"kt\"]\nsites = [\"lgu\"]\ncname = \"b.www.abc.com.\"", ""},
		{us, `sites = ["lgu"]`, ""},
		{`client = "203.0.113.0/25"`, `site = "kt"`, ""},
		{kt, `site = "lgu"`, `expect[0]: www.abc.com. A for 203.0.113.7 gives site kt, expected lgu (kt: `},
		{kt, "down = [\"kt\"]\ncname = \"a.www.abc.com.\"", "gives cname b.www.abc.com., expected a.www.abc.com."},
		{us, `site = "kt"`, "A for NA US gives site lgu, expected kt"},
	} {
		_, _, err := runGSLB("check", expecting(t, "[[expect]]\nname = \"www.abc.com\"\n"+test.client+"\n"+test.expect+"\n"))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "gslb.toml:38: expect[0]")) {
			t.Errorf("%s, %s: %v, want %q", test.client, test.expect, err, test.want)
		}
	}
	for _, test := range []struct{ expect, want string }{
		{"client = \"203.0.113.7\"\naddresses = [\"192.0.2.11\", \"192.0.2.10\"]", ""},
		{"client = \"203.0.113.7\"\ntype = \"AAAA\"\naddresses = [\"2001:db8::10\"]", ""},
		{us + "\ntype = \"AAAA\"\naddresses = [\"2001:db8::10\"]", ""},
		{us + "\ndown = [\"kt\"]\naddresses = [\"192.0.2.20\"]", ""},
		{"client = \"203.0.113.7\"\naddresses = [\"192.0.2.10\"]", "expected 192.0.2.10"},
		{"client = \"192.0.2.99\"\ndown = [\"kt\"]\ntype = \"AAAA\"\naddresses = [\"2001:db8::10\"]", "gives addresses none, expected 2001:db8::10"},
	} {
		_, _, err := runGSLB("check", expecting(t, "[[expect]]\nname = \"addr.abc.com\"\n"+test.expect+"\n"))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.expect, err, test.want)
		}
	}
}

// A policy that goes by measured times can be tested with times.
func TestExpectTimes(t *testing.T) {
	const there = `place = { country = "JP", location = [35.68, 139.69] }`
	for _, test := range []struct{ expect, want string }{
		{there + "\nrtt_ms = { kt = 40, lgu = 12.5 }\nsite = \"lgu\"", ""},
		{there + "\nrtt_ms = { kt = 9, lgu = 12.5 }\nsite = \"kt\"", ""},
		{there + "\nrtt_ms = { kt = 9, lgu = 12.5 }\ndown = [\"kt\"]\nsite = \"lgu\"", ""},
		{there + "\nrtt_ms = { kt = 9, lgu = 12.5 }\nsite = \"lgu\"", "gives site kt, expected lgu"},
		{"place = { asn = 4766 }\nrtt_ms = { kt = 9, lgu = 12.5 }\nsite = \"kt\"", "it is not known where"},
		{there + "\nrtt_ms = { kt = 9, lguu = 12.5 }\nsite = \"kt\"", "lguu"},
		{there + "\nrtt_ms = { kt = -1, lgu = 12.5 }\nsite = \"kt\"", "must be 0 to 600000 milliseconds"},
	} {
		_, _, err := runGSLB("check", expecting(t, "[[steer]]\nname = \"lat.abc.com.\"\nanswer = \"address\"\n[[steer.rule]]\nto = [\"latency:all\"]\n[[expect]]\nname = \"lat.abc.com\"\n"+test.expect+"\n"))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.expect, err, test.want)
		}
	}
}

// Clients' own times, from a file of their own, go before those of a checker: by network,
// else by AS number, else by country; and faults in it are told with its lines.
func TestExpectMeasured(t *testing.T) {
	const good = `[[measured]]
country = ["JP"]
rtt_ms = { kt = 40, lgu = 12.5 }
[[measured]]
asn = [4766, 9318]
rtt_ms = { kt = 9, lgu = 30 }
[[measured]]
network = ["198.51.100.0/24"]
rtt_ms = { kt = 90, lgu = 30 }
`
	const in = `place = { country = "jp" }`
	for _, test := range []struct{ measured, expect, want string }{
		{good, in + "\nsite = \"lgu\"", ""},
		{good, in + "\ndown = [\"lgu\"]\nsite = \"kt\"", ""},
		{good, "place = { country = \"JP\", location = [35.68, 139.69] }\nrtt_ms = { kt = 1, lgu = 20 }\nsite = \"lgu\"", ""},
		{good, "place = { country = \"JP\", asn = 9318 }\nsite = \"kt\"", ""},
		{good, "client = \"198.51.100.7\"\nsite = \"lgu\"", ""},
		{good, in + "\nsite = \"kt\"", "gives site lgu, expected kt (lgu: the least time, 12.5 ms from [[measured]] 1, country JP"},
		{strings.Replace(good, "[4766, 9318]", "[4766]\ncountry = [\"KR\"]", 1), in + "\nsite = \"lgu\"", "rtt.toml:4: measured[1]: must say in one of network, asn and country"},
		{good + "[[measured]]\nasn = [1, 9318]\nrtt_ms = { kt = 9, lgu = 30 }\n", in + "\nsite = \"lgu\"", "rtt.toml:11: measured[3].asn[1]: 9318: is in [[measured]] 2 too"},
		{strings.Replace(good, "lgu = 12.5", "lguu = 12.5", 1), in + "\nsite = \"lgu\"", "rtt.toml:3: measured[0].rtt_ms.lguu"},
		{strings.Replace(good, "kt = 9,", "", 1), in + "\nsite = \"lgu\"", "rtt.toml:6: measured[1].rtt_ms: 1 times: must be those to 2 sites or more"},
		{strings.Replace(good, "kt = 9,", "kt = -9,", 1), in + "\nsite = \"lgu\"", "must be 0 to 600000 milliseconds"},
		{strings.Replace(good, "198.51.100.0/24", "198.51.100.1/24", 1), in + "\nsite = \"lgu\"", "has bits set beyond its length"},
	} {
		path := expecting(t, "[[steer]]\nname = \"lat.abc.com.\"\nanswer = \"address\"\n[[steer.rule]]\nto = [\"latency:all\"]\n[[expect]]\nname = \"lat.abc.com\"\n"+test.expect+"\n")
		write(t, filepath.Join(filepath.Dir(path), "rtt.toml"), test.measured)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, "include = [\"rtt.toml\"]\n"+string(text))
		_, _, err = runGSLB("check", path)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.expect, err, test.want)
		}
	}
}

// With several sites in an answer, site is the first, sites hold all, and one without
// the records asked for leaves no answer empty.
func TestExpectSeveral(t *testing.T) {
	const name = "[[steer]]\nname = \"set.abc.com.\"\nanswer = \"address\"\nanswers = 2\n  [[steer.rule]]\n  to = [\"nearest:kt,lgu\"]\n"
	const kt, korea = `client = "203.0.113.7"`, `place = { country = "KR" }`
	for _, test := range []struct{ client, expect, want string }{
		{kt, "site = \"kt\"\nsites = [\"lgu\", \"kt\"]\naddresses = [\"192.0.2.10\", \"192.0.2.11\", \"192.0.2.20\"]", ""},
		{kt, "down = [\"kt\"]\nsites = [\"lgu\"]", ""},
		{kt, "type = \"AAAA\"\naddresses = [\"2001:db8::10\"]", ""},
		{korea, "addresses = [\"192.0.2.10\", \"192.0.2.11\", \"192.0.2.20\"]", ""},
		{korea, "down = [\"lgu\"]\nsite = \"kt\"\nsites = [\"kt\"]", ""},
		{kt, "sites = [\"kt\"]", "gives site kt, lgu, expected kt (kt, lgu: all 2 in service in tier 1"},
		{kt, "addresses = [\"192.0.2.10\", \"192.0.2.11\"]", "gives addresses 192.0.2.10, 192.0.2.11, 192.0.2.20, expected 192.0.2.10, 192.0.2.11"},
	} {
		_, warnings, err := runGSLB("check", expecting(t, name+"[[expect]]\nname = \"set.abc.com\"\n"+test.client+"\n"+test.expect+"\n"))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s, %s: %v, want %q", test.client, test.expect, err, test.want)
		}
		if strings.Contains(warnings, "set.abc.com. AAAA: with all sites up") {
			t.Errorf("a site without IPv6 beside one with it is no empty answer:\n%s", warnings)
		}
	}
}

// What a state of the sites would do to users is told with the line; what is even is not.
func TestExhaustive(t *testing.T) {
	_, warnings, err := runGSLB("check", expecting(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"gslb.toml:18: site[1]: addr.abc.com. AAAA: with kt down, clients are sent to lgu, which has no such records",
		"note: ", "gslb.toml:33: steer[1].rule[0]: addr.abc.com.: with kt down, its clients are sent there all the same",
	} {
		if !strings.Contains(warnings, want) {
			t.Errorf("want %q in\n%s", want, warnings)
		}
	}
	if strings.Contains(warnings, "www.abc.com.") || strings.Contains(warnings, " A: ") || strings.Count(warnings, "\n") != 2 {
		t.Errorf("more than there is to say:\n%s", warnings)
	}
}

func TestLoops(t *testing.T) {
	for cname, loops := range map[string]bool{"back.abc.com.": true, "addr.abc.com.": false, "elsewhere.example.": false} {
		path := simulated(t, fmt.Sprintf(`
[node]
name = "n"
[dns]
listen = ["127.0.0.1:0"]
[[zone]]
name = "abc.com."
file = "abc.com.zone"
[[site]]
name = "kt"
cname = %q
addresses = ["192.0.2.10"]
[[steer]]
name = "www.abc.com."
answer = "cname"
  [[steer.rule]]
  to = ["kt"]
[[steer]]
name = "addr.abc.com."
answer = "address"
  [[steer.rule]]
  to = ["kt"]
`, cname))
		write(t, filepath.Join(filepath.Dir(path), "abc.com.zone"), "$TTL 300\n@ SOA ns1 hostmaster 1 7200 900 1209600 60\n NS ns1\nns1 A 192.0.2.53\nback CNAME www\n")
		_, _, err := runGSLB("check", path)
		if got := err != nil && strings.Contains(err.Error(), "gslb.toml:13: steer[0]: the cnames of its sites lead back to it: www.abc.com. -> www.abc.com."); got != loops || !loops && err != nil {
			t.Errorf("cname %s: %v", cname, err)
		}
	}
}

func TestStatesOfSites(t *testing.T) {
	used := func(n int) (all []int) {
		for i := range n {
			all = append(all, i)
		}
		return all
	}
	for _, test := range []struct{ sites, most, want int }{
		{1, 1 << 20, 2}, {3, 1 << 20, 8}, {12, 1 << 20, 4096}, {13, 1 << 20, 1 + 13 + 78 + 1}, {12, 100, 1 + 12 + 66 + 1}, {12, 50, 1 + 12 + 1}, {2, 3, 4},
	} {
		all := statesOfSites(used(test.sites), test.most)
		if len(all) != test.want || len(all[0]) != 0 || len(all[len(all)-1]) != test.sites {
			t.Errorf("%+v: %d states", test, len(all))
		}
	}
}
