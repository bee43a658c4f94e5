package balancer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gslb/proxyproto"
)

// portable is the engine that works everywhere: the standard library's sockets,
// and two goroutines for each connection.
type portable struct {
	log     *slog.Logger
	buffers sync.Pool      // of *[bufferSize]byte
	wg      sync.WaitGroup // accept loops and connections
}

func newPortable(log *slog.Logger) *portable {
	p := &portable{log: log}
	p.buffers.New = func() any { return new([bufferSize]byte) }
	return p
}

func (p *portable) start() {}

func (p *portable) stop() { p.wg.Wait() }

// portableAcceptor has one socket, or those that it took over.
type portableAcceptor struct {
	engine    *portable
	listeners []net.Listener
	front     *atomic.Pointer[frontend]
	done      chan struct{} // closed with the acceptor
}

// listen takes no notice of threads: the runtime has its own.
func (p *portable) listen(at place, sockets []*os.File) (acceptor, error) {
	a := &portableAcceptor{engine: p, done: make(chan struct{})}
	if sockets == nil {
		// Plain TCP: multipath TCP sockets cannot be handed to a kernel data plane, and break TCP-MD5.
		lc := net.ListenConfig{KeepAlive: -1}
		lc.SetMultipathTCP(false)
		if at.freebind {
			lc.Control = freebindControl
		}
		l, err := lc.Listen(context.Background(), network(at.address), at.address)
		if err != nil {
			return nil, err
		}
		a.listeners = append(a.listeners, l)
	}
	for _, s := range sockets {
		l, err := net.FileListener(s)
		if err != nil {
			a.close()
			return nil, err
		}
		a.listeners = append(a.listeners, l)
	}
	return a, nil
}

func (a *portableAcceptor) addr() net.Addr { return a.listeners[0].Addr() }

func (a *portableAcceptor) start(front *atomic.Pointer[frontend]) {
	a.front = front
	for _, l := range a.listeners {
		a.engine.wg.Go(func() { a.accept(l) })
	}
}

func (a *portableAcceptor) close() {
	close(a.done)
	for _, l := range a.listeners {
		l.Close()
	}
}

func (a *portableAcceptor) sockets() ([]*os.File, error) {
	var all []*os.File
	for _, l := range a.listeners {
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			return all, err
		}
		all = append(all, f)
	}
	return all, nil
}

// accept takes connections from l until it is closed. At the frontend's bound
// it does not, so that they wait in the kernel's queue. (Each listener may take
// one more, if several do at once; that one waits here and no server sees it.)
func (a *portableAcceptor) accept(l net.Listener) {
	var pause time.Duration
	var warned time.Time
	for {
		if !a.front.Load().gate.ready(a.done) {
			return
		}
		conn, err := l.Accept()
		f := a.front.Load()
		switch {
		case err == nil:
			pause = 0
			f.counters.accepted.Add(1)
			client := conn.(*net.TCPConn)
			from := flowOf(client)
			pre, seat, admitted := f.meet(from)
			if !admitted {
				reset(client)
				continue
			}
			if !f.gate.enter(a.done) {
				seat.leave()
				reset(client)
				return
			}
			a.engine.wg.Go(func() {
				defer f.gate.leave()
				a.engine.serve(f, client, from, seat, pre)
			})
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, syscall.ECONNABORTED): // the client has left the queue
		default:
			// Mostly EMFILE or ENFILE: descriptors come back as connections end.
			f.counters.acceptErrors.Add(1)
			if time.Since(warned) > warnEvery {
				warned = time.Now()
				a.engine.log.Warn("balancer: cannot accept; will go on trying", "frontend", f.name, "listen", l.Addr().String(), "error", err)
			}
			pause = nextPause(pause)
			if !sleep(pause, a.done) {
				return
			}
		}
	}
}

// warnEvery is how often a log line may say that connections cannot be accepted.
const warnEvery = 10 * time.Second

// nextPause is how long to leave a listener alone that cannot accept, after it
// was left alone for pause.
func nextPause(pause time.Duration) time.Duration {
	return min(max(2*pause, 5*time.Millisecond), time.Second)
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

// serve carries one connection from its admission to its end.
func (p *portable) serve(f *frontend, client *net.TCPConn, from flow, seat seat, pre *preamble) {
	r := &relay{client: client, buffers: &p.buffers}
	if pre == nil {
		r.open(f, from, seat, r, instantNow())
	} else {
		r.openUnknown(f, from, seat, r, instantNow())
	}
	defer func() { r.end(instantNow()) }()
	defer r.forget()
	if pre != nil && !r.greet(pre, f.config().PreambleTimeout) {
		r.conclude(instantNow())
		reset(client)
		return
	}
	f = r.front
	cfg := f.config()
	r.limits = limitsOf(cfg)
	s, conn := p.connect(f, cfg, r.from)
	if s == nil {
		r.blame(endRefused)
		r.conclude(instantNow())
		reset(client)
		return
	}
	defer f.pool.release(s)
	r.server = conn
	if !r.serve(s, instantNow()) {
		r.abort()
		return
	}
	if cfg.SendProxy != "" {
		var room [proxyproto.MostSent]byte
		if _, err := conn.Write(proxyproto.Append(room[:0], cfg.SendProxy, r.from.client, r.from.local)); err != nil {
			r.blameReset(false)
			r.abort()
			return
		}
	}
	r.run()
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
func (p *portable) connect(f *frontend, cfg *Config, from flow) (*server, *net.TCPConn) {
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
		conn, err := p.dial(s, cfg, from)
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

// dialer is one for a client of a frontend, and a server. To one of the other family no
// connection can come from the client's address.
func dialer(cfg *Config, from flow, s *server) net.Dialer {
	d := net.Dialer{Timeout: cfg.ConnectTimeout, KeepAlive: -1}
	d.SetMultipathTCP(false)
	if cfg.Transparent && (!s.at.IsValid() || s.at.Addr().Is4() == from.client.Addr().Is4()) {
		d.LocalAddr = &net.TCPAddr{IP: from.client.Addr().AsSlice(), Zone: from.client.Addr().Zone()}
	}
	return d
}

// assuming makes sockets transparent where they are to be, and does more with each.
func assuming(cfg *Config, more func(syscall.RawConn) error) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		if cfg.Transparent {
			if err := transparent(network == "tcp4", c); err != nil {
				return err
			}
		}
		if more == nil {
			return nil
		}
		return more(c)
	}
}

func (p *portable) dial(s *server, cfg *Config, from flow) (*net.TCPConn, error) {
	d := dialer(cfg, from, s)
	d.Control = assuming(cfg, func(c syscall.RawConn) error { return keepAlive(cfg, c) })
	conn, err := d.Dial("tcp", s.address)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// ownFault tells whether a connect failed for want of something on this
// machine, which says nothing about the server.
func ownFault(err error) bool {
	for _, own := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}
