package balancer

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"gslb/health"
)

// report sends the reports of all sites at the start, at changes and every
// ReportEvery until ctx ends, and then, at changes only, until drained does.
func (b *Balancer) report(ctx, drained context.Context, send func(health.Report)) {
	ticker := time.NewTicker(b.opts.ReportEvery)
	defer ticker.Stop()
	var known []string // sites reported before: one that is gone is reported empty once
	for {
		reports := b.reports(ctx.Err() != nil)
		for _, site := range known {
			if !slices.ContainsFunc(reports, func(r health.Report) bool { return r.Site == site }) {
				send(health.Report{Site: site, Node: b.opts.Node, At: b.opts.Now()})
			}
		}
		known = known[:0]
		for _, r := range reports {
			known = append(known, r.Site)
			send(r)
		}
		done := ctx.Done()
		if ctx.Err() != nil {
			done = nil
		}
		select {
		case <-drained.Done():
			return
		case <-done: // the listeners are being closed
		case <-b.changed:
		case <-ticker.C:
		}
	}
}

// reports returns one Report for each site that a frontend serves, in the order
// of the configuration. When stopping, no server can be reached through here.
//
// Load is in the units of Capacity: once a frontend of the site states
// capacities, only the frontends that do count in it.
func (b *Balancer) reports(stopping bool) []health.Report {
	var out []health.Report
	var plain []float64 // load of the frontends that state no capacity, by index in out
	for _, f := range b.frontends() {
		site := f.config().Site
		i := slices.IndexFunc(out, func(r health.Report) bool { return r.Site == site })
		if i < 0 {
			i = len(out)
			out = append(out, health.Report{Site: site, Node: b.opts.Node, At: b.opts.Now()})
			plain = append(plain, 0)
		}
		f.pool.addTo(&out[i], &plain[i])
		cfg := f.config()
		out[i].Frontends = append(out[i].Frontends, health.Frontend{Name: f.name, Plane: b.planes.of(cfg).name(), Why: b.planes.why(cfg), Pick: cfg.Pick})
	}
	for i := range out {
		if stopping {
			out[i].Healthy, out[i].Capacity = 0, 0
		}
		if out[i].Capacity == 0 {
			out[i].Load += plain[i]
		}
	}
	return out
}

// addTo adds what the pool has to the report of its site; its load to r, or to
// plain if it states no capacity.
//
// Load and Capacity are over the same servers, those in use: in service and
// available, or isolated for nothing but overload. A server that drains or died
// with connections open would else look like load on the others.
func (p *pool) addTo(r *health.Report, plain *float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	load := &r.Load
	if !p.cfg.statesCapacity() {
		load = plain
	}
	for _, s := range p.servers {
		if s.role == roleServer {
			r.Total++
		}
		if s.inService && s.available() {
			r.Healthy++
			r.Generation = health.JoinGenerations(append(strings.Split(r.Generation, ","), s.check.generation))
		}
		open := s.open.Load()
		r.Connections += open
		full := s.isolation.causes == causeOverload && !s.drain.on()
		if s.inService && (s.available() || full) {
			*load += float64(open)
			r.Capacity += s.Capacity
		}
		line := p.line(s)
		line.Traffic = s.traffic()
		r.Servers = append(r.Servers, line)
	}
	for _, s := range p.leaving {
		r.Connections += s.open.Load()
	}
}

// line is the server as people see it. Under mu.
func (p *pool) line(s *server) health.Server {
	return health.Server{
		Frontend: p.frontend, Address: s.address, State: s.state(p.rule != nil), Role: s.role,
		InService: s.inService && s.available(), Draining: s.drain.on(), Connections: s.open.Load(), Generation: s.check.generation, Detail: p.detail(s),
	}
}

// traffic is what goes to the server, in three digits. Under pool.mu.
func (s *server) traffic() *health.Traffic {
	first := s.lately(timeFirst)
	return &health.Traffic{Rate: threeDigits(s.measured.rate), Load: threeDigits(s.load()), Queued: s.queued.Load(), Ejections: s.isolated,
		Median: threeDigits(first.Median), P99: threeDigits(first.P99)}
}

// threeDigits keeps what people can tell apart, and reports short.
func threeDigits(x float64) float64 {
	if x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return 0
	}
	scale := math.Pow(10, 2-math.Floor(math.Log10(math.Abs(x))))
	return math.Round(x*scale) / scale
}

// state is the server's state as people see it.
func (s *server) state(checked bool) health.State {
	switch {
	case s.isolation.has(causeCheck | causePassive):
		return health.Down
	case s.isolation.has(causeOverload):
		return health.Degraded
	case checked && s.asked:
		return health.Up // it drains by its own wish, and says so
	case checked:
		return s.check.state
	case s.total.Load() > 0:
		return health.Up // nobody checks, but it took a connection and is not isolated
	}
	return health.Unknown
}

// detail says in words why the server is as it is. Under mu.
func (p *pool) detail(s *server) string {
	var parts []string
	if s.isolation.causes != 0 {
		parts = append(parts, "isolated: "+s.isolation.why)
	} else if s.check.detail != "" {
		parts = append(parts, s.check.detail)
	}
	if s.drain.on() {
		parts = append(parts, "draining since "+s.drain.since.UTC().Format(time.RFC3339))
	}
	if w := s.wish.Wish; w.Share != 1 && !w.Drain || w.Connections > 0 {
		parts = append(parts, fmt.Sprintf("its agent asks for %.0f %% of its weight and %d connections (0: not bounded)", 100*w.Share, w.Connections))
	}
	if n, vain := s.queued.Load(), s.queueTimeouts.Load(); n > 0 || vain > 0 {
		parts = append(parts, fmt.Sprintf("%d clients wait for it, %d have waited in vain", n, vain))
	}
	if ramp := s.ramp(p.now(), p.cfg.SlowStart); ramp < 1 {
		parts = append(parts, fmt.Sprintf("slow start at %.0f %%", 100*ramp))
	}
	return strings.Join(parts, "; ")
}

// Warnings are what the active checks have seen that a person should look at,
// though nothing has failed: one line each.
func (b *Balancer) Warnings() []string {
	var lines []string
	for _, r := range b.runner.Results() {
		if r.Warning != "" {
			lines = append(lines, fmt.Sprintf("frontend %s, server %s: %s", r.Target.Name, r.Target.Address, r.Warning))
		}
	}
	return lines
}
