// Package speaker announces addresses to routers by BGP, with GoBGP. It takes no routes
// from them and puts none into the kernel. When an address is announced is a decision of
// package bgp.
//
// Invariants: what is not wished for is not announced; nothing is announced any more once
// Withdraw has returned and a tick has passed; at the end of Run all sessions are over. A
// new configuration leaves those sessions alone whose own settings stay (follow.go).
package speaker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"

	"gslb/bgp"
)

// tick is how often the wishes are asked for. What makes them ready comes from several
// rooms, none of which is to know of this one; asking costs a lock and a count.
const tick = 100 * time.Millisecond

// Options are what a Speaker gets from outside. The zero value is fine.
type Options struct {
	// Wishes gives the addresses to announce, and whether each is ready, those of the DNS
	// service (Config.DNS) among them; nil: none.
	Wishes func(dns []netip.Addr) []bgp.Wish
	// Notice is told of each change, in words, and must not block; nil: nobody is.
	Notice func(text string)
	// TakesOver: a speaker before this one has left its routes with the neighbours
	// (HandOver): what is ready is announced at once, before they forget them.
	TakesOver bool
	Now       func() time.Time // default time.Now
}

// Speaker speaks BGP for one node. Its methods may be called by many goroutines at once.
type Speaker struct {
	log     *slog.Logger
	opts    Options
	changed chan struct{} // holds a token when cfg is a new one

	mu        sync.Mutex
	cfg       settings                // guarded by mu; what is to be in force, and soon is
	addresses map[netip.Addr]*address // guarded by mu
	sessions  []*session              // guarded by mu; in the configuration's order
	leaving   bool                    // guarded by mu; nothing is announced any more
	handOver  bool                    // guarded by mu; the end of Run leaves the routes with the neighbours
	born      time.Time               // of the Speaker
	started   bool                    // of Run's goroutine: GoBGP was started once
	stepped   chan struct{}           // guarded by mu; closed after the next step
}

// address is one that is to be announced while it is ready.
type address struct {
	hold bgp.Hold
	wish bgp.Wish
}

// New makes the speaker of a valid configuration with defaults, or of one that is not used. It
// opens and starts nothing.
func New(cfg bgp.Config, log *slog.Logger, opts Options) *Speaker {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Wishes == nil {
		opts.Wishes = func([]netip.Addr) []bgp.Wish { return nil }
	}
	if opts.Notice == nil {
		opts.Notice = func(string) {}
	}
	s := &Speaker{log: log, opts: opts, changed: make(chan struct{}, 1), born: opts.Now(), addresses: map[netip.Addr]*address{}, stepped: make(chan struct{})}
	s.adopt(settings{Config: cfg})
	return s
}

// Run speaks until ctx ends; with a configuration that is not used it waits for one that
// is. It returns an error if it could not start: an address to listen at is taken, a file
// with a password cannot be read. It may be called again then.
func (s *Speaker) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.speak(ctx); err != nil {
			return err
		}
	}
	return nil
}

// speak runs one GoBGP until ctx ends, or until a configuration comes that it cannot follow.
func (s *Speaker) speak(ctx context.Context) error {
	cfg, err := s.latest()
	if err != nil {
		return err
	}
	if !cfg.Used() {
		select {
		case <-ctx.Done():
		case <-s.changed:
		}
		return nil
	}
	gobgp := server.NewBgpServer(server.LoggerOption(slog.New(&listener{Handler: s.log.Handler(), failed: s.failed}), nil))
	go gobgp.Serve()
	defer gobgp.Stop()
	if err := s.start(ctx, gobgp, &cfg); err != nil {
		return err
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		if err := s.step(gobgp, &cfg); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			s.mu.Lock()
			left := s.handOver
			s.mu.Unlock()
			if left {
				return gobgp.StopBgp(context.Background(), &api.StopBgpRequest{AllowGracefulRestart: true})
			}
			return nil
		case <-s.changed:
			next, err := s.latest()
			if err != nil {
				return err
			}
			if anew(&cfg, &next) {
				return nil
			}
			if err := s.follow(ctx, gobgp, &cfg, &next); err != nil {
				return err
			}
			cfg = next
		case <-ticker.C:
		}
	}
}

// start starts GoBGP, announces what is ready already, and then has it connect: the first
// that a neighbour hears is complete.
func (s *Speaker) start(ctx context.Context, gobgp *server.BgpServer, cfg *settings) error {
	global := &api.Global{Asn: cfg.AS, RouterId: cfg.RouterID.String(), ListenPort: -1}
	if len(cfg.Listen) > 0 {
		global.ListenPort = int32(cfg.ListenPort)
		for _, a := range cfg.Listen {
			global.ListenAddresses = append(global.ListenAddresses, a.String())
		}
	}
	if err := gobgp.StartBgp(ctx, &api.StartBgpRequest{Global: global}); err != nil {
		return fmt.Errorf("bgp: %w", err)
	}
	err := gobgp.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
		Name: "global", Direction: api.PolicyDirection_POLICY_DIRECTION_IMPORT, DefaultAction: api.RouteAction_ROUTE_ACTION_ACCEPT}})
	if err != nil {
		return fmt.Errorf("bgp: %w", err)
	}
	if err := gobgp.WatchEvent(ctx, server.WatchEventMessageCallbacks{OnPeerUpdate: s.observe}, server.WatchPeer()); err != nil {
		return fmt.Errorf("bgp: %w", err)
	}
	s.mu.Lock()
	for _, a := range s.addresses { // of a GoBGP before: this one knows nothing of it
		a.hold.Announced = false
	}
	s.mu.Unlock()
	if err := s.step(gobgp, cfg); err != nil {
		return err
	}
	for _, n := range cfg.Neighbors {
		if err := gobgp.AddPeer(ctx, &api.AddPeerRequest{Peer: cfg.peer(n, s.opts.TakesOver && !s.started)}); err != nil {
			return fmt.Errorf("bgp: neighbour %s: %w", n.Address, err)
		}
	}
	s.started = true
	return nil
}

// step announces and withdraws what is due.
func (s *Speaker) step(gobgp *server.BgpServer, cfg *settings) error {
	wishes := bgp.Join(s.opts.Wishes(cfg.DNS))
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[netip.Addr]bool{}
	for _, w := range wishes {
		wanted[w.Address] = true
		if s.addresses[w.Address] == nil {
			s.addresses[w.Address] = &address{}
		}
		s.addresses[w.Address].wish = w
	}
	after := cfg.AnnounceAfter
	if s.opts.TakesOver && now.Sub(s.born) < 2*after {
		after = 0
	}
	for ip, a := range s.addresses {
		ready := a.wish.Ready
		why := a.wish.Why
		switch {
		case !wanted[ip]:
			ready, why = false, "it is not configured any more"
		case s.leaving:
			ready, why = false, "this node is leaving"
		}
		if a.hold.Step(ready, now, after, cfg.AnnounceAfterMost) {
			if err := s.tell(gobgp, cfg, ip, a.hold.Announced, why); err != nil {
				return err
			}
		}
		if !wanted[ip] {
			delete(s.addresses, ip)
		}
	}
	close(s.stepped)
	s.stepped = make(chan struct{})
	return nil
}

// tell announces an address, or withdraws it. Under mu.
func (s *Speaker) tell(gobgp *server.BgpServer, cfg *settings, ip netip.Addr, announce bool, why string) error {
	word, level := "announced", slog.LevelInfo
	if !announce {
		word, level = "withdrawn", slog.LevelWarn
	}
	if err := cfg.route(gobgp, ip, announce); err != nil {
		return fmt.Errorf("bgp: %s was to be %s: %w", ip, word, err)
	}
	s.log.Log(context.Background(), level, "bgp: "+word, "address", ip, "why", why)
	s.opts.Notice(fmt.Sprintf("BGP: %s %s: %s", ip, word, why))
	return nil
}

// Withdraw withdraws all addresses, for good, and returns when GoBGP has been told, or ctx
// has ended. Sessions stay.
func (s *Speaker) Withdraw(ctx context.Context) {
	s.mu.Lock()
	s.leaving = true
	next, used := s.stepped, s.cfg.Used()
	s.mu.Unlock()
	if !used {
		return
	}
	select {
	case <-next:
	case <-ctx.Done():
	}
}

// HandOver has the end of Run leave the routes with the neighbours, for another process to
// take over, where Config.GracefulRestart says that they keep them.
func (s *Speaker) HandOver() {
	s.mu.Lock()
	s.handOver = true
	s.mu.Unlock()
}

// Status returns the sessions in the order of the configuration, and the addresses by address.
func (s *Speaker) Status() bgp.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := bgp.Status{AS: s.cfg.AS, RouterID: s.cfg.RouterID.String()}
	for _, one := range s.sessions {
		st.Neighbors = append(st.Neighbors, one.NeighborStatus)
	}
	for ip, a := range s.addresses {
		one := bgp.AddressStatus{Address: ip.String(), Announced: a.hold.Announced, Since: a.hold.Since, Why: a.wish.Why}
		if s.leaving {
			one.Why = "this node is leaving"
		} else if !a.hold.Announced {
			one.Due = a.hold.Due(s.cfg.AnnounceAfter)
		}
		st.Addresses = append(st.Addresses, one)
	}
	slices.SortFunc(st.Addresses, func(a, b bgp.AddressStatus) int {
		return netip.MustParseAddr(a.Address).Compare(netip.MustParseAddr(b.Address))
	})
	return st
}
