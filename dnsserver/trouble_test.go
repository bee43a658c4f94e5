package dnsserver

import (
	"testing"

	"github.com/miekg/dns"

	"gslb/dnssec"
	"gslb/health"
)

// TestTroubleTTL: while a site that a name can be sent to is not plainly in service, answers
// carry the lower TTL, and so do their signatures, which hold; of what is ready and of
// what is written anew.
func TestTroubleTTL(t *testing.T) {
	s, w, k := signedSteered(t, dnssec.WithNSEC, health.Up)
	states := func(st health.Status) *health.States {
		st.Site = "lgu" // nobody is sent there
		return &health.States{Revision: 1, Sites: map[string]health.Status{"kt": {Site: "kt", State: health.Up}, "lgu": st}}
	}
	for _, tc := range []struct {
		what string
		lgu  health.Status
		low  bool
	}{
		{"up", health.Status{State: health.Up}, false},
		{"down", health.Status{State: health.Down}, true},
		{"up again", health.Status{State: health.Up}, false},
		{"degraded", health.Status{State: health.Degraded}, true},
		{"unknown", health.Status{}, false},
		{"draining", health.Status{State: health.Up, Draining: true}, true},
		{"held", health.Status{State: health.Up, Held: "failback"}, true},
		{"shedding", health.Status{State: health.Up, Shed: 0.1}, true},
		{"withheld", health.Status{State: health.Up, Withheld: 0.5}, true},
	} {
		g := s.Generation().WithStates(states(tc.lgu))
		s.Swap(g.WithDB(g.DB)) // which chooses anew
		for _, q := range []struct {
			name  string
			qtype uint16
			ttl   uint32 // as ever
		}{
			{"www.abc.com.", dns.TypeA, 30}, {"www.abc.com.", dns.TypeCNAME, 30}, {"app.abc.com.", dns.TypeA, 30}, {"app.abc.com.", dns.TypeAAAA, 30},
			{"x.cdn.abc.com.", dns.TypeA, 30}, {"flat.abc.com.", dns.TypeA, 20},
		} {
			want := q.ttl
			if tc.low {
				want = 5
			}
			for _, do := range []bool{false, true} {
				for _, encodes := range []bool{false, true} {
					w.encodes = encodes
					m := answer(t, s, w, query(t, q.name, q.qtype, edns(1232, do)), false)
					checked := 0
					for _, rr := range m.Answer {
						if rr.Header().Name != q.name { // an alias leads on
							continue
						}
						checked++
						if rr.Header().Ttl != want {
							t.Errorf("%s, encoded %v: want the TTL %d: %s", tc.what, encodes, want, rr)
						}
						if sig, ok := rr.(*dns.RRSIG); ok && sig.OrigTtl != q.ttl {
							t.Errorf("%s: want the original TTL %d: %s", tc.what, q.ttl, rr)
						}
					}
					if checked == 0 || do && checked < 2 {
						t.Fatalf("%s: %s", tc.what, m)
					}
					if do {
						verifyAll(t, m, k)
					}
				}
			}
		}
	}
	w.encodes = false
}
