package fleet

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"gslb/geo"
	"gslb/health"
)

// Round-trip times reach every node with where they were measured, stand still while they
// waver, follow what has changed considerably, and go with the node.
func TestTimes(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	a := startNode(t, "a", address(etcd), func(c *Config) {
		c.Place = &geo.Place{HasLocation: true, Location: geo.Coordinates{Latitude: 37.5, Longitude: 127}}
	})
	b := startNode(t, "b", address(etcd), nil)
	has := func(vantage, site string, ms float64) func(*health.States) bool {
		return func(s *health.States) bool {
			for _, x := range s.Times {
				if got, ok := x.RTT[site]; x.Vantage == vantage && ok && got == ms {
					return true
				}
			}
			return false
		}
	}
	a.Measured(map[string]time.Duration{"kt": 12345 * time.Microsecond, "elsewhere": time.Millisecond})
	s := b.await(t, "a's time of kt", has("a", "kt", 12.3))
	if len(s.Times) != 1 || len(s.Times[0].RTT) != 1 || s.Times[0].Location == nil || *s.Times[0].Location != [2]float64{37.5, 127} {
		t.Errorf("%+v", s.Times)
	}
	a.Measured(map[string]time.Duration{"kt": 14 * time.Millisecond, "lgu": 3 * time.Millisecond}) // kt within 20 %
	s = b.await(t, "lgu too", has("a", "lgu", 3))
	if !has("a", "kt", 12.3)(s) {
		t.Errorf("a time that wavers is written: %+v", s.Times)
	}
	b.Measured(map[string]time.Duration{"kt": 99 * time.Millisecond})
	s = a.await(t, "b's times beside", has("b", "kt", 99))
	if len(s.Times) != 2 || s.Times[0].Vantage != "a" || s.Times[1].Location != nil {
		t.Errorf("%+v", s.Times)
	}
	b.Blind("no way out")
	b.Measured(map[string]time.Duration{"kt": 99 * time.Millisecond})
	a.await(t, "no times of a node that sees nothing", func(s *health.States) bool { return len(s.Times) == 1 })
	a.Measured(nil)
	b.await(t, "none at all", func(s *health.States) bool { return len(s.Times) == 0 })
}

// What is published moves only with what is measured by more than a fifth and 2 ms.
func TestSteady(t *testing.T) {
	for _, tc := range []struct{ published, measured, want float64 }{
		{-1, 12.34, 12.3}, {10, 11.9, 10}, {10, 12.1, 12.1}, {10, 8.1, 10}, {10, 7.9, 7.9}, {0.4, 2.3, 0.4}, {0.4, 2.5, 2.5}, {200, 239, 200}, {200, 241, 241},
	} {
		published := map[string]float64{}
		if tc.published >= 0 {
			published["kt"] = tc.published
		}
		if got := calmed(published, "kt", tc.measured); got != tc.want {
			t.Errorf("%v after %v: %v, want %v", tc.measured, tc.published, got, tc.want)
		}
	}
}

// The value of a node that measures as many sites as it may stays well below what etcd takes.
func TestTimesAreBounded(t *testing.T) {
	now := time.Now()
	f := &Fleet{cfg: Config{Node: "a"}, now: func() time.Time { return now }}
	all := map[string]time.Duration{}
	for i := range mostTimes + 1000 {
		name := fmt.Sprintf("site-%06d", i)
		f.topology.Sites = append(f.topology.Sites, name)
		all[name] = 123456 * time.Microsecond
	}
	f.out = map[string]*outbox{keyOf(kindTimes, "a"): {wrote: now}} // so that it waits, and is not sent
	f.kick = make(chan struct{}, 1)
	f.Measured(all)
	raw := f.out[keyOf(kindTimes, "a")].pending
	var got health.Times
	if err := json.Unmarshal(raw, &got); err != nil || len(got.RTT) != mostTimes || len(raw) > 600_000 {
		t.Errorf("%d times in %d octets, %v", len(got.RTT), len(raw), err)
	}
}
