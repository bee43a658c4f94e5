package balancer

import (
	"sync/atomic"
	"time"
)

// A connection is what every engine keeps of each client's connection, whatever
// moves its bytes: for people to see, for the log, the histograms and passive
// health. An engine has one inside each of its own connections and calls, in
// this order and never two at a time unless it is said:
//
//	open     when a client was admitted (frontend.admit)
//	serve    when a server has accepted it; false: the server is cut, and this must end
//	moved    for bytes, both directions at once if need be
//	blame    for what ends it, any number of times and at any time
//	conclude before its ends hear of its end, if it can; not within abort
//	end      once, last
//
// The zero connection is ready for open. It holds no lock and allocates nothing.
type connection struct {
	front   *frontend
	through *frontend // whose listener took it, where a route led from there to front; else nil
	to      *server   // nil until serve
	from    flow
	name    string // server name of its ClientHello, where somebody looked
	seat    seat
	inner   seat // at front, where through is set
	ender   ender
	index   int // guarded by to.carried.mu: where it is there; -1: not there

	begun  instant
	served instant      // when a server had accepted it
	asked  atomic.Int64 // instant: of its server's accept, or of the client's first byte after it
	first  atomic.Int64 // from asked to the server's first byte; 0: none yet
	latest atomic.Int64 // instant of the last byte, either way
	up     atomic.Int64 // bytes from the client
	down   atomic.Int64 // bytes to the client
	how    atomic.Uint32
}

// ender is what can be ended from outside: abort resets both its ends at once,
// does not block, and may come at any time and by any goroutine.
type ender interface{ abort() }

// instant is a time in nanoseconds since the process began, never set back.
type instant = int64

var processBegan = time.Now()

// instantNow costs one reading of the clock; an engine may use one for a batch of events.
func instantNow() instant { return int64(time.Since(processBegan)) }

// at is the instant's time of day.
func at(i instant) time.Time { return processBegan.Add(time.Duration(i)) }

// ending is how a connection ended. Of several the first counts, but what broke
// it counts more than who had finished before.
type ending uint32

const (
	endOpen        ending = iota // not yet, or nobody knows
	endClient                    // both have finished, the client first
	endServer                    // both have finished, the server first
	endClientReset               // the client reset it
	endServerReset               // the server reset it
	endIdle                      // no byte for the idle time-out
	endHalf                      // no byte for the close time-out, after one end had finished
	endSilent                    // the client said nothing at first
	endSlow                      // it was slower than the least rate
	endCut                       // by a drain, a removal or an isolation
	endRefused                   // no server took it
	endUnreachable               // nobody was there at the server's port (UDP)
	endNoHeader                  // a front end sent no good PROXY header
	endDenied                    // not admitted: the client that a front end named, or where a route led
	endNotTLS                    // only TLS is taken, and it is none
	endNoRoute                   // no route takes its server name
	endFull                      // where its route led there were as many as there may be
)

var endings = [...]string{
	endOpen: "open", endClient: "client", endServer: "server", endClientReset: "client reset", endServerReset: "server reset",
	endIdle: "idle timeout", endHalf: "close timeout", endSilent: "no first byte", endSlow: "too slow", endCut: "cut", endRefused: "refused", endUnreachable: "unreachable",
	endNoHeader: "no PROXY header", endDenied: "denied",
	endNotTLS: "not TLS", endNoRoute: "no route", endFull: "full",
}

func (e ending) String() string { return endings[e] }

// open begins the connection of a client that was admitted to s.
func (c *connection) open(f *frontend, from flow, s seat, e ender, now instant) {
	c.openUnknown(f, from, s, e, now)
	f.arrived(from.client.Addr())
}

// openUnknown is open for a connection of a front end, of whose client more is to be
// heard (preamble).
func (c *connection) openUnknown(f *frontend, from flow, s seat, e ender, now instant) {
	c.front, c.from, c.seat, c.ender, c.begun, c.index = f, from, s, e, now, -1
	c.latest.Store(now)
}

// serve gives the connection to the server that has accepted it. It reports false
// if the server's connections were cut: this one must end, too.
func (c *connection) serve(s *server, now instant) bool {
	c.to, c.served = s, now
	c.asked.Store(now)
	c.latest.Store(now)
	return s.carried.add(c)
}

// moved counts bytes that were passed on: from the client (up) or to it.
func (c *connection) moved(up bool, n int, now instant) {
	if n <= 0 {
		return
	}
	c.latest.Store(now)
	if up {
		if c.up.Add(int64(n)) == int64(n) && c.down.Load() == 0 {
			c.asked.Store(now)
		}
		c.to.bytesUp.Add(int64(n))
		return
	}
	if c.down.Add(int64(n)) == int64(n) {
		took := max(instant(time.Microsecond), now-c.asked.Load()) // both in one wake of a loop: less than a log tells
		c.first.Store(took)
		c.to.answered(time.Duration(took))
	}
	c.to.bytesDown.Add(int64(n))
}

// A connection's how is an ending, and what else is known by then.
const (
	endingMask     = 1<<8 - 1
	clientFinished = 1 << 8
	concluded      = 1 << 9
)

// blame says what ends the connection, or which end has finished.
func (c *connection) blame(how ending) {
	if how == endClient {
		c.how.Or(clientFinished)
	}
	for {
		word := c.how.Load()
		was := ending(word & endingMask)
		if was > endServer || was != endOpen && how <= endServer ||
			c.how.CompareAndSwap(word, word&^endingMask|uint32(how)) {
			return
		}
	}
}

// blameFinish blames an end that has finished.
func (c *connection) blameFinish(client bool) {
	if client {
		c.blame(endClient)
	} else {
		c.blame(endServer)
	}
}

// blameReset blames an end that reset the connection.
func (c *connection) blameReset(client bool) {
	if client {
		c.blame(endClientReset)
	} else {
		c.blame(endServerReset)
	}
}

// conclude learns from how the connection ends, if that was not done yet. It may
// judge the server, so no lock of its pool may be held.
func (c *connection) conclude(now instant) {
	word := c.how.Or(concluded)
	if word&concluded != 0 {
		return
	}
	how := ending(word & endingMask)
	switch how {
	case endRefused:
		c.front.counters.refused.Add(1)
	case endClientReset, endServerReset:
		c.front.counters.resets.Add(1)
	case endIdle, endHalf:
		c.front.counters.timedOut.Add(1)
	case endSilent:
		c.front.refusals.silent.Add(1)
	case endSlow:
		c.front.refusals.slow.Add(1)
	case endNotTLS:
		c.front.refusals.notTLS.Add(1)
	case endNoRoute:
		c.front.refusals.noRoute.Add(1)
	case endNoHeader:
		c.front.refusals.header.Add(1)
	}
	c.front.log(c, how, now)
	s := c.to
	if s == nil {
		return
	}
	s.times[timeWhole].observe(time.Duration(now - c.begun))
	if how == endServerReset && word&clientFinished == 0 && c.down.Load() == 0 {
		c.front.pool.broke(s)
	}
}

// taker is the frontend whose listener took it.
func (c *connection) taker() *frontend {
	if c.through != nil {
		return c.through
	}
	return c.front
}

// end ends it: it is not seen any more.
func (c *connection) end(now instant) {
	c.conclude(now)
	c.seat.leave()
	if c.through != nil {
		c.inner.leave()
		c.front.gate.leave()
	}
	if c.to != nil {
		c.to.carried.remove(c)
	}
}
