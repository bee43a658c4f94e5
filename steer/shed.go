package steer

// stage makes the split of the members left in f, and the share of users that
// goes on to the next tier. With sheds, a site's Shed s is its wish that the
// share s of the users who come to it go elsewhere:
//
//	pick                       │ who gets how much, with shed s and base share b
//	───────────────────────────┼──────────────────────────────────────────────────────────────────
//	Nearest, Latency           │ in order: each takes 1-s of those who come, the rest go on
//	Weighted, Load, RoundRobin │ each keeps b·(1-s), the others share what it sheds as they keep
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
	case t.Pick.ordered():
		st = f.waterfall(1 - spill)
	default:
		st = f.shared(t.Pick, 1-spill)
	}
	return st, spill
}

// byCapacity shares users that nobody takes out among the members left in f, so that
// each is over its capacity by the same part: by hash where the tier picks by hash.
func (f *filter) byCapacity(t *Tier) stage {
	total := 0.0
	for _, m := range f.members {
		total += f.sites[m.Site].capacity
	}
	if t.Pick == Hash || t.Spread {
		st := stage{kind: hashedByWeight, from: uint32(len(f.nodes)), n: uint32(len(f.members))}
		for _, m := range f.members {
			w := f.sites[m.Site].capacity / total
			f.nodes = append(f.nodes, node{key: f.keys[m.Site], site: int32(m.Site), before: 1 / w, after: 1 / w})
		}
		return st
	}
	st, end := f.open(drawn), 0.0
	for i, m := range f.members {
		end += f.sites[m.Site].capacity / total
		f.entry(m.Site, end, t.Pick.ordered() && i > 0)
	}
	return f.close(st)
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
// keeps, then those that come from others, so that a choice knows which it is of.
func (f *filter) shared(p Pick, taken float64) stage {
	shedding := f.settle(p)
	kind := drawn
	switch {
	case p == RoundRobin && shedding:
		kind = turned
	case p == RoundRobin:
		kind = inTurn
	}
	st := f.open(kind)
	end := 0.0
	for i, m := range f.members {
		end += f.kept[i]
		f.entry(m.Site, end/taken, false)
	}
	for i, m := range f.members {
		end += f.moved[i]
		f.entry(m.Site, end/taken, true)
	}
	return f.close(st)
}

// hashed is Hash. While no member sheds the weights are the members' own, not
// shares, so that one that comes or goes leaves the scores of the others exactly as
// they were.
func (f *filter) hashed() stage {
	shedding := f.settle(Hash)
	even := !shedding
	for _, m := range f.members {
		even = even && m.Weight == f.members[0].Weight
	}
	kind := hashedByWeight
	switch {
	case even:
		kind = hashed
	case shedding:
		kind = hashedShedding
	}
	st := stage{kind: kind, from: uint32(len(f.nodes)), n: uint32(len(f.members))}
	for i, m := range f.members {
		w := m.Weight
		if w == 0 {
			w = 1 // members of weight 0 are only among their like here
		}
		n := node{key: f.keys[m.Site], site: int32(m.Site), before: 1 / w, after: 1 / w}
		if shedding {
			n.after = 1 / (f.kept[i] + f.moved[i])
		}
		f.nodes = append(f.nodes, n)
	}
	return st
}

// settle fills f.kept with the share of all users whom the pick sends to a
// member and who stay there, and f.moved with the share that comes to it from
// members that shed. It tells whether any does.
//
// A user whom i sheds asks the others. With the chance that all of these shed
// him too he leaves the tier; else he goes to one of them, in proportion to what
// they keep. So nobody who sheds gets its own users back, and over all members the
// chance to leave adds up to the product of all sheds.
func (f *filter) settle(p Pick) (shedding bool) {
	f.base(p)
	f.moved = f.moved[:0]
	for i := range f.kept {
		f.moved = append(f.moved, 0)
		shedding = shedding || f.sheds[i] > 0
	}
	if !shedding {
		return false
	}
	f.gone = f.gone[:0]
	for i, s := range f.sheds {
		f.gone = append(f.gone, f.kept[i]*s)
		f.kept[i] *= 1 - s
	}
	for i, share := range f.gone {
		if share > 0 {
			f.move(i, share)
		}
	}
	return true
}

// move shares out what member i sheds among the others.
func (f *filter) move(i int, share float64) {
	room, kept, leaves := 0.0, 0.0, 1.0
	for j, s := range f.sheds {
		if j != i {
			room += 1 - s
			kept += f.kept[j]
			leaves *= s
		}
	}
	share *= 1 - leaves
	for j, s := range f.sheds {
		switch {
		case j == i || share == 0:
		case kept > 0:
			f.moved[j] += share * f.kept[j] / kept
		default: // only members that the pick gives nothing have room
			f.moved[j] += share * (1 - s) / room
		}
	}
}

// base fills f.kept with the share of users whom the pick sends to each member.
//
//	members have             │ shares
//	─────────────────────────┼───────────
//	a share by the pick      │ by it
//	none, but a weight       │ by weight
//	neither                  │ even
//
// The second row is for Load when all members are at capacity, the third for
// members of weight 0.
func (f *filter) base(p Pick) {
	if f.shares(func(m Member) float64 { return f.weight(m, p) }) {
		return
	}
	if f.shares(func(m Member) float64 { return m.Weight }) {
		return
	}
	f.shares(func(Member) float64 { return 1 })
}

// weight is the member's weight for the pick.
func (f *filter) weight(m Member, p Pick) float64 {
	switch p {
	case RoundRobin:
		return 1
	case Load:
		return m.Weight * f.sites[m.Site].spare
	}
	return m.Weight
}

// shares fills f.kept in proportion to the weights; it is false when all are 0.
func (f *filter) shares(weight func(Member) float64) bool {
	f.kept = f.kept[:0]
	largest, total := 0.0, 0.0
	for _, m := range f.members {
		w := weight(m)
		f.kept = append(f.kept, w)
		largest = max(largest, w)
	}
	if largest == 0 {
		return false
	}
	for i := range f.kept {
		f.kept[i] /= largest // the sum of what is left cannot overflow
		total += f.kept[i]
	}
	for i := range f.kept {
		f.kept[i] /= total
	}
	return true
}
