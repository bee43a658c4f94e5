package dnsserver

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loopListener is a listening socket of a tcpLoop.
type loopListener struct {
	fd      int
	name    string // for the process that takes over
	addr    netip.AddrPort
	queries *atomic.Uint64 // counts those that come this way
	six     bool
	burst   int           // how many are accepted in one go
	full    uint64        // the last round of the loop in which there were as many
	pause   time.Duration // how long it was left alone last
	until   int64         // as tcpLoop.now; 0: it is not left alone
}

const (
	// maxBurst is how many connections are accepted before others are served.
	maxBurst = 16
	// deferAccept is how many seconds a connection without a query may wait in the
	// system before the loop hears of it: mostly it comes with its query.
	deferAccept = 1
)

// listenLoops makes a listener at the address for as many loops, and the loops.
func (s *Server) listenLoops(configured string, ap netip.AddrPort, six bool, loops int, cpus, spread []int, inherited []*os.File) (netip.AddrPort, error) {
	for i := range loops {
		if i == len(s.loops) {
			cpu := -1
			if len(cpus) > 0 {
				cpu = cpus[i%len(cpus)]
			}
			l, err := newTCPLoop(s, i, cpu)
			if err != nil {
				return ap, err
			}
			s.loops = append(s.loops, l)
		}
		var fd int
		var err error
		if i < len(inherited) {
			fd, err = inheritListener(inherited[i])
		} else {
			fd, err = bindTCP(ap, six, i > 0, loops > 1)
		}
		if err != nil {
			return ap, err
		}
		if i == 0 {
			if ap, err = boundTo(fd, ap); err != nil {
				unix.Close(fd)
				return ap, err
			}
			if len(spread) > 0 {
				_ = spreadByCPU(fd, spread) // UDP's sockets tell of it
			}
		}
		if err := s.loops[i].add(&loopListener{fd: fd, name: inheritTCP + configured, addr: ap, six: six, burst: 1}); err != nil {
			return ap, err
		}
	}
	return ap, nil
}

// bindTCP makes a listening socket. Several share an address (SO_REUSEPORT), and
// the system spreads connections over them. The first of them says so only when
// it has the address: else two servers could run there and not know it.
func bindTCP(ap netip.AddrPort, six, again, reuse bool) (fd int, err error) {
	family := unix.AF_INET
	if six {
		family = unix.AF_INET6
	}
	// TCP by its number: some socket options do not exist on MPTCP sockets.
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	set := func(level, name, value int) {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, name, value))
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if six {
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if again {
		set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if err != nil {
		return fd, err
	}
	sa, err := sockaddr(ap, six)
	if err != nil {
		return fd, err
	}
	if err = os.NewSyscallError("bind", unix.Bind(fd, sa)); err != nil {
		return fd, err
	}
	if reuse && !again {
		set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	tuneTCP(fd)
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, math.MaxInt32)) // as many as net.core.somaxconn allows
	}
	return fd, err
}

// tuneTCP sets what connections inherit from their listener, or come by: nothing
// of it is needed.
func tuneTCP(fd int) {
	// Answers are gathered before they are sent: the system need not wait for more.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, deferAccept)
	// Clients that have been here before may send their query with the first
	// segment (RFC 7413), where net.ipv4.tcp_fastopen allows it.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, fastOpenQueue)
}

func sockaddr(ap netip.AddrPort, six bool) (unix.Sockaddr, error) {
	if !six {
		return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().Unmap().As4()}, nil
	}
	sa := &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16()}
	zone := ap.Addr().Zone()
	if zone == "" {
		return sa, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		sa.ZoneId = uint32(n)
		return sa, nil
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return nil, fmt.Errorf("interface %q: %w", zone, err)
	}
	sa.ZoneId = uint32(ifi.Index)
	return sa, nil
}

// boundTo is ap with the port that the socket got.
func boundTo(fd int, ap netip.AddrPort) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return ap, os.NewSyscallError("getsockname", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(ap.Addr().Unmap(), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(ap.Addr(), uint16(sa.Port)), nil
	}
	return ap, fmt.Errorf("a TCP socket has the address %v", sa)
}

// add takes a listener into the loop, which does not run yet.
func (l *tcpLoop) add(ln *loopListener) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(eventListener - len(l.listeners))}
	l.listeners = append(l.listeners, ln) // and so it is closed with the loop
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, ln.fd, &ev))
}

// accept takes connections that wait, and answers those whose query is there.
// Epoll tells of a listener again while there are more (level-triggered): looking
// for another one in vain costs more than being told, so that more are taken in
// one go only while there are more each time.
func (l *tcpLoop) accept(ln *loopListener) {
	for range ln.burst {
		fd, src, errno := l.acceptOne(ln)
		switch errno {
		case 0:
		case unix.EAGAIN:
			ln.burst = 1
			return
		case unix.EINTR, unix.ECONNABORTED, unix.EPROTO, unix.ENETDOWN, unix.ENOPROTOOPT, unix.EHOSTDOWN, unix.ENONET,
			unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH: // of that connection: accept(2)
			continue
		case unix.EMFILE, unix.ENFILE:
			if !anyoneWaits(ln.fd) || !l.outOfDescriptors(ln, errno) { // Linux looks for a descriptor first, whether anyone waits or not
				return
			}
			continue
		default:
			l.leaveAlone(ln, errno)
			return
		}
		ln.pause = 0
		if c := l.admit(ln, fd, src); c != nil {
			l.read(c, false)
		}
	}
	if ln.full == l.round-1 {
		ln.burst = min(2*ln.burst, maxBurst)
	}
	ln.full = l.round
}

// acceptOne takes one connection from the listener's queue.
func (l *tcpLoop) acceptOne(ln *loopListener) (int32, netip.AddrPort, syscall.Errno) {
	size := uint32(unsafe.Sizeof(l.peer))
	fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(ln.fd), uintptr(unsafe.Pointer(&l.peer)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, netip.AddrPort{}, errno
	}
	return int32(fd), sender(&l.peer), 0
}

// anyoneWaits tells whether a connection waits at a listening socket.
func anyoneWaits(fd int) bool {
	set := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	n, _, _ := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&set)), 1, uintptr(unsafe.Pointer(new(unix.Timespec))), 0, 0, 0)
	return n > 0
}

// admit makes a connection of an accepted socket, unless there are too many.
func (l *tcpLoop) admit(ln *loopListener, fd int32, src netip.AddrPort) *loopConn {
	cfg := &l.s.cfg
	if !l.s.tcp.take(src.Addr(), cfg.TCPMax, l.s.mostOf(src.Addr()), l) {
		unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
		return nil
	}
	if l.s.fronted(src.Addr()) {
		l.handFront(ln, fd, src)
		return nil
	}
	var c *loopConn
	if n := len(l.spare); n > 0 {
		c = l.conns[l.spare[n-1]]
		l.spare = l.spare[:n-1]
	} else {
		c = &loopConn{slot: int32(len(l.conns))}
		l.conns = append(l.conns, c)
	}
	c.fd, c.src, c.ln = fd, src, ln
	c.registered, c.last = false, false
	c.move(&l.idle, l.now)
	return c
}

// outOfDescriptors makes room for a connection: an idle one is closed for it, or
// it is told at once that it is not served. False when neither can be done.
func (l *tcpLoop) outOfDescriptors(ln *loopListener, errno syscall.Errno) bool {
	l.report("cannot accept a TCP connection", ln.addr, errno)
	if c := l.idle.head; c != nil {
		l.s.tcp.evicted.Add(1)
		l.close(c)
		return true
	}
	if l.reserve >= 0 {
		unix.Close(l.reserve)
		l.reserve = -1
		if fd, _, errno := l.acceptOne(ln); errno == 0 {
			l.s.tcp.refused.Add(1)
			unix.Close(int(fd))
		}
	}
	var err error
	if l.reserve, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		l.reserve = -1
		l.leaveAlone(ln, errno)
		return false
	}
	return true
}

// leaveAlone keeps a listener that cannot accept out of the loop for a while.
func (l *tcpLoop) leaveAlone(ln *loopListener, errno syscall.Errno) {
	ln.pause = nextPause(ln.pause)
	ln.until = l.now + int64(ln.pause)
	l.paused++
	l.listen(ln, 0)
	l.report("cannot accept a TCP connection", ln.addr, errno)
}

// resume takes listeners back that were left alone for long enough.
func (l *tcpLoop) resume() {
	for _, ln := range l.listeners {
		if ln.until > 0 && ln.until <= l.now {
			ln.until = 0
			l.paused--
			l.listen(ln, unix.EPOLLIN)
		}
	}
}

func (l *tcpLoop) listen(ln *loopListener, events uint32) {
	for i := range l.listeners {
		if l.listeners[i] == ln {
			ev := unix.EpollEvent{Events: events, Fd: int32(eventListener - i)}
			_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, ln.fd, &ev) // it is in the set
		}
	}
}

// report tells of a fault, at most once a second.
func (l *tcpLoop) report(what string, addr netip.AddrPort, errno syscall.Errno) {
	if l.lastReport > 0 && l.now-l.lastReport < int64(time.Second) {
		return
	}
	l.lastReport = max(l.now, 1)
	l.s.log.Warn(what, "address", addr, "error", error(errno), "open", l.s.tcp.open.Load())
}
