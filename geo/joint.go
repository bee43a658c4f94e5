package geo

import (
	"net/netip"

	"gslb/parallel"
)

// joint is everything that a DB says, joined with the networks that its users tell
// apart: each distinct combination of what the sources say has a number, a tuple.
type joint struct {
	families [2]tupled
	sources  []*places      // in order of precedence: what their numbers mean
	cuts     []netip.Prefix // cuts[0] is the zero Prefix: in none
}

// tupled is one family of a joint.
type tupled struct {
	stream        // of tuples
	links  []link // by tuple; the first one, of whom nothing is known, is not used
}

// link makes a longer tuple of one: what the next source says that says anything.
type link struct {
	before uint32 // tuple
	said   uint32 // number of a place of the source, or of a cut
	source uint16 // its index; behind the last one: the cuts
}

// partition is one of the sources of a joint.
type partition struct {
	*both
	places *places
}

// partitions are what db consists of, in order of precedence.
func (db *DB) partitions() []partition {
	all := []partition{{db.overrides.both, db.overrides.places}}
	for _, s := range db.sources {
		all = append(all, partition{&s.both, s.places})
	}
	return all
}

// join walks the sources side by side, once.
func (db *DB) join(cuts []netip.Prefix) *joint { return join(db.partitions(), cuts) }

func join(partitions []partition, cuts []netip.Prefix) *joint {
	c, gaps := newCutter(cuts), holes()
	j := &joint{cuts: c.prefixes}
	for _, l := range partitions {
		j.sources = append(j.sources, l.places)
	}
	_ = bothFamilies(func(v4 bool) error {
		parts := []*stream{gaps.family(v4)}
		for _, l := range partitions {
			parts = append(parts, l.family(v4))
		}
		parts = append(parts, c.family(v4))
		j.families[index(v4)].fill(parts, j.sources)
		return nil
	})
	return j
}

// yieldEvery is after how many networks a walk yields: after some hundred microseconds.
const yieldEvery = 4096

// fill takes the holes, the sources' partitions and the cuts'.
func (t *tupled) fill(parts []*stream, sources []*places) {
	n := tupler{links: make([]link, 1)}
	for _, p := range sources {
		n.first = append(n.first, make([]uint32, len(p.list)))
	}
	n.first = append(n.first, nil) // of the cuts
	n.longer = make([]pairs, len(n.first))
	n.chain = make([]uint32, len(n.first)+1)
	count := 0
	sweep(parts, func(at run, values []uint32, changed int) {
		n.changed = min(n.changed, changed)
		if !at.hole {
			at.value = n.tuple(values[1:])
		}
		t.push(at)
		if count++; count%yieldEvery == 0 {
			parallel.Yield()
		}
	})
	t.seal()
	t.links = n.links
}

// tupler numbers the tuples of a walk. Only numbers are kept and compared; tuple 0 is
// what every source and cut misses.
type tupler struct {
	links   []link
	first   [][]uint32 // by source: its number to the tuple in which it is the first to say anything; 0: none yet
	longer  []pairs    // by source: tuple so far and its number to the longer tuple
	chain   []uint32   // the tuples of the last piece, source by source, after an initial 0
	changed int        // the first of the sweep's values, the holes' among them, that is not that of the last piece
}

func (n *tupler) tuple(said []uint32) uint32 {
	for i := max(n.changed-1, 0); i < len(said); i++ {
		n.chain[i+1] = n.join(i, n.chain[i], said[i])
	}
	n.changed = len(said) + 1
	return n.chain[len(said)]
}

// join returns the tuple that source i's number makes of the one before it.
func (n *tupler) join(i int, before, number uint32) uint32 {
	if number == 0 {
		return before // a miss adds nothing
	}
	var known *uint32
	if before == 0 && n.first[i] != nil {
		known = &n.first[i][number]
	} else {
		known = n.longer[i].at(uint64(before)<<32 | uint64(number))
	}
	if *known == 0 {
		*known = uint32(len(n.links))
		n.links = append(n.links, link{before, number, uint16(i)})
	}
	return *known
}

// each calls f with what every tuple of both families means. The Place is f's to read
// until it returns.
func (j *joint) each(f func(family int, tuple uint32, p *Place, cut uint32)) {
	var p Place
	for i := range j.families {
		links := j.families[i].links
		for t := range links {
			var cut uint32
			p, cut = j.place(links, uint32(t))
			f(i, uint32(t), &p, cut)
			if t%512 == 0 {
				parallel.Yield()
			}
		}
	}
}

// EachPlace calls f with every Place that Lookup can return for an address, each
// once or more.
func (db *DB) EachPlace(f func(Place)) {
	if db != nil {
		db.join(nil).each(func(_ int, _ uint32, p *Place, _ uint32) { f(*p) })
	}
}

func (j *joint) place(links []link, tuple uint32) (p Place, cut uint32) {
	if tuple == 0 {
		return Place{}, 0
	}
	l := links[tuple]
	p, _ = j.place(links, l.before)
	if int(l.source) == len(j.sources) {
		return p, l.said
	}
	return p.fill(j.sources[l.source].at(l.said)), 0
}

// pairs is a map from pairs of numbers, not both 0, to a number: a hash table with
// open addressing, which takes a third of the time and half the memory of Go's map.
type pairs struct {
	keys   []uint64
	values []uint32
	used   int
}

// at returns where the number of a pair is kept, to be set at once if it is 0.
func (m *pairs) at(pair uint64) *uint32 {
	if 4*m.used >= 3*len(m.keys) {
		m.grow()
	}
	i := m.slot(pair)
	if m.keys[i] == 0 {
		m.keys[i] = pair
		m.used++
	}
	return &m.values[i]
}

func (m *pairs) slot(pair uint64) uint64 {
	mask := uint64(len(m.keys) - 1)
	i := (pair ^ pair>>29) * 0x9e3779b97f4a7c15
	for i = i >> 20 & mask; m.keys[i] != 0 && m.keys[i] != pair; i = (i + 1) & mask {
	}
	return i
}

func (m *pairs) grow() {
	old := *m
	size := max(64, 2*len(old.keys))
	m.keys, m.values = make([]uint64, size), make([]uint32, size)
	for i, k := range old.keys {
		if k != 0 {
			at := m.slot(k)
			m.keys[at], m.values[at] = k, old.values[i]
		}
	}
}
