package dnsserver

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/health"
	"gslb/zones"
)

// TestSplits: what clients of a split are given is close to what its policy gives in the long
// run, by the states in which they were answered; names whose clients are never split are told of likewise.
func TestSplits(t *testing.T) {
	up := &health.States{Revision: 1}
	s, w := server(t, up)
	ask := func(name string, from, to int) {
		for i := from; i < to; i++ {
			msg := query(t, name, dns.TypeA, subnet(fmt.Sprintf("11.%d.%d.0/24", i>>8&0xff, i&0xff)))
			if m := answer(t, s, w, msg, false); len(m.Answer) == 0 {
				t.Fatalf("%s: %v", name, m)
			}
		}
	}
	near := func(what string, got map[string]float64, want map[string]float64, tolerance float64) {
		t.Helper()
		for site, share := range want {
			if math.Abs(got[site]-share) > tolerance {
				t.Errorf("%s: %v, want %v", what, got, want)
				return
			}
		}
		if len(got) > len(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	if all := s.Splits(); len(all) != 0 {
		t.Errorf("before the first query: %v", all)
	}
	const n = 2400
	ask("all.abc.com.", 0, n)
	ask("www.abc.com.", 0, n/2)
	all := s.Splits()
	if one := all["all.abc.com."]; one.Samples < n/sampleEvery-2 || one.Samples > n/sampleEvery+2 {
		t.Errorf("%v samples of %d", one.Samples, n)
	}
	near("split, expected", all["all.abc.com."].Expected, map[string]float64{"a": 0.5, "b": 0.5}, 1e-6)
	near("split", all["all.abc.com."].Got, map[string]float64{"a": 0.5, "b": 0.5}, 0.17) // 6 sigma
	near("by place, expected", all["www.abc.com."].Expected, map[string]float64{"a": 1}, 1e-6)
	near("by place", all["www.abc.com."].Got, map[string]float64{"a": 1}, 1e-6)

	// Half as many while a site is down: those are judged by that state, though it is up again when somebody looks.
	down := &health.States{Revision: 2, Sites: map[string]health.Status{"kt": {Site: "kt", State: health.Down}}}
	s.Swap(s.Generation().WithStates(down))
	ask("all.abc.com.", 0, n/2)
	s.Swap(s.Generation().WithStates(up))
	all = s.Splits()
	near("after a failure, expected", all["all.abc.com."].Expected, map[string]float64{"a": 1. / 3, "b": 2. / 3}, 0.01)
	near("after a failure", all["all.abc.com."].Got, map[string]float64{"a": 1. / 3, "b": 2. / 3}, 0.14)

	// What is old counts less, and then no more.
	later := time.Now()
	before := all["all.abc.com."].Samples
	s.splits.fold(s.Generation(), later.Add(splitHalfLife))
	all = s.splits.shares()
	if got := all["all.abc.com."].Samples; math.Abs(got/before-0.5) > 0.02 {
		t.Errorf("%v samples were %v a half-life before", got, before)
	}
	near("later", all["all.abc.com."].Expected, map[string]float64{"a": 1. / 3, "b": 2. / 3}, 0.01)
	s.splits.fold(s.Generation(), later.Add(20*splitHalfLife))
	if all := s.splits.shares(); len(all) != 0 {
		t.Errorf("after twenty half-lives: %v", all)
	}

	// Samples of names that are gone meanwhile are left out.
	ask("all.abc.com.", 0, 80)
	s.splits.fold(NewGeneration(Inputs{DB: new(zones.DB)}), later.Add(21*splitHalfLife))
	if all := s.splits.shares(); len(all) != 0 {
		t.Errorf("without the names: %v", all)
	}
}
