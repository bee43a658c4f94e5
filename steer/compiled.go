package steer

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"gslb/geo"
	"gslb/health"
)

// Compiled is a policy made ready to classify clients. It grows with each new
// kind of client that Classify meets, and is read-only after the last one.
type Compiled struct {
	name    string
	release string // Policy.Release
	answers int    // Policy.Answers
	latency bool   // a tier picks by Latency
	timing  timing
	seed    uint64 // of the draws, so that two names split their clients independently
	sites   []Site
	keys    []uint64 // by site: what rendezvous hashing knows it by; from its name, so that the order of sites does not matter

	rules      []rule // the policy's, then the implicit last one
	lastResort []Target
	audiences  []audience
	measured   *measurements // nil: none, or no tier picks by Latency
	cuts       []netip.Prefix

	plans   []*Plan           // by cohort
	cohorts map[string]uint32 // key of a plan -> cohort
	scratch ranking
	met     map[alike]uint32 // kinds of clients that Classify has met -> cohort; nil once settled
}

// alike is all that a client's plan depends on. Clients come by the million, in
// few places, and to rank the sites for each once saves most of the time.
type alike struct {
	rule     int // the first one with the same tiers
	audience int
	own      own
	known    bool
	location geo.Coordinates
}

type rule struct {
	matcher
	tiers []Target
	// same is the index of the first rule with the same tiers: clients of both
	// are treated alike, so they share cohorts, and networks merge across them.
	same int
}

// Plan is what one cohort gets: the tiers of its rule, with their members in
// the order that its clients prefer them.
type Plan struct {
	cell       cell // where its clients are, if a tier picks by Latency
	Audience   int  // of its clients, from 1, in Policy.Audiences; 0: none
	Rule       int  // the first rule with these tiers, in Policy.Rules; len(Policy.Rules) is the implicit last rule
	Tiers      []Tier
	LastResort []Tier
}

// Tier is a Target as one cohort sees it.
type Tier struct {
	Label string
	Pick  Pick
	// Spread tells that Nearest has nothing to measure from, because the place
	// of the client or of every member is unknown. The members are then picked as
	// Hash does: in declared order all unknown clients would run to one site.
	Spread  bool
	Members []Member // Nearest, not Spread: the nearest first; else as declared
	Min     int      // as in Target
	// Times, of Latency, are those by which the members are ordered, and VantageKm how far
	// the vantage point is from the clients; nil: there are none, they are ordered as by Nearest.
	// Those of a Plan are the clients' own (Policy.Measured), which vantage points have no say in.
	Times     *health.Times
	VantageKm float64
}

// implicitLabel is the label of the last rule's tier.
const implicitLabel = "nearest:all"

// Compile checks the policy and makes it ready for Classify. Behind its last
// rule stands an implicit one that sends everyone to the nearest of all sites,
// for clients that no rule matches. The error joins one for each fault.
//
// Neither p nor sites is kept or changed.
func Compile(p *Policy, sites []Site) (*Compiled, error) {
	if err := validate(p, sites); err != nil {
		return nil, fmt.Errorf("policy %q: %w", p.Name, err)
	}
	c := &Compiled{
		name:       p.Name,
		release:    p.Release,
		answers:    p.Answers,
		seed:       hashString(strings.ToLower(p.Name)),
		sites:      slices.Clone(sites),
		lastResort: cloneTargets(p.LastResort),
		cohorts:    make(map[string]uint32),
		met:        make(map[alike]uint32),
	}
	for _, s := range sites {
		c.keys = append(c.keys, hashString(s.Name))
	}
	c.audiences = compileAudiences(p.Audiences)
	for _, r := range p.Rules {
		c.rules = append(c.rules, rule{matcher: compileMatch(r.Match), tiers: cloneTargets(r.Tiers)})
		for _, n := range r.Match.Networks {
			c.cuts = append(c.cuts, canonical(n))
		}
	}
	c.rules = append(c.rules, rule{tiers: []Target{{Label: implicitLabel, Members: everySite(sites)}}})
	for i := range c.rules {
		c.rules[i].same = slices.IndexFunc(c.rules, func(r rule) bool { return sameTiers(r.tiers, c.rules[i].tiers) })
	}
	byLatency := func(t Target) bool { return t.Pick == Latency }
	c.latency = slices.ContainsFunc(c.lastResort, byLatency)
	for i := range c.rules {
		c.latency = c.latency || slices.ContainsFunc(c.rules[i].tiers, byLatency)
	}
	if c.latency {
		c.measured = compileMeasurements(p.Measured, sites)
		c.cuts = append(c.cuts, c.measured.cuts()...)
	}
	slices.SortFunc(c.cuts, netip.Prefix.Compare)
	c.cuts = slices.Compact(c.cuts)
	// Cohort 0 is the client about whom nothing is known, which makes it the
	// safe answer to a cohort that does not exist.
	c.Classify(geo.Place{}, netip.Prefix{}, nil)
	return c, nil
}

// sameTiers compares what tiers do; how they were written does not matter.
func sameTiers(a, b []Target) bool {
	return slices.EqualFunc(a, b, func(x, y Target) bool {
		return (x.Pick == y.Pick || len(x.Members) == 1) && max(x.Min, 1) == max(y.Min, 1) && slices.Equal(x.Members, y.Members)
	})
}

func cloneTargets(targets []Target) []Target {
	clone := slices.Clone(targets)
	for i := range clone {
		clone[i].Members = slices.Clone(clone[i].Members)
	}
	return clone
}

// Cuts are the networks that the rules tell apart, for geo.Build: sorted, each
// once, with host bits cleared.
func (c *Compiled) Cuts() []netip.Prefix { return c.cuts }

// Release is the Release of the policy.
func (c *Compiled) Release() string { return c.release }

// Cohorts is the number of plans so far; cohorts count from 0.
func (c *Compiled) Cohorts() int { return len(c.plans) }

// Plan returns the plan of a cohort; that of cohort 0, the client about whom
// nothing is known, when there is no such cohort. It must not be changed.
func (c *Compiled) Plan(cohort uint32) *Plan {
	if int64(cohort) >= int64(len(c.plans)) {
		cohort = 0
	}
	return c.plans[cohort]
}

// Classify returns the cohort of the clients at p, whose longest containing
// cut is within (the zero Prefix: none), and interns their plan when it is
// new. A trace, if not nil, is told the rules tried and the order of members.
//
// Classify must not run beside another method of c, nor after Live unless the
// Live is made anew. See Explain.
func (c *Compiled) Classify(p geo.Place, within netip.Prefix, tr *Trace) uint32 {
	if tr == nil && c.met != nil {
		k := alike{rule: c.rules[c.match(&p, within, nil)].same, audience: c.audience(&p), own: c.measured.of(&p, within), known: p.HasLocation, location: p.Location}
		cohort, ok := c.met[k]
		if !ok {
			cohort = c.intern(p, within, nil)
			c.met[k] = cohort
		}
		return cohort
	}
	return c.intern(p, within, tr)
}

// Settle drops what only many calls of Classify need. They work after it all the
// same, at length.
func (c *Compiled) Settle() { c.met = nil }

func (c *Compiled) intern(p geo.Place, within netip.Prefix, tr *Trace) uint32 {
	r := c.classify(p, within, tr, &c.scratch)
	cohort, ok := c.cohorts[string(c.scratch.key)]
	if !ok {
		cohort = uint32(len(c.plans))
		c.plans = append(c.plans, c.newPlan(r, &c.scratch))
		c.cohorts[string(c.scratch.key)] = cohort
	}
	if tr != nil {
		tr.Cohort = cohort
	}
	return cohort
}

// Explain is Classify for a finished c: it changes nothing, so any number may
// run at once. It reports false for a client that Classify never met the like
// of; its trace is filled all the same, apart from the cohort.
func (c *Compiled) Explain(p geo.Place, within netip.Prefix, tr *Trace) (uint32, bool) {
	var s ranking
	c.classify(p, within, tr, &s)
	cohort, ok := c.cohorts[string(s.key)]
	if ok && tr != nil {
		tr.Cohort = cohort
	}
	return cohort, ok
}

// classify finds the rule and ranks its tiers; the result is the index of the
// first rule with the same tiers, and s.
func (c *Compiled) classify(p geo.Place, within netip.Prefix, tr *Trace, s *ranking) int {
	if tr != nil {
		*tr = Trace{Policy: c.name, Place: p, Within: within}
	}
	r := c.match(&p, within, tr)
	s.reset(c.rules[r].same)
	s.measured, s.own = c.measured, c.measured.of(&p, within)
	if s.audience = c.audience(&p); len(c.audiences) > 0 {
		s.key = binary.AppendUvarint(s.key, uint64(s.audience))
	}
	if tr != nil && s.audience > 0 {
		tr.Audience = c.audiences[s.audience-1].name
	}
	for i := range c.rules[r].tiers {
		s.rank(&c.rules[r].tiers[i], c.sites, &p, tr, false)
	}
	for i := range c.lastResort {
		s.rank(&c.lastResort[i], c.sites, &p, tr, true)
	}
	return c.rules[r].same
}

// match is the index of the first rule that matches.
func (c *Compiled) match(p *geo.Place, within netip.Prefix, tr *Trace) int {
	for i := range c.rules {
		var why *string
		if tr != nil {
			why = tr.rule(i, i == len(c.rules)-1)
		}
		if c.rules[i].matches(p, within, why) {
			if tr != nil {
				tr.matched()
			}
			return i
		}
	}
	return len(c.rules) - 1 // not reached: the last rule matches everyone
}

// newPlan makes a plan from the rule and the ranking of its members.
func (c *Compiled) newPlan(r int, s *ranking) *Plan {
	tiers := c.rules[r].tiers
	p := &Plan{cell: s.cell, Rule: r, Audience: s.audience, Tiers: make([]Tier, len(tiers)), LastResort: make([]Tier, len(c.lastResort))}
	for i := range tiers {
		p.Tiers[i] = s.tiers[i].of(&tiers[i])
	}
	for i := range c.lastResort {
		p.LastResort[i] = s.tiers[len(tiers)+i].of(&c.lastResort[i])
	}
	return p
}
