package steer

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"gslb/geo"
	"gslb/health"
)

// Latency orders the members of a tier by the round-trip times that a vantage point near the
// client has measured. Vantage points come and go and their times change, so neither can be in
// a cohort: what a cohort knows of its clients' place is a cell, and Live finds the vantage point for each.

// cellDegrees is the side of a cell. Within it, some 100 km, the nearest vantage point is
// taken to be the same; the whole earth has some ten thousand with people in them. Which site is nearer is
// told apart exactly, as by Nearest.
const cellDegrees = 1

// cell is a part of the earth's surface, by the numbers of its latitude and longitude.
type cell struct {
	lat, long int16
	known     bool
}

func cellOf(p *geo.Place) cell {
	if !p.HasLocation {
		return cell{}
	}
	return cell{int16(math.Floor(p.Location.Latitude / cellDegrees)), int16(math.Floor(p.Location.Longitude / cellDegrees)), true}
}

// middle is where all clients of the cell are taken to be.
func (c cell) middle() geo.Coordinates {
	return geo.Coordinates{Latitude: min(cellDegrees*(float64(c.lat)+0.5), 90), Longitude: cellDegrees * (float64(c.long) + 0.5)}
}

const (
	// reach is how far from its clients, in km, a vantage point may stand whatever the sites
	// are; beyond, it must be no farther than the nearest member. What is measured in Seoul says
	// nothing to clients in New York who have a site in New York.
	reach = 1000
	// leastMeasured is how many members of a tier a vantage point must have measured: with one
	// there is nothing to compare.
	leastMeasured = 2
	// Members whose times are within this share, or so many milliseconds, of the least are as
	// good, and the nearest of them comes first.
	alikeShare = 0.1
	alikeMs    = 2.0
)

// timing keeps what the plans of a policy come to by some times, since these change seldom and
// the States often. The zero timing is ready to be used.
type timing struct {
	mu     sync.Mutex
	times  []health.Times // the slice of the States
	plans  int            // that there were
	result []*Plan
	by     *measured
}

// timed gives the plans with their Latency tiers in the order of the measured times.
func (c *Compiled) timed(states *health.States) []*Plan {
	if !c.latency || states == nil || len(states.Times) == 0 {
		return c.plans
	}
	t, times := &c.timing, states.Times
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.times) == len(times) && &t.times[0] == &times[0] && t.plans == len(c.plans) {
		return t.result
	}
	m := t.by.next(times, c.sites)
	out := make([]*Plan, len(c.plans))
	for i, p := range c.plans {
		out[i] = m.plan(p)
	}
	t.times, t.plans, t.result, t.by = times, len(c.plans), out, m
	return out
}

// measured is the times by the sites of a policy.
type measured struct {
	sites []Site
	from  []*vantage // those that stand somewhere
	near  map[cell]*around
	order []timedMember // working memory
}

type vantage struct {
	*health.Times
	at  geo.Coordinates
	rtt []float64 // by site; NaN: not measured
}

// far is a vantage point and its distance from a cell in km.
type far struct {
	*vantage
	km float64
}

// next is the same for other times, of which the distances are kept if the vantage points stand where they
// stood; m may be nil, and is not to be used after.
func (m *measured) next(times []health.Times, sites []Site) *measured {
	n := newMeasured(times, sites)
	if m == nil || !slices.EqualFunc(m.from, n.from, func(a, b *vantage) bool { return a.Vantage == b.Vantage && a.at == b.at }) {
		return n
	}
	for i, v := range m.from {
		*v = *n.from[i]
	}
	return m
}

func newMeasured(times []health.Times, sites []Site) *measured {
	m := &measured{sites: sites, near: map[cell]*around{}}
	for i := range times {
		t := &times[i]
		if t.Location == nil {
			continue
		}
		v := &vantage{Times: t, at: geo.Coordinates{Latitude: t.Location[0], Longitude: t.Location[1]}, rtt: make([]float64, len(sites))}
		for j := range sites {
			v.rtt[j] = math.NaN()
			if ms, ok := t.RTT[sites[j].Name]; ok {
				v.rtt[j] = ms
			}
		}
		m.from = append(m.from, v)
	}
	return m
}

// plan is p, or a copy with tiers in the order of the times.
func (m *measured) plan(p *Plan) *Plan {
	if !p.cell.known || len(m.from) == 0 {
		return p
	}
	out := p
	for i := range p.Tiers {
		if t, ok := m.tier(&p.Tiers[i], p.cell); ok {
			if out == p {
				out = &Plan{}
				*out = *p
				out.Tiers = slices.Clone(p.Tiers)
			}
			out.Tiers[i] = t
		}
	}
	rest := p.LastResort
	for i := range p.LastResort {
		if t, ok := m.tier(&p.LastResort[i], p.cell); ok {
			if &rest[0] == &p.LastResort[0] {
				rest = slices.Clone(rest)
			}
			rest[i] = t
		}
	}
	if len(rest) > 0 && &rest[0] != &p.LastResort[0] {
		if out == p {
			out = &Plan{}
			*out = *p
		}
		out.LastResort = rest
	}
	return out
}

// tier is a tier of Latency in the order of the times, if a vantage point stands for the
// clients of the cell.
//
//	member                                     │ order
//	───────────────────────────────────────────┼─────────────────────────────────────────────────────
//	measured, within 10 % or 2 ms of the least │ first, the nearest before the others
//	measured                                   │ then likewise, each such group after the one before
//	not measured lately                        │ last, by distance
func (m *measured) tier(t *Tier, at cell) (Tier, bool) {
	if t.Pick != Latency || len(t.Members) < 2 {
		return Tier{}, false
	}
	v := m.standsFor(t, at)
	if v == nil {
		return Tier{}, false
	}
	out := *t
	out.Spread, out.Times, out.VantageKm = false, v.Times, v.km
	m.order = m.order[:0]
	for i, x := range t.Members { // by distance
		if ms := v.rtt[x.Site]; !math.IsNaN(ms) {
			m.order = append(m.order, timedMember{ms, int32(i)})
		}
	}
	slices.SortFunc(m.order, func(a, b timedMember) int { return cmp.Or(cmp.Compare(a.ms, b.ms), cmp.Compare(a.index, b.index)) })
	for from := 0; from < len(m.order); {
		limit := m.order[from].ms
		limit += max(alikeShare*limit, alikeMs)
		to := from + 1
		for to < len(m.order) && m.order[to].ms <= limit {
			to++
		}
		slices.SortFunc(m.order[from:to], func(a, b timedMember) int { return cmp.Compare(a.index, b.index) })
		from = to
	}
	out.Members = make([]Member, 0, len(t.Members))
	for _, x := range m.order {
		out.Members = append(out.Members, t.Members[x.index])
	}
	for _, x := range t.Members {
		if math.IsNaN(v.rtt[x.Site]) {
			out.Members = append(out.Members, x)
		}
	}
	return out, true
}

// timedMember is a member that has been measured, by its index in the order of distance.
type timedMember struct {
	ms    float64
	index int32
}

// around is what is known of a cell: the vantage points from near to far, and how far each site is in km.
type around struct {
	vantages []far
	sites    []float64
}

func (m *measured) around(at cell) *around {
	if a, ok := m.near[at]; ok {
		return a
	}
	a, middle := &around{}, at.middle()
	for _, v := range m.from {
		a.vantages = append(a.vantages, far{v, geo.Distance(middle, v.at)})
	}
	slices.SortStableFunc(a.vantages, func(a, b far) int { return cmp.Compare(a.km, b.km) }) // then by name
	for i := range m.sites {
		km := math.Inf(1)
		if m.sites[i].HasLocation {
			km = geo.Distance(middle, m.sites[i].Location)
		}
		a.sites = append(a.sites, km)
	}
	m.near[at] = a
	return a
}

// standsFor is the nearest vantage point that has measured members of the tier and is near enough to the
// clients of the cell; nil: there is none.
func (m *measured) standsFor(t *Tier, at cell) *far {
	a := m.around(at)
	nearest := math.Inf(1)
	for _, x := range t.Members {
		nearest = min(nearest, a.sites[x.Site])
	}
	most := float64(reach)
	if !math.IsInf(nearest, 1) {
		most = max(most, nearest)
	}
	for i := range a.vantages {
		v := &a.vantages[i]
		if v.km > most {
			break
		}
		n := 0
		for _, x := range t.Members {
			if !math.IsNaN(v.rtt[x.Site]) {
				if n++; n == leastMeasured {
					return v
				}
			}
		}
	}
	return nil
}
