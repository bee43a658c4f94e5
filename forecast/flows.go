package forecast

import (
	"cmp"
	"maps"
	"slices"
)

// rows are the groups as they are told apart.
type rows struct {
	groups []Group
	of     []int32 // by group of the Users
}

func (u *Users) rows(by By) rows {
	r := rows{of: make([]int32, len(u.groups))}
	number := map[Group]int32{}
	for i, g := range u.groups {
		switch by {
		case ByCountry:
			g.Operator = ""
		case ByOperator:
			g.Country = ""
		}
		n, ok := number[g]
		if !ok {
			n = int32(len(r.groups))
			number[g] = n
			r.groups = append(r.groups, g)
		}
		r.of[i] = n
	}
	return r
}

// flows add up who is where, and who goes where.
type flows struct {
	told   rows
	total  float64
	flow   map[flow]float64
	at     []map[int32]float64 // by row: weight by site
	weight []float64           // by row
	moved  float64

	lost, won []portion // working memory
}

type flow struct{ row, from, to int32 }

func newFlows(told rows, total float64) *flows {
	return &flows{told: told, total: total, flow: map[flow]float64{}, at: make([]map[int32]float64, len(told.groups)), weight: make([]float64, len(told.groups))}
}

// stay adds users to where they are after.
func (f *flows) stay(row int32, to []portion, weight float64) {
	f.weight[row] += weight
	if f.at[row] == nil {
		f.at[row] = map[int32]float64{}
	}
	for _, p := range to {
		f.at[row][p.site] += weight * p.share
	}
}

// move adds users of one cohort before and one after. As many stay as can: a site keeps
// what it has on both sides, and what one loses the others win in proportion to what
// each wins in all. Rendezvous hashing moves just those, and no more.
func (f *flows) move(row int32, from, to []portion, weight float64) {
	f.lost, f.won = f.lost[:0], f.won[:0]
	f.lost = appendLess(f.lost, from, to)
	f.won = appendLess(f.won, to, from)
	won := 0.0
	for _, w := range f.won {
		won += w.share
	}
	const rounding = 1e-9 // the shares are quotients of 2^32
	if won <= rounding {
		return
	}
	for _, l := range f.lost {
		for _, w := range f.won {
			n := weight * l.share * w.share / won
			f.flow[flow{row, l.site, w.site}] += n
			f.moved += n
		}
	}
}

// appendLess appends by how much each portion of a is more than that of b.
func appendLess(out, a, b []portion) []portion {
	for _, p := range a {
		for _, q := range b {
			if q.site == p.site {
				p.share -= q.share
			}
		}
		if p.share > 0 {
			out = append(out, p)
		}
	}
	return out
}

// moves lists the largest.
func (f *flows) moves(sites []string, most int) (list []Move, rest Rest) {
	list = []Move{}
	all := slices.SortedFunc(maps.Keys(f.flow), func(a, b flow) int {
		return cmp.Or(cmp.Compare(f.flow[b], f.flow[a]), cmp.Compare(a.row, b.row), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	for _, k := range all {
		share := f.flow[k] / f.total
		if len(list) == most {
			rest.Count++
			rest.Share += share
			continue
		}
		list = append(list, Move{Group: f.told.groups[k.row], From: sites[k.from], To: sites[k.to], Share: share})
	}
	return list, rest
}

// rows lists the largest groups.
func (f *flows) rows(u *Users, most int) (list []Row, rest Rest) {
	list = []Row{}
	var all []int
	for i, w := range f.weight {
		if w > 0 {
			all = append(all, i)
		}
	}
	slices.SortStableFunc(all, func(a, b int) int { return cmp.Compare(f.weight[b], f.weight[a]) })
	for _, i := range all {
		share := f.weight[i] / f.total
		if len(list) == most {
			rest.Count++
			rest.Share += share
			continue
		}
		shares := make([]float64, len(u.sites))
		for site, w := range f.at[i] {
			shares[site] = w / f.weight[i]
		}
		list = append(list, Row{Group: f.told.groups[i], Share: share, Sites: u.list(shares)})
	}
	return list, rest
}
