package balancer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gslb/handover"
)

// datagramLoops is the engine for UDP on Linux: for each thread a socket at the
// address (SO_REUSEPORT has a client's datagrams always come to the same one),
// an epoll set, and the sessions of its clients, which nobody else touches. Many
// datagrams are taken and sent in one call (recvmmsg, sendmmsg).
type datagramLoops struct {
	log *slog.Logger
	wg  sync.WaitGroup
}

func (d *datagramLoops) start() {}

func (d *datagramLoops) stop() { d.wg.Wait() }

// datagramBatch is how many datagrams one call takes or sends.
const datagramBatch = 32

// loopReceiver is the sockets of one address.
type loopReceiver struct {
	engine *datagramLoops
	at     *net.UDPAddr
	loops  []*datagramLoop
	begun  bool
}

func (d *datagramLoops) listen(at place, sockets []*os.File) (acceptor, error) {
	address, threads := at.address, at.threads
	if threads == 0 {
		threads = runtime.NumCPU()
	}
	r := &loopReceiver{engine: d}
	open := func(i int) (int, error) {
		if sockets != nil {
			return handover.Duplicate(sockets[i])
		}
		if i > 0 { // the port may have been the system's choice
			address = r.at.String()
		}
		return datagramSocket(address, i > 0, at.freebind)
	}
	if sockets != nil {
		threads = len(sockets)
	}
	for i := range threads {
		fd, err := open(i)
		if err != nil {
			r.close()
			return nil, err
		}
		l, err := newDatagramLoop(d, fd)
		if err != nil {
			r.close()
			return nil, err
		}
		r.loops = append(r.loops, l)
		r.at = net.UDPAddrFromAddrPort(localAddress(int32(fd)))
	}
	return r, nil
}

// datagramSocket opens one. Others may have the same address only when the first
// has it: else two processes could listen there and not know it.
func datagramSocket(address string, again, free bool) (int, error) {
	fd := -1
	lc := net.ListenConfig{Control: func(network, address string, raw syscall.RawConn) (err error) {
		if free {
			if err := freebindControl(network, address, raw); err != nil {
				return err
			}
		}
		if again {
			err = raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		}
		return err
	}}
	c, err := lc.ListenPacket(context.Background(), "udp"+network(address)[len("tcp"):], address)
	if err != nil {
		return -1, err
	}
	defer c.Close()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		return -1, err
	}
	var fault error
	if err := raw.Control(func(from uintptr) {
		unix.SetsockoptInt(int(from), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		if unix.SetsockoptInt(int(from), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, datagramRoom) != nil {
			unix.SetsockoptInt(int(from), unix.SOL_SOCKET, unix.SO_RCVBUF, datagramRoom) // less is no fault
		}
		fd, fault = duplicate(int(from))
	}); err != nil {
		return -1, err
	}
	return fd, fault
}

// datagramRoom is the receive buffer of a listening socket: a burst of thousands.
const datagramRoom = 4 << 20

func (r *loopReceiver) addr() net.Addr { return r.at }

func (r *loopReceiver) sockets() ([]*os.File, error) {
	var all []*os.File
	for _, l := range r.loops {
		fd, err := duplicate(l.fd)
		if err != nil {
			return all, err
		}
		all = append(all, os.NewFile(uintptr(fd), "udp"))
	}
	return all, nil
}

func (r *loopReceiver) start(front *atomic.Pointer[frontend]) {
	r.begun = true
	for _, l := range r.loops {
		l.front = front
		r.engine.wg.Go(l.run)
	}
}

// close has the loops take no more from clients, and end.
func (r *loopReceiver) close() {
	for _, l := range r.loops {
		if !r.begun {
			l.release()
			continue
		}
		l.closing.Store(true)
		l.wake()
	}
}

// datagramLoop is one socket with its sessions.
type datagramLoop struct {
	engine   *datagramLoops
	fd       int // to clients
	epoll    int
	bell     int // an eventfd: something was ordered
	wildcard bool
	local    netip.AddrPort
	front    *atomic.Pointer[frontend]
	closing  atomic.Bool

	sessions map[sessionKey]*loopSession
	byFD     []*loopSession
	oldest   loopSession // a ring: next is the session that was silent for longest
	now      instant
	in, out  *datagrams
	pending  int // answers in out

	mu      sync.Mutex
	aborted []*loopSession // guarded by mu
}

// loopSession is a session of a loop.
type loopSession struct {
	session
	loop       *datagramLoop
	fd         int // to its server
	name       unix.RawSockaddrInet6
	size       uint32
	control    [datagramControl]byte // where answers leave from
	controlLen int
	prev, next *loopSession
	ended      bool
}

// abort asks the loop to end the session.
func (s *loopSession) abort() {
	s.loop.mu.Lock()
	s.loop.aborted = append(s.loop.aborted, s)
	s.loop.mu.Unlock()
	s.loop.wake()
}

func newDatagramLoop(d *datagramLoops, fd int) (*datagramLoop, error) {
	l := &datagramLoop{engine: d, fd: fd, epoll: -1, bell: -1, sessions: map[sessionKey]*loopSession{}, local: localAddress(int32(fd))}
	l.oldest.prev, l.oldest.next = &l.oldest, &l.oldest
	l.wildcard = l.local.Addr().IsUnspecified()
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
		l.bell, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	}
	if err == nil {
		err = l.watch(fd, unix.EPOLLIN)
	}
	if err == nil {
		err = l.watch(l.bell, unix.EPOLLIN)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err == nil && l.wildcard {
		err = tellWhere(fd)
	}
	if err != nil {
		l.release()
		return nil, fmt.Errorf("listening on %v: %w", l.local, err)
	}
	return l, nil
}

func (l *datagramLoop) watch(fd int, events uint32) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events | 1<<31, Fd: int32(fd)})) // 1<<31: EPOLLET
}

func (l *datagramLoop) wake() {
	one := [8]byte{1}
	_, _ = unix.Write(l.bell, one[:])
}

// release gives back what the loop holds.
func (l *datagramLoop) release() {
	for _, fd := range []int{l.fd, l.epoll, l.bell} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// run serves until the listener is closed and the last session has ended. A panic
// ends the sessions of the loop and is told; the loop goes on.
func (l *datagramLoop) run() {
	defer l.release()
	for !l.attempt() {
	}
}

func (l *datagramLoop) attempt() (over bool) {
	defer func() {
		if r := recover(); r != nil {
			l.engine.log.Error("balancer: a loop for datagrams has panicked; its sessions end, and it goes on", "listen", l.local.String(), "panic", fmt.Sprint(r))
			l.pending = 0
			for s := l.oldest.next; s != &l.oldest; s = l.oldest.next {
				s.blame(endCut)
				l.end(s)
			}
		}
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l.in, l.out = newDatagrams(l.wildcard), newDatagrams(l.wildcard)
	var events [64]unix.EpollEvent
	for closedAt := instant(0); ; {
		l.now = instantNow()
		n, err := unix.EpollWait(l.epoll, events[:], l.patience(closedAt != 0))
		if err != nil && err != unix.EINTR {
			l.engine.log.Error("balancer: a loop for datagrams cannot wait", "listen", l.local.String(), "error", err)
			time.Sleep(100 * time.Millisecond)
		}
		l.now = instantNow()
		for _, e := range events[:max(n, 0)] {
			switch fd := int(e.Fd); fd {
			case l.fd:
				if closedAt == 0 {
					l.fromClients()
				}
			case l.bell:
				var count [8]byte
				_, _ = unix.Read(l.bell, count[:])
				l.endAborted()
			default:
				if fd < len(l.byFD) && l.byFD[fd] != nil {
					l.fromServer(l.byFD[fd])
				}
			}
		}
		l.flush()
		if l.closing.Load() && closedAt == 0 {
			closedAt = l.now
		}
		l.expire(closedAt != 0)
		if closedAt != 0 && l.oldest.next == &l.oldest {
			return true
		}
	}
}

// patience is how many milliseconds nothing needs to be done.
func (l *datagramLoop) patience(closing bool) int {
	s := l.oldest.next
	if s == &l.oldest {
		return 1000
	}
	return int(min(max(time.Duration(s.latest.Load()-l.now)+l.limit(s, closing), 0)/time.Millisecond+1, time.Second/time.Millisecond))
}

// limit is how long a session may be silent.
func (l *datagramLoop) limit(s *loopSession, closing bool) time.Duration {
	if closing {
		return sessionsEnd
	}
	return s.front.config().IdleTimeout
}

// expire ends the sessions that were silent for too long.
func (l *datagramLoop) expire(closing bool) {
	for s := l.oldest.next; s != &l.oldest && time.Duration(l.now-s.latest.Load()) >= l.limit(s, closing); s = l.oldest.next {
		if closing {
			s.blame(endServer)
		} else {
			s.blame(endIdle)
		}
		l.end(s)
	}
}

func (l *datagramLoop) endAborted() {
	l.mu.Lock()
	all := l.aborted
	l.aborted = nil
	l.mu.Unlock()
	for _, s := range all {
		if !s.ended {
			l.end(s)
		}
	}
}

// used moves the session behind all others.
func (l *datagramLoop) used(s *loopSession) {
	if last := l.oldest.prev; last != s {
		if s.next != nil {
			s.prev.next, s.next.prev = s.next, s.prev
		}
		s.prev, s.next = last, &l.oldest
		last.next, l.oldest.prev = s, s
	}
}

// end ends a session.
func (l *datagramLoop) end(s *loopSession) {
	s.ended = true
	s.prev.next, s.next.prev = s.next, s.prev
	if l.sessions[s.key] == s {
		delete(l.sessions, s.key)
	}
	l.byFD[s.fd] = nil
	unix.Close(s.fd)
	s.finish(l.now)
}

// fromClients passes on what clients have sent, runs of one session in one call.
func (l *datagramLoop) fromClients() {
	for range 16 { // then sessions and orders have their turn; the set is edge-triggered, so what is left is asked for again
		n, _ := l.in.take(l.fd, datagramBatch)
		var key sessionKey // of slot i
		if n > 0 {
			key = l.keyOf(0)
		}
		for i := 0; i < n; {
			s, next := l.find(key, i), key
			run := i + 1
			for ; run < n; run++ {
				if next = l.keyOf(run); s == nil || next != key {
					break
				}
			}
			if s != nil {
				l.toServer(s, i, run)
			}
			i, key = run, next
		}
		if n < datagramBatch {
			return
		}
	}
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, l.fd, &unix.EpollEvent{Events: unix.EPOLLIN | 1<<31, Fd: int32(l.fd)})
}

// keyOf tells whose the datagram in a slot is.
func (l *datagramLoop) keyOf(slot int) sessionKey {
	key := sessionKey{client: readAddress(&l.in.names[slot])}
	if l.wildcard {
		key.local = l.in.local(slot)
	}
	return key
}

// find returns the session of the datagram in a slot, whose key it is, a new one if there is none;
// nil if it is to be dropped.
func (l *datagramLoop) find(key sessionKey, slot int) *loopSession {
	if !key.client.IsValid() || key.client.Port() == 0 {
		return nil // nowhere to answer to
	}
	s := l.sessions[key]
	if s != nil && s.stays() {
		return s
	}
	var tried []*server
	if s != nil {
		tried = []*server{s.to}
		s.blame(endCut)
		l.end(s)
	}
	f := l.front.Load()
	local := l.local
	if l.wildcard {
		local = netip.AddrPortFrom(key.local, local.Port())
	}
	return l.begin(f, key, flow{client: key.client, local: local}, slot, tried)
}

// begin makes a session.
func (l *datagramLoop) begin(f *frontend, key sessionKey, from flow, slot int, tried []*server) *loopSession {
	to, seat, t := f.openSession(from, tried)
	if to == nil {
		return nil
	}
	fd, err := dialDatagrams(to.address)
	if err == nil {
		if err = l.watch(fd, unix.EPOLLIN); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		f.giveUpSession(to, seat)
		return nil
	}
	s := &loopSession{loop: l, fd: fd, name: l.in.names[slot], size: l.in.headers[slot].header.Namelen}
	if l.wildcard {
		s.controlLen = copy(s.control[:], l.in.replyFrom(slot))
	}
	for fd >= len(l.byFD) {
		l.byFD = append(l.byFD, make([]*loopSession, len(l.byFD)+64)...)
	}
	l.byFD[fd], l.sessions[key] = s, s
	l.used(s)
	if !s.begin(f, key, from, to, seat, t, s, l.now) {
		l.end(s)
		return nil
	}
	return s
}

// dialDatagrams makes a socket that is connected to a server.
func dialDatagrams(address string) (int, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil { // a name: as rare as a new session of it
		c, err := net.Dial("udp", address)
		if err != nil {
			return -1, err
		}
		defer c.Close()
		at = c.RemoteAddr().(*net.UDPAddr).AddrPort()
	}
	var sa unix.Sockaddr = &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16(), ZoneId: scopeOf(at.Addr().Zone())}
	family := unix.AF_INET6
	if addr := at.Addr().Unmap(); addr.Is4() {
		sa, family = &unix.SockaddrInet4{Port: int(at.Port()), Addr: addr.As4()}, unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, sa); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// toServer sends the datagrams of slots i to end.
func (l *datagramLoop) toServer(s *loopSession, i, end int) {
	l.used(s)
	octets := 0
	for at := i; at < end; {
		sent, errno := l.in.pass(s.fd, at, end)
		switch errno {
		case 0:
			for j := at; j < at+sent; j++ {
				octets += int(l.in.headers[j].size)
			}
			at += sent
		case unix.EINTR:
		default:
			s.front.counters.dropped.Add(1)
			if at++; isUnreachable(errno) {
				s.front.counters.dropped.Add(int64(end - at))
				s.unreachable(errno)
				l.end(s)
				return
			}
		}
	}
	s.moved(true, octets, l.now)
}

// fromServer collects what a server has sent.
func (l *datagramLoop) fromServer(s *loopSession) {
	for range 16 {
		room := datagramBatch - l.pending
		if room < datagramBatch/4 {
			l.flush()
			room = datagramBatch
		}
		n, errno := l.out.takeAt(s.fd, l.pending, room)
		if errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
			if isUnreachable(errno) {
				s.unreachable(errno)
			}
			l.end(s)
			return
		}
		octets := 0
		last := false
		for i := l.pending; i < l.pending+n; i++ {
			octets += int(l.out.headers[i].size)
			l.out.address(i, s)
		}
		if n > 0 {
			l.used(s)
			if s.left > 0 {
				s.left -= n - 1
				s.left = max(s.left, 1)
			}
			last = s.heard(octets, l.now)
		}
		l.pending += n
		if last {
			s.blame(endServer)
			l.end(s)
			return
		}
		if n < room {
			return
		}
	}
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN | 1<<31, Fd: int32(s.fd)})
}

// flush sends the answers that were collected.
func (l *datagramLoop) flush() {
	for at := 0; at < l.pending; {
		sent, errno := l.out.send(l.fd, at, l.pending)
		switch errno {
		case 0:
			at += sent
		case unix.EINTR:
		default: // what the system does not take is lost, as the network would lose it
			l.front.Load().counters.dropped.Add(1)
			at++
		}
	}
	l.pending = 0
}

// datagrams are the buffers of a batch.
type datagrams struct {
	headers [datagramBatch]batchHeader
	vectors [datagramBatch]unix.Iovec
	names   [datagramBatch]unix.RawSockaddrInet6 // large enough for both families
	control [datagramBatch][datagramControl]byte
	data    []byte
	where   bool // control messages tell where a datagram was sent to
}

// batchHeader is struct mmsghdr of recvmmsg(2).
type batchHeader struct {
	header unix.Msghdr
	size   uint32
	_      [4]byte
}

// datagramControl is room for one IP_PKTINFO or IPV6_PKTINFO.
const datagramControl = 64

// datagramStride keeps slots apart: at a power of two all would want the same
// sets of the cache. Memory that no datagram was long enough for is never touched.
const datagramStride = datagramSize + 3*64

func newDatagrams(where bool) *datagrams {
	d := &datagrams{data: make([]byte, datagramBatch*datagramStride), where: where}
	for i := range d.headers {
		d.vectors[i].Base = &d.data[i*datagramStride]
		d.headers[i].header.Iov = &d.vectors[i]
		d.headers[i].header.SetIovlen(1)
	}
	return d
}

// take receives from clients, with where they are.
func (d *datagrams) take(fd, most int) (int, syscall.Errno) {
	for i := range most {
		h := &d.headers[i].header
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&d.names[i])), unix.SizeofSockaddrInet6
		h.Control = nil
		h.SetControllen(0)
		if d.where {
			h.Control = &d.control[i][0]
			h.SetControllen(datagramControl)
		}
		d.vectors[i].SetLen(datagramSize)
	}
	return d.call(unix.SYS_RECVMMSG, fd, 0, most)
}

// takeAt receives from a server into the slots from at on.
func (d *datagrams) takeAt(fd, at, most int) (int, syscall.Errno) {
	for i := at; i < at+most; i++ {
		h := &d.headers[i].header
		h.Name, h.Namelen, h.Control = nil, 0, nil
		h.SetControllen(0)
		d.vectors[i].SetLen(datagramSize)
	}
	return d.call(unix.SYS_RECVMMSG, fd, at, most)
}

// pass sends slots from at to end over a connected socket, as long as they are.
func (d *datagrams) pass(fd, at, end int) (int, syscall.Errno) {
	for i := at; i < end; i++ {
		h := &d.headers[i].header
		h.Name, h.Namelen, h.Control = nil, 0, nil
		h.SetControllen(0)
		d.vectors[i].SetLen(int(d.headers[i].size))
	}
	return d.call(unix.SYS_SENDMMSG, fd, at, end-at)
}

// address has the datagram in a slot go to the session's client.
func (d *datagrams) address(i int, s *loopSession) {
	h := &d.headers[i].header
	d.names[i] = s.name
	h.Name, h.Namelen, h.Control = (*byte)(unsafe.Pointer(&d.names[i])), s.size, nil
	h.SetControllen(0)
	if s.controlLen > 0 {
		d.control[i] = s.control
		h.Control = &d.control[i][0]
		h.SetControllen(s.controlLen)
	}
	d.vectors[i].SetLen(int(d.headers[i].size))
}

// send sends the slots from at to end, each to its own address.
func (d *datagrams) send(fd, at, end int) (int, syscall.Errno) {
	return d.call(unix.SYS_SENDMMSG, fd, at, end-at)
}

func (d *datagrams) call(number uintptr, fd, at, n int) (int, syscall.Errno) {
	got, _, errno := unix.RawSyscall6(number, uintptr(fd), uintptr(unsafe.Pointer(&d.headers[at])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(got), 0
}

// tellWhere asks for the address that each datagram was sent to.
func tellWhere(fd int) error {
	err4 := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	err6 := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	if err4 != nil && err6 != nil {
		return os.NewSyscallError("setsockopt", err4)
	}
	return nil
}

// sentTo gives the address that a datagram was sent to, and the control message to answer from there.
func (d *datagrams) sentTo(slot int) (local netip.Addr, reply []byte) {
	h := &d.headers[slot].header
	rest := d.control[slot][:h.Controllen]
	for len(rest) >= unix.SizeofCmsghdr {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&rest[0]))
		if c.Len < unix.SizeofCmsghdr || int(c.Len) > len(rest) {
			break
		}
		data := rest[unix.CmsgLen(0):c.Len]
		switch {
		case c.Level == unix.IPPROTO_IP && c.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
			local = netip.AddrFrom4(info.Addr)
			info.Spec_dst, info.Ifindex = info.Addr, 0
			return local, rest[:unix.CmsgSpace(unix.SizeofInet4Pktinfo)]
		case c.Level == unix.IPPROTO_IPV6 && c.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
			local = netip.AddrFrom16(info.Addr)
			if !local.IsLinkLocalUnicast() {
				info.Ifindex = 0
			}
			return local.Unmap(), rest[:unix.CmsgSpace(unix.SizeofInet6Pktinfo)]
		}
		rest = rest[min(len(rest), unix.CmsgSpace(int(c.Len)-unix.CmsgLen(0))):]
	}
	return local, nil
}

func (d *datagrams) local(slot int) netip.Addr {
	local, _ := d.sentTo(slot)
	return local
}

func (d *datagrams) replyFrom(slot int) []byte {
	_, reply := d.sentTo(slot)
	return reply
}
