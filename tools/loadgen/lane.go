package main

import (
	"context"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"time"

	"gslb/tools/loadgen/latency"
)

// minWait bounds how often a paced lane wakes: at high rates it sends a few
// queries at a time instead of waking for each.
const minWait = 100 * time.Microsecond

// lane is one socket with its window of outstanding queries. One goroutine
// sends, receives and gives up waiting, so that nothing is locked.
//
// A query occupies a slot while it is outstanding, and its id is
// round*len(slots) + slot: the id alone finds the slot, and an answer that
// comes after its query was given up, or twice, has an id that no slot has any
// more. Outstanding slots are linked oldest first, since all have the same time-out.
type lane struct {
	conn      conn
	check     checker
	templates []template
	rng       *rand.Rand
	rate      float64 // queries per second of this lane; 0: no pacing
	timeout   time.Duration
	started   time.Time
	stopAt    time.Duration // after started

	next, step int // index of the next template, and how far on the one after it is

	slots   []slot // a power of two, at least the window
	window  int
	perConn int      // queries of one connection; 0: no end
	left    int      // of them, on this connection
	free    []uint16 // a ring of free slots: the one free for longest is used next
	taken   int      // outstanding
	head    int      // of free
	oldest  int32    // list of outstanding slots, linked through slot.older and slot.newer; none: -1
	newest  int32
	now     time.Duration // after started; when the present round of run began

	msgs  [batch][]byte // of the present batch to send
	picks [batch]uint16
	stats stats
}

// slot is one outstanding query, or room for one.
type slot struct {
	sent         time.Duration // after lane.started
	older, newer int32
	id           uint16
	outstanding  bool
	size         uint16
	questionEnd  uint16
	rcode        uint8
	query        [maxQuery]byte
}

// stats is what one lane counted.
type stats struct {
	Sent       uint64
	Received   uint64 // answers to outstanding queries, in time
	Lost       uint64 // no answer within the time-out
	Unexpected uint64 // answers to no outstanding query: late, repeated or never asked
	HeldBack   uint64 // paced queries never sent because the window was full when they were due
	Truncated  uint64
	Rcodes     [16]uint64
	Verdicts   [verdicts]uint64
	Latency    latency.Histogram
	Err        error // what ended the lane early
}

// newLane makes lane number of o.Sockets; it sends only in run.
func newLane(o *options, c conn, all []template, number int) *lane {
	size := 1 << bits.Len(uint(o.Inflight-1))
	l := &lane{
		conn:      c,
		check:     checker{full: o.Check, answers: o.Answers, authority: o.Authority},
		templates: all,
		rng:       rand.New(rand.NewPCG(o.Seed, uint64(number))),
		rate:      o.Rate / float64(o.Sockets),
		timeout:   o.Timeout,
		stopAt:    o.Duration,
		next:      number % len(all),
		step:      o.Sockets % len(all),
		slots:     make([]slot, size),
		window:    o.Inflight,
		perConn:   o.PerConn,
		left:      o.PerConn,
		free:      make([]uint16, size),
		oldest:    -1,
		newest:    -1,
	}
	if o.Match != nil {
		l.check.match = o.Match
	}
	for i := range l.slots {
		l.free[i] = uint16(i)
		l.slots[i].id = uint16(i)
	}
	return l
}

// run sends and receives until the duration is over, or ctx ends, and every
// query is answered or lost.
func (l *lane) run(ctx context.Context) {
	l.started = time.Now()
	receive := l.receive
	for {
		l.now = time.Since(l.started)
		l.expire()
		if l.now < l.stopAt && ctx.Err() != nil {
			l.stopAt = l.now
		}
		if l.now >= l.stopAt && l.taken == 0 {
			return
		}
		if l.now < l.stopAt {
			if l.stats.Err = l.send(); l.stats.Err != nil {
				break
			}
		}
		if l.stats.Err = l.conn.Receive(l.wait(), receive); l.stats.Err != nil {
			break
		}
	}
	l.stats.Lost += uint64(l.taken) // the socket is gone
}

// send sends what pacing and the window allow now.
func (l *lane) send() error {
	due := l.window // without pacing: all that fits
	if l.rate > 0 {
		due = int(l.rate*l.now.Seconds()) + 1 - int(l.stats.Sent+l.stats.HeldBack)
	}
	for due > 0 && l.taken < l.window {
		n := min(due, l.window-l.taken, batch)
		if l.perConn > 0 {
			if l.left == 0 {
				if l.taken > 0 {
					return nil // for their answers the connection stays
				}
				if err := l.conn.(*tcpConn).redial(); err != nil {
					return err
				}
				l.left = l.perConn
			}
			n = min(n, l.left)
			l.left -= n
		}
		for i := range n {
			l.picks[i] = l.take()
			s := &l.slots[l.picks[i]]
			l.msgs[i] = s.query[:s.size]
		}
		sent, err := l.conn.Send(l.msgs[:n])
		at := time.Since(l.started)
		for i, p := range l.picks[:n] {
			if i < sent {
				l.queue(p, at)
			} else {
				l.putBack(p)
			}
		}
		l.stats.Sent += uint64(sent)
		due -= sent
		if err != nil {
			return err
		}
		if sent < n {
			return nil // the socket is full
		}
	}
	if l.rate > 0 && due > 0 {
		// Never sent: the server, or this machine, could not keep up. Counted,
		// since the latencies of the queries that were sent do not show it.
		l.stats.HeldBack += uint64(due)
	}
	return nil
}

// wait is how long to receive before there is something else to do.
func (l *lane) wait() time.Duration {
	wait := l.timeout
	if l.oldest >= 0 {
		wait = l.slots[l.oldest].sent + l.timeout - l.now
	}
	switch {
	case l.now >= l.stopAt: // only answers are left to come
	case l.rate > 0:
		next := float64(l.stats.Sent+l.stats.HeldBack) / l.rate
		wait = min(wait, time.Duration(next*float64(time.Second))-l.now, l.stopAt-l.now)
	case l.taken < l.window: // the socket was full
		wait = minWait
	default:
		wait = min(wait, l.stopAt-l.now)
	}
	return max(wait, minWait)
}

// receive judges one message from the server.
func (l *lane) receive(msg []byte, at time.Time) {
	if len(msg) < headerSize {
		l.stats.Unexpected++
		return
	}
	id := binary.BigEndian.Uint16(msg)
	index := int(id) & (len(l.slots) - 1)
	s := &l.slots[index]
	if !s.outstanding || s.id != id {
		l.stats.Unexpected++
		return
	}
	l.stats.Received++
	l.stats.Latency.Record(at.Sub(l.started) - s.sent)
	l.stats.Rcodes[msg[3]&0x0f]++
	if msg[2]&flagTC != 0 {
		l.stats.Truncated++
	}
	l.stats.Verdicts[l.check.check(s.query[:s.size], int(s.questionEnd), s.rcode, msg)]++
	l.release(index)
}

// expire gives up on queries older than the time-out.
func (l *lane) expire() {
	for l.oldest >= 0 && l.now-l.slots[l.oldest].sent >= l.timeout {
		l.stats.Lost++
		l.release(int(l.oldest))
	}
}

// take gets a free slot and writes the next query into it.
func (l *lane) take() uint16 {
	index := l.free[l.head]
	l.head = (l.head + 1) & (len(l.free) - 1)
	l.taken++
	s := &l.slots[index]
	s.id += uint16(len(l.slots))
	t := &l.templates[l.next]
	if l.next += l.step; l.next >= len(l.templates) {
		l.next -= len(l.templates)
	}
	s.size = uint16(t.fill(s.query[:], s.id, l.rng))
	s.questionEnd, s.rcode = uint16(t.questionEnd), t.rcode
	return index
}

// putBack frees a slot that take gave and whose query was not sent.
func (l *lane) putBack(index uint16) {
	l.taken--
	l.free[(l.head+len(l.free)-l.taken-1)&(len(l.free)-1)] = index
}

// queue makes a slot outstanding since at.
func (l *lane) queue(index uint16, at time.Duration) {
	s := &l.slots[index]
	s.sent, s.outstanding = at, true
	s.older, s.newer = l.newest, -1
	if l.newest >= 0 {
		l.slots[l.newest].newer = int32(index)
	} else {
		l.oldest = int32(index)
	}
	l.newest = int32(index)
}

// release frees an outstanding slot.
func (l *lane) release(index int) {
	s := &l.slots[index]
	if s.older >= 0 {
		l.slots[s.older].newer = s.newer
	} else {
		l.oldest = s.newer
	}
	if s.newer >= 0 {
		l.slots[s.newer].older = s.older
	} else {
		l.newest = s.older
	}
	s.outstanding = false
	l.putBack(uint16(index))
}
