package test

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/miekg/dns"
)

// reload sends SIGHUP.
func (n *node) reload() { n.Signal(syscall.SIGHUP) }

// answers waits until the node answers with exactly these records.
func (n *node) answers(name string, qtype uint16, want ...string) {
	n.t.Helper()
	until(n.t, patience, func() error {
		m, err := exchange("udp", n.dns, question(name, qtype, ""))
		if err != nil {
			return err
		}
		if got := strings.Join(present(m.Answer), ", "); got != strings.Join(want, ", ") {
			return fmt.Errorf("%s: %q, want %q", name, got, want)
		}
		return nil
	})
}

// TestReload: SIGHUP reads zones and configuration again, whole or not at all,
// and no query on the way goes without its answer.
func TestReload(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.startPlainSites()
	n := tp.startDNSNode()
	n.waitUp("kt", "lgu")
	users := n.queries(5*time.Millisecond, clientKT)
	zone, err := os.ReadFile(tp.zone)
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(n.config)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("zone", func(t *testing.T) {
		replace(t, tp.zone, append(bytes.Clone(zone), "added IN A 192.0.2.99\n"...))
		n.reload()
		n.answers("added.abc.com.", dns.TypeA, "added.abc.com. A 192.0.2.99")
	})
	t.Run("included file", func(t *testing.T) {
		replace(t, tp.path("abc.com.hosts"), []byte("included IN A 192.0.2.71\n"))
		n.reload()
		n.answers("included.abc.com.", dns.TypeA, "included.abc.com. A 192.0.2.71")
	})
	t.Run("bad zone keeps the old one", func(t *testing.T) {
		said := len(n.log.String())
		replace(t, tp.zone, append(bytes.Clone(zone), "broken IN A not-an-address\n"...))
		n.reload()
		until(t, patience, func() error {
			if !strings.Contains(n.log.String()[said:], "abc.com.zone") {
				return fmt.Errorf("the log does not name the file")
			}
			return nil
		})
		n.answers("added.abc.com.", dns.TypeA, "added.abc.com. A 192.0.2.99")
		replace(t, tp.zone, zone)
	})
	t.Run("by command", func(t *testing.T) {
		replace(t, tp.zone, append(bytes.Clone(zone), "ordered IN A 192.0.2.44\n"...))
		if out := must(t, binary(t), "reload", "--api", n.api); !strings.Contains(out, "abc.com. changed, serial still ") || !strings.Contains(out, ": 1 of 1 zones have changed") {
			t.Errorf("a reload says %q", out)
		}
		n.answers("ordered.abc.com.", dns.TypeA, "ordered.abc.com. A 192.0.2.44") // at once
		// Of one zone alone: the configuration, which is broken meanwhile, is not read.
		replace(t, n.config, []byte("nonsense"))
		replace(t, tp.zone, zone)
		if out := must(t, binary(t), "reload", "--api", n.api, "ABC.com"); !strings.Contains(out, "abc.com. changed") {
			t.Errorf("a reload of the zone says %q", out)
		}
		n.answers("ordered.abc.com.", dns.TypeA)
		for _, bad := range []struct {
			arguments []string
			says      string
		}{
			{nil, n.config}, {[]string{"other.com"}, "zone other.com. is not read from a file here"}, {[]string{"a..b"}, "a..b"},
		} {
			r := run(t, patience, append([]string{binary(t), "reload", "--api", n.api}, bad.arguments...)...)
			if r.code != 1 || !strings.Contains(r.err, bad.says) {
				t.Errorf("gslb reload %q exits with %d and says %q, want 1 and %q", bad.arguments, r.code, r.err, bad.says)
			}
		}
		replace(t, n.config, config)
		replace(t, tp.zone, append(bytes.Clone(zone), "broken IN A not-an-address\n"...))
		if r := run(t, patience, binary(t), "reload", "--api", n.api, "abc.com."); r.code != 1 || !strings.Contains(r.err, "abc.com.zone:") || !strings.Contains(r.err, "still served") {
			t.Errorf("a reload of a broken zone exits with %d and says %q", r.code, r.err)
		}
		replace(t, tp.zone, zone)
		must(t, binary(t), "reload", "--api", n.api)
	})
	t.Run("configuration", func(t *testing.T) {
		changed := strings.ReplaceAll(string(config), `to = ["kt", "lgu"]`, `to = ["lgu", "kt"]`)
		replace(t, n.config, []byte(changed))
		n.reload()
		n.sentTo(patience, clientKT, "lgu")
		replace(t, n.config, config)
		n.reload()
		n.sentTo(patience, clientKT, "kt")
	})
	t.Run("bad configuration keeps the old one", func(t *testing.T) {
		said := len(n.log.String())
		replace(t, n.config, []byte(strings.ReplaceAll(string(config), `to = ["kt", "lgu"]`, `to = ["nowhere"]`)))
		n.reload()
		until(t, patience, func() error {
			if !strings.Contains(n.log.String()[said:], "nowhere") {
				return fmt.Errorf("the log does not tell the fault")
			}
			return nil
		})
		if got := n.www(clientKT); got != "kt" {
			t.Errorf("after a bad configuration sent to %s, want kt", got)
		}
	})
	for _, e := range users.end() {
		if e.err != nil || e.got != "kt" && e.got != "lgu" {
			t.Errorf("a query during the reloads: %v %v", e.got, e.err)
		}
	}
}

// cityDatabase is a database in MaxMind's City schema with one country for each network.
func cityDatabase(t testing.TB, countries map[string]string) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoIP2-City", RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	// Wide networks first: one that comes after those within it takes their place.
	networks := slices.SortedFunc(maps.Keys(countries), func(a, b string) int {
		return netip.MustParsePrefix(a).Bits() - netip.MustParsePrefix(b).Bits()
	})
	for _, network := range networks {
		_, ipnet, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(ipnet, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(countries[network])}}); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDatabaseReplaced: a geo database that is replaced while the node runs is
// used, and a broken one is not and is told about.
func TestDatabaseReplaced(t *testing.T) {
	t.Parallel()
	needLong(t)
	const client = "100.0.5.5/24"
	tp := newTopology(t)
	tp.startPlainSites()
	database := write(t, tp.dir, "city.mmdb", string(cityDatabase(t, map[string]string{"100.0.0.0/16": "CN"})))
	tp.extra = fmt.Sprintf("[geo]\ndatabases = [%q]\nreload = \"200ms\"\n", database)
	n := tp.startDNSNode()
	users := n.queries(10*time.Millisecond, clientKT)
	m := n.ask("www.abc.com.", dns.TypeA, client)
	if got := siteOf(m); got != "cn" {
		t.Fatalf("a client in China is sent to %s", got)
	}
	if scope := subnetOf(m).SourceScope; scope != 16 {
		t.Errorf("scope /%d for a network of /16", scope)
	}

	said := len(n.log.String())
	replace(t, database, []byte("this is no database"))
	n.waitStatus(patience, func(s status) error {
		for _, p := range s.Problems {
			if strings.Contains(p, "city.mmdb") {
				return nil
			}
		}
		return fmt.Errorf("status does not tell of the bad file: problems %q", s.Problems)
	})
	n.saysAfter(said, "city.mmdb")
	if got := n.www(client); got != "cn" {
		t.Errorf("with a bad file in its place sent to %s, want cn as before", got)
	}

	replace(t, database, cityDatabase(t, map[string]string{"100.0.0.0/16": "US", "100.0.5.0/24": "KR"}))
	n.sentTo(patience, "100.0.9.9/24", "us")
	for _, e := range users.end() {
		if e.err != nil || e.got != "kt" && !n.busy() {
			t.Errorf("a query during the replacement: %v %v", e.got, e.err)
		}
	}
}

// TestReloadZoneFiles: SIGHUP takes in what was added to the directory of a
// [[zones]], reads what has changed, and lets go of what is gone.
func TestReloadZoneFiles(t *testing.T) {
	t.Parallel()
	tp := newTopology(t)
	zone := func(address string) string {
		return "$TTL 60\n@ SOA ns1 hostmaster 1 3600 900 604800 60\n@ NS ns1\nns1 A 192.0.2.53\nwww A " + address + "\n"
	}
	if err := os.Mkdir(tp.path("many"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, tp.path("many"), "one.example.zone", zone("192.0.2.1"))
	write(t, tp.path("many"), "two.example.zone", zone("192.0.2.2"))
	tp.extra += "\n[[zones]]\nfiles = \"many/*.zone\"\n"
	n := tp.startDNSNode()
	n.answers("www.one.example.", dns.TypeA, "www.one.example. A 192.0.2.1")
	write(t, tp.path("many"), "one.example.zone", zone("192.0.2.11"))
	write(t, tp.path("many"), "Three.example.zone", zone("192.0.2.3"))
	if err := os.Remove(tp.path("many/two.example.zone")); err != nil {
		t.Fatal(err)
	}
	n.reload()
	n.answers("www.three.example.", dns.TypeA, "www.three.example. A 192.0.2.3")
	n.answers("www.one.example.", dns.TypeA, "www.one.example. A 192.0.2.11")
	if m, err := exchange("udp", n.dns, question("www.two.example.", dns.TypeA, "")); err != nil || m.Rcode != dns.RcodeRefused {
		t.Errorf("a zone that is gone: %v, %v", m, err)
	}
	write(t, tp.path("many"), "three.example.zone", zone("192.0.2.4"))
	n.reload()
	n.problem("are both the zone three.example.")
	n.answers("www.one.example.", dns.TypeA, "www.one.example. A 192.0.2.11")
}
