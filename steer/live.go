package steer

import (
	"net/netip"
	"sync/atomic"

	"gslb/health"
)

// Ask is what of a query the pick itself may consult; all else about the
// client is in its cohort.
type Ask struct {
	Client netip.Addr // or any address of its network; the zero Addr: unknown
	// Period counts the TTLs since some common moment, as Unix seconds divided
	// by the TTL do. The draws of Weighted, Load and shedding last for one.
	Period uint32
	// Turn counts the answers of one name and query type: with one counter for
	// A and AAAA together, clients that ask for both would have every A from one
	// site and every AAAA from the other. Only RoundRobin advances it, explained
	// or not. Nil: always the first turn.
	Turn *atomic.Uint32
}

// Choice is the decision for one query.
type Choice struct {
	Site int32 // index in the sites given to Compile
	// Set is the index in Live.Sets of all the sites of the answer, of which Site is the
	// first; 0: it is alone.
	Set uint32
	// Bits is how much of the client's address the pick itself consulted: 24 or
	// 56 where it hashed the client's network for a sticky choice, or would have
	// for others of the cohort, else 0. The draws of Weighted, Load and shedding do
	// not count: they are meant to be shared by all who share a cache, for one TTL.
	Bits       uint8
	Tier       int8 // index in Plan.Tiers, or in Plan.LastResort
	FailOpen   bool // nothing was available: chosen as though all were up
	LastResort bool
	Shed       bool // the client's own site or tier had it go elsewhere
}

// Live is a Compiled filtered by the state of the sites: what may be given now.
// It is immutable.
type Live struct {
	c       *Compiled
	plans   []*Plan // by cohort, in the order of the measured times
	states  *health.States
	views   [][]standing
	cohorts int // that there were when it was made: stages[:cohorts] are theirs
	split
}

// Live filters every plan of c. The cohorts that c gains later get the answer
// of cohort 0. States may be nil: nothing is known, so all are in service.
func (c *Compiled) Live(states *health.States) *Live {
	l := &Live{c: c, plans: c.timed(states), states: states, views: c.views(states), cohorts: len(c.plans)}
	f := filter{views: l.views, keys: c.keys, answers: c.answers, made: make(map[madeKey]made)}
	f.stages = make([]stage, len(c.plans), len(c.plans)+len(c.plans)/4)
	for i, p := range l.plans {
		f.plan(p, uint32(i), nil)
	}
	l.split = f.split
	return l
}

// States returns what the Live was made from.
func (l *Live) States() *health.States { return l.states }

// Site returns the site that a Choice names.
func (l *Live) Site(i int32) *Site { return &l.c.sites[i] }

// Troubled tells whether a site is not plainly in service: it is down or degraded, it
// drains, is held or sheds, or something is withheld from it. One of which nothing is known is not.
func (l *Live) Troubled(site int) bool { return l.views[0][site].trouble }

// Choose decides one query of a client of the cohort. A cohort that does not
// exist is treated as cohort 0, the client about whom nothing is known. It may
// run any number of times at once; with a nil trace it does not allocate.
//
// A trace, which Classify or Explain has filled for the same client, is given
// the state of each site and the reasons of the choice.
func (l *Live) Choose(cohort uint32, ask Ask, tr *Trace) Choice {
	if int64(cohort) >= int64(l.cohorts) {
		cohort = 0
	}
	if tr != nil {
		return l.trace(cohort, ask, tr)
	}
	return l.choose(cohort, &ask, l.c.seed, nil)
}

// standing is what filtering needs to know of one site, looked up once.
type standing struct {
	available bool // not down
	draining  bool
	held      bool    // up again after it was down, and not yet to be given; or behind
	behind    bool    // it does not serve the released content generation
	ordered   bool    // an operator's override says to keep users away
	shed      float64 // 0 to 1
	trouble   bool    // not plainly in service; see Troubled
	spare     float64 // estimated, in the units of capacity; see spares
	capacity  float64 // likewise, above 0
}

// standings looks up all sites; release is Policy.Release.
func standings(sites []Site, states *health.States, release string) []standing {
	released := ""
	if release != "" {
		released = states.Released(release)
	}
	all := make([]standing, len(sites))
	stats := make([]health.Status, len(sites))
	for i := range sites {
		st := states.Site(sites[i].Name)
		stats[i] = st
		all[i] = standing{available: st.State.Available(), draining: st.Draining, held: st.Held != "", shed: share(st.Away()), ordered: st.Draining}
		if released != "" && !st.Serves(released) {
			all[i].behind, all[i].held = true, true
		}
		all[i].trouble = st.State == health.Down || st.State == health.Degraded || all[i].draining || all[i].held || all[i].shed > 0
		if o := st.Override; o != nil {
			all[i].ordered = all[i].ordered || o.Kind == health.Drain || o.Kind == health.ForceDown
		}
	}
	spares(sites, stats, all)
	return all
}

// share clamps to 0..1; what is not a number is 0.
func share(x float64) float64 {
	if x > 0 {
		return min(x, 1)
	}
	return 0
}
