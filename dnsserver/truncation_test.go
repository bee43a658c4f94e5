package dnsserver

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/geo"
	"gslb/health"
	"gslb/steer"
	"gslb/zones"
)

// serving makes a server, not on the network, of the zone abc.com alone.
func serving(t testing.TB, text string) (*Server, *responder) {
	t.Helper()
	z, err := zones.Read(zones.Config{Name: "abc.com.", File: "abc.com.zone"}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	db, err := zones.Build([]*zones.Zone{z}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{}, discard())
	s.Swap(NewGeneration(Inputs{DB: db}))
	return s, s.responder(0, s.newCounters())
}

// UDP answers are as long as both sides allow, at least 512 and at most 1232
// octets; the OPT record, with the Client Subnet, stays when the rest is cut.
func TestPayloadSizes(t *testing.T) {
	var z strings.Builder
	z.WriteString("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.other.\n")
	const names = 120
	for i := range names { // texts of 12 octets more each, in strings of up to 200
		fmt.Fprintf(&z, "t%d TXT", i)
		for n := 12 * i; n >= 0; n -= 200 {
			fmt.Fprintf(&z, " %q", strings.Repeat("x", min(n, 200)))
		}
		z.WriteString("\n")
	}
	s, w := serving(t, z.String())
	for _, c := range []struct {
		size  uint16 // 0: no EDNS
		limit int
	}{{0, 512}, {1, 512}, {100, 512}, {511, 512}, {512, 512}, {513, 513}, {700, 700}, {1231, 1231}, {1232, 1232}, {1233, 1232}, {4096, 1232}, {65535, 1232}} {
		var opts []func(*dns.Msg)
		if c.size > 0 {
			opts = []func(*dns.Msg){edns(c.size, false), subnet("10.1.2.0/24")}
		}
		longest := 0
		for i := range names {
			out := s.answer(w, query(t, fmt.Sprintf("t%d.abc.com.", i), dns.TypeTXT, opts...), source, false, make([]byte, 0, maxMessage+maxRecordHead))
			m := new(dns.Msg)
			if err := m.Unpack(out); err != nil {
				t.Fatal(err)
			}
			if len(out) > c.limit {
				t.Errorf("size %d: %d octets, want at most %d", c.size, len(out), c.limit)
			}
			if m.Truncated == (len(m.Answer) > 0) {
				t.Errorf("size %d: TC %v with %d records", c.size, m.Truncated, len(m.Answer))
			}
			if c.size > 0 && (m.IsEdns0() == nil || len(m.IsEdns0().Option) != 1) {
				t.Errorf("size %d: TC %v and OPT %v", c.size, m.Truncated, m.IsEdns0())
			}
			longest = max(longest, len(out))
		}
		if longest < c.limit-16 {
			t.Errorf("size %d: no answer of more than %d octets, though %d may be", c.size, longest, c.limit)
		}
	}
}

// RFC 9471, section 3: TC is set where glue is left out that the referral needs,
// all of it or a part; addresses of name servers elsewhere may be left out.
func TestGlueThatDoesNotFit(t *testing.T) {
	const servers = 20
	zone := "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.other.\n"
	for i := range servers {
		zone += fmt.Sprintf("in NS ns%02d.in\nns%02[1]d.in A 192.0.2.%[1]d\n", i)
		zone += fmt.Sprintf("by NS ns%02d.sibling\nns%02[1]d.sibling A 192.0.2.%[1]d\n", i)
	}
	s, w := serving(t, zone)
	partly := map[string]int{}
	for _, child := range []string{"in", "by"} {
		for size := 512; size <= 1232; size++ {
			m := answer(t, s, w, query(t, "www."+child+".abc.com.", dns.TypeA, edns(uint16(size), false)), false)
			glue := len(m.Extra) - 1 // the OPT record
			if len(m.Ns) == 0 && m.Truncated {
				continue // not even the name servers
			}
			if len(m.Ns) != servers || m.Truncated != (child == "in" && glue < servers) {
				t.Fatalf("%s, size %d: TC %v with %d name servers and %d addresses", child, size, m.Truncated, len(m.Ns), glue)
			}
			if glue > 0 && glue < servers {
				partly[child]++
			}
		}
		if m := answer(t, s, w, query(t, "www."+child+".abc.com.", dns.TypeA), true); m.Truncated || len(m.Extra) != servers {
			t.Errorf("%s over TCP: TC %v with %d addresses", child, m.Truncated, len(m.Extra))
		}
	}
	if partly["in"] == 0 || partly["by"] == 0 {
		t.Errorf("a part of the addresses fits in %v sizes: the test does not test it", partly)
	}
}

// An extended error (RFC 8914) is left out where there is no room for it, rather
// than any record.
func TestExtendedErrorNeverTruncates(t *testing.T) {
	z, err := zones.Read(zones.Config{Name: "abc.com.", File: "abc.com.zone"}, strings.NewReader("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.other.\n"))
	if err != nil {
		t.Fatal(err)
	}
	site := zones.Site{Name: "kt"}
	for i := range 40 {
		site.Addresses = append(site.Addresses, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	db, err := zones.Build([]*zones.Zone{z}, []zones.SteeredConfig{{Name: "app.abc.com.", Form: zones.Address, TTL: time.Second, Sites: []int{0}}}, []zones.Site{site})
	if err != nil {
		t.Fatal(err)
	}
	policy := &steer.Policy{TTL: time.Second, Rules: []steer.Rule{{Tiers: []steer.Target{tier(steer.Nearest, 0)}}}}
	c, err := steer.Compile(policy, []steer.Site{{Name: "kt"}})
	if err != nil {
		t.Fatal(err)
	}
	table := geo.Build(nil, nil, func(p geo.Place, w netip.Prefix) uint32 { return c.Classify(p, w, nil) })
	g := NewGeneration(Inputs{DB: db, Policies: []Policy{{c, table}}, Sites: []string{"a"}, States: &health.States{Revision: 1}})
	s := New(Config{}, discard())
	w := s.responder(0, s.newCounters())
	for _, prepared := range []bool{true, false} {
		w.encodes = !prepared
		without := 0
		for size := 600; size <= 800; size++ {
			msg := query(t, "app.abc.com.", dns.TypeA, edns(uint16(size), false))
			s.Swap(g)
			fresh := answer(t, s, w, msg, false)
			s.Swap(g.WithStates(&health.States{Revision: 1, Stale: true}))
			out := s.answer(w, msg, source, false, make([]byte, 0, maxMessage+maxRecordHead))
			stale := new(dns.Msg)
			if err := stale.Unpack(out); err != nil {
				t.Fatal(err)
			}
			if len(out) > size || stale.Truncated != fresh.Truncated || len(stale.Answer) != len(fresh.Answer) {
				t.Fatalf("size %d: TC %v and %d records in %d octets, without the error TC %v and %d records",
					size, stale.Truncated, len(stale.Answer), len(out), fresh.Truncated, len(fresh.Answer))
			}
			if len(stale.IsEdns0().Option) == 0 {
				without++
			}
		}
		if without == 0 || without > edeLen {
			t.Errorf("prepared %v: the error is left out at %d sizes, want at most %d", prepared, without, edeLen)
		}
	}
}
