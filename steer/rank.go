package steer

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"gslb/geo"
)

// ranking is the working memory of one classification: the order of members in
// each tier, and the key that two clients share when all these orders are the same.
type ranking struct {
	audience int
	cell     cell // of the client, once a tier picks by Latency and has no times of the client's own
	measured *measurements
	own      own
	key      []byte
	tiers    []tierRank
}

// tierRank is the order of one tier's members; nil: as declared.
type tierRank struct {
	spread bool
	order  []ranked
	times  *measurement // the client's own, that order the members; nil: none
}

type ranked struct {
	member int32   // index in Target.Members
	reach  float64 // distance and bias in km; +Inf when unknown
}

func (s *ranking) reset(rule int) {
	s.key = binary.AppendUvarint(s.key[:0], uint64(rule))
	s.tiers, s.cell = s.tiers[:0], cell{}
}

// rank orders the members of the next tier for a client at p.
//
//	pick    │ members │ client's place │ members' places │ order
//	────────┼─────────┼────────────────┼─────────────────┼──────────────────────────────
//	Nearest │ 1       │ -              │ -               │ as declared
//	Nearest │ more    │ unknown        │ -               │ as declared, spread by hash
//	Nearest │ more    │ known          │ none known      │ as declared, spread by hash
//	Nearest │ more    │ known          │ some known      │ by distance and bias, the unknown last
//	Latency │ more    │ -              │ -               │ with times of the client's own: by these, else as Nearest
//	Latency │ more    │ known          │ -               │ without: as Nearest, told apart by the client's cell too
//	others  │ -       │ -              │ -               │ as declared
//
// Ties keep the declared order.
func (s *ranking) rank(t *Target, sites []Site, p *geo.Place, tr *Trace, lastResort bool) {
	r := s.next()
	if s.measured != nil && t.picks(Latency) {
		row := s.measured.orders(t, s.own)
		if s.key = binary.AppendUvarint(s.key, uint64(row)); row > 0 {
			r.times = &s.measured.rows[row]
		}
	}
	if t.picks(Latency) && p.HasLocation && r.times == nil {
		if !s.cell.known {
			s.cell = cellOf(p)
			s.key = binary.AppendVarint(binary.AppendVarint(s.key, int64(s.cell.lat)), int64(s.cell.long))
		}
	}
	if t.Pick.ordered() && len(t.Members) > 1 {
		r.spread = true
		if p.HasLocation {
			for i, m := range t.Members {
				km, _ := distance(&sites[m.Site], p)
				r.order = append(r.order, ranked{int32(i), km + sites[m.Site].Bias})
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
	r.spread, r.order, r.times = false, r.order[:0], nil
	return r
}

// distance is the great-circle distance in kilometres; +Inf and false when
// either place is unknown.
func distance(s *Site, p *geo.Place) (float64, bool) {
	if !s.HasLocation || !p.HasLocation {
		return math.Inf(1), false
	}
	return geo.Distance(p.Location, s.Location), true
}

// of is the target with its members in this order.
func (r *tierRank) of(t *Target) Tier {
	tier := Tier{Label: t.Label, Pick: t.Pick, Spread: r.spread, Members: t.Members, Min: t.Min}
	if len(r.order) > 0 {
		tier.Members = make([]Member, len(r.order))
		for i, m := range r.order {
			tier.Members[i] = t.Members[m.member]
		}
	}
	if r.times != nil {
		tier.Members, _ = byTimes(tier.Members, r.times.rtt, nil)
		tier.Times, tier.Spread = &r.times.times, false
	}
	return tier
}
