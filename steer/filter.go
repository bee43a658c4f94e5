package steer

import (
	"math"
	"slices"
)

// filter turns plans into splits, given the standing of the sites.
type filter struct {
	views    [][]standing // see Compiled.views
	sites    []standing   // the one that counts: see view
	audience int          // whose that is; 0: everybody's
	keys     []uint64
	answers  int // Policy.Answers
	split
	made map[madeKey]made // nil: nothing is shared

	// Working memory, of the tier that is being made a stage:
	members []Member  // entitled ones
	asked   []int     // sites of the tiers before it, of which users come: they do not get them back
	sheds   []float64 // their Shed, or 0 where it does not count
	kept    []float64 // share of all users that comes to them and stays; see settle
	gone    []float64 // share that comes to them and goes on
	moved   []float64 // share that comes to them from others
	order   []int     // of members; see byShed
}

// class is a condition on a member's site.
type class uint8

const (
	inService  class = iota // available, not draining and not held
	upAndHeld               // available and not draining; may be held after it was down, or for its content
	notOrdered              // whatever its health, no operator ordered users away from it
	available               // not down; may be draining
	anySite
)

// level is one attempt to find members that may be given.
type level struct {
	class      class
	zero       bool // the members of weight zero; the level before has found none of any other
	min        bool // a tier counts only with as many as its Min
	lastResort bool // in Plan.LastResort; else in Plan.Tiers
	failOpen   bool
	sheds      bool // Away counts
}

// levels are tried in order. In each the tiers are tried in order, and the
// first that has a member in the class answers, with all its members in the class.
//
//	   │ where       │ class                │ weight │ in words
//	───┼─────────────┼──────────────────────┼────────┼────────────────────────────────────────────────
//	 0 │ tiers       │ in service           │ > 0    │ the first tier with as many members in service as it needs
//	 1 │ tiers       │ in service           │ > 0    │ none has: the first with a member in service
//	 2 │ tiers       │ in service           │ 0      │ nothing else is left but those of weight zero
//	 3 │ tiers       │ up and held          │ > 0    │ or but those that must wait: they were down, or lack the released content
//	 4 │ tiers       │ up and held          │ 0      │
//	 5 │ last resort │ in service           │ > 0    │ no tier has one: the last resort
//	 6 │ last resort │ in service           │ 0      │
//	 7 │ tiers       │ not ordered away     │ > 0    │ fail open: as though all were up, but an
//	 8 │ tiers       │ not ordered away     │ 0      │   operator's drain or force down still counts
//	 9 │ tiers       │ available            │ > 0    │ all are under such orders: those that
//	10 │ tiers       │ available            │ 0      │   drain are at least up
//	11 │ tiers       │ any                  │ > 0    │ all are forced down: as though none were
//	12 │ tiers       │ any                  │ 0      │
//
// Levels 11 and 12 cannot both come to nothing, since a tier has a member.
//
// What sites shed, and what is withheld from them, counts at levels 0 to 2 alone:
// a last resort and a fail-open answer have nowhere to shed to.
var levels = [...]level{
	{class: inService, sheds: true, min: true},
	{class: inService, sheds: true},
	{class: inService, sheds: true, zero: true},
	{class: upAndHeld},
	{class: upAndHeld, zero: true},
	{class: inService, lastResort: true},
	{class: inService, lastResort: true, zero: true},
	{class: notOrdered, failOpen: true},
	{class: notOrdered, failOpen: true, zero: true},
	{class: available, failOpen: true},
	{class: available, failOpen: true, zero: true},
	{class: anySite, failOpen: true},
	{class: anySite, failOpen: true, zero: true},
}

// verdict is why a member may or may not be given at a level.
type verdict uint8

const (
	notAsked verdict = iota
	entitled
	isDown
	isDraining
	isOrdered
	isHeld
	isBehind // it does not serve the released content generation
	isZero
	isFew   // in service, with fewer of its tier than that needs
	isAsked // of an earlier tier too, whose users come
)

// judge decides whether a member may be given at a level.
func (l *level) judge(m Member, s *standing) verdict {
	switch {
	case l.class <= upAndHeld && s.draining:
		return isDraining
	case l.class <= upAndHeld && !s.available:
		return isDown
	case l.class == inService && s.behind:
		return isBehind
	case l.class == inService && s.held:
		return isHeld
	case l.class == notOrdered && s.ordered:
		return isOrdered
	case l.class == available && !s.available:
		return isDown
	case !l.zero && m.Weight == 0:
		return isZero
	}
	return entitled
}

// tiers are those that the level looks at.
func (l *level) tiers(p *Plan) []Tier {
	if l.lastResort {
		return p.LastResort
	}
	return p.Tiers
}

// plan puts the split of p at stages[at]. What is down for the plan's audience alone
// is so unless nothing else is left: before it fails open, what everybody sees counts, so
// that evidence of some vantage points never has users sent to what is down for all.
func (f *filter) plan(p *Plan, at uint32, tr *Trace) {
	own := f.view(p.Audience)
	for i := 0; i < len(levels); i++ {
		if own && levels[i].failOpen {
			own, i = f.view(0), 0
			if tr != nil {
				tr.alone = true
			}
		}
		if f.level(p, &levels[i], at, tr) {
			if tr != nil {
				tr.level = &levels[i]
			}
			return
		}
	}
}

// level puts the split of p at stages[at], if the level has a tier that
// answers. While that tier, and each after it, sheds users that its own members
// do not take, they spill into the next. What none takes is shared out among all
// of these by capacity: when everything is full no site is above another.
func (f *filter) level(p *Plan, l *level, at uint32, tr *Trace) bool {
	tiers := l.tiers(p)
	first := -1
	f.asked = f.asked[:0]
	stages := chain{first: at, at: at}
	for i := range tiers {
		st, spill, ok := f.tier(&tiers[i], i, l, tr)
		if !ok {
			continue
		}
		if first < 0 {
			first = i
		}
		st.mark(i, l, stages.spilled)
		stages.add(f, st, spill)
		if spill == 0 {
			return true
		}
		f.ask(&tiers[i], l)
	}
	if first < 0 {
		return false
	}
	f.overflow(tiers, first, l, &stages)
	return true
}

// ask notes the members of a tier that lets users go.
func (f *filter) ask(t *Tier, l *level) {
	for _, m := range t.Members {
		if l.judge(m, &f.sites[m.Site]) == entitled {
			f.asked = append(f.asked, m.Site)
		}
	}
}

// overflow shares out among the tiers, and within each, by capacity.
func (f *filter) overflow(tiers []Tier, first int, l *level, stages *chain) {
	var capacity [math.MaxInt8]float64
	left, last := 0.0, first
	f.asked = f.asked[:0]
	for i := first; i < len(tiers); i++ {
		if !f.entitle(&tiers[i], i, l, nil) {
			continue
		}
		for _, m := range f.members {
			capacity[i] += f.sites[m.Site].capacity
		}
		f.ask(&tiers[i], l)
		left, last = left+capacity[i], i
	}
	f.asked = f.asked[:0]
	for i := first; i <= last; i++ {
		if capacity[i] == 0 {
			continue
		}
		f.entitle(&tiers[i], i, l, nil)
		st := f.byCapacity(&tiers[i])
		st.over = true
		f.sheds = append(f.sheds[:0], make([]float64, len(f.members))...)
		st = f.severally(&tiers[i], st, 1)
		st.mark(i, l, i > first)
		left -= capacity[i]
		spill := 0.0
		if i < last {
			spill = left / (left + capacity[i])
		}
		stages.add(f, st, spill)
		f.ask(&tiers[i], l)
	}
}

// made is a stage, or its absence, that many plans share, as their tiers are one in all.
type made struct {
	stage
	spill float64
	ok    bool
}

// madeKey names one. Each tier of the policy has Members of its own.
type madeKey struct {
	members  *Member
	audience int
	spread   bool
	level    *level
}

// tier makes a stage of the members that may be given at the level; ok tells
// whether there is one. The tiers whose order does not depend on the client are
// the same slice in all plans, and made once.
func (f *filter) tier(t *Tier, at int, l *level, tr *Trace) (st stage, spill float64, ok bool) {
	shared := f.made != nil && tr == nil && (!t.Pick.ordered() || t.Spread) && len(f.asked) == 0
	key := madeKey{&t.Members[0], f.audience, t.Spread, l}
	if shared {
		if m, ok := f.made[key]; ok {
			return m.stage, m.spill, m.ok
		}
	}
	if f.entitle(t, at, l, tr) {
		st, spill = f.stage(t, l.sheds)
		st = f.severally(t, st, 1-spill)
		ok = true
	}
	if shared {
		f.made[key] = made{st, spill, ok}
	}
	return st, spill, ok
}

// entitle leaves in f.members those of the tier that may be given at the
// level, and tells whether there is one.
func (f *filter) entitle(t *Tier, tier int, l *level, tr *Trace) bool {
	f.members = f.members[:0]
	able := 0
	for i, m := range t.Members {
		v := l.judge(m, &f.sites[m.Site])
		if v == entitled {
			able++
			if slices.Contains(f.asked, m.Site) {
				v = isAsked
			} else {
				f.members = append(f.members, m)
			}
		}
		if tr != nil {
			tr.judged(tier, i, l, v)
		}
	}
	if l.min && able < t.Min {
		if tr != nil {
			tr.few(tier)
		}
		return false
	}
	return len(f.members) > 0
}

// chain links the stages of one plan: the first at the plan's own place, the
// others behind all plans.
type chain struct {
	first   uint32 // the plan's own place
	at      uint32 // where the next stage goes, or after which it is linked
	linked  bool   // at is taken
	spilled bool   // an earlier stage let users go
}

func (c *chain) add(f *filter, st stage, spill float64) {
	c.spilled = c.spilled || spill > 0
	if st.kind == nobody {
		return // all of them go on
	}
	st.spill = uint32(min(spill*(1<<32), math.MaxUint32))
	if !c.linked {
		f.stages[c.at] = st
		c.linked = true
	} else {
		f.stages[c.at].next = uint32(len(f.stages))
		c.at = uint32(len(f.stages))
		f.stages = append(f.stages, st)
	}
	switch st.kind {
	case hashed, hashedByWeight, hashedShedding:
		f.stages[c.first].sticky = true
	}
}
