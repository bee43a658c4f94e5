package steer

import "math"

// split is the compact form of live plans: for each cohort a stage, at the
// index of the cohort, and the stages that users spill into behind them.
type split struct {
	stages  []stage
	entries []entry
	nodes   []node
	sets    sets
}

// kind is how a stage picks.
type kind uint8

const (
	nobody         kind = iota // never stored: every user goes on
	fixed                      // one site
	drawn                      // entries, by a draw for client network and period
	inTurn                     // entries, one after the other
	turned                     // entries, by a sequence that spreads the turns in proportion
	hashed                     // nodes, the highest hash
	hashedByWeight             // nodes, the least cost by weight
	hashedShedding             // likewise; tells who was moved by shedding
)

// stage is one tier's part of a live plan.
type stage struct {
	kind     kind
	tier     int8
	failOpen bool
	last     bool // the last resort
	shed     bool // who gets here was shed by an earlier stage
	over     bool // of the users that no tier takes
	sticky   bool // of a plan's first stage: it, or one that users spill into, hashes
	ring     bool // its nodes have entries of sites that go together
	site     int32
	set      uint32 // as in Choice
	from, n  uint32 // entries or nodes
	spill    uint32 // share of users that goes on to next, of 2^32
	next     uint32
}

// entry is a site and its part of the range of draws: from the end of the entry
// before it up to its own, exclusive. The last takes all that is left.
type entry struct {
	end  uint32
	site int32
	set  uint32 // as in Choice
	shed bool   // its users were shed by another
}

// node is a member in rendezvous hashing.
type node struct {
	key           uint64
	before, after float64 // 1/weight without and with shedding; +Inf: gets nobody
	site          int32
	from, n       uint32 // entries, where the stage has a ring
}

// open begins a stage of entries; entry adds one, whose part ends at the share
// end; close leaves out those of no width and ends the last at the top.
func (s *split) open(k kind) stage { return stage{kind: k, from: uint32(len(s.entries))} }

func (s *split) entry(site int, end float64, shed bool) {
	s.entries = append(s.entries, entry{end: uint32(min(end*(1<<32), math.MaxUint32)), site: int32(site), shed: shed})
}

func (s *split) close(st stage) stage {
	all := s.entries[st.from:]
	kept := all[:0]
	below := uint32(0)
	for i, e := range all {
		if e.end > below || i == len(all)-1 && len(kept) == 0 {
			kept = append(kept, e)
			below = e.end
		}
	}
	s.entries = s.entries[:int(st.from)+len(kept)]
	st.n = uint32(len(kept))
	return st
}

// overSalt tells the draw of a tier's overflow from the one of the tier itself.
const overSalt = 1 << 32

// mark tells the stage where it stands.
func (st *stage) mark(tier int, l *level, shed bool) {
	st.tier, st.failOpen, st.last, st.shed = int8(tier), l.failOpen, l.lastResort, shed
}

func (st *stage) choice(e entry, width uint8) Choice {
	return Choice{Site: e.site, Set: e.set, Bits: width, Tier: st.tier, FailOpen: st.failOpen, LastResort: st.last, Shed: e.shed || st.shed}
}

// choose walks the stages that begin at the index.
func (s *split) choose(at uint32, ask *Ask, seed uint64, tr *Trace) Choice {
	st := &s.stages[at]
	if st.kind == fixed && st.spill == 0 { // by far the most plans
		return st.choice(entry{site: st.site, set: st.set}, 0)
	}
	key, width := network(ask.Client)
	sticky := mix(key + phi)
	draw := mix(sticky ^ mix(seed+uint64(ask.Period)*phi))
	// Where some of a cohort are hashed, the network counts for all of them: else
	// neighbours, one shed and one not, had answers of overlapping scopes.
	consulted := uint8(0)
	if st.sticky {
		consulted = width
	}
	for {
		// The upper half of x decides whether the user stays, the lower which site it is.
		salt := uint64(st.tier) * phi
		if st.over {
			salt += overSalt // its users are those whom the same tier's draw sent on
		}
		x := mix(draw + salt)
		switch st.kind {
		case inTurn, turned:
			turn := ask.turn()
			x = mix(uint64(turn))&^math.MaxUint32 | uint64(turn)
		case hashed, hashedByWeight, hashedShedding:
			x = mix(sticky + salt)
		}
		if tr != nil {
			tr.drew(st, x, ask)
		}
		if uint32(x>>32) >= st.spill {
			return st.choice(s.pick(st, x, sticky), consulted)
		}
		st = &s.stages[st.next]
	}
}

// pick picks in one stage, and tells whether the site is another than it would
// be without shedding.
func (s *split) pick(st *stage, x, sticky uint64) entry {
	switch st.kind {
	case inTurn:
		return s.entries[st.from+uint32(x)%st.n]
	case turned:
		return s.find(st.from, st.n, uint32(x)*(phi>>32))
	case drawn:
		return s.find(st.from, st.n, uint32(x))
	case hashed, hashedByWeight, hashedShedding:
		n, shed := s.hash(st, sticky)
		if st.ring {
			e := s.find(n.from, n.n, uint32(x))
			e.shed = e.shed || shed
			return e
		}
		return entry{site: n.site, shed: shed}
	}
	return entry{site: st.site, set: st.set}
}

// hash picks in a stage that hashes.
func (s *split) hash(st *stage, sticky uint64) (n *node, shed bool) {
	nodes := s.members(st)
	switch st.kind {
	case hashed:
		return highest(nodes, sticky), false
	case hashedShedding:
		n = cheapest(nodes, sticky, false)
		return n, n.site != cheapest(nodes, sticky, true).site
	}
	return cheapest(nodes, sticky, false), false
}

func (s *split) members(st *stage) []node { return s.nodes[st.from : st.from+st.n] }

// find returns the one of n entries whose range x is in.
func (s *split) find(from, n, x uint32) entry {
	e := s.entries[from : from+n]
	low, high := 0, len(e)-1
	for low < high {
		if mid := (low + high) / 2; x >= e[mid].end {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return e[low]
}

// highest is rendezvous hashing (Thaler and Ravishankar 1998) with equal
// weights: each client network ranks all sites, and gets the first of those there are.
func highest(nodes []node, sticky uint64) *node {
	found, best := &nodes[0], mix(sticky^nodes[0].key)
	for i := range nodes[1:] {
		n := &nodes[1+i]
		if h := mix(sticky ^ n.key); h > best {
			found, best = n, h
		}
	}
	return found
}

// cheapest is rendezvous hashing by weight. It agrees with highest where the
// weights are equal. before counts the weights without shedding.
func cheapest(nodes []node, sticky uint64, before bool) *node {
	found, least, highest := &nodes[0], math.Inf(1), uint64(0)
	for i := range nodes {
		n := &nodes[i]
		inverse := n.after
		if before {
			inverse = n.before
		}
		h := mix(sticky ^ n.key)
		if score := float64(cost(h)) * inverse; score < least || score == least && h > highest {
			found, least, highest = n, score, h
		}
	}
	return found
}

func (a *Ask) turn() uint32 {
	if a.Turn == nil {
		return 0
	}
	return a.Turn.Add(1) - 1
}

// expected adds the share of users that each answer of the plan is given to in the
// long run, as the stages that begin at the index have it.
func (s *split) expected(at uint32, add func(st *stage, e entry, share float64)) {
	comes := 1.0
	for {
		st := &s.stages[at]
		spill := float64(st.spill) / (1 << 32)
		s.answers(st, func(e entry, portion float64) { add(st, e, comes*(1-spill)*portion) })
		if st.spill == 0 {
			return
		}
		comes *= spill
		at = st.next
	}
}

// portions are the shares of the sites within one stage that gives them one by one.
func (s *split) portions(st *stage, add func(site int32, portion float64)) {
	s.answers(st, func(e entry, portion float64) { add(e.site, portion) })
}

// answers are the shares of the answers within one stage.
func (s *split) answers(st *stage, add func(e entry, portion float64)) {
	switch st.kind {
	case fixed:
		add(entry{site: st.site, set: st.set}, 1)
	case hashed, hashedByWeight, hashedShedding:
		total := 0.0
		nodes := s.members(st)
		for _, n := range nodes {
			total += 1 / n.after
		}
		for _, n := range nodes {
			if of := 1 / n.after / total; !st.ring {
				add(entry{site: n.site}, of)
			} else {
				s.widths(n.from, n.n, of, add)
			}
		}
	default:
		s.widths(st.from, st.n, 1, add)
	}
}

// widths are the parts of the range of draws that entries have, of a share.
func (s *split) widths(from, n uint32, of float64, add func(e entry, portion float64)) {
	below := 0.0
	entries := s.entries[from : from+n]
	for i, e := range entries {
		end := float64(e.end) / (1 << 32)
		if i == len(entries)-1 {
			end = 1
		}
		add(e, of*(end-below))
		below = end
	}
}
