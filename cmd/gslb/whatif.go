package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gslb/config"
	"gslb/console"
	"gslb/forecast"
	"gslb/geo"
	"gslb/health"
	"gslb/parallel"
)

// surveyKept is how long counted users are kept without being asked for: some ten
// megabytes with the databases of the whole world.
const surveyKept = 10 * time.Minute

// surveyor counts the users of the topology that is served, once for each, when somebody
// asks what would be if.
type surveyor struct {
	turn chan struct{} // capacity 1: held by who counts

	mu     sync.Mutex // guards all below
	topo   *topology
	places *geo.DB
	users  *forecast.Users // of topo with places; nil: not counted
	drop   *time.Timer
}

func newSurveyor() *surveyor { return &surveyor{turn: make(chan struct{}, 1)} }

// known gives the users of a topology if they have been counted.
func (s *surveyor) known(t *topology, places *geo.DB) *forecast.Users {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == nil || s.topo != t || s.places != places {
		return nil
	}
	s.drop.Reset(surveyKept)
	return s.users
}

// keep keeps users for a while.
func (s *surveyor) keep(t *topology, places *geo.DB, users *forecast.Users) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drop != nil {
		s.drop.Stop()
	}
	s.topo, s.places, s.users = t, places, users
	s.drop = time.AfterFunc(surveyKept, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.users == users {
			s.topo, s.places, s.users = nil, nil, nil
		}
	})
}

// count gives the users of a topology. One at a time counts, beside the serving path: it
// may take seconds, and all processors that are idle.
func (s *surveyor) count(ctx context.Context, t *topology, places *geo.DB) (*forecast.Users, error) {
	if users := s.known(t, places); users != nil {
		return users, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: users are being counted: %w", console.ErrUnavailable, ctx.Err())
	}
	if users := s.known(t, places); users != nil { // counted meanwhile
		return users, nil
	}
	topology, err := forecastTopology(t.cfg, places)
	if err != nil {
		return nil, err
	}
	var users *forecast.Users
	parallel.Background(func() { users, err = forecast.Survey(topology, nil, &forecast.Weights{}) })
	if err != nil {
		return nil, err
	}
	s.keep(t, places, users)
	return users, nil
}

// whatIf is what a simulation begins with.
func (n *node) whatIf(ctx context.Context, q console.SimulateQuery) (users *forecast.Users, cfg *config.Config, changed *health.States, o forecast.Options, err error) {
	n.mu.Lock()
	topo, places := n.topo, n.places
	n.mu.Unlock()
	cfg = topo.cfg
	if len(cfg.Steers) == 0 {
		return nil, nil, nil, o, fmt.Errorf("%w: this node steers no name, so nobody would move", console.ErrInvalid)
	}
	states := n.fleet.States()
	changed = states
	for _, list := range []struct {
		sites []string
		set   func(*health.Status)
	}{{q.Down, supposeDown}, {q.Up, supposeUp}, {q.Drain, supposeDraining}} {
		for _, site := range list.sites {
			if !slices.Contains(topo.sites, site) {
				return nil, nil, nil, o, fmt.Errorf("%w: site %.100q: must be one of %s", console.ErrNotFound, site, strings.Join(slices.Sorted(slices.Values(topo.sites)), ", "))
			}
			changed = with(changed, site, list.set)
		}
	}
	if users, err = n.surveys.count(ctx, topo, places); err != nil {
		return nil, nil, nil, o, err
	}
	o = forecast.Options{Total: q.Total, Most: -1, Names: answered(n.choices(), steeredNames([]*config.Config{cfg}))}
	if q.Most > 0 {
		o.Most = q.Most
	}
	return users, cfg, changed, o, nil
}

// Simulate is part of console.Backend.
func (n *node) Simulate(ctx context.Context, q console.SimulateQuery) (*forecast.Comparison, error) {
	users, _, changed, o, err := n.whatIf(ctx, q)
	if err != nil {
		return nil, err
	}
	return users.Compare(forecast.Side{States: n.fleet.States()}, forecast.Side{States: changed}, o)
}

// SimulateEach is part of console.Backend.
func (n *node) SimulateEach(ctx context.Context, q console.SimulateQuery) ([]console.OneDown, error) {
	users, cfg, changed, o, err := n.whatIf(ctx, q)
	if err != nil {
		return nil, err
	}
	return eachDown(ctx, users, cfg, changed, o)
}

// eachDown takes each site for down in turn, on top of what has changed already.
func eachDown(ctx context.Context, users *forecast.Users, cfg *config.Config, changed *health.States, o forecast.Options) ([]console.OneDown, error) {
	all := make([]console.OneDown, 0, len(cfg.Sites))
	for _, s := range cfg.Sites {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		compared, err := users.Compare(forecast.Side{States: changed}, forecast.Side{States: with(changed, s.Name, supposeDown)}, o)
		if err != nil {
			return nil, err
		}
		all = append(all, console.OneDown{Down: s.Name, Comparison: compared})
	}
	return all, nil
}

func supposeDown(st *health.Status) { st.State, st.Why = health.Down, "taken for down" }

func supposeUp(st *health.Status) {
	*st = health.Status{Site: st.Site, State: health.Up, Capacity: st.Capacity, Reports: st.Reports, Load: st.Load}
}

func supposeDraining(st *health.Status) { st.Draining = true }
