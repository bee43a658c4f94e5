package steady

import (
	"testing"
	"time"
)

// TestRead holds the rows of the table: a clock that is read as a process runs, and
// is set in between.
func TestRead(t *testing.T) {
	t.Parallel()
	begin := time.Duration(Plausible.Add(100 * 24 * time.Hour).UnixNano())
	type look struct {
		at  time.Duration // of the monotonic clock
		set time.Duration // how far the wall clock is set off then
		off time.Duration // how far it is not believed
	}
	const year = 365 * 24 * time.Hour
	for name, looks := range map[string][]look{
		"it runs":                  {{0, 0, 0}, {time.Hour, 0, 0}, {100 * time.Hour, 0, 0}},
		"steps of NTP":             {{0, 0, 0}, {1, 9 * time.Second, 0}, {2, 18 * time.Second, 0}, {3, 9 * time.Second, 0}},
		"an hour ahead and back":   {{0, 0, 0}, {1, time.Hour, time.Hour}, {Settle / 2, time.Hour, time.Hour}, {Settle - 1, 0, 0}, {2 * Settle, 0, 0}},
		"an hour back and right":   {{0, 0, 0}, {1, -time.Hour, -time.Hour}, {Settle, -time.Hour, -time.Hour}, {Settle + 1, 0, 0}},
		"it stays":                 {{0, 0, 0}, {1, 10 * year, 10 * year}, {Settle, 10 * year, 10 * year}, {Settle + 1, 10 * year, 0}, {Settle + 2, 10 * year, 0}},
		"it jumps about":           {{0, 0, 0}, {1, year, year}, {Settle, -year, -year}, {2*Settle - 1, -year, -year}, {2 * Settle, -year, 0}},
		"put right after it stood": {{0, 0, 0}, {1, year, year}, {Settle + 1, year, 0}, {Settle + 2, 0, -year}, {2*Settle + 2, 0, 0}},
	} {
		var c clock
		for i, l := range looks {
			off, left := c.read(begin+l.at+l.set, l.at)
			if off != l.off || (off != 0) != (left > 0) || left > Settle {
				t.Errorf("%s, look %d: off by %v for %v more, want %v", name, i+1, off, left, l.off)
			}
		}
	}
	var c clock // no battery: 1970, then set
	c.read(0, 0)
	if off, _ := c.read(begin, time.Second); off != 0 {
		t.Errorf("a clock that was not set, and is: off by %v, want 0", off)
	}
}

// TestNow: the time has its monotonic part, and is that of time.Now where nothing jumps.
func TestNow(t *testing.T) {
	t.Parallel()
	for range 3 {
		before := time.Now()
		now := Now()
		after := time.Now()
		if now.Before(before) || now.After(after) {
			t.Errorf("%v is not between %v and %v", now, before, after)
		}
	}
	if j, yes := Jumped(); yes {
		t.Errorf("the clock jumped by %v", j.By)
	}
}
