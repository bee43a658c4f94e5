package dnsserver

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/geo"
	"gslb/health"
	"gslb/steer"
)

// steered gives the test server another policy for www, app and *.cdn.
func steered(t testing.TB, states *health.States, p *steer.Policy) (*Server, *responder) {
	t.Helper()
	s, w := server(t, nil)
	c, err := steer.Compile(p, []steer.Site{{Name: "kt"}, {Name: "lgu"}})
	if err != nil {
		t.Fatal(err)
	}
	g := *s.Generation()
	g.policies = append([]Policy(nil), g.policies...)
	g.policies[0] = Policy{c, geo.Build(nil, c.Cuts(), func(p geo.Place, w netip.Prefix) uint32 { return c.Classify(p, w, nil) })}
	if states != nil {
		g.States = states
	}
	s.Swap(g.WithStates(g.States))
	return s, w
}

func tier(pick steer.Pick, sites ...int) steer.Target {
	tg := steer.Target{Pick: pick}
	for _, s := range sites {
		tg.Members = append(tg.Members, steer.Member{Site: s, Weight: 1})
	}
	return tg
}

// fromSubnet asks for a client and gives the site that was chosen, as its first
// address or canonical name says it, and the network in which the answer holds.
func fromSubnet(t testing.TB, s *Server, w *responder, name string, qtype uint16, client netip.Prefix) (site string, scope netip.Prefix) {
	t.Helper()
	m := answer(t, s, w, query(t, name, qtype, subnet(client.String())), false)
	if len(m.Answer) == 0 || m.IsEdns0() == nil || len(m.IsEdns0().Option) != 1 {
		t.Fatalf("%s %s from %s: %s", name, dns.Type(qtype), client, brief(m))
	}
	o := m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
	if o.SourceNetmask != uint8(client.Bits()) {
		t.Fatalf("%s came back as %s", client, o)
	}
	switch rr := m.Answer[0].(type) {
	case *dns.CNAME:
		site = map[string]string{"a.www.abc.com.": "kt", "b.www.abc.com.": "lgu"}[rr.Target]
	case *dns.A:
		site = map[string]string{"192.0.2.10": "kt", "192.0.2.20": "lgu"}[rr.A.String()]
	case *dns.AAAA:
		site = map[string]string{"2001:db8::10": "kt", "2001:db8::20": "lgu"}[rr.AAAA.String()]
	}
	if site == "" {
		t.Fatalf("%s %s from %s: %s", name, dns.Type(qtype), client, brief(m))
	}
	scope, err := client.Addr().Prefix(int(o.SourceScope))
	if err != nil {
		t.Fatalf("%s: scope /%d", client, o.SourceScope)
	}
	return site, scope
}

// Behind 6to4, NAT64 and Teredo it is the IPv4 address within that decides, and
// of it no more than /24 is told.
func TestSubnetOfTransitionMechanisms(t *testing.T) {
	s, w := server(t, nil)
	for _, c := range []struct{ ecs, site, scope string }{
		{"2002:a01:304::/48", "lgu", "2002:a01::/32"}, // 10.1.3.4: 16 + 16 bits
		{"2002:a02:304::/48", "kt", "2002:a02::/31"},
		{"2002:c633:6481::/48", "lgu", "2002:c633:6400::/40"}, // 198.51.100.129 of a /30: /24 is told
		{"64:ff9b::10.1.3.4/128", "lgu", "64:ff9b::10.1.0.0/112"},
		{"64:ff9b::10.2.3.4/128", "kt", "64:ff9b::10.2.0.0/111"},
		{"64:ff9b::198.51.100.129/128", "lgu", "64:ff9b::198.51.100.0/120"},
		{"2001:0:4136:e378:8000:63bf:f5fe:fcfb/128", "lgu", "2001:0:4136:e378:8000:63bf:f5fe:0/112"}, // ^f5fefcfb is 10.1.3.4
		{"64:ff9b::/56", "kt", "64:ff9b::/104"},                                                      // too short to hold the address: the source decides
	} {
		for _, name := range []string{"www.abc.com.", "app.abc.com."} {
			for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
				site, scope := fromSubnet(t, s, w, name, qtype, netip.MustParsePrefix(c.ecs))
				if site != c.site || scope != netip.MustParsePrefix(c.scope) {
					t.Errorf("%s %s from %s: %s in %s, want %s in %s", name, dns.Type(qtype), c.ecs, site, scope, c.site, c.scope)
				}
			}
		}
	}
	// One that is private there and not declared says nothing: the source decides.
	m := answer(t, s, w, query(t, "www.abc.com.", dns.TypeA, subnet("2002:c0a8:101::/48")), false)
	if got := m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET).SourceScope; got != 16+16 {
		t.Errorf("192.168.1.1 within 6to4: scope /%d, want /32, of its private block", got)
	}
}

// The users of one NAT64 prefix share its first 96 bits: a hash pick that took
// these for their network would send all of them to one site.
func TestHashBehindTransitionMechanisms(t *testing.T) {
	s, w := server(t, nil)
	for _, c := range []struct {
		format string
		scope  int
	}{{"64:ff9b::203.0.%d.9/128", 96 + 24}, {"2002:cb00:%02x09::/48", 16 + 24}, {"203.0.%d.9/32", 24}} {
		seen := map[string]int{}
		for i := range 64 {
			client := netip.MustParsePrefix(fmt.Sprintf(c.format, 10+i))
			site, scope := fromSubnet(t, s, w, "sticky.abc.com.", dns.TypeA, client)
			if scope.Bits() != c.scope {
				t.Errorf("%s: scope %s, want /%d", client, scope, c.scope)
			}
			seen[site]++
		}
		if len(seen) != 2 {
			t.Errorf(c.format+": all of them at %v", 0, seen)
		}
	}
}

// Explaining tells of a client behind a transition mechanism what it is answered.
func TestExplainTransitionMechanisms(t *testing.T) {
	s, _ := server(t, nil)
	e, err := s.Generation().Explain(Config{}, "www.abc.com", dns.TypeA, netip.MustParseAddr("2002:a01:304::1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Scope.String(); got != "2002:a01::/32" || e.Trace.Within.String() != "10.1.0.0/16" || len(e.Trace.Draws) != 0 {
		t.Errorf("scope %s, within %s, %q", got, e.Trace.Within, e.Trace.Draws)
	}
}

// A, AAAA and all else of one name come from one site, with one scope, in
// either form and by every pick that does not count queries.
func TestTypesAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, states := range []*health.States{nil, shedding("kt", .5), shedding("lgu", .5)} {
		s, w := server(t, states)
		for range 300 {
			client := randomClient(r)
			for _, names := range [][]string{{"www.abc.com.", "app.abc.com.", "x.cdn.abc.com."}, {"all.abc.com."}, {"sticky.abc.com."}} {
				site, scope := fromSubnet(t, s, w, names[0], dns.TypeA, client)
				for _, name := range names {
					types := []uint16{dns.TypeA, dns.TypeAAAA}
					if name != "app.abc.com." {
						types = append(types, dns.TypeCNAME, dns.TypeHTTPS, dns.TypeTXT, dns.TypeANY)
					}
					for _, qtype := range types {
						if got, in := fromSubnet(t, s, w, name, qtype, client); got != site || in != scope {
							t.Fatalf("%s %s from %s: %s in %s, but %s A: %s in %s", name, dns.Type(qtype), client, got, in, names[0], site, scope)
						}
					}
				}
			}
		}
	}
}

// Scopes of one name never overlap: of any two they are equal, with one answer,
// or disjoint. Nested networks, exceptions within them, a hash behind a tier that
// sheds, and the default beside all of it. (Private networks that are not declared
// stand apart: what they are answered is that of the source address.)
func TestScopesNeverOverlap(t *testing.T) {
	networks := func(s ...string) (m steer.Match) {
		for _, p := range s {
			m.Networks = append(m.Networks, netip.MustParsePrefix(p))
		}
		return m
	}
	hashBehind := []steer.Target{tier(steer.Nearest, 0), tier(steer.Hash, 0, 1)}
	p := &steer.Policy{Name: "www", TTL: 30 * time.Second, Rules: []steer.Rule{
		{Match: networks("10.1.0.0/16", "10.9.7.0/24", "2001:db8:1::/48"), Tiers: []steer.Target{tier(steer.Nearest, 1)}},
		{Match: networks("10.0.0.0/9", "2001:db8::/32"), Tiers: hashBehind},
		{Match: networks("10.0.0.0/8", "192.0.2.0/24"), Tiers: []steer.Target{tier(steer.Hash, 0, 1)}},
		{Tiers: []steer.Target{tier(steer.Nearest, 0), tier(steer.Nearest, 1)}},
	}}
	for name, states := range map[string]*health.States{"all up": nil, "one sheds": shedding("kt", .5)} {
		t.Run(name, func(t *testing.T) {
			s, w := steered(t, states, p)
			r := rand.New(rand.NewPCG(1, 2))
			known := map[netip.Prefix]string{}
			for range 5000 {
				site, scope := fromSubnet(t, s, w, "www.abc.com.", dns.TypeA, randomClient(r))
				if before, ok := known[scope]; ok && before != site && states == nil {
					t.Fatalf("%s: %s and %s", scope, before, site)
				}
				known[scope] = site
			}
			for a := range known {
				for bits := range a.Bits() {
					if wider, _ := a.Addr().Prefix(bits); known[wider] != "" {
						t.Fatalf("scopes %s and %s overlap", wider, a)
					}
				}
			}
			if len(known) < 100 {
				t.Errorf("only %d scopes", len(known))
			}
		})
	}
}

// shedding gives states in which all is up and one site sheds a share.
func shedding(site string, share float64) *health.States {
	st := &health.States{Revision: 1, Sites: map[string]health.Status{"kt": {Site: "kt", State: health.Up}, "lgu": {Site: "lgu", State: health.Up}}}
	st.Sites[site] = health.Status{Site: site, State: health.Up, Shed: share}
	return st
}

// randomClient is a single address, mostly near the networks that tests name.
func randomClient(r *rand.Rand) netip.Prefix {
	near := [...]string{"10.1.0.0", "10.0.0.0", "10.9.0.0", "10.128.0.0", "192.0.2.0", "2001:db8:1::", "2001:db8::", "2a00::", "203.0.113.0"}
	a := netip.MustParseAddr(near[r.IntN(len(near))])
	keep := a.BitLen() / 4 * r.IntN(3)
	b := a.As16()
	var random [16]byte
	binary.BigEndian.PutUint64(random[:], r.Uint64())
	binary.BigEndian.PutUint64(random[8:], r.Uint64())
	for i := range random {
		if from := 128 - a.BitLen() + keep; i*8 >= from+8 {
			b[i] = random[i]
		}
	}
	a = netip.AddrFrom16(b)
	if a = a.Unmap(); a.Is4() && reserved(a) > 0 && b[12] != 10 {
		return randomClient(r)
	}
	return netip.PrefixFrom(a, a.BitLen())
}

// Every reply to a query with a Client Subnet has it, as it came: family, source
// length and address.
func TestSubnetIsAlwaysEchoed(t *testing.T) {
	s, w := server(t, nil)
	for _, c := range []struct {
		what, name string
		qtype      uint16
		class      uint16
		scope      bool // may be other than 0
	}{
		{"static", "static.abc.com.", dns.TypeA, dns.ClassINET, false},
		{"no such type", "static.abc.com.", dns.TypeMX, dns.ClassINET, false},
		{"no such name", "nothere.abc.com.", dns.TypeA, dns.ClassINET, false},
		{"empty non-terminal", "cdn.abc.com.", dns.TypeA, dns.ClassINET, false},
		{"referral", "x.sub.abc.com.", dns.TypeA, dns.ClassINET, false},
		{"wildcard", "x.wild.abc.com.", dns.TypeA, dns.ClassINET, false},
		{"alias to a steered name", "toward.abc.com.", dns.TypeA, dns.ClassINET, false},
		{"DNAME", "x.old.abc.com.", dns.TypeA, dns.ClassINET, false},
		{"ANY", "static.abc.com.", dns.TypeANY, dns.ClassINET, false},
		{"truncated", "txt.abc.com.", dns.TypeTXT, dns.ClassINET, false},
		{"not ours", "other.example.", dns.TypeA, dns.ClassINET, false},
		{"a transfer", "abc.com.", dns.TypeAXFR, dns.ClassINET, false},
		{"another class", "static.abc.com.", dns.TypeA, dns.ClassCHAOS, false},
		{"steered, address form, other type", "app.abc.com.", dns.TypeMX, dns.ClassINET, false},
		{"steered, CNAME form", "www.abc.com.", dns.TypeA, dns.ClassINET, true},
		{"steered, CNAME form, other type", "www.abc.com.", dns.TypeMX, dns.ClassINET, true},
		{"steered, address form", "app.abc.com.", dns.TypeA, dns.ClassINET, true},
	} {
		for _, ecs := range []string{"10.1.2.0/24", "10.1.0.0/17", "10.1.2.3/32", "0.0.0.0/0", "192.168.0.0/16", "2001:db8:1::/48", "2001:db8:1:2::/63", "::/0"} {
			for _, tcp := range []bool{false, true} {
				m := answer(t, s, w, query(t, c.name, c.qtype, subnet(ecs), func(m *dns.Msg) { m.Question[0].Qclass = c.class }), tcp)
				o := m.IsEdns0()
				if o == nil || len(o.Option) == 0 || len(o.Option) > 1 && o.Option[1].Option() != dns.EDNS0EDE {
					t.Fatalf("%s, %s: %s", c.what, ecs, brief(m))
				}
				got, sent := o.Option[0].(*dns.EDNS0_SUBNET), netip.MustParsePrefix(ecs)
				family := uint16(1)
				if sent.Addr().Is6() {
					family = 2
				}
				back, _ := netip.AddrFromSlice(got.Address)
				if got.Family != family || int(got.SourceNetmask) != sent.Bits() || sent.Addr().Is6() && back != sent.Addr() || sent.Addr().Is4() && back.Unmap() != sent.Addr() {
					t.Errorf("%s: %s came back as %s, family %d", c.what, ecs, got, got.Family)
				}
				if !c.scope && got.SourceScope != 0 {
					t.Errorf("%s: %s came back as %s, want scope 0", c.what, ecs, got)
				}
			}
		}
	}
}
