package fleet

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gslb/geo"
	"gslb/health"
	"gslb/history"
	"gslb/steady"
	"gslb/store"
)

// The defaults of Config.
const (
	DefaultStaleAfter = 30 * time.Second
	DefaultGrace      = time.Minute
	DefaultSettle     = store.DefaultTTL + 5*time.Second
)

const (
	// evalGap bounds how often a burst of changes is evaluated.
	evalGap = 20 * time.Millisecond
	// lookAgain is how soon all is evaluated again though nothing has come in and nothing is due: what
	// is due by the time of day comes sooner when the clock is set.
	lookAgain = time.Minute
	// firstView is when a node that has heard nothing at all goes by its own probes.
	firstView = 3 * time.Second
)

// Config is what a Fleet is told about this node and the fleet.
type Config struct {
	Node    string   // this node's name; no two may have the same
	Roles   []string // for people to see
	Version string   // of the program, for people to see
	Console string   // the URL of this node's console, for people to see
	// Place is where the node stands, of a checker; nil: not said.
	Place *geo.Place
	// Addresses are those that a checker's probes may come from.
	Addresses []netip.Addr
	Topology

	TTL        time.Duration    // how long the votes of a node that died count; default store.DefaultTTL
	StaleAfter time.Duration    // how long the last known votes count without etcd; default DefaultStaleAfter
	Grace      time.Duration    // how much longer than it is in force an override that ends stays in etcd; default DefaultGrace
	Settle     time.Duration    // how long the breaker watches after etcd came back; default DefaultSettle
	Now        func() time.Time // the clock; default steady.Now
}

// Topology is what the fleet is, which may change while a Fleet runs. All but
// Rejoin.ByHand goes to health.Evaluate.
type Topology struct {
	Sites       []string // the sites of the fleet
	Capacity    map[string]float64
	Rejoin      map[string]health.Rejoin
	Maintenance map[string][]health.Window
	Quorum      health.Quorum
	Quorums     map[string]health.Quorum // of sites that have their own
	// Vantage says which checkers probe each site; those not named: all. Locations are
	// where the sites are, as far as it is known, for "nearest".
	Vantage   map[string]health.Vantage
	Locations map[string]geo.Coordinates
	Breaker   health.BreakerConfig
	// AudienceOf names the audience that a vantage point at a place stands for, "" for
	// none; nil: there are none. AudienceMin is as health.Input has it.
	AudienceOf  func(geo.Place) string
	AudienceMin map[string]int
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.TTL, store.DefaultTTL}, {&c.StaleAfter, DefaultStaleAfter}, {&c.Grace, DefaultGrace}, {&c.Settle, DefaultSettle}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.Now == nil {
		c.Now = steady.Now
	}
	return c
}

// Fleet is this node's part in the fleet. Its methods are safe for concurrent use.
type Fleet struct {
	cfg     Config
	store   *store.Store
	session *store.Session
	log     *slog.Logger
	now     func() time.Time

	history   *history.Log
	noted     chan struct{}                 // capacity 1: events are pending
	kick      chan struct{}                 // capacity 1: evaluate, or write
	published atomic.Pointer[health.States] // never nil
	decided   chan bool                     // capacity 1: an order about what is held; true: let it through

	mu       sync.Mutex
	topology Topology                   // guarded by mu, as all below; never changed, only replaced; Sites are sorted
	votes    map[string]health.Vote     // this node's, by site
	reports  map[string]*ownReport      // this node's, by site
	times    map[string]float64         // this node's as they are published, by site
	out      map[string]*outbox         // by key
	self     Node                       // as announced
	pending  []history.Event            // for the time line
	view     store.View                 // the newest
	hasView  bool                       // view is one
	news     news                       // since the last evaluation
	staleAt  time.Time                  // since when view is stale; zero: it is not
	freshAt  time.Time                  // when etcd last came back; zero: it was never away
	nodes    []Node                     // as of the last evaluation
	problems []Problem                  // likewise
	answers  []health.Answered          // likewise
	held     *Held                      // likewise
	running  bool                       // Run runs
	renewed  chan struct{}              // closed and made anew at each publication
	mine     map[string]bool            // the sites that this node is to probe, of those that not all do
	live     []Node                     // the checkers that who was made of
	who      map[string]map[string]bool // who is to probe those sites; nil: not made yet
	nobodys  []string                   // those that no live checker is to probe
	turned   chan struct{}              // capacity 1: mine is another
}

// New returns a Fleet that does nothing until Run.
func New(cfg Config, st *store.Store, log *slog.Logger) *Fleet {
	cfg = cfg.withDefaults()
	f := &Fleet{
		cfg: cfg, store: st, session: st.NewSession(cfg.TTL), log: log, now: cfg.Now,
		history: history.NewLog(st), noted: make(chan struct{}, 1),
		kick:    make(chan struct{}, 1),
		votes:   map[string]health.Vote{},
		reports: map[string]*ownReport{},
		out:     map[string]*outbox{},
		self:    Node{Name: cfg.Node, Instance: rand.Text(), Roles: slices.Clone(cfg.Roles), Since: cfg.Now().UTC(), Version: cfg.Version},
		renewed: make(chan struct{}),
		decided: make(chan bool, 1),
		turned:  make(chan struct{}, 1),
		news:    everything(),
	}
	f.self.Place, f.self.Addresses, f.self.Console = cfg.Place, cfg.Addresses, cfg.Console
	f.SetTopology(cfg.Topology)
	first := health.Evaluate(health.Input{Sites: f.topology.Sites, Now: cfg.Now()})
	first.Stale = true
	f.published.Store(first)
	return f
}

// SetTopology replaces the topology. This node's votes and reports on sites that
// are gone are withdrawn.
func (f *Fleet) SetTopology(t Topology) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.topology.Sites
	t.Sites = slices.Sorted(slices.Values(t.Sites))
	t.Capacity, t.Rejoin, t.Maintenance = maps.Clone(t.Capacity), maps.Clone(t.Rejoin), maps.Clone(t.Maintenance)
	t.Quorums, t.Locations, t.Vantage = maps.Clone(t.Quorums), maps.Clone(t.Locations), maps.Clone(t.Vantage)
	maps.DeleteFunc(t.Vantage, func(_ string, v health.Vantage) bool { return v.All() })
	mine := maps.Clone(f.mine)
	for site := range t.Vantage {
		if f.topology.Vantage[site] == "" && slices.Contains(old, site) { // it is handed over, as any other
			if mine == nil {
				mine = map[string]bool{}
			}
			mine[site] = true
		}
	}
	f.mine, f.topology, f.who = mine, t, nil
	f.news.judge = true
	for site, v := range f.votes {
		was, is := slices.Contains(old, site), slices.Contains(t.Sites, site)
		switch {
		case was && !is:
			delete(f.votes, site)
			f.withdraw(keyOf(kindVote, site, f.cfg.Node))
		case is && !was:
			f.offer(keyOf(kindVote, site, f.cfg.Node), f.said(v), voteGap, f.now())
		}
	}
	for site := range f.reports {
		if !slices.Contains(t.Sites, site) {
			delete(f.reports, site)
			f.withdraw(keyOf(kindReport, site, f.cfg.Node))
		}
	}
	f.wake()
}

// maxProblem bounds the text of a node's problem in etcd, in octets.
const maxProblem = 1000

// Serving announces the revision of the topology in etcd that this node serves
// and, where that is not the one that it is to serve, that one and what keeps it.
func (f *Fleet) Serving(revision, wanted int64, problem string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(problem) > maxProblem {
		problem = strings.ToValidUTF8(problem[:maxProblem], "") + " …"
	}
	if !f.self.Follows || f.self.Revision != revision || f.self.Wanted != wanted || f.self.Problem != problem {
		f.self.Follows, f.self.Revision, f.self.Wanted, f.self.Problem = true, revision, wanted, problem
		f.offer(f.selfKey(), f.self, voteGap, f.now())
		f.wake()
	}
}

// Tries announces the revision that this node tries on a share of the clients' networks; 0: none.
func (f *Fleet) Tries(revision int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.self.Trial != revision {
		f.self.Trial = revision
		f.offer(f.selfKey(), f.self, voteGap, f.now())
		f.wake()
	}
}

func (f *Fleet) selfKey() string { return keyOf(kindNode, f.self.Name, f.self.Instance) }

// States is the newest evaluation. Before the first one every site is Unknown,
// Revision is 0 and Stale is true. It is immutable.
func (f *Fleet) States() *health.States { return f.published.Load() }

// Nodes are the live nodes by name, as far as this one knows: each name once,
// with the process that started last.
func (f *Fleet) Nodes() []Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.nodes)
}

// Answers are what the DNS nodes say of the sites that get no new users.
func (f *Fleet) Answers() []health.Answered {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.answers)
}

// Problems are the values in etcd that this node can't use, sorted by key.
func (f *Fleet) Problems() []Problem {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.problems)
}

// Run takes part in the fleet until ctx ends; then it takes this node's votes
// and reports back, and returns nil. It calls changed from one goroutine, the
// first time as soon as there is anything to evaluate (a copy on disk is enough)
// and then whenever something changed that decides where users go, or its
// reasons. It must run once.
func (f *Fleet) Run(ctx context.Context, changed func(*health.States)) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	started := f.now()
	f.mu.Lock()
	f.running = true
	f.offer(f.selfKey(), f.self, 0, started)
	f.mu.Unlock()
	defer f.stopped()

	var watchErr error
	wg.Go(func() {
		defer cancel()
		watchErr = f.store.Watch(ctx, "fleet", root, f.take)
	})
	wg.Go(func() { f.session.Run(ctx) })
	orders := make(chan health.Override, 16)
	wg.Go(func() { f.drainByHand(ctx, orders) })
	wg.Go(func() { f.record(ctx) })

	l := &loop{f: f, started: started, changed: changed, orders: orders, byHand: map[string]health.Override{}, known: map[Problem]time.Time{}, twins: map[string]time.Time{}}
	l.run(ctx)
	cancel()
	wg.Wait()
	return watchErr
}

func (f *Fleet) stopped() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = false
}

// take receives a view from the store.
func (f *Fleet) take(v store.View) {
	now := f.now()
	f.mu.Lock()
	switch {
	case v.Stale && f.staleAt.IsZero():
		f.staleAt = now
	case !v.Stale && !f.staleAt.IsZero():
		f.staleAt, f.freshAt = time.Time{}, now
	}
	f.view, f.hasView = v, true
	f.news.view(v)
	f.mu.Unlock()
	f.session.Repair(v)
	f.wake()
}

// wake makes the loop look. It never waits.
func (f *Fleet) wake() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}
