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
	result []*Plan
	looked []int32 // at how many vantage points, from the nearest on, each plan's order depends
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
	if len(t.times) == len(times) && &t.times[0] == &times[0] && len(t.result) == len(c.plans) {
		return t.result
	}
	m, same := t.by.next(times, c.sites)
	out, looked := make([]*Plan, len(c.plans)), make([]int32, len(c.plans))
	for i, p := range c.plans {
		if same && i < len(t.result) && !m.touches(p, t.looked[i]) {
			out[i], looked[i] = m.renewed(t.result[i], p, t.looked[i]), t.looked[i]
			continue
		}
		m.looked = 0
		out[i] = m.plan(p)
		looked[i] = m.looked
	}
	t.times, t.result, t.looked, t.by = times, out, looked, m
	return out
}

// measured is the times by the sites of a policy.
type measured struct {
	sites []Site
	from  []*vantage // those that stand somewhere
	near  map[cell]*around
	order []timedMember // working memory
	// looked is at how many vantage points standsFor has looked at most since it was set to 0.
	looked int32
}

type vantage struct {
	*health.Times // a copy of its own: plans keep it
	at            geo.Coordinates
	rtt           []float64 // by site; NaN: not measured
	fresh         bool      // it says something else than before
	moved         []bool    // by site: its time is another than before; nil: none is
}

// far is a vantage point and its distance from a cell in km.
type far struct {
	*vantage
	km float64
}

// next is the same for other times. same: the vantage points stand where they stood, so that
// what their times do not touch is as before. m may be nil, and is not to be used after.
func (m *measured) next(times []health.Times, sites []Site) (n *measured, same bool) {
	n = newMeasured(times, sites)
	if m == nil || !slices.EqualFunc(m.from, n.from, func(a, b *vantage) bool { return a.Vantage == b.Vantage && a.at == b.at }) {
		return n, false
	}
	for i, v := range m.from {
		v.become(n.from[i])
	}
	return m, true
}

// become takes over what its vantage point says now.
func (v *vantage) become(next *vantage) {
	v.moved = nil
	for j, ms := range next.rtt {
		if ms != v.rtt[j] && !(math.IsNaN(ms) && math.IsNaN(v.rtt[j])) {
			if v.moved == nil {
				v.moved = make([]bool, len(next.rtt))
			}
			v.moved[j] = true
		}
	}
	if v.fresh = v.moved != nil || !v.At.Equal(next.At); v.fresh {
		v.Times, v.rtt = next.Times, next.rtt
	}
}

// touches tells whether the order of a plan, which depends on so many vantage points, may be another than before.
func (m *measured) touches(p *Plan, looked int32) bool {
	if looked == 0 {
		return false
	}
	for _, v := range m.around(p.cell).vantages[:looked] {
		if v.moved == nil {
			continue
		}
		for _, tiers := range [2][]Tier{p.Tiers, p.LastResort} {
			for i := range tiers {
				if tiers[i].Pick == Latency && slices.ContainsFunc(tiers[i].Members, func(x Member) bool { return v.moved[x.Site] }) {
					return true
				}
			}
		}
	}
	return false
}

// renewed is what came of p before, with the times as their vantage points say them now.
func (m *measured) renewed(before, p *Plan, looked int32) *Plan {
	if before == p || looked == 0 {
		return p
	}
	out := before
	for _, v := range m.around(p.cell).vantages[:looked] {
		if !v.fresh {
			continue
		}
		if out == before {
			out = &Plan{}
			*out = *before
			out.Tiers, out.LastResort = slices.Clone(before.Tiers), slices.Clone(before.LastResort)
		}
		for _, tiers := range [2][]Tier{out.Tiers, out.LastResort} {
			for i := range tiers {
				if t := tiers[i].Times; t != nil && t.Vantage == v.Vantage {
					tiers[i].Times = v.Times
				}
			}
		}
	}
	return out
}

func newMeasured(times []health.Times, sites []Site) *measured {
	m := &measured{sites: sites, near: map[cell]*around{}}
	for i := range times {
		if times[i].Location == nil {
			continue
		}
		t := new(health.Times)
		*t = times[i]
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
	if t.Pick != Latency || len(t.Members) < 2 || t.Times != nil {
		return Tier{}, false
	}
	v := m.standsFor(t, at)
	if v == nil {
		return Tier{}, false
	}
	out := *t
	out.Spread, out.Times, out.VantageKm = false, v.Times, v.km
	out.Members, m.order = byTimes(t.Members, v.rtt, m.order)
	return out, true
}

// byTimes gives members, which come in the order of distance, in that of the times to
// their sites (see tier). order is working memory, which comes back.
func byTimes(members []Member, rtt []float64, order []timedMember) ([]Member, []timedMember) {
	order = order[:0]
	for i, x := range members {
		if ms := rtt[x.Site]; !math.IsNaN(ms) {
			order = append(order, timedMember{ms, int32(i)})
		}
	}
	slices.SortFunc(order, func(a, b timedMember) int { return cmp.Or(cmp.Compare(a.ms, b.ms), cmp.Compare(a.index, b.index)) })
	for from := 0; from < len(order); {
		limit := asQuickAs(order[from].ms)
		to := from + 1
		for to < len(order) && order[to].ms <= limit {
			to++
		}
		slices.SortFunc(order[from:to], func(a, b timedMember) int { return cmp.Compare(a.index, b.index) })
		from = to
	}
	out := make([]Member, 0, len(members))
	for _, x := range order {
		out = append(out, members[x.index])
	}
	for _, x := range members {
		if math.IsNaN(rtt[x.Site]) {
			out = append(out, x)
		}
	}
	return out, order
}

// asQuickAs is the longest time that counts as much as ms, the least of its group.
func asQuickAs(ms float64) float64 { return ms + max(alikeShare*ms, alikeMs) }

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
		m.looked = max(m.looked, int32(i)+1)
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
