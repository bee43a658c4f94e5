package balancer

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gslb/waits"
)

// loop carries many connections with one thread. It makes all its system calls
// past the scheduler, since none waits but epoll_wait(2).
//
// One goroutine owns everything but what is guarded by mu; others post to it.
type loop struct {
	engine *loops
	log    *slog.Logger
	wait   waits.Epoll
	index  int
	epoll  int
	wake   int // eventfd that ends the wait

	mu     sync.Mutex
	orders []func() // guarded by mu; to be done by the loop
	poked  bool     // guarded by mu; the eventfd was written since orders were taken
	ended  bool     // guarded by mu; there will be no more orders

	now       instant // as of this round
	listeners []*loopListener
	paused    int // of listeners, those that are left alone for a while
	warned    int64
	table     connTable
	again     []turn // connections with more to move than was their turn
	turns     []turn // room for the next of again
	fine      wheel  // time-outs of up to some seconds
	coarse    wheel  // longer ones
	chunks    []*chunk
	pipes     []*splicePipe
	events    [256]unix.EpollEvent
	buf       [bufferSize]byte
	stopping  bool
	peer      unix.RawSockaddrInet6
}

// What an event's Fd says besides a connection's slot and end.
const (
	eventWake     = -1
	eventListener = -2 // and below, by index
)

func newLoop(e *loops, index int) (*loop, error) {
	l := &loop{engine: e, log: e.log, index: index, epoll: -1, wake: -1}
	l.fine.unit, l.coarse.unit = fineUnit, coarseUnit
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: eventWake})
	}
	if err != nil {
		l.free()
		return nil, os.NewSyscallError("an event loop", err)
	}
	return l, nil
}

// free closes what the loop has; it must not run.
func (l *loop) free() {
	for _, fd := range []*int{&l.epoll, &l.wake} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
	for _, p := range l.pipes {
		p.close()
	}
	l.pipes = nil
}

// post has the loop do something soon. It does not wait, and reports false when
// the loop has ended.
func (l *loop) post(order func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.orders = append(l.orders, order)
	if !l.poked {
		l.poked = true
		one := [8]byte{1}
		_, _ = unix.Write(l.wake, one[:])
	}
	return true
}

// obey does what was posted.
func (l *loop) obey() {
	l.mu.Lock()
	orders := l.orders
	l.orders, l.poked = nil, false
	l.mu.Unlock()
	for _, order := range orders {
		order()
	}
}

// run is the loop's goroutine. It ends when the loop is to stop and has no
// connection left.
func (l *loop) run() {
	runtime.LockOSThread()
	defer l.wait.Release()
	for !l.serve() {
		time.Sleep(10 * time.Millisecond) // were it to panic again and again
	}
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.obey()
}

// serve runs until the loop is to end, or reports false after a panic: then the
// loop's connections are reset, and its listeners go on.
func (l *loop) serve() (done bool) {
	defer func() {
		if p := recover(); p != nil {
			l.log.Error("balancer: an event loop has failed; its connections are reset, and it goes on", "loop", l.index, "connections", l.table.live,
				"error", fmt.Sprint(p), "stack", string(debug.Stack()))
			l.dropAll()
		}
	}()
	for !l.stopping || l.table.live > 0 {
		n, errno := l.wait.Wait(l.epoll, l.events[:], l.timeout())
		if errno != 0 && errno != unix.EINTR {
			panic(os.NewSyscallError("epoll_wait", errno))
		}
		l.now = instantNow()
		for i := range n {
			l.event(&l.events[i])
		}
		l.goOn()
		l.expire()
		if l.paused > 0 {
			l.resume()
		}
	}
	return true
}

// dropAll resets all connections, after a panic in the midst of one.
func (l *loop) dropAll() {
	l.again = l.again[:0]
	for c := range l.table.all() {
		func() {
			defer func() {
				if recover() != nil { // it cannot even be ended: its descriptors are lost
					l.table.live--
					c.state = stateLost
				}
			}()
			l.end(c, endCut)
		}()
	}
}

// timeout is how long to wait, in milliseconds; -1: for ever.
func (l *loop) timeout() int {
	if len(l.again) > 0 {
		return 0
	}
	first := int64(-1)
	sooner := func(at int64) {
		if at > 0 && (first < 0 || at < first) {
			first = at
		}
	}
	sooner(l.fine.first())
	sooner(l.coarse.first())
	if l.paused > 0 {
		for _, ln := range l.listeners {
			sooner(ln.until)
		}
	}
	if first < 0 {
		return -1
	}
	// Not before it: rounded up.
	now := instantNow()
	return int(min(max(first-now+int64(time.Millisecond)-1, 0)/int64(time.Millisecond), 1<<30))
}

// event serves what epoll has told of.
func (l *loop) event(ev *unix.EpollEvent) {
	switch {
	case ev.Fd >= 0:
		c := l.table.at(ev.Fd >> 1)
		if c.turn == ev.Pad && c.state != stateFree { // else closed meanwhile, and perhaps in use again
			l.tell(c, end(ev.Fd&1), ev.Events)
		}
	case ev.Fd == eventWake:
		var b [8]byte
		_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(l.wake), uintptr(unsafe.Pointer(&b)), 8)
		l.obey()
	default:
		if i := int(eventListener - ev.Fd); i < len(l.listeners) && l.listeners[i] != nil {
			l.accept(l.listeners[i])
		}
	}
}

// goOn moves more where there was more than a connection's turn.
func (l *loop) goOn() {
	now := l.again
	l.again = l.turns[:0]
	for _, t := range now {
		if t.c.turn == t.turn && t.c.state == stateRelaying {
			l.pump(t.c, t.from)
		}
	}
	l.turns = now
}

// expire has the time-outs that are due take effect.
func (l *loop) expire() {
	l.fine.expire(l)
	l.coarse.expire(l)
}
