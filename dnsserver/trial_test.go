package dnsserver

import (
	"fmt"
	"math"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"gslb/health"
	"gslb/steer"
)

// TestTrial: a canary's share of the networks is answered by it, the same ones each
// time, and no answer is told to hold in a wider network than was drawn.
func TestTrial(t *testing.T) {
	all := func(site int) *steer.Policy {
		return &steer.Policy{Name: "www.abc.com.", TTL: 30, Rules: []steer.Rule{{Tiers: []steer.Target{tier(steer.Nearest, site)}}}}
	}
	s, w := steered(t, nil, all(0))
	other, _ := steered(t, nil, all(1))
	stable := s.Generation()
	const networks = 4000
	in := func(format string, bits int) map[int]bool {
		t.Helper()
		found := map[int]bool{}
		for i := range networks {
			site, scope := fromSubnet(t, s, w, "www.abc.com.", dns.TypeA, netip.MustParsePrefix(fmt.Sprintf(format, i/250+1, i%250)))
			if want := bits * min(int(s.Generation().Trial()), 1); scope.Bits() != want {
				t.Fatalf("scope %s, want /%d", scope, want)
			}
			if site == "lgu" {
				found[i] = true
			}
		}
		return found
	}
	if got := in("100.%d.%d.0/24", 24); len(got) != 0 {
		t.Fatalf("%d networks before the trial", len(got))
	}
	for _, c := range []struct {
		format string
		bits   int
	}{{"100.%d.%d.0/24", 24}, {"2a00:%x:0:%x00::/56", 56}} {
		for _, share := range []float64{0.05, 0.3} {
			s.Swap(stable.WithTrial(other.Generation(), share, 7))
			first := in(c.format, c.bits)
			// Six standard deviations of a binomial draw; which networks it is does not change from run to run.
			if off := math.Abs(float64(len(first))/networks - share); off > 6*math.Sqrt(share*(1-share)/networks) {
				t.Errorf("%s: %d of %d networks, want %v of them", c.format, len(first), networks, share)
			}
			s.Swap(s.Generation().WithStates(&health.States{Revision: 9}))
			again := in(c.format, c.bits)
			for i := range first {
				if !again[i] {
					t.Fatalf("network %d is no longer in the trial", i)
				}
			}
			s.Swap(stable.WithTrial(other.Generation(), share, 8))
			both := 0
			for i := range in(c.format, c.bits) {
				if first[i] {
					both++
				}
			}
			if both > len(first)*3/4 {
				t.Errorf("another trial has %d of the same %d networks", both, len(first))
			}
		}
	}

	// All addresses of a network are in it, or none; what is longer than the unit does not count.
	s.Swap(stable.WithTrial(other.Generation(), 0.5, 7))
	for i := range 64 {
		a, _ := fromSubnet(t, s, w, "www.abc.com.", dns.TypeA, netip.MustParsePrefix(fmt.Sprintf("100.9.%d.1/32", i)))
		b, _ := fromSubnet(t, s, w, "www.abc.com.", dns.TypeA, netip.MustParsePrefix(fmt.Sprintf("100.9.%d.200/32", i)))
		if a != b {
			t.Errorf("100.9.%d.0/24 is divided", i)
		}
	}
	out := make([]byte, 0, maxMessage+maxRecordHead)
	for _, msg := range [][]byte{query(t, "www.abc.com.", dns.TypeA, subnet("100.1.2.0/24")), query(t, "static.abc.com.", dns.TypeA), query(t, "www.abc.com.", dns.TypeAAAA, subnet("2a00:1::/56"))} {
		if n := testing.AllocsPerRun(200, func() { s.answer(w, msg, source, false, out) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
	s.Swap(s.Generation().WithTrial(nil, 0, 0))
	if got := in("100.%d.%d.0/24", 24); len(got) != 0 {
		t.Errorf("%d networks after the trial", len(got))
	}
}
