package quota

import "sync/atomic"

// Rates bounds how often each of many does something. Its methods may be called
// by many goroutines at once. Who is over the limit is only read, so that a flood
// does not make the processors fight for its bucket.
//
// Each number has a bucket that fills at the rate up to the burst. It is kept as
// the time at which it will be full (the generic cell rate algorithm, ITU-T I.371,
// annex A). One that is full need not be kept: the table forgets the fullest of
// four first, so that who floods it with numbers does not wash away those that are in debt.
type Rates struct {
	interval, burst uint64 // ticks: of one, and of the most that may be saved up
	mask            uint64
	sets            [][ways]atomic.Uint64
}

const (
	// A bucket has a tag above tickBits bits of time, which wrap around in 18
	// hours, and do so when a clock of 32 bits of milliseconds does too.
	tickBits = 40
	tickMask = 1<<tickBits - 1
	// ticksMillis is how many ticks a millisecond has: one at 1,000,000 a second is 16.
	ticksMillis = 1 << 14
)

// MostRate is the highest rate, a second, that Rates can tell from another.
const MostRate = 1_000_000

// NewRates makes a table of at least size buckets, of 8 octets each, rounded up to
// a power of two. Each fills at perSecond, up to what comes in burstMillis, at
// least one.
func NewRates(perSecond uint64, burstMillis uint64, size int) *Rates {
	n := powerOfTwo(size / ways)
	r := &Rates{interval: (1000*ticksMillis + perSecond/2) / perSecond, mask: uint64(n - 1), sets: make([][ways]atomic.Uint64, n)}
	r.burst = max(r.interval, burstMillis*ticksMillis)
	return r
}

// Take tells whether a number, mixed by a Key, may do it once more, and counts it.
// now is in milliseconds from any beginning, the same for all.
func (r *Rates) Take(h uint64, now uint32) bool {
	set, tag := &r.sets[h&r.mask], h>>tickBits
	ticks := uint64(now) * ticksMillis
	for {
		b, was, debt := r.bucket(set, tag, ticks)
		if debt += r.interval; debt > r.burst {
			return false
		}
		if b.CompareAndSwap(was, tag<<tickBits|(ticks+debt)&tickMask) {
			return true
		} // else another goroutine has changed it, and has come further by that
	}
}

// bucket finds that of a tag among four, with what it holds and how much it lacks to
// be full, or the fullest of all, to be that of the tag from now on.
func (r *Rates) bucket(set *[ways]atomic.Uint64, tag, now uint64) (b *atomic.Uint64, was, debt uint64) {
	least := ^uint64(0)
	for i := range set {
		held := set[i].Load()
		lacks := r.lacks(held, now)
		if held>>tickBits == tag {
			return &set[i], held, lacks
		}
		if lacks < least {
			b, was, least = &set[i], held, lacks
		}
	}
	return b, was, 0
}

// lacks is how much a bucket lacks to be full. A time that is further ahead than the
// burst lies behind, by almost a whole round of the bits.
func (r *Rates) lacks(held, now uint64) uint64 {
	if ahead := (held - now) & tickMask; ahead <= r.burst {
		return ahead
	}
	return 0
}
