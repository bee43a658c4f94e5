package forecast

import (
	"maps"
	"math"
	"slices"
	"time"

	"gslb/health"
	"gslb/steer"
)

// view is where everyone goes by one of the topologies, under States.
type view struct {
	*Users
	topology int
	states   *health.States
	names    []float64 // each name's share of all users; they add up to 1
	kinds    []spread  // by kind; empty for those that none of the names is of
	shares   []float64 // by site: of all users
}

// spread is where the users of each cohort go.
type spread struct {
	portions   [][]portion // by cohort
	shares     []float64   // by site: of the kind's users
	failOpen   float64     // share of the kind's users who are sent as though all were up
	lastResort float64
}

type portion struct {
	site  int32 // in Users.sites
	share float64
}

// look makes a view. names are as view has them.
func (u *Users) look(topology int, states *health.States, names []float64) *view {
	v := &view{Users: u, topology: topology, states: states, names: names, kinds: make([]spread, len(u.kinds)), shares: make([]float64, len(u.sites))}
	for i, n := range u.names {
		if names[i] == 0 {
			continue
		}
		sp := &v.kinds[n.kind]
		if sp.shares == nil {
			*sp = v.spread(u.kinds[n.kind])
		}
		for site, share := range sp.shares {
			v.shares[site] += names[i] * share
		}
	}
	return v
}

func (v *view) spread(k *kind) spread {
	sp := spread{shares: make([]float64, len(v.sites))}
	compiled := k.compiled[v.topology]
	if compiled == nil || k.total == 0 {
		return sp
	}
	live := compiled.Live(v.states)
	weights := k.cohorts[v.topology]
	sp.portions = make([][]portion, len(weights))
	for cohort, weight := range weights {
		if weight == 0 {
			continue
		}
		part := weight / k.total
		live.Expected(uint32(cohort), func(p steer.Portion) {
			if p.Share == 0 {
				return
			}
			site := v.site[v.topology][p.Site]
			sp.portions[cohort] = join(sp.portions[cohort], portion{int32(site), p.Share})
			sp.shares[site] += part * p.Share
			if p.FailOpen {
				sp.failOpen += part * p.Share
			}
			if p.LastResort {
				sp.lastResort += part * p.Share
			}
		})
	}
	return sp
}

// join adds a portion to those of a cohort, each site once.
func join(all []portion, p portion) []portion {
	for i := range all {
		if all[i].site == p.site {
			all[i].share += p.share
			return all
		}
	}
	return append(all, p)
}

// capacity of a site by its number; 0: unknown. What its balancers state counts, then
// what this topology states: the States have that of the topology in force.
func (v *view) capacity(site int) float64 {
	at := v.index[v.topology][site]
	if at < 0 {
		return 0
	}
	st := v.states.Site(v.sites[site])
	stated := slices.ContainsFunc(st.Reports, func(r health.Report) bool { return r.Capacity > 0 })
	if c := v.in[v.topology][at].Capacity; c > 0 && !stated {
		return c
	}
	return st.Capacity
}

// The steps in which shedding is followed to its end: telemetry comes at least so
// often, and what has not settled in an hour does not.
const (
	shedStep  = 10 * time.Second
	shedSteps = 360
	settled   = 1e-5 // change of a share in a step
)

// shed follows what the sites shed at this load in all, until it has settled. As in a
// fleet, a site without capacity or reports sheds what it sheds now; all makes every site with a
// capacity one that reports.
func (v *view) shed(total float64, all bool) *view {
	before := make([]float64, len(v.sites))
	for step := range shedSteps {
		next := &health.States{Sites: maps.Clone(v.states.Sites)}
		if next.Sites == nil {
			next.Sites = map[string]health.Status{}
		}
		moved := 0.0
		for site, name := range v.sites {
			st, capacity := v.states.Site(name), v.capacity(site)
			if capacity == 0 || !st.InService() || !all && len(st.Reports) == 0 {
				continue
			}
			now := v.shares[site] * total / capacity
			if step == 0 {
				before[site] = now
			}
			shed := health.NextShed(st.Shed, before[site], now, shedStep)
			moved = max(moved, math.Abs(shed-st.Shed))
			st.Shed, before[site] = shed, now
			next.Sites[name] = st
		}
		if moved < settled {
			break
		}
		next.Revision, next.Stale, next.At, next.Times = v.states.Revision, v.states.Stale, v.states.At, v.states.Times
		v = v.look(v.topology, next, v.names)
	}
	return v
}
