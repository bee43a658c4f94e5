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
	"gslb/geo"
	"gslb/transfer"
)

// watchPlaces looks for replaced databases until ctx ends or it is called again.
func (n *node) watchPlaces(ctx context.Context) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stop != nil {
		n.stop()
	}
	ctx, n.stop = context.WithCancel(ctx)
	w := geo.NewWatcher(n.topo.cfg.Geo, n.places, n.log)
	n.watch = w
	go n.keep(ctx, "geo", func(ctx context.Context) error { return w.Run(ctx, n.replaced) })
}

// replaced classifies all clients anew with databases that were just read.
func (n *node) replaced(places *geo.DB) {
	n.mu.Lock()
	sources, sites := n.topo.sources, n.topo.cfg.SteerSites()
	n.mu.Unlock()
	begin := time.Now()
	policies, err := classify(sources, sites, places)
	if err != nil {
		n.log.Error("replaced databases are not used", "error", err)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(sources) != len(n.topo.sources) || len(sources) > 0 && &sources[0] != &n.topo.sources[0] {
		return // the configuration was reloaded meanwhile, with these databases or newer ones
	}
	n.places = places
	t := *n.topo
	t.policies = policies
	n.topo = &t
	if n.dns != nil {
		n.dns.Swap(n.dns.Generation().WithPlaces(places, policies))
	}
	n.sayPlaces(places, n.topo)
	defer giveBack()
	n.log.Info("replaced databases are in use", "took", time.Since(begin).Round(time.Millisecond))
}

// reloads reads everything again at each SIGHUP.
func (n *node) reloads(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			err := n.reload(ctx)
			if err != nil {
				n.fault("reload", fmt.Sprintf("the last reload failed, what was served before is still served: %v", err))
				n.log.Error("reload failed; what was served before is still served", "error", err)
				continue
			}
			n.fault("reload", "")
		}
	}
}

// reload puts the configuration file and the zones as they are now in force,
// all of it or nothing. What is bound at the start stays: addresses, etcd, name and roles.
func (n *node) reload(ctx context.Context) error {
	begin := time.Now()
	cfg, err := config.Load(n.path)
	if err != nil {
		return err
	}
	n.mu.Lock()
	read := n.places
	n.mu.Unlock()
	places, err := read.Reopen(cfg.Geo)
	if err != nil {
		return err
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
	n.mu.Lock()
	served := n.topo.db // no zone changes from now on
	n.mu.Unlock()
	topo, err := compile(cfg, places, served, others)
	if err != nil {
		return err
	}
	checks, err := siteChecks(cfg)
	if err != nil {
		return err
	}
	if n.balancer != nil {
		if err := n.balancer.Apply(cfg.Frontends, cfg.Checks); err != nil {
			return err
		}
	}
	if err := n.runner.Set(checks); err != nil {
		return err
	}
	n.keepBound(cfg)
	fc := fleetConfig(cfg)
	n.fleet.SetSites(fc.Sites, fc.Capacity, fc.Quorum)
	n.mu.Lock()
	random := n.topo.secrets == nil
	n.topo, n.places = topo, places
	if n.dns != nil {
		if !random || topo.secrets != nil { // random ones go on being good
			n.dns.SetSecrets(topo.secrets)
		}
		n.dns.Swap(topo.generation(places, n.fleet.States()))
	}
	n.mu.Unlock()
	if n.moves != nil {
		n.moves.Commit(moving)
	}
	n.watchPlaces(ctx)
	for _, w := range cfg.Warnings {
		n.log.Warn("configuration: " + w.Error())
	}
	for _, w := range topo.db.Warnings() {
		n.log.Warn(w)
	}
	n.sayPlaces(places, topo)
	giveBack()
	n.log.Info("reloaded", "zones", len(topo.db.Zones()), "steered", len(topo.db.Steered()), "took", time.Since(begin).Round(time.Millisecond))
	return nil
}

// keepBound records which changes a reload cannot put in force, for the log and
// the status, and gives cfg the values that go on being in force.
func (n *node) keepBound(cfg *config.Config) {
	inForce := n.topo.cfg
	bound := inForce.DNS.WithLive(cfg.DNS)
	for _, part := range []struct {
		name     string
		was, now any
	}{{"[node]", inForce.Node, cfg.Node}, {"[dns]", bound, cfg.DNS}, {"[etcd]", inForce.Etcd, cfg.Etcd}, {"[api]", inForce.API, cfg.API}} {
		text := ""
		if !reflect.DeepEqual(part.was, part.now) {
			text = part.name + " has changed: takes effect after a restart"
			n.log.Warn("configuration: "+text, "file", n.path)
		}
		n.fault("restart "+part.name, text)
	}
	cfg.Node, cfg.DNS, cfg.Etcd, cfg.API = inForce.Node, bound, inForce.Etcd, inForce.API
}
