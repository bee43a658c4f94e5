package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// proxy is the plane that works everywhere and needs no privileges: it accepts
// a connection, makes one to a server, and moves the bytes between the two.
type proxy struct {
	log     *slog.Logger
	buffers sync.Pool // of *[bufferSize]byte
	dialer  net.Dialer

	wg        sync.WaitGroup // accept loops and connections
	mu        sync.Mutex
	listeners map[string]*listener // guarded by mu; by configured address, numbered where that may stand twice
	bindings  []binding            // guarded by mu
	running   bool                 // guarded by mu; run was called
	stopped   bool                 // guarded by mu; run's context has ended
}

// listener is one listening socket, whichever frontend it is for now.
type listener struct {
	net.Listener
	front atomic.Pointer[frontend]
	done  chan struct{} // closed with the listener
}

func newProxy(log *slog.Logger) *proxy {
	p := &proxy{log: log, listeners: map[string]*listener{}}
	p.buffers.New = func() any { return new([bufferSize]byte) }
	p.dialer = net.Dialer{KeepAlive: -1, Control: keepAlive}
	p.dialer.SetMultipathTCP(false)
	return p
}

func (p *proxy) name() string { return PlaneProxy }

func (p *proxy) takes(c *Config) bool { return c.Plane == PlaneProxy && c.Protocol == TCP }

// keys returns the keys in proxy.listeners for the addresses of b: the address
// itself, or, where the system chooses the port and one address may stand more
// than once, with the frontend and a number.
func (b binding) keys() []string {
	keys := slices.Clone(b.cfg.Listen)
	for i, address := range keys {
		if anyPort(address) {
			keys[i] = fmt.Sprintf("%s of %s, number %d", address, b.front.name, i)
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
	maps.Copy(p.listeners, opened)
	unwanted := maps.Clone(p.listeners)
	for _, b := range bindings {
		for _, key := range b.keys() {
			p.listeners[key].front.Store(b.front)
			delete(unwanted, key)
		}
	}
	for key, l := range unwanted {
		p.close(key, l)
	}
	for _, b := range p.bindings {
		b.front.gate.update(func() {}) // wakes accept loops that wait for room of a frontend they have left
	}
	p.bindings = bindings
	if p.running {
		for _, l := range opened {
			p.start(l)
		}
	}
}

func closeAll(listeners map[string]*listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// open opens the listeners that bindings need and that are not open: all or none. Under mu.
func (p *proxy) open(bindings []binding) (map[string]*listener, error) {
	opened := map[string]*listener{}
	var faults []error
	for _, b := range bindings {
		for i, key := range b.keys() {
			if p.listeners[key] != nil {
				continue
			}
			l, err := listen(b.cfg.Listen[i])
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

// listen opens a listener. Plain TCP: multipath TCP sockets cannot be handed to
// a kernel data plane, and break TCP-MD5.
func listen(address string) (*listener, error) {
	lc := net.ListenConfig{KeepAlive: -1, Control: keepAlive}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), network(address), address)
	if err != nil {
		return nil, err
	}
	return &listener{Listener: l, done: make(chan struct{})}, nil
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

// close closes a listener. Under mu.
func (p *proxy) close(key string, l *listener) {
	close(l.done)
	l.Close()
	delete(p.listeners, key)
}

// start starts the accept loop of a listener. Under mu.
func (p *proxy) start(l *listener) {
	p.wg.Go(func() { p.accept(l) })
}

func (p *proxy) addrs(f *frontend) []net.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []net.Addr
	for _, b := range p.bindings {
		if b.front == f {
			for _, key := range b.keys() {
				if l := p.listeners[key]; l != nil { // nil: closed, at the end
					out = append(out, l.Addr())
				}
			}
		}
	}
	return out
}

func (p *proxy) run(ctx context.Context) {
	p.mu.Lock()
	p.running = true
	for _, l := range p.listeners {
		p.start(l)
	}
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.stopped = true
	for key, l := range p.listeners {
		p.close(key, l)
	}
	bindings := p.bindings
	p.mu.Unlock()
	var drains sync.WaitGroup
	for _, b := range bindings {
		drains.Go(func() { b.front.drain(b.front.config().DrainTimeout) })
	}
	drains.Wait()
	p.wg.Wait()
}

// accept takes connections from l until it is closed. At the frontend's bound
// it does not, so that they wait in the kernel's queue. (Each listener may take
// one more, if several do at once; that one waits here and no server sees it.)
func (p *proxy) accept(l *listener) {
	var pause time.Duration
	var warned time.Time
	for {
		if !l.front.Load().gate.ready(l.done) {
			return
		}
		conn, err := l.Accept()
		f := l.front.Load()
		switch {
		case err == nil:
			pause = 0
			f.counters.accepted.Add(1)
			if !f.gate.enter(l.done) {
				reset(conn.(*net.TCPConn))
				return
			}
			p.wg.Go(func() {
				defer f.gate.leave()
				p.serve(f, conn.(*net.TCPConn))
			})
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, syscall.ECONNABORTED): // the client has left the queue
		default:
			// Mostly EMFILE or ENFILE: descriptors come back as connections end.
			f.counters.acceptErrors.Add(1)
			if time.Since(warned) > 10*time.Second {
				warned = time.Now()
				p.log.Warn("balancer: cannot accept; will go on trying", "frontend", f.name, "listen", l.Addr().String(), "error", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			if !sleep(pause, l.done) {
				return
			}
		}
	}
}

// sleep waits for d, or reports false as soon as done is closed.
func sleep(d time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}

// serve carries one connection from accept to end.
func (p *proxy) serve(f *frontend, client *net.TCPConn) {
	cfg := f.config()
	s, conn := p.connect(f, cfg, flowOf(client))
	if s == nil {
		f.counters.refused.Add(1)
		reset(client)
		return
	}
	defer f.pool.release(s)
	r := &relay{client: client, server: conn, counters: &f.counters, buffers: &p.buffers,
		limits: limits{idle: cfg.IdleTimeout, close: cfg.CloseTimeout}}
	if !s.carried.add(r) {
		r.abort()
		return
	}
	defer s.carried.remove(r)
	r.run(&s.bytesUp, &s.bytesDown)
}

// Bounds of connect.
const (
	connectsMost = 8                     // connects for one client connection
	connectsTime = 3                     // in ConnectTimeouts: no connect is begun later
	pauseFirst   = 20 * time.Millisecond // when all servers were tried once; doubles
)

// connect makes a connection to a server, counted in its open. As no byte of
// the client was read yet, it can go to another server as often as it takes,
// within bounds. It gives up with a nil server.
func (p *proxy) connect(f *frontend, cfg *Config, from flow) (*server, *net.TCPConn) {
	var room [connectsMost]*server
	tried, pause := room[:0], pauseFirst
	giveUp, patience := time.Now().Add(connectsTime*cfg.ConnectTimeout), cfg.QueueTimeout
	for n := range connectsMost {
		if n > 0 && time.Now().After(giveUp) {
			break
		}
		s, full := f.pool.take(from, tried)
		if s == nil && full == nil && len(tried) > 0 {
			// All refused. One may be just restarting, or a spare be on its way in.
			tried = tried[:0]
			time.Sleep(pause)
			pause *= 2
			s, full = f.pool.take(from, nil)
		}
		if s == nil && full != nil {
			begun := time.Now()
			s = f.pool.wait(from, slices.Clone(tried), full, patience, &f.counters)
			waited := time.Since(begun)
			giveUp, patience = giveUp.Add(waited), patience-waited
		}
		if s == nil {
			break
		}
		if n > 0 {
			f.counters.retried.Add(1)
		}
		begun := time.Now()
		conn, err := p.dial(s.address, cfg.ConnectTimeout)
		if err == nil {
			f.pool.connected(s, time.Since(begun))
			return s, conn
		}
		f.pool.release(s)
		switch {
		case !ownFault(err):
			f.pool.failed(s, err)
			tried = append(tried, s)
		case errors.Is(err, syscall.EADDRNOTAVAIL): // no port is left here for this server; for others there may be
			f.counters.localErrors.Add(1)
			tried = append(tried, s)
		default:
			f.counters.localErrors.Add(1)
			time.Sleep(pause)
			pause *= 2
		}
	}
	return nil, nil
}

func (p *proxy) dial(address string, timeout time.Duration) (*net.TCPConn, error) {
	d := p.dialer
	d.Timeout = timeout
	conn, err := d.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// ownFault tells whether a connect failed for want of something on this
// machine, which says nothing about the server.
func ownFault(err error) bool {
	for _, own := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}
