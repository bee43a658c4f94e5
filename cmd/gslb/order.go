package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"gslb/config"
	"gslb/console"
	"gslb/forecast"
	"gslb/geo"
	"gslb/health"
	"gslb/history"
	"gslb/parallel"
)

// Topology is part of console.Backend.
func (n *node) Topology() console.Topology {
	t := console.Topology{Nodes: n.fleetNodes()}
	f := n.follow
	if f == nil {
		return t
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t.Follows, t.Serving, t.Problem = true, f.serving.Number, f.problem
	if f.wanted != f.serving.Number {
		t.Wanted = f.wanted
	}
	t.Head = f.seen
	if f.head != nil && f.headErr == nil {
		t.Head = *f.head
	}
	return t
}

// fleetNodes lists the live nodes.
func (n *node) fleetNodes() (all []console.FleetNode) {
	for _, f := range n.fleet.Nodes() {
		all = append(all, console.FleetNode{Name: f.Name, Roles: f.Roles, Since: f.Since, Self: f.Name == n.name,
			Revision: f.Revision, Follows: f.Follows, Wanted: f.Wanted, Trial: f.Trial, Problem: f.Problem, Place: placeWords(f.Place), Blind: f.Blind, Console: f.Console})
	}
	return all
}

// seenHead is the newest head that this node knows of, with numbers that are above
// those of all nodes.
func (n *node) seenHead() history.Head {
	var seen history.Head
	if f := n.follow; f != nil {
		f.mu.Lock()
		seen = f.seen
		f.mu.Unlock()
	}
	for _, other := range n.fleet.Nodes() {
		seen.Newest = max(seen.Newest, other.Revision)
	}
	return seen
}

// OrderTopology is part of console.Backend.
func (n *node) OrderTopology(ctx context.Context, o console.TopologyOrder) (console.TopologyResult, error) {
	var res console.TopologyResult
	if n.follow == nil {
		return res, fmt.Errorf("%w: node %s has a topology of its own: ask one that takes its topology from etcd (node.topology)", console.ErrInvalid, n.name)
	}
	var bundle history.Bundle
	switch o.Action {
	case console.ActionApply:
		var err error
		if bundle, err = history.Unpack(o.Packed); err != nil {
			return res, fmt.Errorf("%w: %w", console.ErrInvalid, err)
		}
		if err := n.knownNodes(o.Canary); err != nil {
			return res, err
		}
		if err := (history.First{Nodes: o.Canary, Share: o.Share}).Validate(); err != nil {
			return res, fmt.Errorf("%w: %w", console.ErrInvalid, err)
		}
	case console.ActionRollback:
		c, err := n.Content(ctx, o.To)
		if err != nil {
			return res, err
		}
		if bundle, err = history.Unpack(c.Packed); err != nil {
			return res, err
		}
	case console.ActionPromote, console.ActionDrop:
	default:
		return res, fmt.Errorf("%w: action %.20q: must be apply, rollback, promote or drop", console.ErrInvalid, o.Action)
	}
	if bundle != nil {
		if err := n.judge(bundle, o, &res); err != nil {
			return res, fmt.Errorf("%w: %w", console.ErrInvalid, err)
		}
		for _, site := range res.Overloaded {
			res.Warnings = append(res.Warnings, fmt.Sprintf("it takes site %s above its capacity", site))
		}
		// A rollback is for when things are bad already.
		if len(res.Overloaded) > 0 && o.Action == console.ActionApply && !o.DryRun && !o.Force {
			return res, fmt.Errorf("%w: it would take %s above the capacity (gslb plan shows how; -force applies it all the same)", console.ErrInvalid, strings.Join(res.Overloaded, ", "))
		}
		if res.TooLarge != "" && o.Action == console.ActionApply && !o.DryRun && !o.Force {
			return res, fmt.Errorf("%w: %s (gslb plan shows how; -force applies it all the same)", console.ErrInvalid, res.TooLarge)
		}
	}
	head, _, err := n.book.Head(ctx)
	if err != nil {
		return res, err
	}
	if o.DryRun {
		res.Head, res.Revision = head, max(head.Newest, n.seenHead().Newest)+1
		return res, nil
	}
	seen := n.seenHead()
	o.Order.Forced = o.Force
	switch o.Action {
	case console.ActionApply:
		res.Head, err = n.book.Apply(ctx, bundle, o.Order, o.Base, history.First{Nodes: o.Canary, Share: o.Share}, seen)
	case console.ActionRollback:
		res.Head, err = n.book.Rollback(ctx, o.To, o.Order, o.Base, seen)
	case console.ActionPromote:
		res.Head, err = n.book.Promote(ctx, o.Order, o.Base, seen)
	default:
		res.Head, err = n.book.Drop(ctx, o.Order, o.Base, seen)
	}
	res.Revision = res.Head.Stable.Number
	if res.Head.Canary != nil {
		res.Revision = res.Head.Canary.Number
	}
	return res, err
}

// knownNodes sees that the nodes of a canary are there and take their topology from etcd.
func (n *node) knownNodes(canary []string) error {
	var follow []string
	for _, f := range n.fleet.Nodes() {
		if f.Follows {
			follow = append(follow, f.Name)
		}
	}
	for _, name := range canary {
		if !slices.Contains(follow, name) {
			return fmt.Errorf("%w: canary: no live node %q takes its topology from etcd; those that do are %s", console.ErrInvalid, name, strings.Join(follow, ", "))
		}
	}
	return nil
}

// judge looks at a topology as this node would serve it: it finds all that keeps
// it from that, and what it would move.
func (n *node) judge(b history.Bundle, o console.TopologyOrder, res *console.TopologyResult) error {
	dir, done, err := n.follow.disk.Scratch()
	if err != nil {
		return err
	}
	defer done()
	plain := func(text string) string { return strings.ReplaceAll(text, dir+string(filepath.Separator), "") }
	file, err := b.WriteTo(dir)
	if err != nil {
		return err
	}
	n.mu.Lock()
	places, served := n.places, n.topo
	n.mu.Unlock()
	parallel.Background(func() {
		var cfg *config.Config
		if cfg, err = config.LoadBoth(n.path, file); err != nil {
			return
		}
		for _, w := range cfg.Warnings {
			res.Warnings = append(res.Warnings, plain(w.Error()))
		}
		var x *examined
		if x, err = examine(cfg, true, places, served); err != nil {
			return
		}
		res.Warnings = append(res.Warnings, placeWarnings(cfg, x.places)...)
		for _, w := range n.serialWarnings(x.topology) {
			res.Warnings = append(res.Warnings, plain(w))
		}
		res.Warnings = append(res.Warnings, lostOrders(served.cfg, cfg, n.fleet.States())...)
		res.TooLarge = n.tooLarge(served, cfg, x.places).Why
		if res.TooLarge != "" {
			res.Warnings = append(res.Warnings, "the breaker holds it: "+res.TooLarge)
		}
		if err := n.foresee(served.cfg, cfg, x.places, o.Total, res); err != nil {
			res.Warnings = append(res.Warnings, "what it moves is not known: "+plain(err.Error()))
		}
	})
	if err != nil {
		err = errors.New(plain(err.Error()))
	}
	return err
}

// lostOrders warns of sites that an operator's order holds back, or holds in service, and that
// are gone afterwards: under another name the same site is free of it.
func lostOrders(before, after *config.Config, states *health.States) (all []string) {
	for _, site := range before.Sites {
		o := states.Site(site.Name).Override
		if o == nil || slices.ContainsFunc(after.Sites, func(s config.Site) bool { return s.Name == site.Name }) {
			continue
		}
		all = append(all, fmt.Sprintf("site %s is %s by %s (%s), and is no site any more then: the order holds for no other name, so if this is a new one for it, order that again", site.Name, o.Kind.Past(), o.Who, o.Why))
	}
	return all
}

// planLines is how many moves of each name a plan lists.
const planLines = 10

// foresee says what a topology moves, with the states and loads of the sites as
// they are, and which sites it takes above their capacity.
func (n *node) foresee(before, after *config.Config, places *geo.DB, total float64, res *console.TopologyResult) error {
	if len(before.Steers) == 0 || len(after.Steers) == 0 {
		return nil // nothing can move
	}
	f := &forecaster{weights: &forecast.Weights{}, states: n.fleet.States(), options: forecast.Options{Total: total, Most: planLines}}
	f.options.Names = answered(n.choices(), steeredNames([]*config.Config{before, after}))
	compared, err := f.plan(before, after, places)
	if err != nil {
		return err
	}
	for _, s := range compared.Sites {
		if s.Over && s.LoadAfter > s.LoadBefore {
			res.Overloaded = append(res.Overloaded, s.Site)
		}
	}
	var b strings.Builder
	err = compared.Write(&b, false)
	res.Plan = b.String()
	return err
}

// Revisions is part of console.Backend.
func (n *node) Revisions(ctx context.Context, limit int) ([]history.Revision, error) {
	return n.book.List(ctx, limit)
}

// Content is part of console.Backend.
func (n *node) Content(ctx context.Context, number int64) (console.Content, error) {
	r, err := n.book.Revision(ctx, number)
	if err != nil {
		return console.Content{}, err
	}
	b, err := n.book.Content(ctx, r)
	if err != nil {
		return console.Content{}, err
	}
	packed, err := b.Pack()
	return console.Content{Revision: r, Packed: packed}, err
}

// Differences is part of console.Backend.
func (n *node) Differences(ctx context.Context, from, to int64) ([]string, error) {
	var sides [2]history.Bundle
	for i, number := range []int64{from, to} {
		if number == 0 {
			continue
		}
		r, err := n.book.Revision(ctx, number)
		if err != nil {
			return nil, err
		}
		if sides[i], err = n.book.Content(ctx, r); err != nil {
			return nil, err
		}
	}
	return differences(sides[0], sides[1])
}

// Events is part of console.Backend.
func (n *node) Events(ctx context.Context, f history.Filter) ([]history.Event, error) {
	return n.history.List(ctx, f)
}
