package dnsserver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
	"gslb/geo"
	"gslb/health"
	"gslb/steer"
	"gslb/zones"
)

const severalZone = `$TTL 300
@      IN SOA ns1 hostmaster 7 7200 900 1209600 60
       NS  ns1
ns1    A   192.0.2.53
many   HTTPS 1 . alpn=h2
flat   20 ALIAS many
`

// severalServer serves names that answer with two of three sites, of which the third has IPv4
// only, in a zone that is signed or not.
func severalServer(t testing.TB, denial dnssec.Denial, signed bool) (*Server, *responder, *dnssec.Key) {
	t.Helper()
	z, err := zones.Read(zones.Config{Name: "abc.com.", File: "abc.com.zone"}, strings.NewReader(severalZone))
	if err != nil {
		t.Fatal(err)
	}
	var sites []zones.Site
	var steered []steer.Site
	var members []steer.Member
	for i, name := range []string{"kt", "lgu", "us"} {
		s := zones.Site{Name: name, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(10 * (i + 1))})}}
		if name != "us" {
			s.Addresses = append(s.Addresses, netip.MustParseAddr(fmt.Sprintf("2001:db8::%d0", i+1)))
		}
		sites, steered, members = append(sites, s), append(steered, steer.Site{Name: name, Location: geo.Coordinates{Longitude: float64(i)}, HasLocation: true}), append(members, steer.Member{Site: i, Weight: 1})
	}
	cfg := func(name string, policy int) zones.SteeredConfig {
		return zones.SteeredConfig{Name: name, Form: zones.Address, TTL: 30 * time.Second, TroubleTTL: 5 * time.Second, Policy: policy, Sites: []int{0, 1, 2}, Answers: 2, Groups: [][]int{{0, 1, 2}}, Hints: name == "many.abc.com."}
	}
	db, err := zones.Build([]*zones.Zone{z}, []zones.SteeredConfig{cfg("many.abc.com.", 0), cfg("*.cdn.abc.com.", 0), cfg("turn.abc.com.", 1), cfg("sticky.abc.com.", 2)}, sites)
	if err != nil {
		t.Fatal(err)
	}
	var k *dnssec.Key
	if signed {
		apex, _ := dnsname.Parse("abc.com.")
		now := time.Now()
		if k, err = dnssec.Generate(apex, dnssec.ECDSAP256SHA256, 0, dnssec.CSK, dnssec.Timing{Created: now, Publish: now, Activate: now}); err != nil {
			t.Fatal(err)
		}
		keys := []*dnssec.Key{k}
		if db, err = db.Resign(map[string]*dnssec.Signing{"abc.com.": {Keys: dnssec.Plan{Publish: keys, SignKeys: keys, SignZone: keys, CDS: keys}, Denial: denial}}); err != nil {
			t.Fatal(err)
		}
	}
	var policies []Policy
	for _, pick := range []steer.Pick{steer.Nearest, steer.RoundRobin, steer.Hash} {
		c, err := steer.Compile(&steer.Policy{Name: "p", TTL: 30 * time.Second, Answers: 2, Rules: []steer.Rule{{Tiers: []steer.Target{{Pick: pick, Members: members}}}}}, steered)
		if err != nil {
			t.Fatal(err)
		}
		at := geo.Place{HasLocation: true}
		policies = append(policies, Policy{c, geo.Build(nil, nil, func(_ geo.Place, w netip.Prefix) uint32 { return c.Classify(at, w, nil) })})
	}
	s := New(Config{}, discard())
	s.Swap(NewGeneration(Inputs{DB: db, Policies: policies, Sites: []string{"kt", "lgu", "us"}, States: &health.States{Revision: 1}}))
	return s, s.responder(0, s.newCounters()), k
}

// addresses of an answer, in its order.
func addresses(m *dns.Msg) string {
	var all []string
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			all = append(all, rr.A.String())
		case *dns.AAAA:
			all = append(all, rr.AAAA.String())
		}
	}
	return strings.Join(all, " ")
}

// A name that answers with several sites gives the addresses of those that are in service,
// from what is ready and through the encoder, with signatures that hold, and with none of it an
// allocation.
func TestSeveralSites(t *testing.T) {
	up, down := health.Status{State: health.Up}, health.Status{State: health.Down}
	out := make([]byte, 0, maxMessage+maxRecordHead)
	for _, kind := range []struct {
		what   string
		denial dnssec.Denial
		signed bool
	}{{"unsigned", 0, false}, {"NSEC", dnssec.WithNSEC, true}, {"NSEC3", dnssec.WithNSEC3, true}} {
		s, w, k := severalServer(t, kind.denial, kind.signed)
		for _, state := range []struct {
			sites     map[string]health.Status
			ttl       uint32
			v4, v6    string
			byDefault []int32
		}{
			{map[string]health.Status{"kt": up, "lgu": up, "us": up}, 30, "192.0.2.10 192.0.2.20", "2001:db8::10 2001:db8::20", []int32{0, 1}},
			{map[string]health.Status{"kt": down, "lgu": up, "us": up}, 5, "192.0.2.20 192.0.2.30", "2001:db8::20", []int32{1, 2}},
			{map[string]health.Status{"kt": down, "lgu": down, "us": up}, 5, "192.0.2.30", "", []int32{2}},
			{map[string]health.Status{"kt": down, "lgu": down, "us": down}, 5, "192.0.2.10 192.0.2.20", "2001:db8::10 2001:db8::20", []int32{0, 1}},
		} {
			g := s.Generation().WithStates(&health.States{Revision: 1, Sites: state.sites})
			g = g.WithDB(g.DB)
			s.Swap(g)
			for _, name := range []string{"many.abc.com.", "x.cdn.abc.com.", "flat.abc.com."} {
				for qtype, want := range map[uint16]string{dns.TypeA: state.v4, dns.TypeAAAA: state.v6, dns.TypeTXT: ""} {
					for _, do := range []bool{false, true} {
						msg := query(t, name, qtype, edns(1232, do))
						for _, w.encodes = range []bool{true, false} {
							m := answer(t, s, w, msg, false)
							what := fmt.Sprintf("%s: %s %s, encoded %v", kind.what, name, dns.Type(qtype), w.encodes)
							if addresses(m) != want {
								t.Errorf("%s: %q, want %q", what, addresses(m), want)
							}
							for _, rr := range m.Answer {
								if ttl := rr.Header().Ttl; ttl != state.ttl && (name != "flat.abc.com." || ttl != min(20, state.ttl)) {
									t.Errorf("%s: want the TTL %d: %s", what, state.ttl, rr)
								}
							}
							if do && kind.signed {
								if want != "" && !has(m.Answer, dns.TypeRRSIG) {
									t.Errorf("%s: no signature\n%s", what, m)
								}
								verifyAll(t, m, k)
							}
						}
						if n := testing.AllocsPerRun(50, func() { s.answer(w, msg, source, false, out) }); n != 0 {
							t.Errorf("%s %s: %v allocations", name, dns.Type(qtype), n)
						}
					}
				}
			}
			if got := g.Default(g.DB.Steered()[0]); !slices.Equal(got, state.byDefault) {
				t.Errorf("by default %v, want %v", got, state.byDefault)
			}
			records := 0
			for _, set := range g.DB.Steered()[0].Sets(state.byDefault) {
				if set.Type == dns.TypeA {
					records += int(set.Count)
				}
			}
			if records != len(state.byDefault) {
				t.Errorf("%d A records stand for sites %v", records, state.byDefault)
			}
		}
	}
}

// Each site of an answer is counted as given; a rotation goes on; the scope is what the pick
// consulted; hints are those of the first site; and what does not fit is cut whole, with TC.
func TestSeveralSitesBesides(t *testing.T) {
	s, w, _ := severalServer(t, 0, false)
	seen := map[string]bool{}
	for range 3 {
		seen[addresses(answer(t, s, w, query(t, "turn.abc.com.", dns.TypeA), false))] = true
	}
	if len(seen) != 3 || !seen["192.0.2.30 192.0.2.10"] {
		t.Errorf("three turns: %v", seen)
	}
	if got := s.Stats().Picked["turn.abc.com."]; !slices.Equal(got, []uint64{2, 2, 2}) {
		t.Errorf("counted %v", got)
	}
	for name, scope := range map[string]uint8{"many.abc.com.": 0, "sticky.abc.com.": 24} {
		m := answer(t, s, w, query(t, name, dns.TypeA, subnet("8.1.2.0/24")), false)
		if e := m.IsEdns0(); e == nil || e.Option[0].(*dns.EDNS0_SUBNET).SourceScope != scope {
			t.Errorf("%s: scope %v, want %d", name, e, scope)
		}
	}
	m := answer(t, s, w, query(t, "many.abc.com.", dns.TypeHTTPS), false)
	if len(m.Answer) != 1 || !strings.Contains(m.Answer[0].String(), `ipv4hint="192.0.2.10"`) {
		t.Errorf("hints: %v", m.Answer)
	}
	var big zones.RRset
	for range 40 {
		one := s.Generation().several[0][1].of(dns.TypeA)
		big.Type, big.Count, big.Wire = one.Type, big.Count+one.Count, append(big.Wire, one.Wire...)
	}
	cut := *s.Generation()
	cut.several = slices.Clone(cut.several)
	cut.several[0] = slices.Repeat([]several{{a: big}}, len(cut.several[0]))
	s.Swap(&cut)
	if m := answer(t, s, w, query(t, "many.abc.com.", dns.TypeA), false); !m.Truncated || len(m.Answer) > 0 {
		t.Errorf("too large: %s", brief(m))
	}
	e, err := s.Generation().Explain(Config{}, "sticky.abc.com.", dns.TypeA, netip.MustParseAddr("10.1.2.3"), 1)
	if err != nil || e.Trace == nil || len(e.Trace.Choice.Sites) != 2 || len(e.Message.Answer) != 2 {
		t.Errorf("explained: %v, %v", e, err)
	}
}
