package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"

	"gslb/balancer"
	"gslb/bgp/speaker"
	"gslb/config"
	"gslb/console"
	"gslb/dnsserver"
	"gslb/geo"
	"gslb/handover"
	"gslb/health"
	"gslb/health/fleet"
	"gslb/health/probe"
	"gslb/history"
	"gslb/steer"
	"gslb/store"
	"gslb/transfer"
)

// readyGate bounds how long a node that starts waits for the first States
// before it says that it is ready: what is unknown is not down.
const readyGate = 5 * time.Second

// node is a running gslb: the rooms, wired.
type node struct {
	path    string
	origin  *config.Config // what it was made of
	self    self
	name    string // this node's
	log     *slog.Logger
	started time.Time

	checking sync.Mutex    // guards checks
	checks   []probe.Check // of all sites, whoever makes them
	blind    time.Time     // since when this node does not see its control targets; zero: it does. Only vote uses it
	store    *store.Store
	fleet    *fleet.Fleet
	runner   *probe.Runner
	board    *probe.Board       // what applications report
	dns      *dnsserver.Server  // nil without the role
	moves    *transfer.Manager  // nil without the role of the DNS server
	updates  *updates           // before moves
	balancer *balancer.Balancer // nil without the role
	api      *console.Server    // nil when switched off
	apiLn    net.Listener       // until it serves
	apiAddr  string             // where it listens
	registry *prometheus.Registry
	follow   *follower // nil unless the topology comes from etcd
	history  *history.Log
	book     *history.Book

	turn   sync.Mutex // of who changes zones: held from reading topo.db until its successor is served
	signer signer
	signs  bool // a node without the role dns does not

	nobody    atomic.Pointer[nobody] // whose connections are not users'
	views     chan view              // that are to be recorded
	incidents chan balancer.Event    // of its balancer, that are to be noted
	asked     chan reloadOrder
	replays   string // the folder for it

	mu     sync.Mutex // guards all below, and making generations
	topo   *topology
	places *geo.DB
	watch  *geo.Watcher
	faults map[string]string // what is wrong now, by what it is about
	// What the breaker holds back besides sites, by what it is.
	heldChanges map[string]*heldChange
	surveys     *surveyor // of the users, for what-ifs
	ready       atomic.Bool
	isReady     chan struct{} // closed when it is

	signed atomic.Uint64 // how often served zones got other signatures
	// triedSigned is what signed was when the canary's trial was compiled; of the same goroutine as dropped.
	triedSigned uint64
	tried       *geo.DB // that the canary's trial was compiled with; of the same goroutine as dropped
	dropped     string  // mark of the databases that were held and then dropped; of the goroutine that reloads
	serving     atomic.Bool

	speaker    *speaker.Speaker
	leavingNow atomic.Bool // it serves on for a moment, and is not to get more users
}

// newNode makes all parts and binds all addresses, so that whatever keeps the
// node from running is known before it begins.
// Sockets of a process that this one takes over from are used where they fit.
func newNode(ctx context.Context, path string, cfg *config.Config, log *slog.Logger, sockets *handover.Sockets) (_ *node, err error) {
	n := &node{path: path, origin: cfg, name: cfg.Node.Name, log: log, started: time.Now(), faults: make(map[string]string), heldChanges: make(map[string]*heldChange), views: make(chan view, 256), incidents: make(chan balancer.Event, incidentsMost), asked: make(chan reloadOrder), replays: replayFolder(cfg), registry: prometheus.NewRegistry(), board: probe.NewBoard(), isReady: make(chan struct{}), surveys: newSurveyor()}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	bare := cfg
	if cfg.Node.Topology != "" {
		if n.follow, err = openFollower(cfg); err != nil {
			return nil, err
		}
		cfg = n.follow.resume(path, cfg, log)
	}
	if cfg.Node.HasRole(config.RoleDNS) {
		n.moves = transfer.New(filepath.Join(cfg.Node.DataDir, "zones"), n, log)
	}
	if n.signer, err = newSigner(cfg, n); err != nil {
		return nil, err
	}
	n.signs = cfg.Node.HasRole(config.RoleDNS)
	moving, checks, err := n.begin(cfg)
	if err != nil && n.topologyFile() != "" {
		n.follow.abandon(err, log)
		cfg = bare
		moving, checks, err = n.begin(cfg)
	}
	if err != nil {
		return nil, err
	}
	n.sayPlaces(n.places, n.topo)
	giveBack(0)
	for _, w := range n.topo.db.Warnings() {
		log.Warn(w)
	}
	if cfg.Node.HasRole(config.RoleDNS) {
		n.dns = dnsserver.New(cfg.DNS, log)
		n.updates = &updates{Other: n.moves}
		n.dns.SetOther(n.updates)
		n.dns.Inherit(sockets)
		n.dns.SetExpiry(n.moves.Expires)
		n.dns.SetSecrets(n.topo.secrets)
		n.dns.Swap(n.topo.generation(nil, nil))
		n.moves.Commit(moving)
		if err := n.dns.Listen(ctx); err != nil {
			return nil, err
		}
	}
	if cfg.Node.HasRole(config.RoleBalancer) {
		if n.balancer, err = balancer.New(cfg.Frontends, cfg.Checks, log, balancer.Options{Node: cfg.Node.Name, AllowExec: cfg.Node.AllowExec, Board: n.board, Ignore: n.isNobody, Inherited: sockets, File: filepath.Join(cfg.Node.DataDir, "servers.json"), Notice: n.noticed}); err != nil {
			return nil, err
		}
		if err := n.balancer.Listen(); err != nil {
			return nil, err
		}
	}
	if cfg.API.Listen != "off" {
		if n.apiLn, err = net.Listen("tcp", cfg.API.Listen); err != nil {
			return nil, fmt.Errorf("api.listen %s: %w", cfg.API.Listen, err)
		}
		n.apiAddr = n.apiLn.Addr().String()
		n.api = console.New(cfg.API, n, n.registry, log)
	}
	if n.store, err = store.Open(ctx, cfg.Etcd, cfg.Node.DataDir, log); err != nil {
		return nil, err
	}
	n.history = history.NewLog(n.store)
	n.book = history.NewBook(n.store, n.history)
	n.fleet = fleet.New(fleetConfig(cfg), n.store, log)
	if n.follow != nil {
		n.follow.book = n.book
		n.fleet.Serving(n.follow.serving.Number, 0, n.follow.problem)
	}
	n.runner = probe.NewRunner(log)
	n.runner.AllowExec, n.runner.Board, n.runner.Seed = cfg.Node.AllowExec, n.board, cfg.Node.Name
	if err := n.runner.Remember(filepath.Join(cfg.Node.DataDir, "verdicts.json")); err != nil {
		log.Warn("starting without the verdicts of before", "error", err)
	}
	n.register()
	return n, n.probeAll(checks)
}

// begin reads and compiles what the node is to serve at first.
func (n *node) begin(cfg *config.Config) (moving *transfer.Prepared, checks []probe.Check, err error) {
	defer func() {
		if err != nil && moving != nil {
			moving.Release()
		}
	}()
	if n.places, err = geo.Open(cfg.Geo); err != nil {
		return nil, nil, err
	}
	others := absent(cfg)
	if n.moves != nil {
		if moving, err = n.moves.Prepare(cfg.Moving, cfg.TSIG); err != nil {
			return nil, nil, err
		}
		others = moving.Beside
	}
	signing, err := n.prepareSigning(cfg)
	if err != nil {
		return moving, nil, err
	}
	if n.topo, err = (ingredients{places: n.places, others: others, signing: signing}).compile(cfg); err != nil {
		return moving, nil, err
	}
	if err := n.topo.checkExpected(); err != nil { // a fleet that restarts is not to be without DNS for it
		n.faults["expect"] = fmt.Sprintf("an answer is not as expected: %v", err)
		n.log.Warn("an answer is not as [[expect]] says; it is served all the same", "error", err)
	}
	if checks, err = siteChecks(cfg); err != nil {
		return moving, nil, err
	}
	n.keepSerials(n.topo.db)
	n.commitSigning(signing, n.topo)
	return moving, checks, nil
}

func fleetConfig(cfg *config.Config) fleet.Config {
	return fleet.Config{Node: cfg.Node.Name, Roles: cfg.Node.Roles, Version: versionString(), Console: cfg.API.URL(), Place: cfg.StandsAt(), Addresses: ownAddresses(cfg), Topology: fleetTopology(cfg)}
}

// fleetTopology is what a configuration tells of the sites' health.
func fleetTopology(cfg *config.Config) fleet.Topology {
	t := fleet.Topology{Capacity: map[string]float64{}, Rejoin: map[string]health.Rejoin{}, Maintenance: map[string][]health.Window{},
		Quorum: cfg.Health.Quorum, Quorums: map[string]health.Quorum{}, AudienceOf: steer.AudienceOf(cfg.SteerAudiences()), AudienceMin: cfg.AudienceMin(), Vantage: map[string]health.Vantage{}, Locations: map[string]geo.Coordinates{}, Breaker: cfg.Breaker}
	for i := range cfg.Sites {
		s := &cfg.Sites[i]
		t.Sites = append(t.Sites, s.Name)
		t.Capacity[s.Name], t.Rejoin[s.Name], t.Maintenance[s.Name] = s.Capacity, s.Rejoin(), s.Windows()
		t.Quorums[s.Name] = cfg.QuorumOf(s)
		if s.Check != "" {
			t.Vantage[s.Name] = cfg.VantageOf(s)
		}
		if len(s.Location) == 2 {
			t.Locations[s.Name] = geo.Coordinates{Latitude: s.Location[0], Longitude: s.Location[1]}
		}
	}
	return t
}

func (n *node) close() {
	if n.apiLn != nil {
		n.apiLn.Close()
	}
	if n.store != nil {
		if err := n.store.Close(); err != nil {
			n.log.Warn("closing the store", "error", err)
		}
	}
}

// run runs the node until ctx ends, or a new process has taken over (parent is
// the one that this has taken over from; nil: none). A part that fails is reported and
// started again; the others go on. The node that it returns is to be run next; nil: none.
func (n *node) run(ctx context.Context, parent *handover.Parent) (next *node, err error) {
	// What answers clients ends later than the rest when a new process takes over.
	// Nor does anything end with ctx: first the world hears that this node leaves.
	var answering, rest sync.WaitGroup
	outer, stopAnswering := context.WithCancel(context.WithoutCancel(ctx))
	inner, stopRest := context.WithCancel(context.WithoutCancel(ctx))
	open := true
	end := func() { // all but the answering
		stopRest()
		if rest.Wait(); open {
			n.close()
		}
		open = false
	}
	defer func() {
		stopAnswering()
		stopRest()
		answering.Wait()
		end()
	}()
	n.speaker = n.newSpeaker(parent != nil)
	n.background(func(name string, f func(context.Context) error) {
		rest.Go(func() { n.keep(inner, name, f) })
	})
	rest.Go(func() { n.reloads(inner) })
	gate := time.AfterFunc(readyGate, func() { n.setReady() })
	defer gate.Stop()
	if parent != nil { // the one before answers with States; this one is not to answer without
		select {
		case <-n.isReady:
		case <-ctx.Done():
			return nil, nil
		}
	}
	n.answer(func(name string, f func(context.Context) error) {
		answering.Go(func() { n.keep(outer, name, f) })
	})
	n.serving.Store(true)
	rest.Go(func() { n.keep(inner, "bgp", n.speaker.Run) }) // what is ready is announced before the first session: not earlier
	if parent != nil {
		if err := parent.Serving(); err != nil {
			n.log.Warn("taken over, but the process before does not know", "error", err)
		}
	} else {
		n.tellManager(daemon.SdNotifyReady)
	}
	takeover := make(chan os.Signal, 1)
	if n.self.path != "" { // not a part of another program
		signal.Notify(takeover, syscall.SIGUSR2)
		defer signal.Stop(takeover)
	}
	for {
		select {
		case <-ctx.Done():
			n.leave()
			n.log.Info("stopping")
			return nil, nil
		case <-takeover:
		}
		child, err := n.successor(ctx)
		if err != nil {
			n.noSuccessor(err)
			continue
		}
		n.log.Info("a new process takes over", "pid", child.PID())
		if n.updates != nil {
			n.updates.pause()
		}
		n.speaker.HandOver()
		end()
		if err := n.giveWay(ctx, child); err != nil {
			n.noSuccessor(err)
			if next = n.resume(ctx); next != nil {
				next.noSuccessor(err)
			}
			return next, nil
		}
		child.Release()
		if n.balancer != nil {
			n.balancer.Leave()
		}
		n.tellManager(fmt.Sprintf("MAINPID=%d", child.PID()))
		n.log.Info("the new process serves; this one lets its connections finish", "pid", child.PID())
		return nil, nil
	}
}

// answer starts the parts that answer clients.
func (n *node) answer(part func(name string, f func(context.Context) error)) {
	if n.dns != nil {
		part("dns", n.dns.Serve)
		db := n.inForce().db
		n.log.Info("serving DNS", "addresses", n.dns.Addrs(), "tls", n.dns.TLSAddrs(), "https", n.dns.HTTPSAddrs(), "quic", n.dns.QUICAddrs(), "zones", len(db.Zones()), "steered", len(db.Steered()))
	}
	if n.balancer != nil {
		part("balancer", func(ctx context.Context) error { return n.balancer.Run(ctx, n.report) })
	}
}

// inForce is the topology that is served now: zones that move, databases and reloads put others in its place.
func (n *node) inForce() *topology {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.topo
}

// background starts all other parts.
func (n *node) background(part func(name string, f func(context.Context) error)) {
	node := n.inForce().cfg.Node
	if n.dns != nil {
		part("replay", n.record)
		if node.WatchZones {
			part("watch_zones", n.watchZones)
		}
		part("transfer", n.moves.Run)
		part("dnssec", n.maintain)
		part("dnssec parents", n.signer.keeper.Parents)
	}
	if node.HasRole(config.RoleChecker) {
		part("checker", func(ctx context.Context) error { return n.runner.Run(ctx, n.vote) })
		part("times", n.measure)
	}
	part("clock", n.watchClock)
	part("vantage", n.turns)
	part("drain", n.leaving)
	part("fleet", func(ctx context.Context) error { return n.fleet.Run(ctx, n.changed) })
	if n.follow != nil {
		part("topology", func(ctx context.Context) error { return n.store.Watch(ctx, "topology", history.HeadKey, n.follow.take) })
	}
	part("history", n.tidyHistory)
	part("balancer events", n.noteBalancer) // and those of the speaker
	if n.api != nil {
		part("api", n.serveAPI)
		n.log.Info("serving the console", "url", "http://"+n.apiAddr+"/")
	}
}

// setReady says that States are there, or have been waited for.
func (n *node) setReady() {
	if !n.ready.Swap(true) {
		close(n.isReady)
	}
}

// keep runs a part of the node and, when it fails, says so and runs it again.
func (n *node) keep(ctx context.Context, name string, f func(context.Context) error) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		recovered := time.AfterFunc(time.Minute, func() { n.fault(name, "") })
		err := guarded(ctx, f)
		recovered.Stop()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("ended without being asked to")
		}
		n.fault(name, fmt.Sprintf("%s failed: %v", name, err))
		n.log.Error("a part of the node failed; starting it again", "part", name, "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func guarded(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return f(ctx)
}

// serveAPI listens anew when it is run again.
func (n *node) serveAPI(ctx context.Context) error {
	ln := n.apiLn
	n.apiLn = nil
	if ln == nil {
		var err error
		if ln, err = net.Listen("tcp", n.apiAddr); err != nil {
			return err
		}
	}
	return n.api.Serve(ctx, ln)
}

// vote publishes this node's view of the site that a transition is about.
func (n *node) vote(t probe.Transition) {
	if t.Target.IsControl() {
		n.look()
		return
	}
	var findings []health.Finding
	var generations []string
	for _, r := range n.runner.ResultsOf(t.Target.Name) {
		findings = append(findings, health.Finding{Address: r.Target.Address, State: r.State, Detail: r.Detail})
		if r.State != health.Down {
			generations = append(generations, r.Generation)
		}
	}
	state, detail := health.Combine(findings)
	n.fleet.Vote(health.Vote{Site: t.Target.Name, State: state, Since: t.At, Detail: detail, Generation: health.JoinGenerations(generations)})
}

// changed puts new States in force.
func (n *node) changed(states *health.States) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.balancer != nil {
		n.balancer.Attend(leavingSites(states))
	}
	if n.dns != nil {
		n.dns.Swap(n.dns.Generation().WithStates(states))
		n.seen(states)
	}
	n.setReady()
}

// fault records what is wrong about a thing; an empty text takes it back.
func (n *node) fault(about, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if text == "" {
		delete(n.faults, about)
		return
	}
	n.faults[about] = text
}

// siteChecks lists what to probe, and tells whether all of it can be.
func siteChecks(cfg *config.Config) ([]probe.Check, error) {
	var checks, controls []probe.Check
	var errs []error
	for _, s := range cfg.Sites {
		if s.Check == "" {
			continue
		}
		var fault error
		for _, a := range probed(s) {
			c := probe.Check{Target: probe.Target{Name: s.Name, Address: a}, Config: cfg.Checks[s.Check]}
			checks = append(checks, c)
			if _, err := probe.New(c.Config, c.Target); err != nil && fault == nil {
				fault = fmt.Errorf("site %s, check %s: %w", s.Name, s.Check, err) // mostly that of all addresses
			}
		}
		errs = append(errs, fault)
	}
	for _, text := range cfg.Checker.Control {
		c, err := probe.Control(text, checks)
		errs = append(errs, err)
		controls = append(controls, c)
	}
	return append(checks, controls...), errors.Join(errs...)
}

// probed lists the addresses at which a site is checked.
func probed(s config.Site) []string {
	if len(s.CheckAddress) > 0 {
		return s.CheckAddress
	}
	var all []string
	for _, a := range s.Addresses {
		all = append(all, a.String())
	}
	return all
}
