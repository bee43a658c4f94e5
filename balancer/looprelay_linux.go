package balancer

import (
	"time"

	"golang.org/x/sys/unix"
)

// chunk is bytes that an end has not taken yet.
type chunk struct {
	at, end int
	b       [bufferSize]byte
}

const (
	turnShare  = 1 << 20 // bytes of one way that are moved before others get their turn
	keptChunks = 64
)

// tell serves what epoll says of an end.
func (l *loop) tell(c *loopConn, at end, events uint32) {
	s := &c.socks[at]
	switch c.state {
	case stateConnecting:
		if at != serverEnd {
			break
		}
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			if errno := socketError(s.fd); errno != 0 {
				l.connectFailed(c, unixConnect(errno))
				return
			}
		}
		if events&unix.EPOLLOUT == 0 {
			return
		}
		l.note(s, events)
		l.connected(c)
		return
	case statePreamble:
		l.note(s, events)
		l.greet(c, false)
		return
	case stateQueued:
		if at == clientEnd && events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			l.end(c, endClientReset)
			return
		}
	}
	l.note(s, events)
	if c.state != stateRelaying {
		return
	}
	if events&unix.EPOLLERR != 0 && c.ways[at].done { // nobody would find it out by reading
		c.blameReset(at == clientEnd)
		l.pass(c, at)
		return
	}
	turn := c.turn
	if events&unix.EPOLLOUT != 0 && s.blocked {
		s.blocked = false
		l.pump(c, 1-at)
		if c.turn != turn || c.state != stateRelaying {
			return
		}
	}
	if s.ready {
		l.pump(c, at)
	}
}

// note keeps what events say of an end until it is read from.
func (l *loop) note(s *sock, events uint32) {
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR|unix.EPOLLPRI) != 0 {
		s.ready = true
	}
	if events&(unix.EPOLLERR|unix.EPOLLPRI) != 0 { // a reset; or urgent data, which a read stops at
		s.exact = true
	}
	if events&unix.EPOLLRDHUP != 0 {
		s.hup = true
	}
}

// pump moves what an end has, until there is no more, the other end takes no
// more, or its turn is over.
func (l *loop) pump(c *loopConn, from end) {
	w, src, dst := &c.ways[from], &c.socks[from], &c.socks[1-from]
	turnOf := c.turn
	before := w.moved
	for c.turn == turnOf && c.state == stateRelaying && !w.done {
		switch {
		case w.held != nil || w.pipe != nil && w.pipe.held > 0:
			if dst.blocked || !l.push(c, from) {
				return
			}
		case w.eof:
			l.give(w)
			l.finish(c, from)
			return
		case !src.ready:
			l.give(w)
			return
		case w.moved-before >= turnShare:
			l.again = append(l.again, turn{c, c.turn, from})
			l.give(w)
			return
		case w.bulk:
			l.pullPipe(c, from)
		default:
			l.pull(c, from)
		}
	}
}

// pull reads once from an end, and writes that to the other.
func (l *loop) pull(c *loopConn, from end) {
	w, src, dst := &c.ways[from], &c.socks[from], &c.socks[1-from]
	n, errno := receive(src.fd, l.buf[:])
	switch {
	case errno == unix.EAGAIN:
		src.ready, w.full = false, 0
		return
	case errno == unix.EINTR:
		return
	case errno != 0:
		c.blameReset(from == clientEnd)
		l.pass(c, from)
		return
	case n == 0:
		w.eof = true
		return
	}
	if n == len(l.buf) {
		if w.full++; w.full == spliceAfter {
			w.full, w.bulk = 0, true
		}
	} else {
		w.full = 0
		switch { // a short read means that there is no more (epoll(7))
		case src.exact:
		case src.hup:
			w.eof = true
		default:
			src.ready = false
		}
	}
	l.count(c, from, n)
	l.hurry(c, from)
	sent, errno := transmit(dst.fd, l.buf[:n])
	switch {
	case errno == unix.EAGAIN, errno == unix.EINTR:
	case errno != 0:
		l.breakOff(c, from)
		return
	}
	if sent < n {
		w.held = l.chunk(l.buf[sent:n])
		l.block(c, from)
	}
}

// count counts bytes that came from an end.
func (l *loop) count(c *loopConn, from end, n int) {
	c.connection.moved(from == clientEnd, n, l.now)
	c.ways[from].moved += int64(n)
	c.busy = true
}

// hurry has the server's socket send what it gets at once. The first time there is
// nothing before it that it would wait for, and many a connection needs no second.
// (The client's socket has that from its listener.)
func (l *loop) hurry(c *loopConn, from end) {
	if from == clientEnd && !c.prompt {
		if c.ways[from].full > 0 || c.ways[from].moved > int64(bufferSize) || c.half || c.ways[serverEnd].moved > 0 {
			c.prompt = true
			setOption(c.socks[serverEnd].fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
			return
		}
	}
}

// block waits until the end that gets what comes from this one takes more.
func (l *loop) block(c *loopConn, from end) {
	c.socks[1-from].blocked = true
	l.watch(c, 1-from, true)
}

// push writes what is held. It reports false when the other end takes no more, or is dead.
func (l *loop) push(c *loopConn, from end) bool {
	w, dst := &c.ways[from], &c.socks[1-from]
	if w.held == nil {
		return l.pushPipe(c, from)
	}
	h := w.held
	n, errno := transmit(dst.fd, h.b[h.at:h.end])
	switch errno {
	case 0:
		c.busy = true
	case unix.EINTR:
		return true
	case unix.EAGAIN:
	default:
		l.breakOff(c, from)
		return false
	}
	if h.at += n; h.at < h.end {
		l.block(c, from)
		return false
	}
	w.held = nil
	l.keep(h)
	return true
}

// finish passes the end of one end on to the other, behind all its bytes.
func (l *loop) finish(c *loopConn, from end) {
	w, other := &c.ways[from], &c.ways[1-from]
	w.done = true
	switch {
	case c.broken: // the end that silence follows was a reset, seen when writing to it
		l.pass(c, from)
	case other.done:
		c.blameFinish(from == clientEnd)
		l.leave(c, closeFD)
	default:
		c.blameFinish(from == clientEnd)
		if _, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(c.socks[1-from].fd), unix.SHUT_WR, 0); errno != 0 {
			c.blameReset(from != clientEnd)
			c.broken = true // that end is dead; the other way finds out when it has read the rest
			l.readOut(c, 1-from)
			return
		}
		c.half, c.quiet, c.acked = true, 0, 0
		if c.strict != nil {
			c.strict.turned()
		}
		l.set(c, c.soon())
	}
}

// breakOff ends the way from an end, whose other end is dead: what that has still
// sent goes on.
func (l *loop) breakOff(c *loopConn, from end) {
	w, other := &c.ways[from], &c.ways[1-from]
	c.blameReset(from != clientEnd)
	l.drop(w)
	w.done, c.broken = true, true
	if other.done {
		l.pass(c, serverEnd)
		return
	}
	l.readOut(c, 1-from)
}

// readOut reads on from an end that is dead, soon, and to its end.
func (l *loop) readOut(c *loopConn, from end) {
	s := &c.socks[from]
	s.ready, s.exact = true, true
	l.again = append(l.again, turn{c, c.turn, from})
}

// pass passes a reset of one end on to the other, behind the bytes that that still
// has to take.
func (l *loop) pass(c *loopConn, dead end) {
	c.conclude(l.now)
	c.state, c.dead = stateFlushing, dead
	c.since = l.now
	l.flushed(c)
}

// flushed ends a connection as soon as the end that hears a reset has taken all that
// was written, or has had its time.
func (l *loop) flushed(c *loopConn) {
	if unsentFD(c.socks[1-c.dead].fd) == 0 || l.now-c.since >= int64(flushMost) {
		l.leave(c, resetFD)
		return
	}
	c.pause = min(max(2*c.pause, time.Millisecond), 50*time.Millisecond)
	l.set(c, c.pause)
}

// chunk takes bytes that have to wait.
func (l *loop) chunk(b []byte) *chunk {
	var h *chunk
	if n := len(l.chunks); n > 0 {
		h = l.chunks[n-1]
		l.chunks = l.chunks[:n-1]
	} else {
		h = new(chunk)
	}
	h.at, h.end = 0, copy(h.b[:], b)
	return h
}

func (l *loop) keep(h *chunk) {
	if len(l.chunks) < keptChunks {
		l.chunks = append(l.chunks, h)
	}
}

// drop gives back what a way holds, with what is in it.
func (l *loop) drop(w *way) {
	if w.held != nil {
		l.keep(w.held)
		w.held = nil
	}
	if w.pipe != nil {
		if w.pipe.held > 0 {
			w.pipe.close()
			w.pipe = nil
		}
		l.give(w)
	}
}
