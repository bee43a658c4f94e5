package dnsserver

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"
)

// limiter bounds how often one client network is given one answer over UDP, where
// anyone can put anybody's address on a query (response rate limiting). Each
// serving goroutine has its own, so that it needs no lock; its size is fixed.
//
// Each pair of network and answer has a bucket that fills by rate answers a second
// up to most. One that is full need not be kept: the table forgets the fullest of
// four first, so that who floods it with networks does not wash away those that
// are in debt.
type limiter struct {
	rate, most int64 // thousandths of an answer, per millisecond and in all
	slip       uint32
	seed       [2]uint64
	clock      *atomic.Uint32 // milliseconds, coarse
	sets       [limiterSets][4]bucket
	over       uint32 // answers not given, for slip
}

// limiterSets times four are the buckets; a power of two.
const limiterSets = 1 << 14

// bucket is what a client network may still have of an answer.
type bucket struct {
	tag  uint32 // of the pair
	at   uint32 // when left was so, by the clock; 0: the bucket is not in use
	left int64
}

const wholeAnswer = 1000 // thousandths

// Client networks, as most sites and providers hand them out.
const (
	network4 = 24 // bits
	network6 = 56
)

// newLimiter gives nil where there is no limit.
func newLimiter(c Config, clock *atomic.Uint32) *limiter {
	if c.RateLimit == 0 {
		return nil
	}
	l := &limiter{rate: int64(c.RateLimit), slip: uint32(*c.RateLimitSlip), clock: clock}
	l.most = max(wholeAnswer, int64(c.RateLimit)*int64(c.RateLimitWindow/time.Millisecond))
	var b [16]byte
	rand.Read(b[:]) // never fails
	l.seed = [2]uint64{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
	return l
}

// network is the network of a client, as a number.
func network(a netip.Addr) uint64 {
	if a.Is4() || a.Is4In6() {
		return uint64(key4(a.Unmap())) >> (32 - network4)
	}
	return key6(a)[0]>>(64-network6) | 1<<63
}

// take tells whether one more answer may be given to a client, and counts it.
func (l *limiter) take(client netip.Addr, answer uint64) bool {
	h := l.mix(l.mix(0, network(client)), answer)
	b := l.bucket(&l.sets[h%limiterSets], uint32(h>>32))
	if b.left < wholeAnswer {
		return false
	}
	b.left -= wholeAnswer
	return true
}

func (l *limiter) mix(h, x uint64) uint64 {
	hi, lo := bits.Mul64(h^x^l.seed[0], x^l.seed[1])
	return hi ^ lo
}

// bucket finds that of a tag among four, filled up to now, or makes one in the
// place of the fullest.
func (l *limiter) bucket(set *[4]bucket, tag uint32) *bucket {
	now := max(l.clock.Load(), 1)
	var fullest *bucket
	for i := range set {
		b := &set[i]
		if b.tag == tag && b.at != 0 {
			l.fill(b, now)
			return b
		}
		if b.at == 0 {
			fullest = b
			break
		}
		if fullest == nil || l.level(b, now) > l.level(fullest, now) {
			fullest = b
		}
	}
	*fullest = bucket{tag: tag, at: now, left: l.most}
	return fullest
}

func (l *limiter) level(b *bucket, now uint32) int64 {
	return min(l.most, b.left+max(0, int64(int32(now-b.at)))*l.rate)
}

func (l *limiter) fill(b *bucket, now uint32) {
	if int32(now-b.at) > 0 {
		b.left, b.at = l.level(b, now), now
	}
}

// slips tells whether an answer over the limit is to be sent after all, truncated,
// so that a client that is real comes back over TCP.
func (l *limiter) slips() bool {
	l.over++
	return l.slip > 0 && l.over%l.slip == 0
}
