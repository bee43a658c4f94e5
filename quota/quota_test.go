package quota

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

func TestNetwork(t *testing.T) {
	same := [][2]string{{"192.0.2.1", "192.0.2.254"}, {"192.0.2.1", "::ffff:192.0.2.9"}, {"2001:db8:0:1::1", "2001:db8:0:ff::1"}}
	other := [][2]string{{"192.0.2.1", "192.0.3.1"}, {"2001:db8:0:100::1", "2001:db8:0:200::1"}, {"0.0.0.1", "::1"}}
	network := func(a string) uint64 { return Network(netip.MustParseAddr(a), 24, 56) }
	for _, p := range same {
		if network(p[0]) != network(p[1]) {
			t.Errorf("%s and %s are of two networks", p[0], p[1])
		}
	}
	for _, p := range other {
		if network(p[0]) == network(p[1]) {
			t.Errorf("%s and %s are of one network", p[0], p[1])
		}
	}
}

func TestCounts(t *testing.T) {
	key := NewKey()
	c := NewCounts(3, 1024)
	a, b := key.Mix(0, 1), key.Mix(0, 2)
	var places []Place
	for i := range 5 {
		p, ok := c.Enter(a)
		if want := i < 3; ok != want {
			t.Fatalf("number %d enters: %v, want %v", i+1, ok, want)
		}
		if ok {
			places = append(places, p)
		}
	}
	if _, ok := c.Enter(b); !ok {
		t.Error("another one is held to the first one's bound")
	}
	places[0].Leave()
	if p, ok := c.Enter(a); !ok {
		t.Error("there is no room after one has left")
	} else {
		places[0] = p
	}
	for _, p := range places {
		p.Leave()
	}
	if n := c.Held(a); n != 0 {
		t.Errorf("%d are held when all have left", n)
	}
	Place{}.Leave()
}

// A table that is full of others lets a newcomer in, uncounted, and still holds who it knows.
func TestCountsFull(t *testing.T) {
	c := NewCounts(2, 4) // one set
	held := uint64(7) << countBits
	for range 2 {
		c.Enter(held)
	}
	for tag := uint64(10); tag < 13; tag++ {
		c.Enter(tag << countBits)
	}
	for range 5 {
		if p, ok := c.Enter(99 << countBits); !ok || p.word != nil {
			t.Error("a newcomer is refused or counted where there is no word left")
		}
	}
	if _, ok := c.Enter(held); ok {
		t.Error("a full table lets in who is over the bound")
	}
}

func TestCountsByManyAtOnce(t *testing.T) {
	const most, workers = 10, 8
	key := NewKey()
	c := NewCounts(most, 64)
	var now, peak atomic.Int64
	var wg sync.WaitGroup
	h := key.Mix(0, 1)
	first, _ := c.Enter(h) // keeps its word: the bound is exact as long as somebody is there
	now.Add(1)
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for range 20_000 {
				p, ok := c.Enter(h)
				if !ok {
					continue
				}
				n := now.Add(1)
				for m := peak.Load(); n > m && !peak.CompareAndSwap(m, n); m = peak.Load() {
				}
				c.Enter(key.Mix(0, r.Uint64())) // others come beside it
				now.Add(-1)
				p.Leave()
			}
		})
	}
	wg.Wait()
	if peak.Load() > most {
		t.Errorf("%d were in at once, at most %d may", peak.Load(), most)
	}
	first.Leave()
	if n := c.Held(h); n != 0 {
		t.Errorf("%d are held when all have left", n)
	}
}

// The limit holds for all goroutines together, at any rate, and when the clock comes round.
func TestRates(t *testing.T) {
	for _, rate := range []uint64{1, 7, 1000, 300_000} {
		r := NewRates(rate, 1000, 1<<10)
		now := uint32(math.MaxUint32 - 999)                                   // comes round with the first second
		for round, seconds := range []uint32{1, 1, 3600, 86400, 49 * 86400} { // that pass before
			now += seconds * 1000
			var taken atomic.Int64
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range rate/2 + 10 {
						if r.Take(12345<<tickBits|7, now) {
							taken.Add(1)
						}
					}
				})
			}
			wg.Wait()
			if got := float64(taken.Load()); math.Abs(got-float64(rate)) > 0.03*float64(rate) {
				t.Errorf("rate %d, round %d: %v were let through", rate, round, got)
			}
		}
	}
}

func BenchmarkEnter(b *testing.B) {
	c, key := NewCounts(1000, 1<<16), NewKey()
	b.ReportAllocs()
	for i := range b.N {
		p, _ := c.Enter(key.Mix(0, uint64(i%5000)))
		p.Leave()
	}
}
