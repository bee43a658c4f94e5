package fleet

import (
	"maps"
	"math"
	"slices"
	"time"

	"gslb/health"
)

const (
	// timesGap is the least time between two writes of a node's round-trip times.
	timesGap = 10 * time.Second
	// sitesGap is the same where a site is measured that was not, or is no more.
	sitesGap = 2 * time.Second
	// A time is written when it differs from the one in etcd by more than this share of it,
	// and by more than so many milliseconds: what is in etcd stands still while
	// what is measured wavers, and with it where users go.
	timesShare = 0.2
	timesLeast = 2.0
	// timesApart is the least time between two changes of the times that a node goes by: each costs
	// as much as a change of a site, and of a thousand vantage points there are many.
	timesApart = 2 * time.Second
	// mostTimes bounds the size of the value, of which each site takes some 20 octets.
	mostTimes = 20_000
)

// Measured publishes the round-trip times that this node has measured, by site. It never
// waits, and is meant to be called every few seconds with all of them: it writes those that have
// changed considerably, and takes back those that are missing. A site that the fleet doesn't have is left out.
func (f *Fleet) Measured(rtt map[string]time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := map[string]float64{}
	if f.self.Blind == "" {
		for _, site := range slices.Sorted(maps.Keys(rtt)) {
			if len(next) == mostTimes {
				break
			}
			if _, known := slices.BinarySearch(f.topology.Sites, site); known {
				next[site] = calmed(f.times, site, float64(rtt[site].Microseconds())/1000)
			}
		}
	}
	key := keyOf(kindTimes, f.cfg.Node)
	switch {
	case maps.Equal(next, f.times):
		return
	case len(next) == 0:
		f.times = nil
		f.withdraw(key)
		return
	}
	gap := timesGap
	if !maps.EqualFunc(next, f.times, func(float64, float64) bool { return true }) {
		gap = sitesGap
	}
	f.times = next
	t := health.Times{Vantage: f.cfg.Node, At: f.now().UTC().Truncate(time.Second), RTT: next}
	if p := f.cfg.Place; p != nil && p.HasLocation {
		t.Location = &[2]float64{p.Location.Latitude, p.Location.Longitude}
	}
	f.offer(key, t, gap, f.now())
	f.wake()
}

// calmed is what is published of a time: what was, unless it has changed considerably.
func calmed(published map[string]float64, site string, ms float64) float64 {
	ms = math.Round(ms*10) / 10
	if old, ok := published[site]; ok && math.Abs(ms-old) <= max(timesShare*old, timesLeast) {
		return old
	}
	return ms
}

// sameTimes tells whether two lists say the same.
func sameTimes(a, b []health.Times) bool {
	return slices.EqualFunc(a, b, func(x, y health.Times) bool {
		return x.Vantage == y.Vantage && x.At.Equal(y.At) && maps.Equal(x.RTT, y.RTT) &&
			(x.Location == nil) == (y.Location == nil) && (x.Location == nil || *x.Location == *y.Location)
	})
}
