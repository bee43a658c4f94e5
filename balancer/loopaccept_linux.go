package balancer

import (
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loopListener is a listening socket of a loop.
type loopListener struct {
	loop   *loop
	fd     int32
	front  *atomic.Pointer[frontend]
	index  int32
	burst  int           // how many are accepted in one go
	shared bool          // other loops take connections from the same socket
	on     bool          // epoll tells of it
	closed bool          // and must not be used any more
	full   bool          // the frontend has no room
	pause  time.Duration // how long it was left alone last
	until  int64         // as loop.now; 0: it is not left alone
}

// burstMost is how many connections are accepted before others are served.
const burstMost = 16

// open takes a listener into the loop.
func (l *loop) open(ln *loopListener) {
	ln.index = -1
	for i, other := range l.listeners {
		if other == nil {
			ln.index = int32(i)
		}
	}
	if ln.index < 0 {
		ln.index = int32(len(l.listeners))
		l.listeners = append(l.listeners, nil)
	}
	l.listeners[ln.index] = ln
	l.hear(ln)
}

// hear makes epoll tell of connections at a listener, or no more.
func (l *loop) hear(ln *loopListener) {
	want := !ln.closed && !ln.full && ln.until == 0
	if want == ln.on {
		return
	}
	ln.on = want
	op, events := unix.EPOLL_CTL_DEL, uint32(unix.EPOLLIN)
	if want {
		op = unix.EPOLL_CTL_ADD
	}
	if ln.shared {
		events |= unix.EPOLLEXCLUSIVE
	}
	if errno := l.control(op, ln.fd, events, eventListener-ln.index, 0); errno != 0 {
		l.warn("balancer: cannot watch a listener", ln.front.Load().name, errno)
		if want {
			ln.on = false
			l.leaveAlone(ln)
		}
	}
}

func (l *loop) control(op int, fd int32, events uint32, what, turn int32) syscall.Errno {
	ev := unix.EpollEvent{Events: events, Fd: what, Pad: turn}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(l.epoll), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	return errno
}

// shut takes those who wait at a listener, as far as there is room for them, and closes it.
func (l *loop) shut(ln *loopListener) {
	for l.acceptOne(ln) == 0 {
	}
	ln.closed = true
	if ln.until > 0 {
		ln.until = 0
		l.paused--
	}
	l.hear(ln)
	closeFD(ln.fd)
	l.listeners[ln.index] = nil
}

// accept takes connections that wait. Epoll tells of a listener again while there
// are more (level-triggered): looking for another one in vain costs more than being
// told, so that more are taken in one go only while there are more each time.
func (l *loop) accept(ln *loopListener) {
	for range ln.burst {
		switch errno := l.acceptOne(ln); errno {
		case 0:
			ln.pause = 0
		case unix.EAGAIN:
			ln.burst = 1
			return
		case errFull:
			return
		case unix.EINTR, unix.ECONNABORTED, unix.EPROTO, unix.ENETDOWN, unix.ENOPROTOOPT, unix.EHOSTDOWN, unix.ENONET,
			unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH: // of that connection: accept(2)
		default: // mostly EMFILE or ENFILE: descriptors come back as connections end
			f := ln.front.Load()
			f.counters.acceptErrors.Add(1)
			l.warn("balancer: cannot accept; will go on trying", f.name, errno)
			l.leaveAlone(ln)
			return
		}
	}
	ln.burst = min(2*ln.burst, burstMost)
}

// errFull says that the frontend has as many connections as it may.
const errFull = unix.EBUSY

// acceptOne takes one connection from the listener's queue, if its frontend has
// room for it.
func (l *loop) acceptOne(ln *loopListener) syscall.Errno {
	f := ln.front.Load()
	if !f.gate.try(true, nil) && !f.gate.try(true, func() { l.post(func() { l.roomAt(ln) }) }) {
		ln.full = true
		l.hear(ln)
		return errFull
	}
	size := uint32(unsafe.Sizeof(l.peer))
	fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(ln.fd), uintptr(unsafe.Pointer(&l.peer)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		f.gate.leave()
		return errno
	}
	f.counters.accepted.Add(1)
	l.begin(f, int32(fd), readAddress(&l.peer))
	return 0
}

// roomAt listens again where a frontend has room again, or the listener is another's.
func (l *loop) roomAt(ln *loopListener) {
	ln.full = false
	l.hear(ln)
}

// begin makes a connection of an accepted socket, which has a place in f's gate.
func (l *loop) begin(f *frontend, fd int32, client netip.AddrPort) {
	from, cfg := flow{client: client}, f.config()
	if cfg.HashBy == HashConnection {
		from.local = localAddress(fd)
	}
	pre, seat, admitted := f.meet(from)
	if !admitted {
		f.gate.leave()
		resetFD(fd)
		return
	}
	c := l.table.take(l)
	c.connection = new(connection)
	c.socks = [2]sock{{fd: fd}, {fd: -1}}
	c.cfg, c.sought = cfg, l.now
	if pre != nil {
		c.openUnknown(f, from, seat, c, l.now)
		c.pre, c.state = pre, statePreamble
		l.set(c, cfg.PreambleTimeout)
		l.greet(c, false)
		return
	}
	c.open(f, from, seat, c, l.now)
	c.state = statePausing
	l.seek(c)
}

// leaveAlone keeps a listener that cannot accept out of the loop for a while.
func (l *loop) leaveAlone(ln *loopListener) {
	if ln.until == 0 {
		l.paused++
	}
	ln.pause = nextPause(ln.pause)
	ln.until = l.now + int64(ln.pause)
	l.hear(ln)
}

// resume takes listeners back that were left alone for long enough.
func (l *loop) resume() {
	for _, ln := range l.listeners {
		if ln != nil && ln.until > 0 && ln.until <= l.now {
			ln.until = 0
			l.paused--
			l.hear(ln)
		}
	}
}

// warn logs a fault, once in a while.
func (l *loop) warn(what, front string, errno syscall.Errno) {
	if l.warned > 0 && l.now-l.warned < int64(warnEvery) {
		return
	}
	l.warned = max(l.now, 1)
	l.log.Warn(what, "frontend", front, "loop", l.index, "connections", l.table.live, "error", error(errno))
}
