package balancer

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gslb/health"
	"gslb/health/probe"
)

// Roles of a server, as in health.Server.
const (
	roleServer = "server"
	roleSpare  = "spare"
)

// server is one real server of one frontend. It lives as long as its address
// stands in the configuration, and then until its last connection is gone.
type server struct {
	address string
	at      netip.AddrPort // the same, if it is no name

	// Counted by the plane and read by anyone.
	open      atomic.Int64 // connections now, those being made included
	total     atomic.Int64 // connections made since the start
	failures  atomic.Int64 // connects that failed
	streak    atomic.Int32 // connects that failed in a row
	broken    atomic.Int64 // connections that it reset before it had said anything
	brokenRow atomic.Int32 // of these, how many in a row
	bytesUp   atomic.Int64 // from clients to the server
	bytesDown atomic.Int64 // from the server to clients
	carried   carried      // the plane's connections to it
	queued    atomic.Int64 // clients that wait because it was picked for them and has no room
	most      atomic.Int64 // bound of open; 0: none. Set under pool.mu

	asOf    atomic.Int64 // when a plane in the kernel counted open, in Unix nanoseconds; 0: open is exact
	evicted atomic.Bool  // a plane in the kernel is to end its connections; until it gets new ones

	queueTimeouts atomic.Int64 // of those that waited, who waited for too long

	times [timesKept]histogram

	seed uint64   // hash of the address, for hash picks
	peak peakEWMA // of connect times
	turn float64  // guarded by weighted.mu

	// The rest is guarded by pool.mu.
	ServerConfig
	role      string
	inService bool // a spare that was put in, or any server
	leaving   bool // not in the configuration any more
	drain     drainState
	ordered   bool // to be drained, by an operator
	asked     bool // by its agent
	wish      wish
	check     verdict
	isolation isolation
	doubt     doubt
	rampFrom  time.Time // start of the slow start; zero: none
	isolated  int64     // how many times
	since     time.Time // when it last came into or out of service
	measured  measured
}

func newServer(address string) *server {
	at, _ := netip.ParseAddrPort(address)
	return &server{address: address, at: netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), seed: hashText(address), wish: wish{Wish: probe.Wish{Share: 1}}}
}

// drainState is how far an order to drain has come.
type drainState struct {
	since time.Time     // zero: not draining
	most  time.Duration // its time-out; 0: the frontend's DrainTimeout
	begun int64         // connections that it had then
	done  bool          // EventDrained was told
	cut   bool          // the time-out is over
}

func (d drainState) on() bool { return !d.since.IsZero() }

// verdict is what the active check says.
type verdict struct {
	generation string // content generation that was seen last; "": not known
	state      health.State
	detail     string
	since      time.Time // when state began
}

// available tells whether the server may take new connections.
func (s *server) available() bool {
	return s.isolation.causes == 0 && !s.drain.on() && !s.leaving
}

// ramp returns the progress of the server's slow start at now, above 0 to 1.
func (s *server) ramp(now time.Time, slowStart time.Duration) float64 {
	if s.rampFrom.IsZero() {
		return 1
	}
	const least = 0.01 // so that a size is never 0
	return min(1, max(least, float64(now.Sub(s.rampFrom))/float64(slowStart)))
}

// load returns the connections in flight over the capacity, 0 if no capacity is stated.
func (s *server) load() float64 {
	if s.Capacity <= 0 {
		return 0
	}
	return float64(s.open.Load()) / s.Capacity
}

// pool is the servers and spares of one frontend, and the table of those that
// new connections are given to. Everything that may change the table happens
// under mu and ends in settle (manager.go).
type pool struct {
	frontend string
	journal  *journal
	now      func() time.Time
	pickers  map[string]picker // one of each kind for the pool's life: they guard server state
	table    atomic.Pointer[table]
	queue    queue

	passiveFailures, passiveResets atomic.Int32 // of cfg, for who may not wait for mu; below 1: never

	mu       sync.Mutex
	cfg      Config        // guarded by mu; with defaults
	rule     *probe.Config // guarded by mu; the active check, nil if there is none
	servers  []*server     // guarded by mu; in the configuration's order, spares last
	leaving  []*server     // guarded by mu; removed, but still with connections
	panic    bool          // guarded by mu
	follower *inKernel     // guarded by mu; woken at each change of the table; nil: none

	hooks  map[string]*hookState // guarded by mu; by kind and server
	past   [timesKept]Histogram  // guarded by mu; of the servers that are gone
	enough time.Time             // guarded by mu; since when a spare in service has not been needed; zero: it is
}

func newPool(frontend string, j *journal, now func() time.Time, random func() uint64) *pool {
	p := &pool{frontend: frontend, journal: j, now: now, pickers: map[string]picker{}, hooks: map[string]*hookState{}}
	for name, make := range pickers {
		p.pickers[name] = make(sources{random, now})
	}
	p.table.Store(&table{})
	return p
}

// configure makes the pool follow cfg (with defaults) and the active check rule.
// Servers whose address stays keep their connections, counters and health.
func (p *pool) configure(cfg Config, rule *probe.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, first := p.now(), p.servers == nil
	if rule == nil {
		for _, s := range p.servers {
			s.check = verdict{} // nobody would renew it
			s.wish.Wish, s.asked = probe.Wish{Share: 1}, false
		}
	}
	old := map[string]*server{}
	for _, s := range slices.Concat(p.leaving, p.servers) {
		old[s.address] = s
	}
	p.cfg, p.rule, p.servers, p.leaving = cfg, rule, nil, nil
	p.queue.bound(cfg.Queue)
	p.passiveFailures.Store(int32(cfg.PassiveFailures))
	p.passiveResets.Store(int32(cfg.PassiveResets))
	for _, list := range []struct {
		role    string
		servers []ServerConfig
	}{{roleServer, cfg.Servers}, {roleSpare, cfg.Spares}} {
		for _, c := range list.servers {
			s := old[c.Address]
			delete(old, c.Address)
			if joins := s == nil || s.leaving; joins {
				s = p.join(s, c.Address, now)
				if !first {
					p.tell(now, s, EventAdded, by(c)+", as "+list.role)
				}
			}
			s.enlist(c, list.role)
			p.servers = append(p.servers, s)
		}
	}
	for _, s := range old {
		if !s.leaving {
			s.leaving, s.drain = true, drainState{since: now, begun: s.open.Load()}
			by := "by a new configuration"
			if s.Registered {
				by = "its registration has ended"
			}
			p.tell(now, s, EventRemoved, fmt.Sprintf("%s, with %d connections", by, s.open.Load()))
		}
		p.leaving = append(p.leaving, s)
	}
	slices.SortFunc(p.leaving, func(a, b *server) int { return cmp.Compare(a.address, b.address) })
	p.settle(now)
	if first { // no slow start for all at once: somebody has to take the load
		for _, s := range p.servers {
			s.rampFrom = time.Time{}
		}
		p.settleTable(now)
	}
}

// by is what put a server in.
func by(c ServerConfig) string {
	if c.Registered {
		return "by registration"
	}
	return "by a new configuration"
}

// join returns the server for an address that was not in the configuration; s
// is the one that was removed earlier and still has connections, or nil.
func (p *pool) join(s *server, address string, now time.Time) *server {
	if s == nil {
		s = newServer(address)
	}
	s.leaving, s.drain, s.rampFrom, s.since = false, drainState{}, now, now
	s.ordered, s.asked = false, false
	s.carried.allow()
	return s
}

// enlist makes the server what the configuration says.
func (s *server) enlist(c ServerConfig, role string) {
	if role == roleServer || s.role == roleServer { // a spare that stays one stays in or out
		s.inService = role == roleServer
	}
	s.ServerConfig, s.role = c, role
	s.heed(s.wish.Wish, s.check.state)
}

// drainServer takes the server at address out for new connections, or back in. most
// is how long its connections may last; 0: the frontend's drain time-out.
func (p *pool) drainServer(address string, on bool, most time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.servers, func(s *server) bool { return s.address == address })
	if i < 0 {
		return fmt.Errorf("%w server %q of frontend %q: must be one of %q", ErrUnknown, address, p.frontend, p.addresses())
	}
	s, now := p.servers[i], p.now()
	if on && !s.ordered && s.drain.on() { // its agent asked for it; the order has a time-out
		s.drain = drainState{since: now, begun: s.open.Load()}
	}
	s.ordered = on
	if on && s.drain.on() && !s.drain.cut { // ordered again: with another time-out
		s.drain.most = most
	}
	p.settleOrders(s, now, orderText(on, most, p.cfg.DrainTimeout))
	if on {
		s.drain.most = most
	}
	p.settle(now)
	return nil
}

func orderText(on bool, most, usual time.Duration) string {
	if !on {
		return "by order"
	}
	if most == 0 {
		most = usual
	}
	return fmt.Sprintf("by order, within %v", most)
}

func (p *pool) addresses() []string {
	var all []string
	for _, s := range p.servers {
		all = append(all, s.address)
	}
	return all
}

// observe takes in what the active check says about the server at address, and
// what the server's agent wishes.
func (p *pool) observe(address string, state health.State, wish probe.Wish, detail string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.servers {
		if s.address != address {
			continue
		}
		s.check.detail = detail
		if s.check.state != state {
			s.check.state, s.check.since = state, at
		}
		s.heed(wish, state)
		p.settle(p.now())
	}
}

// serves takes in which content generation the server at address serves, and tells
// whether that is another one.
func (p *pool) serves(address, generation string) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.servers {
		if s.address == address && s.check.generation != generation {
			s.check.generation, changed = generation, true
		}
	}
	return changed
}

// describe takes in what the last probe of the server at address saw.
func (p *pool) describe(address, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.servers {
		if s.address == address {
			s.check.detail = detail
		}
	}
}

// connected and failed are the plane's word on each connect: passive health, and
// the server's latency. (A failure has none: to isolate the server is better than to think it slow.)
func (p *pool) connected(s *server, took time.Duration) {
	s.peak.observe(took, stamp(p.now()))
	s.times[timeConnect].observe(took)
	if s.streak.Load() != 0 { // a load is cheaper than a store that all cores see
		s.streak.Store(0)
	}
	s.total.Add(1)
}

func (p *pool) failed(s *server, err error) {
	s.failures.Add(1)
	n := s.streak.Add(1)
	if most := p.passiveFailures.Load(); most > 0 && n >= most {
		p.suspect(s, fmt.Sprintf("%d connects in a row failed: %v", most, err))
	}
}

// broke takes in that s has reset a connection before it had said anything.
func (p *pool) broke(s *server) {
	s.broken.Add(1)
	n := s.brokenRow.Add(1)
	if most := p.passiveResets.Load(); most > 0 && n >= most {
		p.suspect(s, fmt.Sprintf("%d connections in a row were reset before a first byte", most))
	}
}

// suspicious tells whether the connections of s speak against it.
func (p *pool) suspicious(s *server) bool {
	over := func(n, most int32) bool { return most > 0 && n >= most }
	return over(s.streak.Load(), p.passiveFailures.Load()) || over(s.brokenRow.Load(), p.passiveResets.Load())
}

// answered takes in that a server has said something for the first time in a
// connection, after so long.
func (s *server) answered(took time.Duration) {
	s.times[timeFirst].observe(took)
	if s.brokenRow.Load() != 0 {
		s.brokenRow.Store(0)
	}
}

// suspect has a server judged that its connections speak against.
func (p *pool) suspect(s *server, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.isolation.has(causePassive) {
		return
	}
	s.isolation.suspicion = why
	p.settle(p.now())
}

// tell records an event about s, or about all of the frontend if s is nil.
func (p *pool) tell(now time.Time, s *server, what, why string) {
	e := Event{At: now, Frontend: p.frontend, What: what, Why: why}
	if s != nil {
		e.Server = s.address
		if what != EventCut && what != EventDrained {
			s.since = now
		}
	}
	p.journal.add(e)
}
