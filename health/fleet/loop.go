package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"gslb/health"
	"gslb/store"
)

// loop is the goroutine of Run: it writes what is due and evaluates what came.
// Its fields belong to it alone.
type loop struct {
	f       *Fleet
	started time.Time
	changed func(*health.States)
	orders  chan<- health.Override

	reader   reader
	computed *health.States             // the last evaluation, before the breaker
	audience map[string]string          // as it was then
	times    []health.Times             // those that are in force
	timesAt  time.Time                  // since when
	byHand   map[string]health.Override // drains of sites that went down, not yet seen in etcd; see Rejoin.ByHand
	called   bool                       // changed has been called
	told     *health.States             // the last fresh states, of which the time line knows
	watchman watchman
	known    map[Problem]time.Time // problems without Since -> since when
	twins    map[string]time.Time  // other instances of this node's name -> since when they are seen
}

func (l *loop) run(ctx context.Context) {
	timer := time.NewTimer(firstView)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.f.kick:
		case <-timer.C:
		}
		now := l.f.now()
		next := health.Sooner(l.f.post(now), l.evaluate(now))
		wait := lookAgain
		if !next.IsZero() {
			// A moment late rather than early: at the moment itself it is not over.
			wait = min(max(next.Sub(now), 0)+time.Millisecond, lookAgain)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(evalGap):
		}
	}
}

// input is what the fleet says at one moment, taken under the lock.
type input struct {
	health.Input
	view     store.View
	own      map[string]health.Vote
	reports  map[string]health.Report
	takeover time.Time // when this node believes itself first; zero: etcd is there
	breaker  health.BreakerConfig
	settled  time.Time       // until when the breaker watches; zero: it does not
	ready    bool            // there is something to evaluate
	changed  map[string]bool // of the view, since the last evaluation; nil: all may be
}

func (l *loop) gather(now time.Time) input {
	f := l.f
	f.mu.Lock()
	defer f.mu.Unlock()
	in := input{
		view: f.view, ready: f.hasView,
		own: maps.Clone(f.votes), reports: make(map[string]health.Report, len(f.reports)),
	}
	switch {
	case !f.hasView:
		in.view.Stale = true
		in.takeover = l.started.Add(firstView)
		in.ready = !now.Before(in.takeover)
		f.news = everything()
	case !f.staleAt.IsZero():
		in.takeover = f.staleAt.Add(f.cfg.StaleAfter)
		f.news.judge = true // whose word counts may be another at each moment
	case !f.freshAt.IsZero():
		in.settled = f.freshAt.Add(f.cfg.Settle)
	}
	t := &f.topology
	in.breaker = t.Breaker
	in.Input = health.Input{Revision: in.view.Revision, Sites: t.Sites, Capacity: t.Capacity, Rejoin: t.Rejoin, Maintenance: t.Maintenance,
		Quorum: t.Quorum, Quorums: t.Quorums, AudienceMin: t.AudienceMin, Prev: l.computed, Now: now}
	if in.ready {
		in.changed, in.Touched = f.news.changed(), f.news.touched()
		f.news = news{}
	}
	if l.computed == nil {
		in.Touched = nil
	}
	for site, v := range in.own {
		in.own[site] = f.said(v)
	}
	for site, r := range f.reports {
		in.reports[site] = r.last
	}
	return in
}

// evaluate computes the States and publishes them. It returns when to do so
// again though nothing comes in; zero: then not.
func (l *loop) evaluate(now time.Time) (next time.Time) {
	in := l.gather(now)
	if !in.ready {
		return in.takeover
	}
	rec := l.reader.read(in.view, in.changed)
	alone := !in.takeover.IsZero() && !now.Before(in.takeover)
	if !alone {
		next = in.takeover
	}
	node := l.f.cfg.Node
	l.f.assign(rec, alone)
	in.Audience = l.f.audiences(rec)
	if !maps.Equal(in.Audience, l.audience) {
		in.Touched, l.audience = nil, in.Audience
	}
	in.Votes = overlay(rec.votes(in.Touched), in.own, node, alone, in.evidence, func(v health.Vote) (site, by string) { return v.Site, v.Vantage })
	in.Reports = overlay(rec.reports(in.Touched), in.reports, node, alone, in.evidence, func(r health.Report) (site, by string) { return r.Site, r.Node })
	in.Releases = rec.releases
	in.Overrides = l.withByHand(rec.overrides, in.Sites, now)
	states := health.Evaluate(in.Input)
	states.Stale = in.view.Stale
	due := l.timesAt.Add(timesApart)
	switch {
	case sameTimes(l.times, rec.times):
	case l.times == nil || rec.times == nil || !now.Before(due):
		l.times, l.timesAt = rec.times, now
	default:
		next = health.Sooner(next, due)
	}
	states.Times = l.times
	l.computed = states
	next = health.Sooner(next, states.Next)

	next = health.Sooner(next, ending(rec.overrides, now))
	if l.watchman.order(rec.allow) {
		select {
		case <-l.f.decided: // of an order before
		default:
		}
		l.f.decided <- !rec.allow.Drop
	}
	publish, held, at := l.watchman.watch(in.breaker, l.f.published.Load(), states, in.settled, now)
	next = health.Sooner(next, at)
	l.holds(held)
	next = health.Sooner(next, l.toByHand(in, l.f.published.Load(), publish))
	return health.Sooner(next, l.publish(publish, rec, now))
}

// evidence tells whether this node itself knows something of a site.
func (in input) evidence(site string) bool {
	_, report := in.reports[site]
	return report || in.own[site].State != health.Unknown
}

// overlay puts this node's own current statements in the place of their copies
// in etcd. Alone, a node that has evidence on a site believes nobody else on it.
func overlay[T any](fleet []T, own map[string]T, node string, alone bool, evidence func(site string) bool, of func(T) (site, by string)) []T {
	out := make([]T, 0, len(fleet)+len(own))
	for _, t := range fleet {
		site, by := of(t)
		if _, ok := own[site]; ok && by == node || alone && evidence(site) {
			continue
		}
		out = append(out, t)
	}
	for _, t := range own {
		out = append(out, t)
	}
	return out
}

// holds notes what the breaker holds back, and says when that begins and ends.
func (l *loop) holds(held *Held) {
	l.f.mu.Lock()
	before := l.f.held
	l.f.held = held
	l.f.mu.Unlock()
	switch {
	case held != nil && (before == nil || !slices.Equal(before.Sites, held.Sites)):
		l.f.log.Warn("sites held in service by the breaker", "sites", held.Sites, "until", held.Until, "why", held.Why)
	case held == nil && before != nil:
		l.f.log.Warn("the breaker holds nothing any more", "sites", before.Sites)
	}
}

// publish makes the states this node's own, and tells changed if it matters. It
// returns when there may be one problem more though nothing comes in.
func (l *loop) publish(states *health.States, rec records, now time.Time) (next time.Time) {
	f := l.f
	before := f.published.Load()
	f.published.Store(states)
	problems, next := l.problems(rec, states, now)
	f.mu.Lock()
	f.answers = rec.answers
	f.nodes, f.problems = slices.CompactFunc(slices.Clone(rec.nodes), func(a, b Node) bool { return a.Name == b.Name }), problems
	close(f.renewed)
	f.renewed = make(chan struct{})
	f.mu.Unlock()
	if l.called && !matters(before, states) {
		return next
	}
	l.called = true
	l.tell(before, states, rec.nodes)
	for name, st := range states.Sites {
		if old := before.Sites[name]; old.State != st.State || old.Draining != st.Draining {
			f.log.Info("site changed", "site", name, "state", st.State, "was", old.State, "draining", st.Draining, "why", st.Why)
		}
	}
	l.changed(states)
	return next
}

// problems dates this view's problems and logs the new ones.
func (l *loop) problems(rec records, states *health.States, now time.Time) (all []Problem, next time.Time) {
	all = rec.problems
	for _, o := range rec.overrides {
		if _, ok := states.Sites[o.Site]; !ok {
			all = append(all, Problem{Key: keyOf(kindOverride, o.Site), Message: fmt.Sprintf("override for site %q, which is not configured here (gslb undrain %[1]s takes it back)", o.Site)})
		}
	}
	twins, next := l.namesakes(rec.nodes, states.Stale, now)
	all = append(all, twins...)
	known := make(map[Problem]time.Time, len(all))
	for i, p := range all {
		since, old := l.known[p]
		if !old {
			since = now
			l.f.log.Warn("problem in the store", "key", p.Key, "problem", p.Message)
		}
		known[p] = since
		all[i].Since = since
	}
	l.known = known
	return all, next
}

// namesakes finds other processes with this one's name. The record of this
// node's life before lasts for a TTL, so it takes longer to be sure; next is when.
func (l *loop) namesakes(nodes []Node, stale bool, now time.Time) (found []Problem, next time.Time) {
	self := &l.f.self // its Name and Instance never change
	seen := map[string]time.Time{}
	for _, n := range nodes {
		if stale || n.Name != self.Name || n.Instance == self.Instance {
			continue
		}
		since, old := l.twins[n.Instance]
		if !old {
			since = now
		}
		seen[n.Instance] = since
		if sure := since.Add(2 * l.f.cfg.TTL); now.Before(sure) {
			next = health.Sooner(next, sure)
		} else {
			found = append(found, Problem{Key: keyOf(kindNode, n.Name, n.Instance), Message: fmt.Sprintf(
				"another process also calls itself %s (started %s): give each node its own name", n.Name, n.Since.UTC().Format(time.RFC3339))})
		}
	}
	l.twins = seen
	return found, next
}

// matters tells whether two States differ in what decides where users go, or in
// the reasons for it; not in times and details.
func matters(a, b *health.States) bool {
	if a.Stale != b.Stale || len(a.Sites) != len(b.Sites) || !maps.Equal(a.Releases, b.Releases) || !sameTimes(a.Times, b.Times) {
		return true
	}
	for name, x := range a.Sites {
		y, ok := b.Sites[name]
		if !ok || x.State != y.State || x.Draining != y.Draining || x.Held != y.Held || x.Shed != y.Shed || x.Withheld != y.Withheld ||
			!slices.Equal(x.Generations, y.Generations) ||
			x.Load != y.Load || x.Capacity != y.Capacity || x.Why != y.Why || !maps.Equal(x.Elsewhere, y.Elsewhere) ||
			(x.Override == nil) != (y.Override == nil) || x.Override != nil && *x.Override != *y.Override ||
			!slices.EqualFunc(x.Reports, y.Reports, func(p, q health.Report) bool {
				return p.Node == q.Node && p.Healthy == q.Healthy && p.Generation == q.Generation
			}) {
			return true
		}
	}
	return false
}
