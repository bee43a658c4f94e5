package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"gslb/handover"
)

// proxy is the plane that needs no privileges: it accepts a connection, makes one
// to a server, and moves the bytes between the two. How that is done is an
// engine's; the plane has the listeners, whichever engine they are of.
type proxy struct {
	engines   map[engineKey]engine
	inherited *handover.Sockets // of another process; nil: none

	mu        sync.Mutex
	listeners map[string]*listener // guarded by mu; by configured address, numbered where that may stand twice
	bindings  []binding            // guarded by mu
	running   bool                 // guarded by mu; run was called
	stopped   bool                 // guarded by mu; run's context has ended
}

// engineKey is what an engine is for, and the name that Config.Engine has for it.
type engineKey struct{ protocol, name string }

// engine is a way to carry connections. All behave the same; the same tests say so.
type engine interface {
	// listen opens a listener at the place, or makes one of the sockets of another's,
	// which it does not close.
	listen(at place, sockets []*os.File) (acceptor, error)
	// start is called once, before the first acceptor's.
	start()
	// stop returns when all connections have ended. No acceptor is left.
	stop()
}

// place is where to listen.
type place struct {
	address  string // host:port
	threads  int    // for so many threads; 0: as many as are right
	freebind bool   // the machine need not have the address
}

// acceptor takes the connections of one address.
type acceptor interface {
	addr() net.Addr
	// start begins to take connections for the frontend that front says at that
	// time. It is called once, or never.
	start(front *atomic.Pointer[frontend])
	// close returns when nobody can connect any more. Where the engine can, who has
	// connected already is served.
	close()
	// sockets returns copies of what it listens on.
	sockets() ([]*os.File, error)
}

// listener is an acceptor, and whose it is for now.
type listener struct {
	acceptor
	engine string
	front  atomic.Pointer[frontend]
}

func newProxy(log *slog.Logger, inherited *handover.Sockets) *proxy {
	p := &proxy{inherited: inherited, engines: map[engineKey]engine{}, listeners: map[string]*listener{}}
	for name, e := range newEngines(log) {
		p.engines[engineKey{TCP, name}] = e
	}
	for name, e := range newDatagramEngines(log) {
		p.engines[engineKey{UDP, name}] = e
	}
	return p
}

func (p *proxy) name() string { return PlaneProxy }

func (p *proxy) why(c *Config) string {
	return fmt.Sprintf("gslb takes the connection and makes another (engine %s): plane = \"proxy\", the default", c.Engine)
}

func (p *proxy) takes(c *Config) bool { return c.Plane == PlaneProxy }

// keys returns the keys in proxy.listeners for the addresses of b: the address
// itself, or, where the system chooses the port and one address may stand more
// than once, with the frontend and a number.
func (b binding) keys() []string {
	keys := slices.Clone(b.cfg.Listen)
	for i, address := range keys {
		if anyPort(address) {
			keys[i] = fmt.Sprintf("%s of %s, number %d", address, b.front.name, i)
		}
		if b.cfg.Protocol == UDP {
			keys[i] = "udp " + keys[i]
		}
	}
	return keys
}

func (p *proxy) prepare(bindings []binding) (change, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return change{}, errors.New("the balancer is shutting down")
	}
	opened, err := p.open(bindings)
	if err != nil {
		return change{}, err
	}
	return change{
		commit: func() { p.follow(bindings, opened) },
		undo:   func() { closeAll(opened) },
	}, nil
}

// follow makes the plane serve bindings, whose missing listeners are opened.
func (p *proxy) follow(bindings []binding, opened map[string]*listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped { // since prepare
		closeAll(opened)
		return
	}
	before := maps.Clone(p.listeners)
	maps.Copy(p.listeners, opened)
	unwanted := maps.Clone(p.listeners)
	for _, b := range bindings {
		for _, key := range b.keys() {
			p.listeners[key].front.Store(b.front)
			p.listeners[key].wait(b.cfg)
			delete(unwanted, key)
		}
	}
	if p.running {
		for _, l := range opened {
			l.start(&l.front)
		}
	}
	for key, l := range before {
		if p.listeners[key] != l {
			l.close() // its sockets are another engine's now
		}
	}
	for key, l := range unwanted {
		l.close()
		delete(p.listeners, key)
	}
	for _, b := range p.bindings {
		b.front.gate.update(func() {}) // wakes acceptors that wait for room of a frontend they have left
	}
	p.bindings = bindings
}

// wait has the kernel wait for a client's first byte, or not, and all else that a
// listening socket has of its frontend.
func (l *listener) wait(cfg *Config) {
	sockets, _ := l.sockets()
	for _, s := range sockets {
		deferAccept(s, cfg.DeferAccept)
		if cfg.Protocol == TCP {
			fastOpen(s, cfg.FastOpen)
			if raw, err := s.SyscallConn(); err == nil {
				keepAlive(cfg, raw) // connections inherit it
			}
		}
		s.Close()
	}
}

func closeAll(listeners map[string]*listener) {
	for _, l := range listeners {
		l.close()
	}
}

// open opens the listeners that bindings need and that are not open: all or none. Under mu.
func (p *proxy) open(bindings []binding) (map[string]*listener, error) {
	opened := map[string]*listener{}
	var faults []error
	for _, b := range bindings {
		if b.cfg.Transparent {
			if err := mayBeTransparent(); err != nil {
				faults = append(faults, fmt.Errorf("frontend %q: transparent: %w", b.front.name, err))
			}
		}
		for i, key := range b.keys() {
			old := p.listeners[key]
			if old != nil && old.engine == b.cfg.Engine {
				continue
			}
			l, err := p.listen(b.cfg, i, key, old)
			if err != nil {
				faults = append(faults, fmt.Errorf("frontend %q: %w", b.front.name, err))
				continue
			}
			opened[key] = l
		}
	}
	if err := errors.Join(faults...); err != nil {
		closeAll(opened)
		return nil, err
	}
	return opened, nil
}

// listen opens a listener at an address of cfg, or makes it of one of another
// engine or process, so that who waits there is not lost.
func (p *proxy) listen(cfg *Config, i int, key string, old *listener) (*listener, error) {
	sockets := p.inherited.Take(inheritPrefix + key)
	if old != nil {
		var err error
		if sockets, err = old.sockets(); err != nil {
			return nil, err
		}
	}
	defer func() {
		for _, s := range sockets {
			s.Close()
		}
	}()
	a, err := p.engines[engineKey{cfg.Protocol, cfg.Engine}].listen(place{cfg.Listen[i], cfg.Threads, cfg.Freebind}, sockets)
	if err != nil {
		if errors.Is(err, syscall.EADDRNOTAVAIL) && canFreebind {
			err = fmt.Errorf("%w (freebind = true listens at an address that this machine does not have yet)", err)
		}
		return nil, err
	}
	return &listener{acceptor: a, engine: cfg.Engine}, nil
}

// inheritPrefix begins the names of sockets that go to another process.
const inheritPrefix = "frontend "

// copySockets adds copies of all listening sockets.
func (p *proxy) copySockets(to *handover.Sockets) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for key, l := range p.listeners {
		sockets, err := l.sockets()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		to.Add(inheritPrefix+key, sockets...)
	}
	return errors.Join(errs...)
}

// network returns the network to listen on. With plain "tcp", 0.0.0.0 and [::]
// would both mean all addresses of both families, and could not stand side by side.
func network(address string) string {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return "tcp"
	case ip.Is4():
		return "tcp4"
	}
	return "tcp6"
}

func (p *proxy) addrs(f *frontend) []net.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []net.Addr
	for _, b := range p.bindings {
		if b.front == f {
			for _, key := range b.keys() {
				if l := p.listeners[key]; l != nil { // nil: closed, at the end
					out = append(out, l.addr())
				}
			}
		}
	}
	return out
}

func (p *proxy) run(ctx context.Context) {
	p.mu.Lock()
	p.running = true
	for _, e := range p.engines {
		e.start()
	}
	for _, l := range p.listeners {
		l.start(&l.front)
	}
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.stopped = true
	closeAll(p.listeners)
	clear(p.listeners)
	bindings := p.bindings
	p.mu.Unlock()
	var drains sync.WaitGroup
	for _, b := range bindings {
		drains.Go(func() { b.front.drain(b.front.config().DrainTimeout) })
	}
	drains.Wait()
	for _, e := range p.engines {
		e.stop()
	}
}
