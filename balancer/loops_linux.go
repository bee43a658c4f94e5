package balancer

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"gslb/waits"
)

// Engines returns the names that Config.Engine may have here, the default first.
func Engines() []string { return []string{EngineEpoll, EnginePortable} }

func newEngines(log *slog.Logger) map[string]engine {
	return map[string]engine{EngineEpoll: &loops{log: log}, EnginePortable: newPortable(log)}
}

// loops is the engine of Linux: event loops, each a goroutine on a thread of its
// own, with its own listening socket at each address (SO_REUSEPORT) and all its
// connections in one epoll(7) set. A connection stays with the loop that accepted
// it; loops share nothing but the pools.
type loops struct {
	log *slog.Logger
	wg  sync.WaitGroup // of loops, and of dials that they have others do

	mu      sync.Mutex
	all     []*loop // guarded by mu
	running bool    // guarded by mu
}

func (e *loops) start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	waits.SpareP()
	e.running = true
	for _, l := range e.all {
		e.wg.Go(l.run)
	}
}

func (e *loops) stop() {
	e.mu.Lock()
	all := slices.Clone(e.all)
	e.mu.Unlock()
	for _, l := range all {
		l.post(func() { l.stopping = true })
	}
	e.wg.Wait()
	for _, l := range all {
		l.free()
	}
}

// atLeast makes loops until there are so many, and returns them.
func (e *loops) atLeast(n int) ([]*loop, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.all) < n {
		l, err := newLoop(e, len(e.all))
		if err != nil {
			return nil, err
		}
		e.all = append(e.all, l)
		if e.running {
			e.wg.Go(l.run)
		}
	}
	return e.all[:n:n], nil
}

// loopAcceptor has one socket for each of its loops, or those that it took over.
type loopAcceptor struct {
	at        net.Addr
	listeners []*loopListener
	started   bool
}

func (e *loops) listen(at place, sockets []*os.File) (acceptor, error) {
	address, threads := at.address, at.threads
	if threads == 0 {
		threads = waits.Cores()
	}
	threads = max(threads, len(sockets))
	all, err := e.atLeast(threads)
	if err != nil {
		return nil, err
	}
	a := &loopAcceptor{}
	var next listenerSockets = &newSockets{address: address, shared: threads > 1, free: at.freebind}
	if len(sockets) > 0 {
		next = copiedSockets(sockets)
	}
	for i, l := range all {
		fd, err := next.socket(i)
		if err != nil {
			a.close()
			return nil, fmt.Errorf("listen tcp %s: %w", address, err)
		}
		a.listeners = append(a.listeners, &loopListener{loop: l, fd: int32(fd), burst: 1, shared: len(sockets) > 0 && len(sockets) < threads})
	}
	a.at = net.TCPAddrFromAddrPort(localAddress(a.listeners[0].fd))
	return a, nil
}

func (a *loopAcceptor) addr() net.Addr { return a.at }

func (a *loopAcceptor) start(front *atomic.Pointer[frontend]) {
	a.started = true
	for _, ln := range a.listeners {
		ln.front = front
		ln.loop.post(func() { ln.loop.open(ln) })
	}
}

func (a *loopAcceptor) close() {
	if !a.started {
		for _, ln := range a.listeners {
			closeFD(ln.fd)
		}
		return
	}
	closed := make(chan struct{}, len(a.listeners))
	waits := 0
	for _, ln := range a.listeners {
		if ln.loop.post(func() { ln.loop.shut(ln); closed <- struct{}{} }) {
			waits++
		}
	}
	for range waits {
		<-closed
	}
}

func (a *loopAcceptor) sockets() ([]*os.File, error) {
	var all []*os.File
	var faults []error
	for _, ln := range a.listeners {
		fd, err := duplicate(int(ln.fd))
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all = append(all, os.NewFile(uintptr(fd), "listener"))
	}
	return all, errors.Join(faults...)
}
