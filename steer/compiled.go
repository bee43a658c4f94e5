package steer

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"gslb/geo"
)

// Compiled is a policy made ready to classify clients. It grows with each new
// kind of client that Classify meets, and is read-only after the last one.
type Compiled struct {
	name  string
	seed  uint64 // of the draws, so that two names split their clients independently
	sites []Site
	keys  []uint64 // by site: what rendezvous hashing knows it by; from its name, so that the order of sites does not matter

	rules      []rule // the policy's, then the implicit last one
	lastResort []Target
	cuts       []netip.Prefix

	plans   []*Plan           // by cohort
	cohorts map[string]uint32 // key of a plan -> cohort
	scratch ranking
}

type rule struct {
	matcher
	tiers []Target
}

// Plan is what one cohort gets: the tiers of its rule, with their members in
// the order that its clients prefer them.
type Plan struct {
	Rule       int // index in Policy.Rules; len(Policy.Rules) is the implicit last rule
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
}

// implicitLabel is the label of the last rule's tier.
const implicitLabel = "nearest:all"

// Compile checks the policy and makes it ready for Classify. Behind its last
// rule stands an implicit one that sends everyone to the nearest of all sites,
// for clients that no rule matches. The error joins one for each fault.
//
// Neither p nor sites is kept or changed, but the Members of targets are shared.
func Compile(p *Policy, sites []Site) (*Compiled, error) {
	if err := validate(p, sites); err != nil {
		return nil, fmt.Errorf("policy %q: %w", p.Name, err)
	}
	c := &Compiled{
		name:       p.Name,
		seed:       hashString(strings.ToLower(p.Name)),
		sites:      slices.Clone(sites),
		lastResort: slices.Clone(p.LastResort),
		cohorts:    make(map[string]uint32),
	}
	for _, s := range sites {
		c.keys = append(c.keys, hashString(s.Name))
	}
	for _, r := range p.Rules {
		c.rules = append(c.rules, rule{matcher: compileMatch(r.Match), tiers: slices.Clone(r.Tiers)})
		for _, n := range r.Match.Networks {
			c.cuts = append(c.cuts, canonical(n))
		}
	}
	c.rules = append(c.rules, rule{tiers: []Target{{Label: implicitLabel, Members: everySite(sites)}}})
	slices.SortFunc(c.cuts, netip.Prefix.Compare)
	c.cuts = slices.Compact(c.cuts)
	// Cohort 0 is the client about whom nothing is known, which makes it the
	// safe answer to a cohort that does not exist.
	c.Classify(geo.Place{}, netip.Prefix{}, nil)
	return c, nil
}

// Cuts are the networks that the rules tell apart, for geo.Build: sorted, each
// once, with host bits cleared.
func (c *Compiled) Cuts() []netip.Prefix { return c.cuts }

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

// classify finds the rule and ranks its tiers; the result is the rule's index
// and s.
func (c *Compiled) classify(p geo.Place, within netip.Prefix, tr *Trace, s *ranking) int {
	if tr != nil {
		*tr = Trace{Policy: c.name, Place: p, Within: within}
	}
	r := c.match(&p, within, tr)
	s.reset(r)
	for i := range c.rules[r].tiers {
		s.rank(&c.rules[r].tiers[i], c.sites, &p, tr, false)
	}
	for i := range c.lastResort {
		s.rank(&c.lastResort[i], c.sites, &p, tr, true)
	}
	return r
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
	p := &Plan{Rule: r, Tiers: make([]Tier, len(tiers)), LastResort: make([]Tier, len(c.lastResort))}
	for i := range tiers {
		p.Tiers[i] = s.tiers[i].of(&tiers[i])
	}
	for i := range c.lastResort {
		p.LastResort[i] = s.tiers[len(tiers)+i].of(&c.lastResort[i])
	}
	return p
}

// ranking is the working memory of one classification: the order of members in
// each tier, and the key that two clients share when all these orders are the same.
type ranking struct {
	key   []byte
	tiers []tierRank
}

// tierRank is the order of one tier's members; nil: as declared.
type tierRank struct {
	spread bool
	order  []ranked
}

type ranked struct {
	member int     // index in Target.Members
	km     float64 // great-circle distance; NaN when the member's location is unknown
	reach  float64 // km and bias; +Inf when unknown
}

func (s *ranking) reset(rule int) {
	s.key = binary.AppendUvarint(s.key[:0], uint64(rule))
	s.tiers = s.tiers[:0]
}

// rank orders the members of the next tier for a client at p.
//
//	pick    │ members │ client's place │ members' places │ order
//	────────┼─────────┼────────────────┼─────────────────┼──────────────────────────────
//	Nearest │ 1       │ -              │ -               │ as declared
//	Nearest │ more    │ unknown        │ -               │ as declared, spread by hash
//	Nearest │ more    │ known          │ none known      │ as declared, spread by hash
//	Nearest │ more    │ known          │ some known      │ by distance and bias, the unknown last
//	others  │ -       │ -              │ -               │ as declared
//
// Ties keep the declared order.
func (s *ranking) rank(t *Target, sites []Site, p *geo.Place, tr *Trace, lastResort bool) {
	r := s.next()
	if t.Pick == Nearest && len(t.Members) > 1 {
		r.spread = true
		if p.HasLocation {
			for i, m := range t.Members {
				r.order = append(r.order, measure(i, &sites[m.Site], p))
				r.spread = r.spread && !sites[m.Site].HasLocation
			}
		}
		if r.spread {
			r.order = r.order[:0]
		}
		slices.SortStableFunc(r.order, func(a, b ranked) int { return cmp.Compare(a.reach, b.reach) })
		s.key = binary.AppendUvarint(s.key, uint64(len(r.order)))
		for _, m := range r.order {
			s.key = binary.AppendUvarint(s.key, uint64(m.member))
		}
	}
	if tr != nil {
		tr.tier(t, r, sites, p, lastResort)
	}
}

func (s *ranking) next() *tierRank {
	if len(s.tiers) == cap(s.tiers) {
		s.tiers = append(s.tiers, tierRank{})
	} else { // keeps the memory of the order that stood here
		s.tiers = s.tiers[:len(s.tiers)+1]
	}
	r := &s.tiers[len(s.tiers)-1]
	r.spread, r.order = false, r.order[:0]
	return r
}

func measure(member int, s *Site, p *geo.Place) ranked {
	if !s.HasLocation || !p.HasLocation {
		return ranked{member: member, km: math.NaN(), reach: math.Inf(1)}
	}
	km := geo.Distance(p.Location, s.Location)
	return ranked{member: member, km: km, reach: km + s.Bias}
}

// of is the target with its members in this order.
func (r *tierRank) of(t *Target) Tier {
	tier := Tier{Label: t.Label, Pick: t.Pick, Spread: r.spread, Members: t.Members}
	if len(r.order) > 0 {
		tier.Members = make([]Member, len(r.order))
		for i, m := range r.order {
			tier.Members[i] = t.Members[m.member]
		}
	}
	return tier
}

// validate finds what would make a decision impossible or meaningless.
func validate(p *Policy, sites []Site) error {
	v := validator{sites: sites}
	if len(sites) == 0 {
		v.bad("no sites: must have at least one")
	}
	names := make(map[string]bool)
	for _, s := range sites {
		v.site(s, names)
	}
	for i, r := range p.Rules {
		if len(r.Tiers) == 0 {
			v.bad("rule %d has no tier: must have at least one", i+1)
		}
		for _, n := range r.Match.Networks {
			if !n.IsValid() {
				v.bad("rule %d: network is not valid: must be an address and a length", i+1)
			}
		}
		v.tiers(fmt.Sprintf("rule %d, tier", i+1), r.Tiers)
	}
	v.tiers("last resort", p.LastResort)
	return errors.Join(v.errs...)
}

type validator struct {
	sites []Site
	errs  []error
}

func (v *validator) bad(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf(format, args...))
}

func (v *validator) site(s Site, names map[string]bool) {
	if s.Name == "" {
		v.bad("a site has no name: must have one")
	} else if names[s.Name] {
		v.bad("site %q occurs twice: names must differ", s.Name)
	}
	names[s.Name] = true
	if !validWeight(s.Weight) {
		v.bad("site %q: weight %v: must be a number from 0 to %g", s.Name, s.Weight, float64(maxWeight))
	}
	if math.IsNaN(s.Bias) || math.IsInf(s.Bias, 0) {
		v.bad("site %q: bias %v: must be a number of kilometres", s.Name, s.Bias)
	}
	if !(s.Capacity >= 0 && s.Capacity <= maxCapacity) {
		v.bad("site %q: capacity %v: must be a number from 0 to %g", s.Name, s.Capacity, float64(maxCapacity))
	}
	if l := s.Location; s.HasLocation && !(math.Abs(l.Latitude) <= 90 && math.Abs(l.Longitude) <= 180) {
		v.bad("site %q: location %v, %v: must be a latitude of -90 to 90 and a longitude of -180 to 180 degrees", s.Name, l.Latitude, l.Longitude)
	}
}

func (v *validator) tiers(where string, tiers []Target) {
	if len(tiers) > math.MaxInt8 { // Choice.Tier
		v.bad("%s: %d of them: must be at most %d", where, len(tiers), math.MaxInt8)
	}
	for i, t := range tiers {
		v.tier(fmt.Sprintf("%s %d (%q)", where, i+1, t.Label), t)
	}
}

func (v *validator) tier(where string, t Target) {
	if int(t.Pick) >= len(pickNames) {
		v.bad("%s: pick %v: must be one of %s", where, t.Pick, strings.Join(pickNames[:], ", "))
	}
	if len(t.Members) == 0 {
		v.bad("%s has no member: must have at least one", where)
	}
	seen := make(map[int]bool)
	for _, m := range t.Members {
		switch {
		case m.Site < 0 || m.Site >= len(v.sites):
			v.bad("%s: site number %d: must be 0 to %d", where, m.Site, len(v.sites)-1)
		case seen[m.Site]:
			v.bad("%s: site %q occurs twice: must occur once", where, v.sites[m.Site].Name)
		case !validWeight(m.Weight):
			v.bad("%s: weight %v of site %q: must be a number from 0 to %g", where, m.Weight, v.sites[m.Site].Name, float64(maxWeight))
		}
		seen[m.Site] = true
	}
}
