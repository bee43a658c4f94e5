package dnsserver

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gslb/waits"
)

// canEpoll tells whether this system has event loops for TCP.
const canEpoll = true

// tcpLoop serves many TCP connections by itself, without a goroutine for each
// and without the runtime's poller: it accepts from a listener of its own at each
// address (SO_REUSEPORT), and all its sockets are in one epoll(7) set. No call but
// epoll_wait waits, so that none needs to be known to the scheduler; a busy loop
// keeps its P even while it waits (see batchSocket).
//
// One goroutine owns everything but the atomic fields.
type tcpLoop struct {
	wait      waits.Epoll
	s         *Server
	w         *responder
	ctx       context.Context // of serve, for others
	others    *sync.WaitGroup // those who go on with connections
	shard     int             // of what is counted by choice
	cpu       int             // to serve on; -1: any
	listeners []*loopListener
	epoll     int
	wake      int // eventfd that ends the wait
	reserve   int // descriptor that is given up to turn a connection away when there is none left
	stopped   atomic.Bool
	crowded   atomic.Bool // there are too many connections in all: close some that are idle

	began  time.Time
	now    int64  // nanoseconds since began, as of this round
	round  uint64 // counts the waits
	conns  []*loopConn
	spare  []int32 // of conns, those that are not in use
	idle   connList
	stuck  connList
	unread []connRef // connections with more to read than was their turn
	served []connRef // room for the next of unread
	small  [][]byte  // buffers of smallHeld octets
	events [128]unix.EpollEvent
	in     []byte
	out    []byte // out[:end] are answers to be sent, each with its length before it
	end    int

	paused     int   // listeners that are left alone for a while
	lastReport int64 // of a listener that cannot accept, as now
	peer       unix.RawSockaddrInet6
}

// What an event's Fd says besides the index of a connection.
const (
	eventWake     = -1
	eventListener = -2 // and below, by index
)

// newTCPLoop makes a loop without listeners.
func newTCPLoop(s *Server, shard, cpu int) (*tcpLoop, error) {
	l := &tcpLoop{s: s, shard: shard, cpu: cpu, epoll: -1, wake: -1, reserve: -1, began: s.began}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		l.reserve, err = unix.Eventfd(0, unix.EFD_CLOEXEC)
	}
	if err == nil {
		err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: eventWake})
	}
	if err != nil {
		l.free()
		return nil, os.NewSyscallError("a TCP event loop", err)
	}
	return l, nil
}

// stop makes the loop end soon.
func (l *tcpLoop) stop() {
	l.stopped.Store(true)
	l.poke()
}

// poke ends the wait of the loop.
func (l *tcpLoop) poke() {
	one := [8]byte{1}
	_, _ = unix.Write(l.wake, one[:])
}

// free closes what the loop has; it must not run.
func (l *tcpLoop) free() {
	for _, ln := range l.listeners {
		unix.Close(ln.fd)
	}
	l.listeners = nil
	for _, fd := range []*int{&l.epoll, &l.wake, &l.reserve} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// serve runs the loop until it is stopped or its epoll set fails. Connections that
// others go on with end in wg.
func (l *tcpLoop) serve(ctx context.Context, wg *sync.WaitGroup) error {
	l.ctx, l.others = ctx, wg
	l.s.pin(l.cpu)
	if l.w == nil {
		l.prepare()
	}
	defer l.wait.Release()
	for !l.stopped.Load() {
		n, errno := l.wait.Wait(l.epoll, l.events[:], l.timeout())
		if errno != 0 && errno != unix.EINTR {
			return os.NewSyscallError("epoll_wait", errno)
		}
		l.now = int64(time.Since(l.began))
		l.round++
		for i := range n {
			l.event(&l.events[i])
		}
		l.goOn()
		l.expire()
		if l.paused > 0 {
			l.resume()
		}
	}
	for _, c := range l.conns {
		if c.fd >= 0 {
			l.close(c)
		}
	}
	return nil
}

// prepare gets what serving needs, beside descriptors.
func (l *tcpLoop) prepare() {
	l.w = l.s.responder(l.shard, l.s.newCounters())
	l.w.batched, l.w.signs = true, signsApart
	for _, ln := range l.listeners {
		ln.queries = &l.w.count.queries[tcp4]
		if ln.six {
			ln.queries = &l.w.count.queries[tcp6]
		}
	}
	l.in, l.out = make([]byte, loopRead), make([]byte, tcpOut)
}

// event serves what epoll has told of.
func (l *tcpLoop) event(ev *unix.EpollEvent) {
	switch {
	case ev.Fd >= 0:
		c := l.conns[ev.Fd]
		if c.turn != ev.Pad || c.fd < 0 { // closed meanwhile, and perhaps in use again
			return
		}
		if c.stuck() {
			l.unstick(c)
			return
		}
		l.read(c, ev.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
	case ev.Fd == eventWake:
		var b [8]byte
		_, _ = unix.Read(l.wake, b[:])
		if l.crowded.Swap(false) {
			l.makeRoom()
		}
	default:
		l.accept(l.listeners[eventListener-ev.Fd])
	}
}

// timeout is how long to wait, in milliseconds; -1: for ever.
func (l *tcpLoop) timeout() int {
	if len(l.unread) > 0 {
		return 0
	}
	first := int64(-1)
	sooner := func(at int64) {
		if at > 0 && (first < 0 || at < first) {
			first = at
		}
	}
	if l.idle.head != nil {
		sooner(l.idle.head.since + int64(l.s.cfg.TCPIdle))
	}
	if l.stuck.head != nil {
		sooner(l.stuck.head.since + int64(l.s.cfg.TCPIdle))
	}
	if l.paused > 0 {
		for _, ln := range l.listeners {
			sooner(ln.until)
		}
	}
	if first < 0 {
		return -1
	}
	// Not before it: rounded up.
	return int(min(max(first-l.now+int64(time.Millisecond)-1, 0)/int64(time.Millisecond), 1<<30))
}

// expire closes the connections that have waited for their client too long. All
// have the same time, so that each list is in the order of their ends.
func (l *tcpLoop) expire() {
	before := l.now - int64(l.s.cfg.TCPIdle)
	for l.idle.head != nil && l.idle.head.since <= before {
		l.close(l.idle.head)
	}
	for l.stuck.head != nil && l.stuck.head.since <= before {
		l.close(l.stuck.head)
	}
}

// goOn reads on where there was more than a connection's turn.
func (l *tcpLoop) goOn() {
	turn := l.unread
	l.unread = l.served[:0]
	for _, r := range turn {
		if c := r.c; c.turn == r.turn && c.fd >= 0 && !c.stuck() {
			l.read(c, true)
		}
	}
	l.served = turn
}

// evict is part of evictor: it closes the longest idle connection of all loops.
func (l *tcpLoop) evict() bool {
	var other *tcpLoop
	var since int64
	for _, o := range l.s.loops {
		if at := o.idle.since.Load(); o != l && at > 0 && (other == nil || at < since) {
			other, since = o, at
		}
	}
	switch own := l.idle.head; {
	case own != nil && (other == nil || own.since <= since):
		l.close(own)
	case other != nil:
		other.crowded.Store(true)
		other.poke()
	default:
		return l.s.streams.evict()
	}
	return true
}

// makeRoom closes idle connections while there are too many in all.
func (l *tcpLoop) makeRoom() {
	for l.idle.head != nil && l.s.tcp.open.Load() > int64(l.s.cfg.TCPMax) {
		l.close(l.idle.head)
	}
}
