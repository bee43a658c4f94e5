package balancer

import "golang.org/x/sys/unix"

// greet reads what a client says before a server is picked for it. late: it has had
// its time. What is the server's waits in the way's buffer, as what a server does not
// take does.
func (l *loop) greet(c *loopConn, late bool) {
	w, s := &c.ways[clientEnd], &c.socks[clientEnd]
	if w.held == nil {
		w.held = l.chunk(nil)
	}
	h := w.held
	for {
		n, errno := receive(s.fd, h.b[h.end:])
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			s.ready = false
		case errno != 0:
			l.end(c, endClientReset)
			return
		case n == 0:
			w.eof = true
		}
		h.end += n
		over := late && errno == unix.EAGAIN || w.eof
		skip, next := c.pre.look(c.connection, h.b[h.at:h.end], over, h.end == len(h.b))
		h.at += skip
		switch {
		case next == stepServer:
			l.greeted(c)
			return
		case next == stepReset:
			l.leave(c, resetFD)
			return
		}
		if h.at > 0 {
			h.end, h.at = copy(h.b[:], h.b[h.at:h.end]), 0
		}
		if errno == unix.EAGAIN {
			if h.end == 0 { // nothing is held for those who say nothing
				w.held = nil
				l.keep(h)
			}
			l.watch(c, clientEnd, false)
			return
		}
	}
}

// greeted finds a server for a connection whose preamble is over.
func (l *loop) greeted(c *loopConn) {
	l.unset(c)
	w := &c.ways[clientEnd]
	if h := w.held; h.at == h.end {
		w.held = nil
		l.keep(h)
	}
	c.pre, c.cfg, c.sought, c.state = nil, c.front.config(), l.now, statePausing
	l.seek(c)
}
