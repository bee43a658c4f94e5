package steer

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// MaxAnswers is the largest Policy.Answers: with that many IPv6 addresses an answer
// is still well below the 1232 octets that every path takes.
const MaxAnswers = 16

// sets are the lists of sites that are given together, in the order of each answer. Number 0 is
// none: the choice is a single site.
type sets struct {
	lists   [][]int32
	numbers map[string]uint32 // by the list, as key has it
}

// number is that of a list; sites of which there is one have none.
func (s *sets) number(list []int32) uint32 {
	if len(list) < 2 {
		return 0
	}
	key := s.key(list)
	n, ok := s.numbers[key]
	if !ok {
		if s.numbers == nil {
			s.numbers, s.lists = make(map[string]uint32), [][]int32{nil}
		}
		n = uint32(len(s.lists))
		s.lists, s.numbers[key] = append(s.lists, slices.Clone(list)), n
	}
	return n
}

func (s *sets) key(list []int32) string {
	var room [4 * MaxAnswers]byte
	b := room[:0]
	for _, site := range list {
		b = binary.LittleEndian.AppendUint32(b, uint32(site))
	}
	return string(b)
}

// Sets lists the sites of each answer with more than one, by Choice.Set. The first
// list is empty, and none is there where the policy gives one site. It must not be changed.
func (l *Live) Sets() [][]int32 { return l.sets.lists }

// Sites lists the sites of a choice, the preferred one first.
func (l *Live) Sites(c Choice) []int32 {
	if c.Set == 0 {
		return []int32{c.Site}
	}
	return l.sets.lists[c.Set]
}

// severally turns a stage that gives one site into one that gives up to f.answers of the members
// left in f. Each answer's users are taken to be spread evenly over its sites.
//
//	pick                       │ the sites of an answer
//	───────────────────────────┼──────────────────────────────────────────────────────────────────
//	Nearest, Latency           │ the first in order; a site that sheds the share s is left out of s
//	                           │ of the answers, for the next in order
//	Weighted, Load             │ drawn so that each site is in as many as its share of the users
//	                           │ demands; in all of them where that is 1/answers or more
//	RoundRobin                 │ those that follow one another, beginning with each in turn
//	Hash, Nearest spread       │ the one that is picked, and those that follow it on a ring which
//	                           │ their names alone order, without what they shed
func (f *filter) severally(t *Tier, st stage, taken float64) stage {
	if f.answers < 2 || len(f.members) < 2 || st.kind == nobody {
		return st
	}
	switch {
	case st.kind == hashed || st.kind == hashedByWeight || st.kind == hashedShedding:
		return f.onRing(st)
	case t.Pick.ordered() && !st.over:
		return f.inOrder()
	case st.kind == inTurn:
		return f.windows(st)
	}
	return f.systematic(st, taken)
}

// inOrder makes the answers of Nearest: one number between 0 and 1 decides for each
// client network and period which sites that shed are left out, each if it is below what the site sheds.
func (f *filter) inOrder() stage {
	least := slices.Min(f.sheds)
	st := f.open(drawn)
	f.byShed(-1, func(m int) float64 { return (f.sheds[m] - least) / (1 - least) })
	if st = f.close(st); st.n == 1 {
		e := f.entries[st.from]
		return stage{kind: fixed, site: e.site, set: e.set}
	}
	return st
}

// onRing gives each node of a stage that hashes the sites that go with it.
func (f *filter) onRing(st stage) stage {
	for i := range f.members {
		n := &f.nodes[st.from+uint32(i)]
		begin := len(f.entries)
		f.byShed(i, func(m int) float64 { return f.sheds[m] })
		part := f.close(stage{from: uint32(begin)})
		n.from, n.n = part.from, part.n
	}
	st.ring = true
	return st
}

// byShed adds an entry for each span of the draws in which the same sites are left
// out, for what they shed. With a first member, those after it follow in the order of the ring; -1: all in
// the order of f.members.
func (f *filter) byShed(first int, shed func(member int) float64) {
	order := f.order[:0]
	for i := range f.members {
		if i != first {
			order = append(order, i)
		}
	}
	if first >= 0 {
		from := f.keys[f.members[first].Site]
		slices.SortFunc(order, func(a, b int) int { // the way to each, upwards and round the end
			return cmp.Compare(f.keys[f.members[a].Site]-from, f.keys[f.members[b].Site]-from)
		})
	}
	f.order = order
	steps := []float64{0, 1}
	for _, m := range order {
		if s := shed(m); s > 0 && s < 1 {
			steps = append(steps, s)
		}
	}
	slices.Sort(steps)
	steps = slices.Compact(steps)
	var room [MaxAnswers]int32
	for i, from := range steps[:len(steps)-1] {
		list, passed := room[:0], false
		if first >= 0 {
			list = append(list, int32(f.members[first].Site))
		}
		for _, m := range order {
			if len(list) == f.answers {
				break
			}
			if shed(m) > from {
				passed = true
				continue
			}
			list = append(list, int32(f.members[m].Site))
		}
		f.several(list, steps[i+1], passed)
	}
}

// several adds an entry of a list of sites.
func (f *filter) several(list []int32, end float64, shed bool) {
	f.entry(int(list[0]), end, shed)
	f.entries[len(f.entries)-1].set = f.sets.number(list)
}

// windows makes the answers of RoundRobin of its entries, one for each member.
func (f *filter) windows(st stage) stage {
	all := f.entries[st.from : st.from+st.n]
	var room [MaxAnswers]int32
	for i := range all {
		list := room[:0]
		for k := range min(f.answers, len(all)) {
			list = append(list, all[(i+k)%len(all)].site)
		}
		all[i].set = f.sets.number(list)
	}
	return st
}

// systematic draws answers of several sites from the shares in which the entries of a stage
// give them one by one: systematic sampling (Madow 1949). Each site has a span as long as the
// share of the answers that it is in, all in a row; an answer holds the sites at whose spans a comb of
// teeth 1 apart comes to lie, wherever it is put. So no more answers are to be told apart than there are
// members, times the places where an answer may begin, which is in each of its sites as often.
func (f *filter) systematic(st stage, taken float64) stage {
	kind := drawn
	if st.kind == turned {
		kind = turned
	}
	in := f.inclusion(st, taken)
	out := stage{kind: kind, over: st.over, from: uint32(len(f.entries))}
	ends := make([]float64, len(in))
	total := 0.0
	cuts := []float64{0, 1}
	for i, p := range in {
		total += p
		if whole := math.Round(total); math.Abs(total-whole) < 1e-9 {
			total = whole
		}
		ends[i] = total
		cuts = append(cuts, total-math.Floor(total))
	}
	slices.Sort(cuts)
	from, end := 0.0, 0.0
	var room [2 * MaxAnswers]int32
	for _, to := range cuts[1:] {
		if to-from < 1e-9 && to < 1 {
			continue
		}
		list, m := room[:0], 0
		for at := (from + to) / 2; at < total && len(list) < f.answers; at++ {
			for ends[m] <= at {
				m++
			}
			if site := int32(f.members[m].Site); len(list) == 0 || list[len(list)-1] != site {
				list = append(list, site)
			}
		}
		n, sheds := len(list), f.leavesOut(list)
		list = append(list, list...)
		for i := range n {
			end += (to - from) / float64(n)
			f.several(list[i:i+n], end, sheds)
		}
		from = to
	}
	return f.close(out)
}

// leavesOut tells whether a list lacks members that shed, though it has room for all.
func (f *filter) leavesOut(list []int32) bool {
	if len(f.members) > f.answers {
		return false
	}
	for i, m := range f.members {
		if f.sheds[i] > 0 && !slices.Contains(list, int32(m.Site)) {
			return true
		}
	}
	return false
}

// inclusion is the share of the answers that each member is in: in proportion to its share
// of the users, but in no more than all, and where it sheds in what that leaves. What is over goes to
// the others as long as they can take it; then answers have fewer sites.
func (f *filter) inclusion(st stage, taken float64) []float64 {
	share, in, full := make([]float64, len(f.members)), make([]float64, len(f.members)), make([]bool, len(f.members))
	f.portions(&st, func(site int32, portion float64) {
		share[slices.IndexFunc(f.members, func(m Member) bool { return int32(m.Site) == site })] += portion
	})
	for again := true; again; {
		again = false
		left, sum, total := float64(f.answers), 0.0, 0.0
		for i := range in {
			if full[i] {
				left -= in[i]
			} else {
				sum += share[i]
			}
		}
		for i := range in {
			if full[i] || sum == 0 {
				continue
			}
			in[i] = share[i] / sum * max(left, 0)
			if limit := min(1, (1-f.sheds[i])/taken); in[i] >= limit {
				in[i], full[i], again = limit, true, true
			}
		}
		for _, p := range in {
			total += p
		}
		if !again && total < 1 { // an answer has one site at least
			for i := range in {
				in[i] /= total
			}
		}
	}
	return in
}
