package transfer

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"gslb/zones"
)

// What is left of a copy counts from when it was last known to be the newest, and a
// zone of one's own does not expire.
func TestExpires(t *testing.T) {
	read := func(name string) *zones.Zone {
		z, err := zones.Read(zones.Config{Name: strings.ToLower(name), File: name}, strings.NewReader("$ORIGIN "+name+"\n$TTL 60\n@ SOA n h 1 2 3 1000 5\n@ NS n.elsewhere.example.\n"))
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	m := New(t.TempDir(), nil, slog.New(slog.DiscardHandler))
	now := time.Unix(1_700_000_000, 0)
	m.now = func() time.Time { return now }
	copied, own, other := read("Copy.example."), read("own.example."), read("other.example.")
	entry := func(z *zones.Zone, primaries ...peer) *zone {
		e := &zone{m: m, name: z.Name}
		e.raw.Store(z)
		e.set.Store(&settings{primaries: primaries})
		e.confirmed.Store(now.Unix() - 300)
		return e
	}
	m.state.Store(&state{zones: map[string]*zone{"\x04copy\x07example\x00": entry(copied, peer{}), "\x03own\x07example\x00": entry(own)}})
	for _, c := range []struct {
		zone      *zones.Zone
		later     time.Duration
		left      uint32
		secondary bool
	}{
		{copied, 0, 700, true}, {copied, 699500 * time.Millisecond, 0, true}, {copied, time.Hour, 0, true}, {own, 0, 0, false}, {other, 0, 0, false},
	} {
		m.now = func() time.Time { return now.Add(c.later) }
		if left, secondary := m.Expires(c.zone); left != c.left || secondary != c.secondary {
			t.Errorf("%s after %v: %d, %v; want %d, %v", c.zone.Name, c.later, left, secondary, c.left, c.secondary)
		}
	}
	if n := testing.AllocsPerRun(100, func() { m.Expires(copied) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
