package steer

// stage makes the split of the members left in f, and the share of users that
// goes on to the next tier. With sheds, a site's Shed s is its wish that the
// share s of the users who come to it go elsewhere:
//
//	pick                       │ who gets how much, with shed s and base share b
//	───────────────────────────┼──────────────────────────────────────────────────────────────────
//	Nearest                    │ in order: each takes 1-s of those who come, the rest go on
//	Weighted, Load, RoundRobin │ each keeps b·(1-s); what was shed is shared out as b·(1-s)
//	Hash, Nearest spread       │ likewise, by rendezvous hashing: only users of a site that sheds
//	                           │ move, and as long as the states stay always the same ones
//	each                       │ the share that goes on to the next tier is the product of all s
//
// So nothing leaves a tier that has a member with room (s = 0), all leave one
// whose members are all full (s = 1), and in between it grows without a jump,
// which would have the users swing to and fro.
func (f *filter) stage(t *Tier, sheds bool) (st stage, spill float64) {
	f.sheds, spill = f.sheds[:0], 1
	for _, m := range f.members {
		s := 0.0
		if sheds {
			s = f.sites[m.Site].shed
		}
		f.sheds = append(f.sheds, s)
		spill *= s
	}
	switch {
	case spill == 1:
		return stage{kind: nobody}, spill
	case len(f.members) == 1:
		st = stage{kind: fixed, site: int32(f.members[0].Site)}
	case t.Pick == Hash || t.Spread:
		st = f.hashed()
	case t.Pick == Nearest:
		st = f.waterfall(1 - spill)
	default:
		st = f.shared(t.Pick, 1-spill)
	}
	st.pick, st.spread = t.Pick, t.Spread
	return st, spill
}

// waterfall is Nearest: what a member does not take falls to the next. taken is
// the share of the users that the tier takes at all.
func (f *filter) waterfall(taken float64) stage {
	if f.sheds[0] == 0 {
		return stage{kind: fixed, site: int32(f.members[0].Site)}
	}
	st := f.open(drawn)
	comes, upto := 1.0, 0.0
	for i, m := range f.members {
		upto += comes * (1 - f.sheds[i])
		f.entry(m.Site, upto/taken, i > 0)
		comes *= f.sheds[i]
	}
	return f.close(st)
}

// shared is Weighted, Load and RoundRobin: first the users that each member
// keeps, then those that were shed, so that a choice knows which it is of.
func (f *filter) shared(p Pick, taken float64) stage {
	kept, shedding := f.keep(p)
	kind := drawn
	switch {
	case p == RoundRobin && shedding:
		kind = turned
	case p == RoundRobin:
		kind = inTurn
	}
	st := f.open(kind)
	upto, total := 0.0, 0.0
	for i, m := range f.members {
		total += kept[i]
		upto += kept[i]
		f.entry(m.Site, upto/taken, false)
	}
	if shedding {
		for i, m := range f.members {
			upto += (taken - total) * kept[i] / total
			f.entry(m.Site, upto/taken, true)
		}
	}
	return f.close(st)
}

// keep is the share of all users that come to each member and stay there.
//
//	the pick's own shares             │ b
//	──────────────────────────────────┼──────────────────────
//	some user stays somewhere         │ by them
//	else, by weight some stays        │ by weight
//	else (weights of 0, all shedding) │ even
//
// The second and third rows are for Load when all members with spare capacity
// are full by their own word, and for the members of weight 0.
func (f *filter) keep(p Pick) (kept []float64, shedding bool) {
	for _, s := range f.sheds {
		shedding = shedding || s > 0
	}
	for _, by := range [...]func(m Member) float64{
		func(m Member) float64 { return f.weight(m, p) },
		func(m Member) float64 { return m.Weight },
	} {
		if f.shares(by) {
			return f.kept, shedding
		}
	}
	f.shares(func(Member) float64 { return 1 })
	return f.kept, shedding
}

// weight is the member's weight for a pick that draws.
func (f *filter) weight(m Member, p Pick) float64 {
	switch p {
	case RoundRobin:
		return 1
	case Load:
		return m.Weight * f.sites[m.Site].spare
	}
	return m.Weight
}

// shares fills f.kept from the weights, and tells whether any user stays.
func (f *filter) shares(by func(Member) float64) bool {
	f.kept = f.kept[:0]
	largest := 0.0
	for _, m := range f.members {
		w := by(m)
		f.kept = append(f.kept, w)
		largest = max(largest, w)
	}
	if largest == 0 {
		return false
	}
	total, stay := 0.0, 0.0
	for i := range f.kept {
		f.kept[i] /= largest // so that the sum cannot overflow
		total += f.kept[i]
	}
	for i := range f.kept {
		f.kept[i] *= (1 - f.sheds[i]) / total
		stay += f.kept[i]
	}
	return stay > 0
}

// hashed is Hash. The weights are absolute, not shares, so that a member that
// comes or goes leaves the others' scores exactly as they were.
func (f *filter) hashed() stage {
	even, weightless := true, true
	for i, m := range f.members {
		even = even && m.Weight == f.members[0].Weight && f.sheds[i] == 0
		weightless = weightless && m.Weight == 0
	}
	kind := hashedByWeight
	if even {
		kind = hashed
	}
	st := stage{kind: kind, from: uint32(len(f.nodes)), n: uint32(len(f.members))}
	for i, m := range f.members {
		w := m.Weight
		if weightless {
			w = 1
		}
		f.nodes = append(f.nodes, node{key: f.keys[m.Site], site: int32(m.Site), full: 1 / w, left: 1 / (w * (1 - f.sheds[i]))})
	}
	return st
}
