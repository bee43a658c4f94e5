package dnsserver

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"gslb/zones"
)

// The owner of an ALIAS record answers each client as its target does, within the
// same scope and for as long: with the addresses at the end, under its own name, the
// lower TTL.
func TestAliasAnswersAsItsTarget(t *testing.T) {
	s, w := server(t, nil)
	for _, c := range []struct {
		alias, target string
		ttl           uint32
	}{{"flat.abc.com.", "www.abc.com.", 20}, {"x.flat.abc.com.", "app.abc.com.", 30}, {"spread.abc.com.", "all.abc.com.", 7}, {"kept.abc.com.", "sticky.abc.com.", 30}} {
		seen := map[string]bool{}
		for n := range 60 {
			s.seconds.Store(uint32(1_000_000 + 10*n))
			ecs := fmt.Sprintf("10.%d.%d.0/24", n%3, n)
			for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
				want, got := answer(t, s, w, query(t, c.target, qtype, subnet(ecs)), false), answer(t, s, w, query(t, c.alias, qtype, subnet(ecs)), false)
				if len(got.Answer) != 1 || dns.Field(got.Answer[0], 1) != dns.Field(want.Answer[len(want.Answer)-1], 1) || scopeOf(got) != scopeOf(want) {
					t.Fatalf("%s from %s: %s, but %s: %s", c.target, ecs, brief(want), c.alias, brief(got))
				}
				if h := got.Answer[0].Header(); h.Name != c.alias || h.Ttl != c.ttl {
					t.Fatalf("%s: %s", c.alias, got.Answer[0])
				}
				seen[dns.Field(got.Answer[0], 1)] = true
			}
		}
		if len(seen) != 4 {
			t.Errorf("%s: sent to %v, want two sites", c.alias, seen)
		}
	}
	for name, kind := range map[string]string{"flatweb.abc.com.": `1 . alpn="h3" ipv4hint="192.0.2.20" ipv6hint="2001:db8::20"`, "flat.abc.com.": `1 . alpn="h2"`} {
		m := answer(t, s, w, query(t, name, dns.TypeHTTPS, subnet("10.1.2.0/24")), false)
		if len(m.Answer) != 1 || !strings.HasSuffix(m.Answer[0].String(), kind) {
			t.Errorf("%s HTTPS: %s, want %s", name, m.Answer, kind)
		}
	}
	for _, q := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"plain.abc.com.", dns.TypeA, "NOERROR aa plain.abc.com./A/192.0.2.99 opt ecs=10.1.2.0/24/0"},
		{"toplain.abc.com.", dns.TypeA, "NOERROR aa toplain.abc.com./CNAME/plain.abc.com. plain.abc.com./A/192.0.2.99 opt ecs=10.1.2.0/24/0"},
		{"plain.abc.com.", zones.TypeALIAS, "NOERROR aa ns:abc.com./SOA/ns1.abc.com./hostmaster.abc.com. opt ecs=10.1.2.0/24/0"},
	} {
		if got := brief(answer(t, s, w, query(t, q.name, q.qtype, subnet("10.1.2.0/24")), false)); got != q.want {
			t.Errorf("%s %s:\ngot  %s\nwant %s", q.name, dns.Type(q.qtype), got, q.want)
		}
	}
	before := s.Stats().Picked["www.abc.com."][1]
	answer(t, s, w, query(t, "flat.abc.com.", dns.TypeA, subnet("10.1.2.0/24")), false)
	if n := s.Stats().Picked["www.abc.com."][1]; n != before+1 {
		t.Errorf("the choice is counted %d times at the target", n-before)
	}
}

func scopeOf(m *dns.Msg) uint8 { return m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET).SourceScope }

// Aliases come and go with the zone's records, while the steered names stay.
func TestAliasesChangeWithTheZone(t *testing.T) {
	s, w := server(t, nil)
	for _, c := range []struct{ was, is, want string }{
		{"flat     20 ALIAS www", "flat     20 ALIAS static", "flat.abc.com./A/192.0.2.99"},
		{"static   A ", "static   120 ALIAS all\nstat2 A ", "static.abc.com./A/192.0.2"},
	} {
		z, err := zones.Read(zones.Config{Name: "abc.com.", File: "abc.com.zone"}, strings.NewReader(strings.Replace(strings.Replace(testZone, "ALIAS static", "ALIAS www", 1), c.was, c.is, 1)))
		if err != nil {
			t.Fatal(err)
		}
		g := s.Generation()
		db, err := g.DB.With([]*zones.Zone{z}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Swap(g.WithDB(db))
		name, _, _ := strings.Cut(c.want, "/")
		if got := brief(answer(t, s, w, query(t, name, dns.TypeA), false)); !strings.Contains(got, c.want) {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// What is explained about an alias is what it answers, with its target.
func TestExplainAlias(t *testing.T) {
	s, _ := server(t, nil)
	for name, c := range map[string]struct {
		target string
		traced bool
	}{"flat.abc.com.": {"www.abc.com.", true}, "plain.abc.com.": {"static.abc.com.", false}, "www.abc.com.": {"", true}} {
		e, err := s.Generation().Explain(Config{}, name, dns.TypeA, netip.MustParseAddr("10.1.2.3"), 0)
		if err != nil || e.Alias != c.target || (e.Trace != nil) != c.traced || len(e.Message.Answer) == 0 {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		if c.traced && e.Trace.Policy != "www.abc.com." { // the name that steers
			t.Errorf("%s: it is steered by %q", name, e.Trace.Policy)
		}
	}
	e, err := s.Generation().Explain(Config{}, "plain.abc.com.", dns.TypeTXT, netip.MustParseAddr("10.1.2.3"), 0)
	if err != nil || e.Alias != "" {
		t.Errorf("no address is asked for: %+v, %v", e, err)
	}
}
