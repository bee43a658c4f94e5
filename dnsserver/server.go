package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"gslb/afxdp"
	"gslb/handover"
	"gslb/steady"
	"gslb/waits"
	"gslb/zones"
)

// Server answers queries from the current Generation. Make it with New, call
// Listen, then Serve.
type Server struct {
	cfg   Config
	log   *slog.Logger
	began time.Time
	gen   atomic.Pointer[Generation]
	// seconds is the Unix time, coarse: it only divides draws into periods.
	seconds atomic.Uint32
	// millis is a coarse clock of no particular beginning, for rates.
	millis atomic.Uint32
	// secrets are those of cookies. They have a pointer of their own, which only
	// queries with a COOKIE load: they roll without a new generation.
	secrets atomic.Pointer[Secrets]
	random  atomic.Bool // nobody has given them
	rates   *rates      // of all responders; nil: no limit
	expiry  func(z *zones.Zone) (seconds uint32, ok bool)

	mu       sync.Mutex // guards counters and the listeners
	counters []*counters
	udp      []*udpListener
	bound    []netip.AddrPort  // of TCP, in the order of cfg.Listen
	boundTLS []netip.AddrPort  // in the order of cfg.TLS.Listen
	loops    []*tcpLoop        // that serve TCP
	listens  []*streamListener // that are served by streams
	xdp      []*afxdp.Port     // of cfg.XDP, since Listen
	tcp      tcpLimits
	streams  streams
	lastBug  atomic.Int64

	boundHTTPS   []netip.AddrPort // in the order of cfg.HTTPS.Listen
	web          *web             // nil: nothing over HTTP
	quic         []*quicListener
	unfinished   atomic.Int64   // QUIC connections whose handshake is not over
	certificates []*certificate // since Listen
	handshakes   handshakes     // that failed
	proxyErrors  atomic.Uint64
	splits       splits

	inherited *handover.Sockets // nil: none

	other     Other         // nil: nobody
	datagrams chan datagram // for other
	proofs    *proofs       // of compact denial
}

// New makes a server that refuses every name until the first Swap.
func New(cfg Config, log *slog.Logger) *Server {
	s := &Server{cfg: cfg.WithDefaults(), log: log, began: time.Now()}
	for i := range s.streams.counters {
		s.counters = append(s.counters, &s.streams.counters[i])
	}
	s.seconds.Store(uint32(steady.Now().Unix()))
	s.rates = newRates(s.cfg, &s.millis)
	s.proofs = newProofs(*s.cfg.CompactShare)
	s.SetSecrets(nil)
	s.gen.Store(NewGeneration(Inputs{DB: new(zones.DB), Access: NewAccess(s.cfg)}))
	return s
}

// Swap makes g the generation that the next query is answered from. One Swap must
// have ended before the next begins.
func (s *Server) Swap(g *Generation) {
	old := s.gen.Load()
	s.splits.fold(old, time.Now())
	s.gen.Store(g.after(old))
}

// SetSecrets puts server secrets of cookies in force; nil: random ones, which no
// other server knows, and which are made anew each day (RFC 7873, section 7.1).
func (s *Server) SetSecrets(to *Secrets) {
	s.random.Store(to == nil)
	if to == nil {
		to = randomSecrets(nil)
	}
	s.secrets.Store(to)
}

// SetExpiry lets f tell, before Serve, for how many seconds a copy of a zone may
// still be served (RFC 7314); ok is false for a zone that is no copy. It is called
// where queries are answered, and must neither lock nor allocate.
func (s *Server) SetExpiry(f func(z *zones.Zone) (seconds uint32, ok bool)) { s.expiry = f }

// Generation is the one that is served now.
func (s *Server) Generation() *Generation { return s.gen.Load() }

// Listen reads certificates and binds all addresses. On an error none stays bound.
func (s *Server) Listen(ctx context.Context) error {
	if err := s.listenAll(ctx); err != nil {
		s.close()
		s.free()
		return err
	}
	s.xdp = s.xdpPorts()
	return nil
}

func (s *Server) listenAll(ctx context.Context) error {
	if err := s.readCertificates(); err != nil {
		return err
	}
	for _, addr := range s.cfg.Listen {
		if err := s.listen(ctx, addr); err != nil {
			return err
		}
	}
	if err := s.listenTLS(ctx); err != nil {
		return err
	}
	if err := s.listenDoQ(ctx); err != nil {
		return err
	}
	return s.listenHTTPS(ctx)
}

func (s *Server) listen(ctx context.Context, addr string) error {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("listen %q: want an address and port such as 192.0.2.1:53 or [::]:53", addr)
	}
	family := "4"
	if ap.Addr().Unmap().Is6() {
		family = "6" // sockets of their own for each family, so that both wildcards can be had
	}
	workers, cpus := s.cfg.Workers, s.cfg.cpus()
	if workers == 0 {
		workers = waits.Cores()
		if s.cfg.Pin != pinAuto && len(cpus) > 0 {
			workers = len(cpus)
		}
	}
	spread, err := s.cfg.spreadCPUs(workers, cpus)
	if err != nil {
		return err
	}
	streams := s.inherited.Take(inheritTCP + addr)
	defer closeFiles(streams)
	datagrams := s.inherited.Take(inheritUDP + addr)
	defer closeFiles(datagrams)
	if len(streams)+len(datagrams) == 0 {
		ap = portForBoth(ap)
	}
	bound, err := s.listenTCP(ctx, addr, ap, "tcp"+family, workers, cpus, spread, streams)
	if err != nil {
		return bindError(err, "tcp", addr)
	}
	s.bound = append(s.bound, bound)
	for i := range workers {
		l := &udpListener{configured: addr, addr: bound, six: family == "6", wildcard: bound.Addr().IsUnspecified(), cpu: -1}
		if len(cpus) > 0 {
			l.cpu = cpus[i%len(cpus)]
		}
		if i < len(datagrams) {
			l.conn, err = inheritDatagrams(datagrams[i])
		} else {
			l.conn, err = listenUDP(ctx, "udp"+family, bound.String(), l.wildcard, workers > 1)
		}
		if err != nil {
			return bindError(err, "udp", addr)
		}
		if i > 0 {
			spread = nil // it holds for all sockets of the address
		}
		if err := tuneUDP(l.conn, s.cfg, spread); err != nil && i == 0 {
			s.log.Warn("a UDP socket does not get what was asked for; it goes on without", "address", bound, "error", err)
		}
		if canBatch && s.cfg.Batch > 1 {
			if l.sock, err = newBatchSocket(l.conn); err != nil {
				return bindError(err, "udp", addr)
			}
			l.conn = nil
		}
		s.udp = append(s.udp, l)
	}
	return nil
}

// listenTCP binds an address for as many workers, in the way that the
// configuration chose, and gives it with its real port.
func (s *Server) listenTCP(ctx context.Context, configured string, ap netip.AddrPort, network string, workers int, cpus, spread []int, inherited []*os.File) (netip.AddrPort, error) {
	if s.cfg.epolls() {
		return s.listenLoops(configured, ap, network == "tcp6", workers, cpus, spread, inherited)
	}
	ln, err := listenOrInherit(ctx, network, ap.String(), inherited)
	if err != nil {
		return netip.AddrPort{}, err
	}
	s.listens = append(s.listens, &streamListener{name: inheritTCP + configured, ln: ln, six: network == "tcp6"})
	return ln.Addr().(*net.TCPAddr).AddrPort(), nil
}

func bindError(err error, network, addr string) error {
	return fmt.Errorf("cannot listen on %s %s: %w (is another DNS server running there, or is the right to use the port missing?)", network, addr, err)
}

// Addrs are the addresses bound, with their real ports.
func (s *Server) Addrs() []netip.AddrPort { return slices.Clone(s.bound) }

// Serve answers queries until ctx ends. A listener that fails is reported and
// goes on; Serve itself returns an error only when it was not given any.
func (s *Server) Serve(ctx context.Context) error {
	if len(s.udp) == 0 {
		return errors.New("dnsserver: Serve without Listen")
	}
	waits.SpareP()
	var wg sync.WaitGroup
	for i, l := range s.udp {
		w := s.responder(i, s.newCounters())
		w.signs = signsElsewhere
		wg.Go(func() {
			s.keep(ctx, "udp", net.UDPAddrFromAddrPort(l.addr), func() error { return l.serve(ctx, s, w) })
		})
	}
	for _, l := range s.loops {
		wg.Go(func() { s.keep(ctx, "tcp", addrs(s.bound), func() error { return l.serve(ctx, &wg) }) })
	}
	for _, l := range s.listens {
		wg.Go(func() { s.keep(ctx, "tcp", l.ln.Addr(), func() error { return l.serve(ctx, s, &wg) }) })
	}
	if s.web != nil {
		wg.Go(func() { s.keep(ctx, "https", addrs(s.boundHTTPS), func() error { return s.web.serve(ctx) }) })
	}
	for _, l := range s.quic {
		wg.Go(func() { s.keep(ctx, "quic", l.conn.LocalAddr(), func() error { return l.serve(ctx) }) })
	}
	s.serveXDP(ctx, &wg)
	if s.other != nil {
		for range DatagramWorkers {
			wg.Go(func() { s.serveDatagrams(ctx) })
		}
	}
	for range s.signers() {
		wg.Go(func() { s.serveWaiting(ctx) })
	}
	if len(s.certificates) > 0 {
		wg.Go(func() { s.watchCertificates(ctx.Done()) })
	}
	wg.Go(func() { s.tick(ctx) })
	<-ctx.Done()
	s.close()
	s.streams.end()
	wg.Wait()
	s.free()
	return nil
}

// addrs are addresses, for the log.
type addrs []netip.AddrPort

func (a addrs) String() string { return fmt.Sprint([]netip.AddrPort(a)) }

// keep runs a listener's loop again when it fails.
func (s *Server) keep(ctx context.Context, network string, addr fmt.Stringer, loop func() error) {
	for ctx.Err() == nil {
		err := loop()
		if ctx.Err() != nil {
			return
		}
		s.log.Error("listener failed; trying again in a second", "network", network, "address", addr, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// secretLife is how long a random secret makes cookies (RFC 7873, section 7.1).
const secretLife = 24 * time.Hour

// tick keeps the coarse clocks, and rolls secrets that are random.
func (s *Server) tick(ctx context.Context) {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	begin, rolled := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			s.seconds.Store(uint32(steady.Now().Unix()))
			s.millis.Store(uint32(now.Sub(begin).Milliseconds()) + 1)
			if s.random.Load() && now.Sub(rolled) >= secretLife {
				s.secrets.Store(randomSecrets(s.secrets.Load()))
				rolled = now
			}
		}
	}
}

func (s *Server) close() {
	for _, l := range s.udp {
		l.stop()
	}
	for _, l := range s.loops {
		l.stop()
	}
	for _, l := range s.listens {
		l.ln.Close()
	}
}

// free gives back what serving goroutines used until their end.
func (s *Server) free() {
	for _, l := range s.udp {
		l.free()
	}
	for _, l := range s.loops {
		l.free()
	}
	for _, l := range s.quic {
		l.conn.Close()
	}
}

// newCounters makes counters that Stats reads.
func (s *Server) newCounters() *counters {
	c := new(counters)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counters = append(s.counters, c)
	return c
}

// responder makes one that counts in c.
func (s *Server) responder(shard int, c *counters) *responder {
	w := &responder{
		limits: limits{
			udpSize: s.cfg.MaxUDPSize, ecs: *s.cfg.ECS,
			scope4: uint8(s.cfg.ECSMaxV4), scope6: uint8(s.cfg.ECSMaxV6),
		},
		shard: shard, samples: &s.splits.samples, count: c, seconds: &s.seconds, others: s.other != nil, proofs: s.proofs,
		self: self{version: s.cfg.Version, id: s.cfg.Identity, idle: s.cfg.TCPIdle, expiry: s.expiry},
		protection: protection{
			required: s.cfg.Cookies == cookiesRequired, limiter: s.rates.limiter(), amplify: *s.cfg.MaxAmplification,
		},
	}
	if s.cfg.Cookies != cookiesOff {
		w.secrets = &s.secrets
	}
	return w
}

// answer is respond with a net below it: a query that makes the server panic is
// answered SERVFAIL, counted, and reported at most once a second.
func (s *Server) answer(w *responder, msg []byte, src netip.AddrPort, tcp bool, out []byte) (reply []byte) {
	defer func() {
		if r := recover(); r != nil {
			reply = s.bug(w, r, msg, src, out)
		}
	}()
	reply = w.respond(s.gen.Load(), msg, src, tcp, out, nil)
	if !w.batched {
		w.publish()
	}
	return reply
}

// mayReport tells whether a panic is to be logged: once a second, since whoever found the message that makes it can send it at any rate.
func (s *Server) mayReport() bool {
	now := time.Now().Unix()
	return s.lastBug.Swap(now) != now
}

func (s *Server) bug(w *responder, r any, msg []byte, src netip.AddrPort, out []byte) []byte {
	w.count.panics.Add(1)
	if s.mayReport() {
		s.log.Error("a query made the server panic: please report this", "panic", r, "query", fmt.Sprintf("%x", msg), "from", src, "stack", string(debug.Stack()))
	}
	if len(msg) < headerLen {
		return out[:0]
	}
	defer w.publish()
	return w.bare(msg, out, dns.RcodeServerFailure)
}
