package dnsserver

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	loopRead = 16 << 10 // octets of a read
	// turnShare is how much of one connection is read before others get their turn.
	turnShare = 64 << 10
	// smallHeld is the room for a message that has begun, unless it needs more, and
	// smallKept how many such are kept for the next ones.
	smallHeld = 2 << 10
	smallKept = 64
)

// loopConn is one connection of a tcpLoop; used again by later ones. It is in the
// list idle from its beginning and since its last answer, as long as its client
// takes the answers, and in the list stuck while its client does not.
type loopConn struct {
	fd         int32 // -1: not in use
	slot       int32 // in tcpLoop.conns
	turn       int32 // which connection of this slot it is
	registered bool  // epoll tells of it
	last       bool  // to be closed when its answers are sent
	ln         *loopListener
	src        netip.AddrPort
	since      int64 // as tcpLoop.now
	list       *connList
	next, prev *loopConn

	begun []byte // message that has begun, with its length before it; nil: none
	// Of a connection that is stuck: what is to be sent, and what is not yet answered.
	out, left []byte
}

// connRef is a connection that may be closed meanwhile.
type connRef struct {
	c    *loopConn
	turn int32
}

// connList has connections in the order of since.
type connList struct {
	head, tail *loopConn
	since      atomic.Int64 // of the first, for other loops; 0: there is none
}

// move puts c at the end of a list, as of now.
func (c *loopConn) move(to *connList, now int64) {
	c.unlink()
	c.since, c.list, c.prev = now, to, to.tail
	if to.tail != nil {
		to.tail.next = c
	} else {
		to.head = c
		to.since.Store(now)
	}
	to.tail = c
}

func (c *loopConn) unlink() {
	list := c.list
	if list == nil {
		return
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		list.tail = c.prev
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else if list.head = c.next; c.next != nil {
		list.since.Store(c.next.since)
	} else {
		list.since.Store(0)
	}
	c.list, c.next, c.prev = nil, nil, nil
}

func (c *loopConn) stuck() bool { return c.out != nil }

// read reads and answers until there is no more, or the turn is over. Epoll is
// edge-triggered and a short read means that there is no more (epoll(7)), but for
// the end of the stream: toEnd makes sure of that.
func (l *tcpLoop) read(c *loopConn, toEnd bool) {
	for share := 0; share < turnShare; {
		room := l.in
		if c.begun != nil {
			room = l.rest(c)
		}
		n, errno := receive(c.fd, room)
		if errno == unix.EINTR {
			continue
		}
		if errno == unix.EAGAIN {
			l.finish(c)
			return
		}
		share += n
		if errno != 0 || n == 0 || !l.received(c, room[:n]) {
			c.last = true
			l.finish(c)
			return
		}
		if c.stuck() || c.fd < 0 {
			return
		}
		if n < len(room) && !toEnd {
			l.finish(c)
			return
		}
	}
	if l.finish(c); c.fd >= 0 && !c.stuck() {
		l.unread = append(l.unread, connRef{c, c.turn})
	}
}

// received takes what was read into its place; false when there is no point in
// going on.
func (l *tcpLoop) received(c *loopConn, b []byte) bool {
	if c.begun == nil {
		return l.answer(c, b)
	}
	c.begun = c.begun[:len(c.begun)+len(b)]
	if len(c.begun) < whole(c.begun) {
		return true
	}
	m := c.begun
	c.begun = nil
	ok := l.answer(c, m)
	l.give(m)
	return ok
}

// whole is how many octets the message has that b begins with, its length
// included, as far as is known.
func whole(b []byte) int {
	if len(b) < 2 {
		return 2
	}
	return 2 + int(binary.BigEndian.Uint16(b))
}

// rest is the room for what the message that has begun still lacks.
func (l *tcpLoop) rest(c *loopConn) []byte {
	have, want := len(c.begun), whole(c.begun)
	if want > cap(c.begun) {
		l.begin(c, c.begun)
	}
	return c.begun[have:want]
}

// begin keeps b, which is not a whole message, until the rest comes.
func (l *tcpLoop) begin(c *loopConn, b []byte) {
	old := c.begun
	want := whole(b)
	if n := len(l.small); want <= smallHeld && n > 0 {
		c.begun = l.small[n-1][:0]
		l.small = l.small[:n-1]
	} else {
		c.begun = make([]byte, 0, max(want, smallHeld))
	}
	c.begun = append(c.begun, b...)
	l.give(old)
}

// give gives a buffer back that begin took.
func (l *tcpLoop) give(b []byte) {
	if cap(b) == smallHeld && len(l.small) < smallKept {
		l.small = append(l.small, b)
	}
}

// answer answers all messages in b that are whole (RFC 1035, section 4.2.2) and
// keeps the rest; false when there is no point in going on. Behind it the
// connection may be stuck, or no longer be the loop's.
func (l *tcpLoop) answer(c *loopConn, b []byte) bool {
	answered := 0
	for len(b) >= 2 {
		n := whole(b)
		if n > len(b) {
			break
		}
		at := l.end + 2
		reply := l.s.answer(l.w, b[2:n], c.src, true, l.out[at:at:at+maxMessage+maxRecordHead])
		if len(reply) == 0 && l.w.handed {
			c.ln.queries.Add(uint64(answered))
			l.handOver(c, b)
			return true
		}
		answered++
		b = b[n:]
		if len(reply) == 0 { // not DNS
			c.ln.queries.Add(uint64(answered))
			return false
		}
		binary.BigEndian.PutUint16(l.out[l.end:], uint16(len(reply)))
		if l.end = at + len(reply); l.end > tcpGather {
			c.ln.queries.Add(uint64(answered))
			answered = 0
			c.move(&l.idle, l.now)
			if !l.flush(c) {
				return false
			}
			if c.stuck() {
				c.left = append([]byte(nil), b...)
				return true
			}
		}
	}
	if answered > 0 {
		c.ln.queries.Add(uint64(answered))
		c.move(&l.idle, l.now)
	}
	if len(b) > 0 {
		l.begin(c, b)
	}
	return true
}

// finish ends the turn of a connection: its answers are sent, and it is closed or
// waits for its client.
func (l *tcpLoop) finish(c *loopConn) {
	if c.fd < 0 {
		return
	}
	if !l.flush(c) || c.last && !c.stuck() {
		l.close(c)
		return
	}
	if !c.registered && !c.stuck() {
		l.watch(c, unix.EPOLLIN|unix.EPOLLRDHUP)
	}
}

// flush sends the answers that are ready; what the client does not take is kept,
// and it is not read from until it has. False when it has gone.
func (l *tcpLoop) flush(c *loopConn) bool {
	if l.end == 0 {
		return true
	}
	l.w.publish() // before anything is sent
	b := l.out[:l.end]
	l.end = 0
	n, errno := send(c.fd, b)
	if errno != 0 && errno != unix.EAGAIN {
		return false
	}
	if n < len(b) {
		c.out = append([]byte(nil), b[n:]...)
		c.move(&l.stuck, l.now)
		l.watch(c, unix.EPOLLOUT)
	}
	return c.fd >= 0
}

// unstick sends more to a client that did not take all of its answers, and when
// it has, goes on with what was received meanwhile.
func (l *tcpLoop) unstick(c *loopConn) {
	n, errno := send(c.fd, c.out)
	if errno != 0 && errno != unix.EAGAIN {
		l.close(c)
		return
	}
	if c.out = c.out[n:]; len(c.out) > 0 {
		return
	}
	c.out = nil
	c.move(&l.idle, l.now)
	if left := c.left; left != nil {
		c.left = nil
		if !l.answer(c, left) {
			c.last = true
		}
		if c.stuck() || c.fd < 0 {
			return
		}
	}
	if l.finish(c); c.fd >= 0 && !c.stuck() {
		l.watch(c, unix.EPOLLIN|unix.EPOLLRDHUP) // tells again of what is there
	}
}

// watch makes epoll tell of the events.
func (l *tcpLoop) watch(c *loopConn, events uint32) {
	op := unix.EPOLL_CTL_MOD
	if !c.registered {
		op = unix.EPOLL_CTL_ADD
		c.registered = true
	}
	ev := unix.EpollEvent{Events: events | unix.EPOLLET, Fd: c.slot, Pad: c.turn}
	if _, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(l.epoll), uintptr(op), uintptr(c.fd), uintptr(unsafe.Pointer(&ev)), 0, 0); errno != 0 {
		l.report("cannot watch a TCP connection", c.src, errno)
		l.close(c)
	}
}

// close ends a connection, if it is not closed. It leaves the epoll set with its
// descriptor.
func (l *tcpLoop) close(c *loopConn) {
	if c.fd < 0 {
		return
	}
	// The client learns of it last: when it comes again, other loops must not
	// count this connection any more, nor take this loop for the one to evict from.
	fd, addr := c.fd, c.src.Addr()
	l.forget(c)
	l.s.tcp.give(addr)
	unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}

// forget makes room for another connection in the place of one that is closed,
// or in other hands.
func (l *tcpLoop) forget(c *loopConn) {
	c.unlink()
	l.give(c.begun)
	c.begun, c.out, c.left = nil, nil, nil
	c.fd = -1
	c.turn++
	l.spare = append(l.spare, c.slot)
}

func receive(fd int32, b []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// send gives as much as the system takes.
func send(fd int32, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
