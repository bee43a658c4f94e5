package geo

import "net/netip"

// numberer turns what the sources say about a piece of the address space into the
// caller's number. It counts the distinct tuples of what they say, source by
// source: a tuple and the next source's number give a longer tuple. Only numbers
// are kept and compared; a Place is joined when the caller is asked for the number
// of a new tuple, which is far less often than there are pieces.
//
// A tuple's number is 0 as long as every source so far has missed.
type numberer struct {
	sources [][]Place // in order of precedence: what each one's numbers mean
	cuts    []netip.Prefix
	cohort  func(Place, netip.Prefix) uint32

	count  uint32
	first  [][]uint32          // by source: its number to the tuple in which it is the first to say anything; 0: none yet
	longer []map[uint64]uint32 // by source: tuple so far and its number to the longer tuple

	outside []uint64          // by tuple: the caller's number outside all cuts plus 1; 0: not asked yet
	inside  map[uint64]uint32 // tuple and cut to the caller's number

	chain   []uint32 // the tuples of the last piece, source by source, after an initial 0
	changed int      // the first of the sweep's values that is not that of the last piece
}

func newNumberer(db *DB, cuts []netip.Prefix, cohort func(Place, netip.Prefix) uint32) *numberer {
	n := &numberer{
		sources: [][]Place{db.overrides.places},
		cuts:    cuts,
		cohort:  cohort,
		outside: []uint64{0},
		inside:  map[uint64]uint32{},
	}
	for _, s := range db.sources {
		n.sources = append(n.sources, s.places)
	}
	for _, places := range n.sources {
		n.first = append(n.first, make([]uint32, len(places)))
		n.longer = append(n.longer, map[uint64]uint32{})
	}
	n.chain = make([]uint32, len(n.sources)+1)
	return n
}

// note takes down from which of the sweep's values on the next piece differs.
func (n *numberer) note(changed int) { n.changed = min(n.changed, changed) }

// number returns the caller's number of a piece. values are those of the sweep:
// the holes', each source's, the cut's.
func (n *numberer) number(values []uint32) uint32 {
	said, cut := values[1:len(values)-1], values[len(values)-1]
	for i := max(n.changed-1, 0); i < len(said); i++ {
		n.chain[i+1] = n.join(i, n.chain[i], said[i])
	}
	n.changed = len(values)
	tuple := n.chain[len(said)]
	if cut == 0 {
		if n.outside[tuple] == 0 {
			n.outside[tuple] = uint64(n.cohort(n.place(said), netip.Prefix{})) + 1
		}
		return uint32(n.outside[tuple] - 1)
	}
	pair := uint64(tuple)<<32 | uint64(cut)
	number, ok := n.inside[pair]
	if !ok {
		number = n.cohort(n.place(said), n.cuts[cut])
		n.inside[pair] = number
	}
	return number
}

// join returns the tuple that source i's number makes of the one before it.
func (n *numberer) join(i int, tuple, number uint32) uint32 {
	switch {
	case number == 0:
		return tuple // a miss adds nothing
	case tuple == 0:
		known := &n.first[i][number]
		if *known == 0 {
			*known = n.another()
		}
		return *known
	}
	pair := uint64(tuple)<<32 | uint64(number)
	longer, ok := n.longer[i][pair]
	if !ok {
		longer = n.another()
		n.longer[i][pair] = longer
	}
	return longer
}

func (n *numberer) another() uint32 {
	n.count++
	n.outside = append(n.outside, 0)
	return n.count
}

func (n *numberer) place(said []uint32) (p Place) {
	for i, number := range said {
		p = p.fill(n.sources[i][number])
	}
	return p
}
