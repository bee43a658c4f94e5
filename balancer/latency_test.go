package balancer

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestPeakEWMA(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	var p peakEWMA
	want := func(seconds float64) {
		t.Helper()
		if got := p.at(stamp(at)); math.Abs(got-seconds) > 1e-3*seconds {
			t.Errorf("%g s, want %g", got, seconds)
		}
	}
	want(0)
	p.observe(10*time.Millisecond, stamp(at))
	want(0.010)
	p.observe(500*time.Millisecond, stamp(at))
	want(0.500) // up at once
	at = at.Add(latencyDecay)
	want(0.500 / math.E) // down as time passes, even with nothing measured
	p.observe(10*time.Millisecond, stamp(at))
	want(0.500/math.E + 0.010*(1-1/math.E))
	at = at.Add(latencyStale)
	want(0)
	p.observe(time.Second, stamp(at.Add(-time.Minute))) // a clock reading from before
	at = at.Add(-time.Minute)
	want(1)
}

// A server that takes ten times as long to connect to gets about a tenth of the
// connections in flight; one that has just become slow is left at once.
func TestLatencyLeavesTheSlow(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	random := rand.New(rand.NewPCG(5, 6)).Uint64
	for _, n := range []int{3, 10} {
		sizes := make([]float64, n)
		for i := range sizes {
			sizes[i] = 1
		}
		table := testTable(Latency, random, sizes...)
		table.picker = latency{random, func() time.Time { return at }}
		for i := range table.candidates {
			took := time.Millisecond
			if i == 0 {
				took = 10 * time.Millisecond // ten times as long
			}
			table.candidates[i].peak.observe(took, stamp(at))
		}
		_, flight := simulate(table, 100*n, 20000, random)
		if part := flight[0] / flight[1]; part > 0.25 {
			t.Errorf("of %d: the slow server has %.2f of another's connections, want about a tenth", n, part)
		}
	}
	table := testTable(Latency, random, 1, 1)
	table.candidates[0].peak.observe(time.Millisecond, stamp(time.Now()))
	table.candidates[1].peak.observe(time.Second, stamp(time.Now()))
	for range 20 {
		if got := table.pick(flow{}).address; got != "0" {
			t.Fatal("the slow one of two idle servers was picked")
		}
	}
}
