package dnsserver

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/miekg/dns"

	"gslb/geo"
	"gslb/health"
	"gslb/steer"
	"gslb/zones"
)

// Policy is a compiled policy with the table that tells each network's cohort.
type Policy struct {
	Compiled *steer.Compiled
	Table    *geo.Table
}

// Generation is all that answers are made from: one immutable value, so that
// no query mixes two. Its parts change at different times; With… gives the next
// generation and shares what stays.
type Generation struct {
	DB     *zones.DB
	States *health.States

	policies []Policy
	live     []*steer.Live
	answers  []siteAnswers // by zones.Steered.Index
	signed   []siteAnswers // the same with the records of DNSSEC; empty for names in zones that are not signed
	low      []lowered     // the same with a lower TTL
	// What is given in these states: of answers and signed, or of low; and the names
	// with a lower TTL, by index; nil: none.
	shown, shownSigned []siteAnswers
	troubled           []*zones.Steered
	several            [][]several // what several sites are answered with together; nil: no name has that
	places             *geo.DB     // for explaining only; may be nil
	access             *Access     // nil: all clients alike
	declared           *geo.Table  // 1 for networks that configuration names
	sites              int
	picked             *picks
	turns              turns
	trial              *trial // nil: all clients are answered by this generation
	tried              int64  // id of the trial that it is of; 0: of none
}

// Inputs are what a Generation is made from.
type Inputs struct {
	DB       *zones.DB
	Policies []Policy // by the index that zones.SteeredConfig.Policy names
	Access   *Access
	Sites    []string // their names, by index
	Places   *geo.DB  // may be nil
	// Declared are the networks that overrides and rules name. A client subnet
	// from private address space counts only if one of them holds it.
	Declared []netip.Prefix
	States   *health.States // may be nil: nothing known yet
	// Before is a generation whose prepared answers are taken over where they would
	// come out the same; nil: none. It is not held on to.
	Before *Generation
}

// NewGeneration compiles inputs. It is the slow way: seconds at most, beside
// the serving path.
func NewGeneration(in Inputs) *Generation {
	g := &Generation{DB: in.DB, policies: in.Policies, places: in.Places, access: in.Access, sites: len(in.Sites)}
	g.declared = geo.Build(nil, in.Declared, func(_ geo.Place, within netip.Prefix) uint32 {
		if within.IsValid() {
			return 1
		}
		return 0
	})
	g.prepare(in.Before)
	steered := len(in.DB.Steered())
	g.picked = newPicks(g.steeredNames(), in.Sites)
	g.turns = make(turns, 2*steered)
	return g.WithStates(in.States)
}

// steeredNames lists the steered names by index.
func (g *Generation) steeredNames() []string {
	var names []string
	for _, s := range g.DB.Steered() {
		names = append(names, s.Name)
	}
	return names
}

// after is the generation as it comes after old: what has been counted, and the
// positions of rotations, go on.
func (g *Generation) after(old *Generation) *Generation {
	if old == nil || old.picked == g.picked {
		return g
	}
	next := *g
	if next.picked = g.picked.after(old.picked); next.picked == old.picked {
		next.turns = old.turns
	}
	return &next
}

// WithStates gives the generation in which the sites are in these states.
func (g *Generation) WithStates(states *health.States) *Generation {
	if states == nil {
		states = &health.States{}
	}
	next := *g
	next.States = states
	next.live = make([]*steer.Live, len(g.policies))
	for i, p := range g.policies {
		next.live[i] = p.Compiled.Live(states)
	}
	next.show()
	if t := g.trial; t != nil {
		next.trial = &trial{t.gen.WithStates(states), t.below, t.salt, t.id}
	}
	return &next
}

// caveat is what clients are told about tailored answers (RFC 8914): that
// nothing is known of the sites yet, or that what is known may be old.
func (g *Generation) caveat() extendedError {
	switch {
	case g.States.Revision == 0:
		return notReady
	case g.States.Stale:
		return staleAnswer
	}
	return noError
}

// WithPlaces gives the generation in which clients are classified anew. The
// policies must be those of g, compiled again.
func (g *Generation) WithPlaces(places *geo.DB, policies []Policy) *Generation {
	next := *g
	next.places, next.policies = places, policies
	return next.WithStates(g.States)
}

// WithDB gives the generation in which zones have changed. The steered names, and
// what they choose from, must be those of g; aliases of them may come and go.
func (g *Generation) WithDB(db *zones.DB) *Generation {
	next := *g
	next.DB = db
	next.prepare(g)
	next.show()
	return &next
}

// Default is the site that a steered name chooses for a client of whom nothing is
// known, with all sites as they are now, or those that it is answered with together, by their numbers.
func (g *Generation) Default(s *zones.Steered) []int32 {
	if s.Index < 0 { // an alias that is not steered
		return []int32{0}
	}
	nobody := netip.IPv4Unspecified() // in no database
	cohort, _ := g.policies[s.Policy].Table.Lookup(nobody)
	live := g.live[s.Policy]
	return slices.Sorted(slices.Values(live.Sites(live.Choose(cohort, steer.Ask{Client: nobody}, nil))))
}

// turns are the positions of round-robin picks, for A and for other types of
// each steered name: a client that asks for A and AAAA in turn must not see
// half of the sites by one type only.
type turns []atomic.Uint32

// of gives the counter to advance, or one that has no effect on others while a
// decision is only being explained.
func (t turns) of(steered int, qtype uint16, tr *steer.Trace) *atomic.Uint32 {
	i := 2 * steered
	if qtype == dns.TypeAAAA {
		i++
	}
	if tr != nil {
		c := new(atomic.Uint32)
		c.Store(t[i].Load())
		return c
	}
	return &t[i]
}
