package dnsserver

import (
	"net/netip"
	"sync/atomic"
	"time"

	"gslb/quota"
)

// rates bound how often one client network is given one answer over UDP, where
// anyone can put anybody's address on a query (response rate limiting). All serving
// goroutines share them, so that a limit holds for the server as a whole.
type rates struct {
	*quota.Rates
	key   quota.Key
	slip  uint32
	clock *atomic.Uint32 // milliseconds, coarse
}

// rateBuckets is how many pairs of network and answer have a bucket: 2 MiB of them.
const rateBuckets = 1 << 18

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
	return &rates{
		Rates: quota.NewRates(uint64(c.RateLimit), uint64(c.RateLimitWindow/time.Millisecond), rateBuckets),
		key:   quota.NewKey(), slip: uint32(*c.RateLimitSlip), clock: clock,
	}
}

// limiter makes that of a serving goroutine; nil where there is no limit.
func (l *rates) limiter() *limiter {
	if l == nil {
		return nil
	}
	return &limiter{rates: l}
}

// network is the network of a client, as a number.
func network(a netip.Addr) uint64 { return quota.Network(a, network4, network6) }

// take tells whether one more answer may be given to a client, and counts it.
func (l *rates) take(client netip.Addr, answer uint64) bool {
	return l.Take(l.key.Mix(l.key.Mix(0, network(client)), answer), l.clock.Load())
}

// slips tells whether an answer over the limit is to be sent after all, truncated,
// so that a client that is real comes back over TCP.
func (l *limiter) slips() bool {
	l.over++
	return l.slip > 0 && l.over%l.slip == 0
}
