package afxdp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// watchEvery is how often the interface and its addresses are looked at.
	watchEvery = time.Second
	// retryAfter is the pause before the interface is tried again.
	retryAfter = 2 * time.Second
)

// Port serves the queues of one interface. Make it with New, then Run it.
type Port struct {
	cfg Config

	mu       sync.Mutex // guards all below
	status   Status     // but for the counts of its queues
	handlers []Handler
	counts   []*queueCounters
	sockets  []*socket // those that are open, by queue
}

// New makes a port that Run serves.
func New(cfg Config) *Port {
	return &Port{cfg: cfg, status: Status{Interface: cfg.Interface, Problem: "starting"}}
}

// Run serves until ctx ends. Whatever keeps it from serving is logged, is the
// Problem in Status meanwhile, and is tried again: the ordinary sockets get all
// queries then. It opens sockets and lists interfaces in the network namespace
// of the thread that calls it.
func (p *Port) Run(ctx context.Context) error {
	said := ""
	for ctx.Err() == nil {
		err := p.session(ctx, func() { said = "" })
		if ctx.Err() != nil {
			break
		}
		p.problem(err.Error())
		if said != err.Error() {
			said = err.Error()
			p.cfg.Log.Error("AF_XDP: the ordinary sockets take all queries; trying again", "interface", p.cfg.Interface, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
	p.problem("stopped")
	return ctx.Err()
}

// Status tells how the port does.
func (p *Port) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.status
	st.Queues = nil
	for i, c := range p.counts {
		q := QueueStatus{
			Queue: i, Received: c.received.Load(), Answered: c.answered.Load(), Unsent: c.unsent.Load(),
			Lost: c.lost.Load(), Dropped: make(map[string]uint64),
		}
		for f := malformed; f < faults; f++ {
			q.Dropped[faultNames[f]] = c.dropped[f].Load()
		}
		if i < len(p.sockets) {
			q.Active, q.ZeroCopy = true, p.sockets[i].zeroCopy
			q.Lost += p.sockets[i].lost()
		}
		st.Queues = append(st.Queues, q)
	}
	return st
}

func (p *Port) problem(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Problem = text
}

// session opens the interface, serves it while it stays the same, and closes it
// again. It tells why it ended. serving is called once it serves.
func (p *Port) session(ctx context.Context, serving func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	facts, err := readLink(p.cfg.Interface)
	if err != nil {
		return err
	}
	if !facts.up {
		return errors.New("the interface is down")
	}
	raiseLockedMemory()
	prog, err := newProgram(facts)
	if err != nil {
		return err
	}
	defer prog.close()
	native, why, err := prog.attach(facts.index)
	if err != nil {
		return err
	}
	sockets, err := openSockets(facts, native)
	defer p.closeSockets(sockets) // after its users have ended
	if err != nil {
		return err
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	defer unix.Close(stop)
	failed := make(chan error, len(sockets))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer wake(stop)
	defer prog.detach() // first of all: frames go to the ordinary sockets again
	p.opened(facts, sockets, native, why)
	for i, s := range sockets {
		q := queue{socket: s, handler: p.handlers[i], count: p.counts[i], limit: limit(facts.mtu)}
		wg.Go(func() { failed <- q.serve(stop) })
		if err := prog.sockets.Put(uint32(i), uint32(s.fd)); err != nil {
			return fmt.Errorf("directing queue %d to its socket: %w", i, err)
		}
	}
	if err := p.direct(prog); err != nil {
		return err
	}
	p.problem("")
	serving()
	return p.watch(ctx, prog, facts, failed)
}

// openSockets opens one for each queue of the interface. On an error it gives
// those that are open.
func openSockets(l *linkFacts, native bool) (all []*socket, err error) {
	for i := range l.queues() {
		s, err := openSocket(l.index, i, native)
		if errors.Is(err, errQueue) && i > 0 {
			break // a driver that does not tell how many of its queues are in use
		}
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}

// opened makes what the queues need and tells of it.
func (p *Port) opened(l *linkFacts, sockets []*socket, native bool, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.counts); i < len(sockets); i++ {
		p.counts = append(p.counts, new(queueCounters))
		p.handlers = append(p.handlers, p.cfg.Handler(i))
	}
	p.sockets = sockets
	p.status.Native, p.status.Note = native, ""
	mode := "native"
	if !native {
		mode = "generic"
		p.status.Note = fmt.Sprintf("the driver cannot run the program (%v): the network stack does, which is slower", why)
	}
	if n := len(sockets); n < l.rxQueues {
		p.status.Note += fmt.Sprintf(" %d of %d receive queues are served: the others have no transmit queue", n, l.rxQueues)
	}
	p.cfg.Log.Info("AF_XDP takes queries", "interface", p.cfg.Interface, "mode", mode, "zero_copy", sockets[0].zeroCopy,
		"queues", len(sockets), "longest_answer", limit(l.mtu), "note", p.status.Note)
}

// closeSockets closes them and keeps what they have counted.
func (p *Port) closeSockets(sockets []*socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range sockets {
		if i < len(p.sockets) {
			p.counts[i].lost.Add(s.lost())
		}
		s.close()
	}
	p.sockets = nil
}

// watch keeps the served addresses those that are local, until a queue fails or
// the interface is not what it was.
func (p *Port) watch(ctx context.Context, prog *program, facts *linkFacts, failed <-chan error) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return fmt.Errorf("a queue failed: %w", err)
		case <-tick.C:
		}
		now, err := readLink(p.cfg.Interface)
		switch {
		case err != nil:
			return err
		case !now.up:
			return errors.New("the interface is down")
		case !facts.sameAs(now):
			return errors.New("the interface has changed")
		}
		if err := p.direct(prog); err != nil {
			return err
		}
	}
}

// direct makes the program take the queries to those served addresses that are
// local now.
func (p *Port) direct(prog *program) error {
	want, err := localAddresses(p.cfg.Served)
	if err != nil {
		return err
	}
	return prog.serve(want)
}

// raiseLockedMemory lets this process lock what memory its rights allow: old
// kernels count maps so, and all of them the frames.
func raiseLockedMemory() {
	if unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}, nil) == nil {
		return
	}
	var l unix.Rlimit
	if unix.Prlimit(0, unix.RLIMIT_MEMLOCK, nil, &l) == nil {
		l.Cur = l.Max
		_ = unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &l, nil) // what is missing shows when the memory is asked for
	}
}

// wake makes an eventfd readable, for good: nobody reads it.
func wake(eventfd int) {
	one := [8]byte{0: 1, 7: 1} // not zero in either byte order
	_, _ = unix.Write(eventfd, one[:])
}
