package balancer

import (
	"errors"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gslb/proxyproto"
)

// attempt is what a connection remembers that got no server at once.
type attempt struct {
	tried    []*server
	connects int
	pause    time.Duration
	giveUp   int64 // as loop.now; no connect is begun later
	patience time.Duration
	waiter   *waiter // in the queue, or given a server that is on its way
	since    int64   // when it came in
}

var errConnectTimeout = os.ErrDeadlineExceeded

// attempt returns c's, which it may not have yet.
func (c *loopConn) attempt() *attempt {
	if c.try == nil {
		c.try = &attempt{pause: pauseFirst, giveUp: c.sought + int64(connectsTime*c.cfg.ConnectTimeout), patience: c.cfg.QueueTimeout}
	}
	return c.try
}

// seek begins to connect c to a server, waits for one, or gives up. It is
// portable.connect in parts.
func (l *loop) seek(c *loopConn) {
	for {
		var tried []*server
		if a := c.try; a != nil {
			if tried = a.tried; a.connects >= connectsMost || a.connects > 0 && l.now > a.giveUp {
				l.end(c, endRefused)
				return
			}
		}
		s, full := c.front.pool.take(c.from, tried)
		switch {
		case s != nil:
			if l.dial(c, s) {
				return
			}
		case full != nil:
			l.enqueue(c, full)
			return
		case len(tried) > 0:
			// All refused. One may be just restarting, or a spare be on its way in.
			c.try.tried = tried[:0]
			l.rest(c)
			return
		default:
			l.end(c, endRefused)
			return
		}
	}
}

// rest has c try again after a pause.
func (l *loop) rest(c *loopConn) {
	a := c.attempt()
	c.state = statePausing
	l.set(c, a.pause)
	a.pause *= 2
}

// dial begins a connect to s, where c has a place. It reports false when another
// server is to be sought at once.
func (l *loop) dial(c *loopConn, s *server) bool {
	c.server, c.dialed = s, l.now
	if c.try != nil && c.try.connects > 0 {
		c.front.counters.retried.Add(1)
	}
	if !s.at.IsValid() {
		l.resolve(c)
		return true
	}
	size, family := putAddress(&l.peer, s.at)
	fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if errno != 0 {
		return l.failed(c, os.NewSyscallError("socket", errno))
	}
	c.socks[serverEnd] = sock{fd: int32(fd)}
	if c.cfg.Transparent {
		if err := l.assume(int32(fd), c.from.client.Addr(), family == unix.AF_INET); err != nil {
			return l.failed(c, err)
		}
	}
	_, _, errno = unix.RawSyscall(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&l.peer)), uintptr(size))
	if errno != 0 && errno != unix.EINPROGRESS {
		return l.failed(c, os.NewSyscallError("connect", errno))
	}
	c.state = stateConnecting
	l.set(c, c.cfg.ConnectTimeout)
	l.watch(c, serverEnd, true) // tells of the connect's end, as there is room to write
	return true
}

// connected goes on with a connection whose server has accepted.
func (l *loop) connected(c *loopConn) {
	s := c.server
	if portIsEphemeral(s.at.Port()) && localAddress(c.socks[serverEnd].fd) == s.at {
		// It is connected to itself: nobody listens at that port of this machine, and
		// the connect got it as its own.
		l.connectFailed(c, os.NewSyscallError("connect", unix.ECONNREFUSED))
		return
	}
	c.front.pool.connected(s, time.Duration(l.now-c.dialed))
	if c.cfg.SendProxy != "" && !c.from.local.IsValid() { // it costs a call, and nobody else has asked for it
		c.from.local = localAddress(c.socks[clientEnd].fd)
	}
	if !c.serve(s, l.now) {
		l.end(c, endCut)
		return
	}
	if c.cfg.SendProxy != "" && !l.introduce(c) {
		return
	}
	if h := c.ways[clientEnd].held; h != nil { // read before, when there was no server
		l.count(c, clientEnd, h.end-h.at)
	}
	c.try = nil
	c.state = stateRelaying
	if limitsOf(c.cfg).strict() {
		c.strict = new(vigil)
	}
	l.set(c, c.soon())
	// What the client has sent is mostly there already: epoll is asked to tell of it
	// only when it has been read.
	c.socks[clientEnd].ready = true
	turn := c.turn
	l.pump(c, clientEnd)
	if c.turn == turn && c.state == stateRelaying && l.watch(c, clientEnd, false) && c.socks[serverEnd].ready {
		l.pump(c, serverEnd)
	}
}

// introduce sends the header that tells the server of its client. The socket is
// new: there is room for it. It reports false if the connection has ended.
func (l *loop) introduce(c *loopConn) bool {
	var room [proxyproto.MostSent]byte
	header := proxyproto.Append(room[:0], c.cfg.SendProxy, c.from.client, c.from.local)
	n, errno := transmit(c.socks[serverEnd].fd, header)
	if errno == 0 && n == len(header) {
		return true
	}
	l.end(c, endServerReset)
	return false
}

// connectFailed goes on after a connect that has failed.
func (l *loop) connectFailed(c *loopConn, err error) {
	if !l.failed(c, err) {
		l.seek(c)
	}
}

// failed takes in that a connect did. It reports false when another server is to
// be sought at once, and true when that comes by itself.
func (l *loop) failed(c *loopConn, err error) bool {
	s, a, p := c.server, c.attempt(), c.front.pool
	l.unset(c)
	if fd := c.socks[serverEnd].fd; fd >= 0 {
		closeFD(fd)
	}
	c.socks[serverEnd] = sock{fd: -1}
	c.server = nil
	a.connects++
	p.release(s)
	if !ownFault(err) {
		p.failed(s, dialError(s, err))
		a.tried = append(a.tried, s)
		return false
	}
	c.front.counters.localErrors.Add(1)
	if errors.Is(err, syscall.EADDRNOTAVAIL) { // no port is left here for this server; for others there may be
		a.tried = append(a.tried, s)
		return false
	}
	l.rest(c)
	return true
}

// dialError says what net.Dial would.
func dialError(s *server, err error) error {
	if op := new(net.OpError); errors.As(err, &op) {
		return err
	}
	e := &net.OpError{Op: "dial", Net: "tcp", Err: err}
	if s.at.IsValid() {
		e.Addr = net.TCPAddrFromAddrPort(s.at)
	}
	return e
}

// resolve has a goroutine connect to a server whose address is a name.
func (l *loop) resolve(c *loopConn) {
	c.state = stateResolving
	s, turn, d := c.server, c.turn, dialer(c.cfg, c.from, c.server)
	d.Control = assuming(c.cfg, nil)
	l.engine.wg.Go(func() {
		fd := -1
		conn, err := d.Dial("tcp", s.address)
		if err == nil {
			onSocket(conn.(*net.TCPConn), func(own int) { fd, err = duplicate(own) })
			conn.Close()
		}
		l.post(func() { l.resolved(c, turn, int32(fd), err) })
	})
}

func (l *loop) resolved(c *loopConn, turn, fd int32, err error) {
	switch {
	case c.turn != turn || c.state != stateResolving:
		if fd >= 0 {
			closeFD(fd)
		}
	case err != nil:
		l.connectFailed(c, err)
	default:
		c.socks[serverEnd] = sock{fd: fd}
		if l.watch(c, serverEnd, true) {
			l.connected(c)
		}
	}
}

// enqueue has c wait for a server with room; full is one that has none.
func (l *loop) enqueue(c *loopConn, full *server) {
	a, turn := c.attempt(), c.turn
	w := &waiter{from: c.from, tried: slices.Clone(a.tried), want: full}
	front := c.front
	w.got = func(s *server) { l.post(func() { l.gotServer(c, turn, w, front, s) }) }
	a.waiter, a.since = w, l.now
	c.state = stateQueued
	if !front.pool.await(w, &front.counters) {
		a.waiter = nil
		l.end(c, endRefused)
		return
	}
	l.set(c, a.patience)
	l.watch(c, clientEnd, false) // who leaves the queue is in nobody's way
}

// gotServer gives c, if it still waits, a place at s; nil: the queue was given up.
func (l *loop) gotServer(c *loopConn, turn int32, w *waiter, front *frontend, s *server) {
	if c.turn != turn || c.state != stateQueued || c.try.waiter != w {
		if s != nil {
			front.pool.release(s)
		}
		return
	}
	a := c.try
	a.waiter = nil
	l.unset(c)
	if s == nil {
		l.end(c, endRefused)
		return
	}
	waited := l.now - a.since
	a.giveUp, a.patience = a.giveUp+waited, max(0, a.patience-time.Duration(waited))
	if !l.dial(c, s) {
		l.seek(c)
	}
}

// tire ends the wait of a client that has waited for too long, unless its server is
// on its way.
func (l *loop) tire(c *loopConn) {
	if c.front.pool.tire(c.try.waiter, &c.front.counters) {
		c.try.waiter = nil
		l.end(c, endRefused)
	}
}
