package steer

import "math"

// split is the compact form of live plans: for each cohort a stage, at the
// index of the cohort, and the stages that users spill into behind them.
type split struct {
	stages  []stage
	entries []entry
	nodes   []node
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
	site     int32
	from, n  uint32 // entries or nodes
	spill    uint32 // share of users that goes on to next, of 2^32
	next     uint32
}

// entry is a site and its part of the range of draws: from the end of the entry
// before it up to its own, exclusive. The last takes all that is left.
type entry struct {
	end  uint32
	site int32
	shed bool // its users were shed by another
}

// node is a member in rendezvous hashing.
type node struct {
	key           uint64
	before, after float64 // 1/weight without and with shedding; +Inf: gets nobody
	site          int32
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

func (st *stage) choice(site int32, shed bool, width uint8) Choice {
	return Choice{Site: site, Bits: width, Tier: st.tier, FailOpen: st.failOpen, LastResort: st.last, Shed: shed || st.shed}
}

// choose walks the stages that begin at the index.
func (s *split) choose(at uint32, ask *Ask, seed uint64, tr *Trace) Choice {
	st := &s.stages[at]
	if st.kind == fixed && st.spill == 0 { // by far the most plans
		return st.choice(st.site, false, 0)
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
			site, shed := s.site(st, x, sticky)
			return st.choice(site, shed, consulted)
		}
		st = &s.stages[st.next]
	}
}

// site picks in one stage, and tells whether the site is another than it would
// be without shedding.
func (s *split) site(st *stage, x, sticky uint64) (int32, bool) {
	switch st.kind {
	case inTurn:
		return s.entries[st.from+uint32(x)%st.n].site, false
	case turned:
		return s.find(st, uint32(x)*(phi>>32))
	case drawn:
		return s.find(st, uint32(x))
	case hashed:
		return highest(s.members(st), sticky), false
	case hashedByWeight:
		return cheapest(s.members(st), sticky, false), false
	case hashedShedding:
		site := cheapest(s.members(st), sticky, false)
		return site, site != cheapest(s.members(st), sticky, true)
	}
	return st.site, false
}

func (s *split) members(st *stage) []node { return s.nodes[st.from : st.from+st.n] }

// find returns the entry whose range x is in.
func (s *split) find(st *stage, x uint32) (int32, bool) {
	e := s.entries[st.from : st.from+st.n]
	i := 0
	for i < len(e)-1 && x >= e[i].end {
		i++
	}
	return e[i].site, e[i].shed
}

// highest is rendezvous hashing (Thaler and Ravishankar 1998) with equal
// weights: each client network ranks all sites, and gets the first of those there are.
func highest(nodes []node, sticky uint64) int32 {
	site, best := nodes[0].site, mix(sticky^nodes[0].key)
	for i := range nodes[1:] {
		n := &nodes[1+i]
		if h := mix(sticky ^ n.key); h > best {
			site, best = n.site, h
		}
	}
	return site
}

// cheapest is rendezvous hashing by weight. It agrees with highest where the
// weights are equal. before counts the weights without shedding.
func cheapest(nodes []node, sticky uint64, before bool) int32 {
	site, least, highest := nodes[0].site, math.Inf(1), uint64(0)
	for i := range nodes {
		n := &nodes[i]
		inverse := n.after
		if before {
			inverse = n.before
		}
		h := mix(sticky ^ n.key)
		if score := float64(cost(h)) * inverse; score < least || score == least && h > highest {
			site, least, highest = n.site, score, h
		}
	}
	return site
}

func (a *Ask) turn() uint32 {
	if a.Turn == nil {
		return 0
	}
	return a.Turn.Add(1) - 1
}

// expected adds to each member of the plan the share of users it is given in the
// long run, as the stages that begin at the index have it.
func (s *split) expected(at uint32, add func(st *stage, site int32, share float64)) {
	comes := 1.0
	for {
		st := &s.stages[at]
		spill := float64(st.spill) / (1 << 32)
		s.portions(st, func(site int32, portion float64) { add(st, site, comes*(1-spill)*portion) })
		if st.spill == 0 {
			return
		}
		comes *= spill
		at = st.next
	}
}

// portions are the shares within one stage.
func (s *split) portions(st *stage, add func(site int32, portion float64)) {
	switch st.kind {
	case fixed:
		add(st.site, 1)
	case hashed, hashedByWeight, hashedShedding:
		total := 0.0
		nodes := s.members(st)
		for _, n := range nodes {
			total += 1 / n.after
		}
		for _, n := range nodes {
			add(n.site, 1/n.after/total)
		}
	default:
		below := 0.0
		entries := s.entries[st.from : st.from+st.n]
		for i, e := range entries {
			end := float64(e.end) / (1 << 32)
			if i == len(entries)-1 {
				end = 1
			}
			add(e.site, end-below)
			below = end
		}
	}
}
