package balancer

import (
	"math/bits"
	"time"
)

// wheel has the time-outs of a loop's connections: a ring of lists, one for each
// unit of time. What is due later than the ring is long waits at its far end and is
// put in again, so a wheel suits times of up to about its length.
type wheel struct {
	unit  int64 // nanoseconds
	at    int64 // the last unit that has passed
	count int
	used  [wheelSlots / 64]uint64 // a bit for each list that is not empty
	lists [wheelSlots]*loopConn
}

const (
	wheelSlots = 1024
	fineUnit   = int64(4 * time.Millisecond)
	coarseUnit = int64(time.Second)
	// fineMost is what the fine wheel is for: longer times may be late by a second.
	fineMost = int64(3 * time.Second)
)

// timer is a connection's place in a wheel.
type timer struct {
	due        int64 // as loop.now; 0: not in a wheel
	in         *wheel
	slot       int16
	prev, next *loopConn
}

// set has l.fire(c) be called after a time.
func (l *loop) set(c *loopConn, after time.Duration) {
	l.unset(c)
	w := &l.fine
	if int64(after) > fineMost {
		w = &l.coarse
	}
	c.due = l.now + int64(after)
	w.add(c, l.now)
}

func (l *loop) unset(c *loopConn) {
	if c.timer.in != nil {
		c.timer.in.remove(c)
	}
}

func (w *wheel) add(c *loopConn, now int64) {
	if w.count == 0 {
		w.at = now / w.unit
	}
	unit := (c.due + w.unit - 1) / w.unit
	unit = min(max(unit, w.at+1), w.at+wheelSlots-1)
	slot := unit % wheelSlots
	head := w.lists[slot]
	c.timer.in, c.timer.slot, c.timer.prev, c.timer.next = w, int16(slot), nil, head
	if head != nil {
		head.timer.prev = c
	}
	w.lists[slot] = c
	w.used[slot/64] |= 1 << (slot % 64)
	w.count++
}

func (w *wheel) remove(c *loopConn) {
	t := &c.timer
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else if w.lists[t.slot] = t.next; t.next == nil {
		w.used[t.slot/64] &^= 1 << (t.slot % 64)
	}
	w.count--
	*t = timer{}
}

// first is when the first list is due; 0: there is none.
func (w *wheel) first() int64 {
	if w.count == 0 {
		return 0
	}
	begin := (w.at + 1) % wheelSlots
	for i := range int64(len(w.used)) + 1 {
		word := (begin/64 + i) % int64(len(w.used))
		set := w.used[word]
		switch i {
		case 0:
			set &= ^uint64(0) << (begin % 64)
		case int64(len(w.used)):
			set &= 1<<(begin%64) - 1
		}
		if set != 0 {
			slot := word*64 + int64(bits.TrailingZeros64(set))
			ahead := (slot - begin + wheelSlots) % wheelSlots
			return (w.at + 1 + ahead) * w.unit
		}
	}
	return 0
}

// expire fires what is due.
func (w *wheel) expire(l *loop) {
	to := l.now / w.unit
	if w.count == 0 || to <= w.at {
		return
	}
	from := max(w.at, to-wheelSlots)
	for unit := from + 1; unit <= to; unit++ {
		slot := unit % wheelSlots
		w.at = unit
		for c := w.lists[slot]; c != nil; c = w.lists[slot] {
			due := c.due
			w.remove(c)
			if due > l.now && due > unit*w.unit {
				c.due = due
				w.add(c, l.now)
				continue
			}
			l.fire(c)
		}
	}
}

// fire does what a connection's time-out is for.
func (l *loop) fire(c *loopConn) {
	switch c.state {
	case stateConnecting:
		l.connectFailed(c, errConnectTimeout)
	case statePreamble:
		l.greet(c, true)
	case statePausing:
		l.seek(c)
	case stateQueued:
		l.tire(c)
	case stateRelaying:
		l.look(c)
	case stateFlushing:
		l.flushed(c)
	}
}

// look ends a connection that is idle for too long: at four looks in a row, four
// of which are a time-out, nothing had moved. (By the clock alone a machine that
// stood still would end all connections at once.) A slow reader moves no bytes here
// for as long as it takes to empty its socket's buffer, so what the ends acknowledge
// counts, too.
func (l *loop) look(c *loopConn) {
	limit, why := c.limit(), endOpen
	switch {
	case c.strict != nil:
		acked := acknowledgedFD(c.socks[clientEnd].fd) + acknowledgedFD(c.socks[serverEnd].fd)
		why = c.strict.look(c.connection, limitsOf(c.cfg), c.half, acked)
	case c.busy:
		c.busy, c.quiet, c.acked = false, 0, 0
	case !c.kept && limit/4 > firstLook: // too early to count
	default:
		acked := 1 + acknowledgedFD(c.socks[clientEnd].fd) + acknowledgedFD(c.socks[serverEnd].fd)
		if c.quiet++; acked != c.acked && c.acked != 0 {
			c.quiet = 0
		}
		c.acked = acked
	}
	switch {
	case c.quiet >= 4 && c.half:
		why = endHalf
	case c.quiet >= 4:
		why = endIdle
	}
	if why != endOpen {
		l.end(c, why)
		return
	}
	if !c.kept {
		c.kept = true
		for _, o := range c.cfg.keepAlives() {
			setOption(c.socks[serverEnd].fd, o.level, o.name, int32(o.value))
		}
	}
	if c.strict != nil {
		limit = 4 * limitsOf(c.cfg).every(c.half)
	}
	l.set(c, limit/4)
}

// soon is when to look at c at first, or after it was half-closed.
func (c *loopConn) soon() time.Duration {
	if c.strict != nil {
		return limitsOf(c.cfg).every(c.half)
	}
	return min(c.limit()/4, firstLook)
}

// limit is how long c may be idle.
func (c *loopConn) limit() time.Duration {
	if c.half {
		return c.cfg.CloseTimeout
	}
	return c.cfg.IdleTimeout
}

// firstLook is when a connection is looked at first: then its server's socket gets
// keep-alives, which are no use before, and cost short connections four calls.
const firstLook = 15 * time.Second
