package dnsserver

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"
)

// rates bound how often one client network is given one answer over UDP, where
// anyone can put anybody's address on a query (response rate limiting). All serving
// goroutines share them, so that a limit holds for the server as a whole, and no
// lock is taken: a bucket is one word. Who is over the limit is only read, so that
// a flood does not make the processors fight for its bucket.
//
// Each pair of network and answer has a bucket that fills at the rate up to the
// window. It is kept as the time at which it will be full (the generic cell rate
// algorithm, ITU-T I.371, annex A). One that is full need not be kept: the table
// forgets the fullest of four first, so that who floods it with networks does not
// wash away those that are in debt.
type rates struct {
	interval, window uint64 // ticks: of one answer, and of the most that a network may save up
	slip             uint32
	seed             [2]uint64
	clock            *atomic.Uint32 // milliseconds, coarse
	sets             [rateSets][4]atomic.Uint64
}

const (
	// rateSets times four are the buckets, 2 MiB of them; a power of two.
	rateSets = 1 << 16
	// A bucket has the tag of its pair above tickBits bits of time, which wrap
	// around in 18 hours, and do so when the clock does. At the highest rate an
	// answer is 16 ticks.
	tickBits    = 40
	tickMask    = 1<<tickBits - 1
	ticksMillis = 1 << 14
)

// limiter is what one serving goroutine has of the rates.
type limiter struct {
	*rates
	over uint32 // answers not given, for slip
}

// Client networks, as most sites and providers hand them out.
const (
	network4 = 24 // bits
	network6 = 56
)

// newRates gives nil where there is no limit.
func newRates(c Config, clock *atomic.Uint32) *rates {
	if c.RateLimit == 0 {
		return nil
	}
	l := &rates{slip: uint32(*c.RateLimitSlip), clock: clock}
	l.interval = uint64((1000*ticksMillis + c.RateLimit/2) / c.RateLimit)
	l.window = max(l.interval, uint64(c.RateLimitWindow/time.Millisecond)*ticksMillis)
	var b [16]byte
	rand.Read(b[:]) // never fails
	l.seed = [2]uint64{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
	return l
}

// limiter makes that of a serving goroutine; nil where there is no limit.
func (l *rates) limiter() *limiter {
	if l == nil {
		return nil
	}
	return &limiter{rates: l}
}

// network is the network of a client, as a number.
func network(a netip.Addr) uint64 {
	if a.Is4() || a.Is4In6() {
		return uint64(key4(a.Unmap())) >> (32 - network4)
	}
	return key6(a)[0]>>(64-network6) | 1<<63
}

// take tells whether one more answer may be given to a client, and counts it.
func (l *rates) take(client netip.Addr, answer uint64) bool {
	h := l.mix(l.mix(0, network(client)), answer)
	set, tag := &l.sets[h%rateSets], h>>tickBits
	for {
		now := uint64(l.clock.Load()) * ticksMillis
		b, was, debt := l.bucket(set, tag, now)
		if debt += l.interval; debt > l.window {
			return false
		}
		if b.CompareAndSwap(was, tag<<tickBits|(now+debt)&tickMask) {
			return true
		} // else another goroutine has changed it, and has come further by that
	}
}

func (l *rates) mix(h, x uint64) uint64 {
	hi, lo := bits.Mul64(h^x^l.seed[0], x^l.seed[1])
	return hi ^ lo
}

// bucket finds that of a tag among four, with what it holds and how much it lacks to
// be full, or the fullest of all, to be that of the tag from now on.
func (l *rates) bucket(set *[4]atomic.Uint64, tag, now uint64) (b *atomic.Uint64, was, debt uint64) {
	least := ^uint64(0)
	for i := range set {
		held := set[i].Load()
		lacks := l.lacks(held, now)
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
// window lies behind, by almost a whole round of the bits.
func (l *rates) lacks(held, now uint64) uint64 {
	if ahead := (held - now) & tickMask; ahead <= l.window {
		return ahead
	}
	return 0
}

// slips tells whether an answer over the limit is to be sent after all, truncated,
// so that a client that is real comes back over TCP.
func (l *limiter) slips() bool {
	l.over++
	return l.slip > 0 && l.over%l.slip == 0
}
