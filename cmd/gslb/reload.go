package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"syscall"
	"time"

	"gslb/config"
	"gslb/console"
	"gslb/dnsserver"
	"gslb/geo"
	"gslb/parallel"
	"gslb/transfer"
)

// watchPlaces looks for replaced databases until ctx ends or the function that it
// returns is called, which waits until a replacement that has begun is in force.
func (n *node) watchPlaces(ctx context.Context) (stop func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := geo.NewWatcher(n.topo.cfg.Geo, n.places, n.log)
	w.Slowly = parallel.Background
	n.watch = w
	watching, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		n.keep(watching, "geo", func(ctx context.Context) error { return w.Run(ctx, n.replaced) })
		close(ended)
	}()
	return func() {
		cancel()
		select {
		case <-ended:
		case <-ctx.Done(): // the process ends, and what it reads with it
		}
	}
}

// replaced is given databases that were just read: they are used, unless the
// breaker holds them.
func (n *node) replaced(places *geo.DB) {
	served := n.inForce()
	if mark := markOf(places); mark == n.dropped {
		return
	} else if change := n.tooLargeSlowly(served, served.cfg, places); change.Why != "" {
		n.hold(heldDatabases, &heldChange{HeldChange: change, places: places, mark: mark})
		return
	}
	n.unhold(heldDatabases)
	n.use(places)
}

// tooLargeSlowly is tooLarge beside the serving path.
func (n *node) tooLargeSlowly(served *topology, after *config.Config, places *geo.DB) (h console.HeldChange) {
	parallel.Background(func() { h = n.tooLarge(served, after, places) })
	return h
}

// use puts databases in force: all clients are classified anew.
func (n *node) use(places *geo.DB) {
	served := n.inForce()
	begin := time.Now()
	var policies []dnsserver.Policy
	var err error
	parallel.Background(func() {
		policies, err = classify(served.sources, served.cfg.SteerSites(), places, served)
	})
	if err != nil {
		n.log.Error("replaced databases are not used", "error", err)
		return
	}
	n.mu.Lock()
	t := *n.topo // its zones may have changed meanwhile, its policies have not
	t.policies, t.places = policies, places
	n.topo, n.places = &t, places
	if n.dns != nil {
		n.dns.Swap(n.dns.Generation().WithPlaces(places, policies))
		n.seen(n.fleet.States())
	}
	n.mu.Unlock()
	n.sayPlaces(places, &t)
	giveBack(0)
	if n.follow != nil {
		n.follow.wake() // a canary's trial is classified anew
	}
	n.log.Info("replaced databases are in use", "took", time.Since(begin).Round(time.Millisecond))
}

// reloads watches the databases, and reads everything again at each SIGHUP: one
// at a time, since both compile the policies, and a reload would otherwise read
// the same databases once more.
func (n *node) reloads(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	stopWatching := n.watchPlaces(ctx)
	var heads <-chan struct{}
	again := time.NewTimer(time.Hour)
	again.Stop()
	defer again.Stop()
	if n.follow != nil {
		heads = n.follow.kick
	}
	head := func() {
		stopWatching()
		var wait time.Duration
		parallel.Background(func() { wait = n.followHead(ctx) })
		stopWatching = n.watchPlaces(ctx)
		if again.Stop(); wait > 0 {
			again.Reset(wait)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-heads:
			head()
		case <-again.C:
			head()
		case through := <-n.fleet.Decided():
			stopWatching()
			n.decide(through)
			stopWatching = n.watchPlaces(ctx)
		case <-hup:
			stopWatching()
			_ = n.reloadNow(ctx, reloading{}) // it has told
			stopWatching = n.watchPlaces(ctx)
		case o := <-n.asked:
			stopWatching()
			r, err := n.reloadFor(ctx, o.reloading)
			o.done <- reloaded{r, err}
			stopWatching = n.watchPlaces(ctx)
		}
	}
}

// reload puts the configuration file and the zones as they are now in force,
// all of it or nothing. What is bound at the start stays: addresses, etcd, name and roles. What
// would move too much at once is held, with errHeld, unless it is forced.
func (n *node) reload(o reloading) error {
	begin, before := time.Now(), allocated()
	n.mu.Lock()
	places, last := n.places, n.topo.cfg
	n.mu.Unlock()
	cfg, look, err := n.read(o, last)
	if err != nil {
		return err
	}
	if !o.some() {
		if places, err = places.Reopen(cfg.Geo); err != nil {
			return err
		}
	}
	if !o.force && !o.some() {
		if err := n.gate(o.topology, cfg, places); err != nil {
			return err
		}
	}
	others := absent(cfg)
	var moving *transfer.Prepared
	if n.moves != nil {
		if moving, err = n.moves.Prepare(cfg.Moving, cfg.TSIG); err != nil {
			return err
		}
		defer moving.Release()
		others = moving.Beside
	}
	n.turn.Lock()
	defer n.turn.Unlock()
	served := n.inForce() // no zone changes from now on
	signing, err := n.prepareSigning(cfg)
	if err != nil {
		return err
	}
	topo, err := ingredients{places, served, others, signing, look}.compile(cfg)
	if err != nil {
		if !o.some() {
			if _, at := load(n.path, o.topology); at != nil { // a zone's file is gone: this has the line
				return at
			}
		}
		return err
	}
	if err := topo.checkExpected(); err != nil {
		return err
	}
	n.fault("expect", "")
	if !o.some() {
		if err := n.applyRest(cfg); err != nil {
			return err
		}
	}
	if o.listing {
		n.keepBound(cfg)
	}
	var next *dnsserver.Generation
	if n.dns != nil && !o.some() {
		next = topo.generation(nil, n.dns.Generation())
	}
	n.keepSerials(topo.db)
	n.mu.Lock() // for what does not rest in the background: health changes wait for it
	random := n.topo.secrets == nil
	n.topo, n.places = topo, places
	if n.dns != nil {
		if !random || topo.secrets != nil { // random ones go on being good
			n.dns.SetSecrets(topo.secrets)
		}
		if next == nil { // policies, and what is prepared of them, are as they were
			next = n.dns.Generation().WithDB(topo.db)
		}
		n.dns.Swap(next.WithStates(n.fleet.States()))
		n.seen(n.fleet.States())
	}
	n.mu.Unlock()
	if !o.some() {
		n.unhold(heldTopology)
		n.unhold(heldDatabases) // they were read with the rest
	}
	n.commitSigning(signing, topo)
	if n.moves != nil {
		n.moves.Commit(moving)
	}
	n.sayReloaded(served, topo, o.some())
	giveBack(before)
	n.log.Info("reloaded", "zones", len(topo.db.Zones()), "steered", len(topo.db.Steered()), "took", time.Since(begin).Round(time.Millisecond))
	return nil
}

// sayReloaded logs what a reload has to be warned of. Where only some zones were read that is what they brought.
func (n *node) sayReloaded(served, topo *topology, some bool) {
	if some {
		for _, w := range topo.db.NewWarnings(served.db) {
			n.log.Warn(w)
		}
		return
	}
	for _, w := range topo.cfg.Warnings {
		n.log.Warn("configuration: " + w.Error())
	}
	for _, w := range topo.db.Warnings() {
		n.log.Warn(w)
	}
	n.sayPlaces(topo.places, topo)
}

// applyRest puts in force what a configuration says beside zones and steering.
func (n *node) applyRest(cfg *config.Config) error {
	checks, err := siteChecks(cfg)
	if err != nil {
		return err
	}
	announce, err := n.speaker.Prepare(cfg.BGP)
	if err != nil {
		return err
	}
	if err := n.probeAll(checks); err != nil {
		return err
	}
	if n.balancer != nil {
		if err := n.balancer.Apply(cfg.Frontends, cfg.Checks); err != nil {
			return err
		}
	}
	announce()
	n.keepBound(cfg)
	n.forgetPushed(cfg)
	n.fleet.SetTopology(fleetTopology(cfg))
	if err := n.probe(); err != nil { // of sites that have other vantage points now
		n.log.Error("checks", "error", err)
	}
	return nil
}

// gate holds a configuration that would move too much.
func (n *node) gate(topology string, cfg *config.Config, places *geo.DB) error {
	served := n.inForce()
	change := n.tooLarge(served, cfg, places)
	if change.Why == "" {
		return nil
	}
	n.hold(heldTopology, &heldChange{HeldChange: change, mark: topology + change.Why, again: func() {
		if n.follow != nil {
			n.follow.pass()
			return
		}
		var err error
		parallel.Background(func() { err = n.reload(reloading{topology: topology, force: true}) })
		if err != nil {
			n.log.Error("reload failed; what was served before is still served", "error", err)
			n.fault("reload", fmt.Sprintf("the last reload failed, what was served before is still served: %v", err))
			return
		}
		n.fault("reload", "")
	}})
	return fmt.Errorf("%w: %s", errHeld, change.Why)
}

// keepBound records which changes a reload cannot put in force, for the log and
// the status, and gives cfg the values that go on being in force.
func (n *node) keepBound(cfg *config.Config) {
	inForce := n.inForce().cfg
	bound, self := inForce.DNS.WithLive(cfg.DNS), inForce.Node
	self.ShutdownWait = cfg.Node.ShutdownWait
	for _, part := range []struct {
		name     string
		was, now any
	}{{"[node]", self, cfg.Node}, {"[dns]", bound, cfg.DNS}, {"[etcd]", inForce.Etcd, cfg.Etcd}, {"[api]", inForce.API, cfg.API}, {"[checker]", inForce.Checker, cfg.Checker}} {
		text := ""
		if !reflect.DeepEqual(part.was, part.now) {
			text = part.name + " has changed: takes effect after a restart"
			n.log.Warn("configuration: "+text, "file", n.path)
		}
		n.fault("restart "+part.name, text)
	}
	cfg.Node, cfg.DNS, cfg.Etcd, cfg.API, cfg.Checker = self, bound, inForce.Etcd, inForce.API, inForce.Checker
}
