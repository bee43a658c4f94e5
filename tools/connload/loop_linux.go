package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes of the protocols, in octets.
const (
	requestSize  = 100
	responseSize = 200
	datagramSize = 60
	bulkSize     = 256 << 10 // of one send
)

// role is what a descriptor is.
type role uint8

const (
	unused role = iota
	listening
	serving // a connection at a server
	asking  // a connection of a client
	udpServer
	udpClient
)

// conn is one descriptor.
type conn struct {
	role role
	at   uint16 // index of the server
	left int    // octets that are to come
	sent bool   // the request of a new connection is on its way
	busy bool   // a request is outstanding
	due  int64  // when the request was due, in nanoseconds of the loop's clock
}

// loop is the event loop.
type loop struct {
	options
	epoll    int
	conns    []conn // by descriptor
	target   unix.Sockaddr
	family   int
	buffer   []byte
	idle     []int32 // client descriptors without a request (open loop)
	took     []int64 // latencies, in nanoseconds
	counting bool
	done     uint64
	octets   uint64
	failed   map[string]uint64
	begun    uint64 // connections that clients began
	served   []uint64
	open     int // client connections that are established and were answered (idle)
	start    time.Time
	spinning bool
	refilled int64
}

func (l *loop) now() int64 { return int64(time.Since(l.start)) }

// load plays both ends, and reports what it saw; nil when it only served.
func load(o options, stdin io.Reader, stdout io.Writer) (*report, error) {
	l := &loop{options: o, buffer: make([]byte, bulkSize), failed: map[string]uint64{}, served: make([]uint64, len(o.serve)), start: time.Now()}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	defer l.close()
	if err := raiseLimit(2*o.conns + 64); err != nil {
		return nil, err
	}
	for i, at := range o.serve {
		if err := l.listen(i, at); err != nil {
			return nil, fmt.Errorf("serving at %v: %w", at, err)
		}
	}
	ended := make(chan struct{})
	if !o.target.IsValid() || o.mode == modeIdle {
		go func() { _, _ = io.Copy(io.Discard, stdin); close(ended) }() // ends with the input
	}
	if !o.target.IsValid() {
		fmt.Fprintln(stdout, "ready")
		return nil, l.until(func() bool { return isClosed(ended) })
	}
	l.target, l.family = sockaddr(o.target)
	if o.mode == modeIdle {
		return nil, l.holdIdle(stdout, ended)
	}
	if err := l.begin(); err != nil {
		return nil, err
	}
	l.spinning = o.rate > 0
	if err := l.paceUntilSeen(o.warm); err != nil {
		return nil, err
	}
	l.took = make([]int64, 0, 1<<20)
	clear(l.failed)
	l.done, l.octets = 0, 0
	begun := time.Now()
	if err := l.paceUntilSeen(o.duration); err != nil {
		return nil, err
	}
	return l.report(time.Since(begun)), nil
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// raiseLimit makes room for descriptors.
func raiseLimit(need int) error {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	if r.Cur = r.Max; r.Max < uint64(need) {
		return fmt.Errorf("%d descriptors are needed, and the hard limit is %d (ulimit -Hn)", need, r.Max)
	}
	return os.NewSyscallError("setrlimit", unix.Setrlimit(unix.RLIMIT_NOFILE, &r))
}

func sockaddr(at netip.AddrPort) (unix.Sockaddr, int) {
	if at.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}, unix.AF_INET6
}

// add has the loop know a descriptor.
func (l *loop) add(fd int, c conn, events uint32) error {
	for fd >= len(l.conns) {
		l.conns = append(l.conns, make([]conn, len(l.conns)+64)...)
	}
	l.conns[fd] = c
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events | unix.EPOLLET&0xffffffff, Fd: int32(fd)}))
}

func (l *loop) drop(fd int) {
	l.conns[fd] = conn{}
	_ = unix.Close(fd)
}

func (l *loop) close() {
	for fd := range l.conns {
		if l.conns[fd].role != unused {
			_ = unix.Close(fd)
		}
	}
	_ = unix.Close(l.epoll)
}

func (l *loop) listen(i int, at netip.AddrPort) error {
	addr, family := sockaddr(at)
	kind, what := unix.SOCK_STREAM, listening
	if l.mode == modeUDP {
		kind, what = unix.SOCK_DGRAM, udpServer
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := unix.Bind(fd, addr); err != nil {
		_ = unix.Close(fd)
		return os.NewSyscallError("bind", err)
	}
	if kind == unix.SOCK_STREAM {
		if err := unix.Listen(fd, 4096); err != nil {
			_ = unix.Close(fd)
			return os.NewSyscallError("listen", err)
		}
	} else {
		roomForDatagrams(fd)
	}
	return l.add(fd, conn{role: what, at: uint16(i)}, unix.EPOLLIN)
}

func roomForDatagrams(fd int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20) // less is no fault
	}
}

// begin opens the clients' side.
func (l *loop) begin() error {
	if l.mode == modeUDP {
		return l.beginUDP()
	}
	for range l.options.conns {
		if err := l.connect(); err != nil {
			return err
		}
	}
	return nil
}

// connect begins a connection; the request goes out when it is there.
func (l *loop) connect() error {
	fd, err := unix.Socket(l.family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	l.begun++
	if err := unix.Connect(fd, l.target); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return os.NewSyscallError("connect", err)
	}
	return l.add(fd, conn{role: asking, left: responseSize, busy: true, due: l.now()}, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP)
}

// patience is how much longer than it was told a measurement goes on if nothing
// at all came through: the machine may be busy.
const patience = 30 * time.Second

// paceUntilSeen runs the loop for that long, or longer until something came through.
func (l *loop) paceUntilSeen(length time.Duration) error {
	l.counting = true
	for end := time.Now().Add(length + patience); ; {
		if err := l.pace(length); err != nil || l.done > 0 || l.octets > 0 || len(l.failed) > 0 || time.Now().After(end) {
			return err
		}
	}
}

// pace runs the loop for that long. In an open loop it begins requests when they are due.
func (l *loop) pace(length time.Duration) error {
	end := l.now() + int64(length)
	if l.mode == modeUDP {
		return l.until(func() bool { l.refill(); return l.now() >= end })
	}
	if l.rate == 0 {
		return l.until(func() bool { return l.now() >= end })
	}
	step := int64(1e9 / l.rate)
	next := l.now()
	return l.until(func() bool {
		now := l.now()
		for ; next <= now && len(l.idle) > 0; next += step {
			fd := int(l.idle[0])
			l.idle = append(l.idle[:0], l.idle[1:]...)
			l.ask(fd, next)
		}
		return now >= end
	})
}

// until runs the loop until done says so.
func (l *loop) until(done func() bool) error {
	var events [256]unix.EpollEvent
	for !done() {
		wait := 5
		if l.spinning {
			wait = 0
		}
		n, err := unix.EpollWait(l.epoll, events[:], wait)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("epoll_wait", err)
		}
		for _, e := range events[:max(n, 0)] {
			if err := l.handle(int(e.Fd), e.Events); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *loop) handle(fd int, events uint32) error {
	switch c := &l.conns[fd]; c.role {
	case listening:
		return l.accept(fd, int(c.at))
	case serving:
		l.answer(fd, events)
	case asking:
		return l.receive(fd, events)
	case udpServer:
		return l.echo(fd, int(c.at))
	case udpClient:
		return l.exchange(fd)
	}
	return nil // closed by an event before this one
}

func (l *loop) accept(fd, at int) error {
	for {
		got, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ECONNABORTED), errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return os.NewSyscallError("accept4", err)
		}
		l.served[at]++
		_ = unix.SetsockoptInt(got, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		events := uint32(unix.EPOLLIN | unix.EPOLLRDHUP)
		if l.mode == modeDown {
			events |= unix.EPOLLOUT
		}
		if err := l.add(got, conn{role: serving, at: uint16(at), left: requestSize}, events); err != nil {
			return err
		}
	}
}

// discard reads what is there without copying it (MSG_TRUNC, tcp(7)). ended tells
// that nothing more will come.
func discard(fd, most int) (n int, ended bool, err error) {
	for n < most {
		got, _, e := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), 0, uintptr(most-n), unix.MSG_TRUNC|unix.MSG_DONTWAIT, 0, 0)
		switch {
		case e == unix.EAGAIN:
			return n, false, nil
		case e == unix.EINTR:
			continue
		case e != 0:
			return n, true, e
		case got == 0:
			return n, true, nil
		}
		n += int(got)
	}
	return n, false, nil
}

// answer is the server's side of a connection.
func (l *loop) answer(fd int, events uint32) {
	c := &l.conns[fd]
	switch l.mode {
	case modeUp:
		n, ended, _ := discard(fd, 1<<30)
		if l.counting {
			l.octets += uint64(n)
		}
		if ended {
			l.drop(fd)
		}
		return
	case modeDown:
		if !l.fill(fd) || events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			l.drop(fd)
		}
		return
	}
	for {
		n, ended, _ := discard(fd, c.left)
		if c.left -= n; ended {
			l.drop(fd)
			return
		}
		if c.left > 0 {
			return
		}
		c.left = requestSize
		if _, err := unix.Write(fd, l.buffer[:responseSize]); err != nil {
			l.drop(fd)
			return
		}
		if l.mode == modeShort {
			l.drop(fd)
			return
		}
	}
}

// fill sends until the socket takes no more. It reports false at an error.
func (l *loop) fill(fd int) bool {
	for {
		if _, err := unix.SendmsgN(fd, l.buffer, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT); err != nil {
			return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR)
		}
	}
}

// receive is the client's side of a connection.
func (l *loop) receive(fd int, events uint32) error {
	c := &l.conns[fd]
	if !c.sent && events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		if code, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); code != 0 {
			return l.fail(fd, "connect: "+unix.Errno(code).Error())
		}
		c.sent = true
		if l.mode != modeUp {
			if _, err := unix.Write(fd, l.buffer[:requestSize]); err != nil {
				return l.fail(fd, "request: "+err.Error())
			}
		}
	}
	if l.mode == modeUp && c.sent && events&unix.EPOLLOUT != 0 && !l.fill(fd) {
		return l.fail(fd, "sending")
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return nil
	}
	if l.mode == modeDown {
		n, ended, err := discard(fd, 1<<30)
		if l.counting {
			l.octets += uint64(n)
		}
		if ended {
			return l.fail(fd, fmt.Sprintf("ended: %v", err))
		}
		return nil
	}
	n, ended, err := discard(fd, c.left)
	if c.left -= n; l.counting {
		l.octets += uint64(n)
	}
	switch {
	case c.left > 0 && ended:
		return l.fail(fd, fmt.Sprintf("ended in the midst: %v", err))
	case c.left > 0:
		return nil
	}
	if l.mode == modeShort {
		if !ended {
			if _, ended, err = discard(fd, 1); !ended {
				return nil // the server's close is still to come
			}
		}
		if err != nil {
			return l.fail(fd, "close: "+err.Error())
		}
		l.count(c)
		l.drop(fd)
		return l.connect()
	}
	if !c.busy {
		return nil
	}
	l.count(c)
	c.busy, c.left = false, responseSize
	switch {
	case l.mode == modeIdle:
		l.open++
	case l.rate > 0:
		l.idle = append(l.idle, int32(fd))
	default:
		l.ask(fd, l.now())
	}
	return nil
}

// ask sends the next request over a kept connection.
func (l *loop) ask(fd int, due int64) {
	c := &l.conns[fd]
	c.busy, c.due = true, due
	if _, err := unix.Write(fd, l.buffer[:requestSize]); err != nil {
		_ = l.fail(fd, "request: "+err.Error())
	}
}

func (l *loop) count(c *conn) {
	if l.counting {
		l.done++
		if len(l.took) < cap(l.took) {
			l.took = append(l.took, l.now()-c.due)
		}
	}
}

// fail counts a connection that failed, and makes another.
func (l *loop) fail(fd int, why string) error {
	l.failed[why]++
	l.drop(fd)
	if l.mode == modeIdle {
		return fmt.Errorf("a connection failed: %s", why)
	}
	return l.connect()
}

// holdIdle opens the connections, a few at a time, and holds them.
func (l *loop) holdIdle(stdout io.Writer, ended chan struct{}) error {
	const atOnce = 64
	err := l.until(func() bool {
		for l.begun < uint64(l.options.conns) && l.begun-uint64(l.open) < atOnce {
			if err := l.connect(); err != nil {
				l.failed[err.Error()]++
				return true
			}
		}
		return l.open == l.options.conns || isClosed(ended)
	})
	if err == nil && len(l.failed) > 0 {
		err = fmt.Errorf("%v", l.failed)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "ready")
	return l.until(func() bool { return isClosed(ended) })
}

func (l *loop) report(length time.Duration) *report {
	r := &report{Mode: l.mode, Seconds: length.Seconds(), Done: l.done, Octets: l.octets, Servers: l.served, Reasons: l.failed}
	for _, n := range l.failed {
		r.Failed += n
	}
	r.Rate = float64(l.done) / r.Seconds
	slices.Sort(l.took)
	at := func(share float64) float64 {
		if len(l.took) == 0 {
			return 0
		}
		return float64(l.took[min(int(share*float64(len(l.took))), len(l.took)-1)]) / 1e3
	}
	r.Latency.P50, r.Latency.P90, r.Latency.P99, r.Latency.P999, r.Latency.Max = at(0.5), at(0.9), at(0.99), at(0.999), at(1)
	return r
}
