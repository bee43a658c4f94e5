// Package balancer is the L4 tier of a site: frontends that take TCP
// connections and hand each to the one of their servers that a picker chooses.
//
// It owns what happens to a connection (pick, connect, move bytes, end) and
// which servers take new ones: it isolates those that fail or are overloaded,
// puts spares in for them and takes the spares out again, drains on order, and
// reports how its site is. It does not know DNS, policies, other sites or etcd:
// its reports go to whoever runs it.
//
// Invariants:
//
//   - An isolated or draining server gets no new connection once the call that
//     isolated it has returned; its established ones are left alone.
//   - No byte of a client is passed on before a server has accepted its connection,
//     so a failed connect is tried again elsewhere and the client never knows.
//   - A new configuration does not touch connections of servers that it keeps.
//   - With a server left that accepts, no client is refused.
//
// The way of a connection: frontend (config) -> plane (accept) -> pool.table
// (pick) -> plane (connect, relay). The way of a change: probe, connect failure,
// load or order -> pool.settle (manager.go) -> a new table, events, a report.
package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gslb/handover"
	"gslb/health"
	"gslb/health/probe"
	"gslb/proxyproto"
)

// Options are what a Balancer gets from outside. The zero value is fine.
type Options struct {
	Node        string           // name of this node, in reports
	ReportEvery time.Duration    // between reports if nothing changes; default 1s
	Now         func() time.Time // default time.Now
	Random      func() uint64    // for picks; used by many goroutines at once; default math/rand/v2's
	AllowExec   bool             // checks may run programs
	Board       *probe.Board     // where push checks look; nil: nobody reports
	File        string           // where registered servers are kept over a restart; "": they are not
	// Notice is told of each event, and must not block; nil: nobody is.
	Notice func(Event)
	// Ignore tells the clients that are nobody's users, for Visitors; nil: all are.
	Ignore func(netip.Addr) bool
	// Inherited are sockets of the process that this one takes over from: those of
	// the frontends' addresses are used in place of new ones. nil: none.
	Inherited *handover.Sockets
}

// Balancer runs all frontends of a node. Its methods may be called by many
// goroutines at once, before, during and after Run.
type Balancer struct {
	log     *slog.Logger
	opts    Options
	journal *journal
	planes  planes
	runner  *probe.Runner // of the active checks; a target is a frontend's name and a server's address
	changed chan struct{} // holds a token when there is something to report
	entries chan entry    // of the connection log

	mu         sync.Mutex
	fronts     []*frontend             // guarded by mu; in the configuration's order
	base       []Config                // guarded by mu; as configured, without what is registered
	registered []Registration          // guarded by mu
	checks     map[string]probe.Config // guarded by mu
	retired    []retired               // guarded by mu
	listening  bool                    // guarded by mu
	stopping   bool                    // guarded by mu; Run's context has ended
	attended   map[string]*census      // guarded by mu; by site
}

// retired is a frontend that left the configuration with connections.
type retired struct {
	*frontend
	until time.Time // then they are reset
}

// New makes a Balancer of cfgs, and of the checks that they name. It opens and
// starts nothing. The error joins all faults, each with frontend, key and value.
func New(cfgs []Config, checks map[string]probe.Config, log *slog.Logger, opts Options) (*Balancer, error) {
	setDefault(&opts.ReportEvery, time.Second)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Random == nil {
		opts.Random = rand.Uint64
	}
	if err := validate(cfgs, checks); err != nil {
		return nil, err
	}
	b := &Balancer{log: log, opts: opts, planes: newPlanes(log, &opts), runner: probe.NewRunner(log), changed: make(chan struct{}, 1), entries: make(chan entry, entriesMost)}
	b.runner.AllowExec, b.runner.Board, b.runner.Seed = opts.AllowExec, opts.Board, opts.Node
	b.journal = &journal{log: log, changed: b.change, notice: opts.Notice}
	b.base, b.registered = cfgs, b.readRegistered(cfgs, checks)
	b.compose(with(cfgs, b.registered), checks).commit(b)
	return b, nil
}

// change asks for a report soon.
func (b *Balancer) change() {
	select {
	case b.changed <- struct{}{}:
	default: // one is asked for already
	}
}

// validate returns all faults of cfgs, joined.
func validate(cfgs []Config, checks map[string]probe.Config) error {
	var faults []error
	names, listens := map[string]bool{}, map[string]string{}
	for i, c := range cfgs {
		title := fmt.Sprintf("frontend %q", c.Name)
		if c.Name == "" {
			title = fmt.Sprintf("frontend number %d", i+1)
		}
		bad := func(key, msg string) {
			faults = append(faults, fmt.Errorf("%s: %q: %s", title, key, msg))
		}
		c.Validate(bad)
		if c.Name != "" && names[c.Name] {
			bad("name", "stands twice; each frontend needs its own")
		}
		names[c.Name] = true
		for _, address := range c.Listen {
			at := address
			if c.Protocol == UDP {
				at = "udp " + address
			}
			if other, taken := listens[at]; taken && other != c.Name && !anyPort(address) {
				bad("listen", fmt.Sprintf("%q: frontend %q listens there", address, other))
			}
			listens[at] = c.Name
		}
		if _, known := checks[c.Check]; c.Check != "" && !known {
			bad("check", fmt.Sprintf("%q: there is no [check.%s]", c.Check, c.Check))
		}
	}
	ValidateRoutes(cfgs, func(i int, key, msg string) {
		faults = append(faults, fmt.Errorf("frontend %q: %q: %s", cfgs[i].Name, key, msg))
	})
	if len(faults) == 0 { // else the same address would be found wrong twice
		for _, c := range activeChecks(cfgs, checks) {
			if _, err := probe.New(c.Config, c.Target); err != nil {
				faults = append(faults, fmt.Errorf("frontend %q: %w", c.Target.Name, err))
			}
		}
	}
	return errors.Join(faults...)
}

// generation is one whole configuration, with the frontends that it keeps.
type generation struct {
	fronts []*frontend
	cfgs   []Config // with defaults; of the frontend at the same index
	checks map[string]probe.Config
}

// compose makes the generation of valid cfgs, and changes nothing. Under mu,
// except in New.
func (b *Balancer) compose(cfgs []Config, checks map[string]probe.Config) *generation {
	g := &generation{checks: checks}
	for _, c := range cfgs {
		i := slices.IndexFunc(b.fronts, func(f *frontend) bool { return f.name == c.Name })
		var f *frontend
		if i >= 0 {
			f = b.fronts[i]
		} else {
			f = &frontend{name: c.Name, entries: b.entries, pool: newPool(c.Name, b.journal, b.opts.Now, b.opts.Random)}
		}
		g.fronts = append(g.fronts, f)
		g.cfgs = append(g.cfgs, c.WithDefaults())
	}
	return g
}

func (g *generation) bindings() []binding {
	var out []binding
	for i, f := range g.fronts {
		out = append(out, binding{f, &g.cfgs[i]})
	}
	return out
}

// commit makes g what b runs. Under mu, except in New.
func (g *generation) commit(b *Balancer) {
	for i, f := range g.fronts {
		var rule *probe.Config
		if name := g.cfgs[i].Check; name != "" {
			r := g.checks[name].WithDefaults()
			rule = &r
		}
		f.follow(g.cfgs[i], rule)
	}
	named := map[string]*frontend{}
	for _, f := range g.fronts {
		named[f.name] = f
	}
	for i, f := range g.fronts {
		f.entrance.Store(entranceOf(&g.cfgs[i], named))
	}
	for _, f := range b.fronts {
		if !slices.Contains(g.fronts, f) {
			b.retired = append(b.retired, retired{f, b.opts.Now().Add(f.config().DrainTimeout)})
			b.log.Info("balancer: frontend removed by a new configuration", "frontend", f.name, "connections", f.gate.inside())
		}
	}
	b.fronts, b.checks = g.fronts, g.checks
	b.attend()
	if err := b.runner.Set(activeChecks(g.cfgs, g.checks)); err != nil { // validate made them once
		b.log.Error("balancer: a check cannot be made again; it goes on as it was", "error", err)
	}
}

// activeChecks returns the checks of all servers and spares of cfgs.
func activeChecks(cfgs []Config, checks map[string]probe.Config) []probe.Check {
	var out []probe.Check
	for _, c := range cfgs {
		cfg, ok := checks[c.Check]
		if !ok {
			continue
		}
		cfg = cfg.WithDefaults()
		if cfg.Type != "agent" { // which has a port of its own
			cfg.Preamble = proxyproto.Local(c.SendProxy)
		}
		for _, s := range slices.Concat(c.Servers, c.Spares) {
			out = append(out, probe.Check{Target: probe.Target{Name: c.Name, Address: s.Address}, Config: cfg})
		}
	}
	return out
}

// Listen opens the listeners, so that a taken port is known before anything
// else starts. Run does it too if it was not called, and closes them at its
// end. The error joins all addresses that failed; then none is open.
func (b *Balancer) Listen() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listening {
		return nil
	}
	g := &generation{fronts: b.fronts, checks: b.checks}
	for _, f := range b.fronts {
		g.cfgs = append(g.cfgs, *f.config())
	}
	if err := b.planes.apply(g.bindings(), func() {}); err != nil {
		return err
	}
	b.listening = true
	return nil
}

// Apply replaces the configuration: all of it, or, with an error, nothing.
// Frontends are known by name, listeners and servers by address: what stays
// keeps its connections, counters and health. A removed server or frontend
// takes no new connections, and those it has are reset after its drain time-out.
func (b *Balancer) Apply(cfgs []Config, checks map[string]probe.Config) error {
	if err := validate(cfgs, checks); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.apply(cfgs, checks, b.valid(cfgs, checks, b.registered))
}

// apply makes cfgs and what is registered beside them what b runs. Under mu.
func (b *Balancer) apply(cfgs []Config, checks map[string]probe.Config, registered []Registration) error {
	merged := with(cfgs, registered)
	if err := validate(merged, checks); err != nil {
		return err
	}
	g := b.compose(merged, checks)
	if !b.listening {
		g.commit(b)
	} else if err := b.planes.apply(g.bindings(), func() { g.commit(b) }); err != nil {
		return err
	}
	changed := !slices.Equal(registered, b.registered)
	b.base, b.registered = cfgs, registered
	b.change()
	if changed {
		return b.keepRegistered()
	}
	return nil
}

// Run listens, carries connections and looks after the servers until ctx ends.
// Then it takes no more connections, lets those it has finish within their
// DrainTimeout, and returns nil; it leaves no goroutine behind. It returns an
// error only if it could not start. It must be called once.
//
// report gets one Report for each site at the start, at each change, and every
// Options.ReportEvery; never two at a time. The last ones, when ctx has ended,
// say that no server can be reached here. It may be nil.
func (b *Balancer) Run(ctx context.Context, report func(health.Report)) error {
	if err := b.Listen(); err != nil {
		return err
	}
	if report == nil {
		report = func(health.Report) {}
	}
	drained, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { b.check(drained) })
	wg.Go(func() { b.manage(drained) })
	wg.Go(func() { writeLog(drained, b.entries, b.log) })
	wg.Go(func() { b.report(ctx, drained, report) })
	defer context.AfterFunc(ctx, b.stop)()
	b.planes.run(ctx)
	b.stop()
	stop()
	wg.Wait()
	return nil
}

// stop notes that nothing is taken any more.
func (b *Balancer) stop() {
	b.mu.Lock()
	b.stopping = true
	b.mu.Unlock()
}

// check runs the active checks and gives their verdicts to the pools, until ctx ends.
func (b *Balancer) check(ctx context.Context) {
	err := b.runner.Run(ctx, func(t probe.Transition) {
		if f, err := b.frontend(t.Target.Name); err == nil { // else it was just removed
			f.pool.observe(t.Target.Address, t.State, t.Wish, t.Detail, t.At)
			if f.pool.serves(t.Target.Address, t.Generation) {
				b.change()
			}
		}
	})
	if err != nil && ctx.Err() == nil {
		b.log.Error("balancer: active checks have ended; connect failures alone isolate now", "error", err)
	}
}

// manage settles all pools as time passes, until ctx ends.
func (b *Balancer) manage(ctx context.Context) {
	var tries sync.WaitGroup
	defer tries.Wait()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var described time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := b.opts.Now()
		for _, f := range b.frontends() {
			for _, s := range f.pool.tickAt(now) {
				tries.Go(func() { f.pool.try(ctx, s) })
			}
			for _, s := range f.pool.doubtful(now) {
				tries.Go(func() { f.pool.prove(ctx, s) })
			}
			b.callHooks(ctx, f, now, tries.Go)
			f.lookAtRefusals(now)
		}
		b.endRetired(now)
		b.expire(now)
		if now.Sub(described) >= time.Second {
			b.describe()
			described = now
		}
	}
}

// describe gives the pools the words of the latest probes. (Their verdicts come
// by check; taken from here as well, an older one might overtake a newer.)
func (b *Balancer) describe() {
	for _, r := range b.runner.Results() {
		if f, err := b.frontend(r.Target.Name); err == nil {
			f.pool.describe(r.Target.Address, r.Detail)
		}
	}
}

// endRetired drops removed frontends that are empty, and resets the connections
// of those whose time is over.
func (b *Balancer) endRetired(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retired = slices.DeleteFunc(b.retired, func(r retired) bool {
		if !now.Before(r.until) {
			r.cut()
		}
		return r.gate.inside() == 0
	})
}

func (b *Balancer) frontends() []*frontend {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fronts // replaced, never changed
}

// frontend returns the frontend of that name.
func (b *Balancer) frontend(name string) (*frontend, error) {
	fronts := b.frontends()
	for _, f := range fronts {
		if f.name == name {
			return f, nil
		}
	}
	return nil, unknownFrontend(name, fronts)
}

// ErrUnknown is that there is no such frontend or server.
var ErrUnknown = errors.New("there is no")

func unknownFrontend(name string, fronts []*frontend) error {
	var names []string
	for _, f := range fronts {
		names = append(names, f.name)
	}
	return fmt.Errorf("%w frontend %q: must be one of %q", ErrUnknown, name, names)
}

// Drain gives the server (or spare) at address no new connections, and resets
// those that outlive most (0: the frontend's DrainTimeout). An order holds until
// Undrain, also through Apply, but not over a restart.
func (b *Balancer) Drain(frontend, address string, most time.Duration) error {
	f, err := b.frontend(frontend)
	if err != nil {
		return err
	}
	return f.pool.drainServer(address, true, most)
}

// Undrain gives the server at address connections again.
func (b *Balancer) Undrain(frontend, address string) error {
	f, err := b.frontend(frontend)
	if err != nil {
		return err
	}
	return f.pool.drainServer(address, false, 0)
}

// Addrs returns where the frontend listens, in the order of Config.Listen; none
// before Listen or if there is no such frontend. It tells the ports that the
// system chose for port 0.
func (b *Balancer) Addrs(frontend string) []net.Addr {
	f, err := b.frontend(frontend)
	if err != nil {
		return nil
	}
	return b.planes.addrs(f)
}

// Sockets adds copies of all sockets that clients come to, for a process that
// takes over.
func (b *Balancer) Sockets(to *handover.Sockets) error {
	var errs []error
	for _, p := range b.planes {
		if p, ok := p.(*proxy); ok {
			errs = append(errs, p.copySockets(to))
		}
	}
	return errors.Join(errs...)
}

// Leave says that another process has taken over: what forwards in the kernel stays
// there at the end of Run.
func (b *Balancer) Leave() {
	for _, p := range b.planes {
		if k, ok := p.(*inKernel); ok {
			k.leave()
		}
	}
}

// Events returns the last events of all frontends, oldest first, at most 256.
func (b *Balancer) Events() []Event { return b.journal.events() }
