package replay

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gslb/health"
)

// The round-trip times are recorded once for as long as they are the same, and every
// record has them when it is read.
func TestTimes(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	top := topology("kt")
	with := func(kt health.State, times []health.Times) *health.States {
		s := states(kt, 1)
		s.Times = times
		return s
	}
	times := func(ms float64) []health.Times {
		return []health.Times{{Vantage: "ns1", Location: &[2]float64{37.5, 127}, RTT: map[string]float64{"kt": ms}}}
	}
	first, second := times(5), times(50)
	add(t, l, 0, top, with(health.Up, nil))
	add(t, l, 1, top, with(health.Up, first))
	add(t, l, 2, top, with(health.Up, first)) // nothing new
	add(t, l, 3, top, with(health.Down, first))
	add(t, l, 4, top, with(health.Down, second))
	add(t, l, 5, top, with(health.Up, second))
	add(t, l, 6, top, with(health.Up, nil))
	data, err := os.ReadFile(filepath.Join(dir, current))
	if err != nil {
		t.Fatal(err)
	}
	if n, all := strings.Count(string(data), "rtt_ms"), strings.Count(string(data), "\n"); n != 2 || all != 6 {
		t.Errorf("times in %d of %d records, want 2 of 6:\n%s", n, all, data)
	}
	for second, want := range []float64{0, 5, 5, 5, 50, 50, 0} {
		r, _, err := Find(dir, begin.Add(time.Duration(second)*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		got := 0.0
		if len(r.States.Times) > 0 {
			got = r.States.Times[0].RTT["kt"]
		}
		if got != want {
			t.Errorf("second %d: %v ms, want %v", second, got, want)
		}
	}
}
