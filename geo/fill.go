package geo

import (
	"cmp"
	"net/netip"
	"slices"
)

// both holds the partitions of the two families that one source makes.
type both struct {
	v4, v6 stream
}

// filler fills a partition from runs that leave gaps: what lies between gets
// the value that the caller names.
type filler struct {
	into *stream
	pos  key  // the first address that is not filled yet
	full bool // pos has wrapped around
}

// through fills up to and including last with a value, in as few networks as it takes.
func (f *filler) through(last key, lf leaf) {
	for !f.full && f.pos.compare(last) <= 0 {
		lf.bits = f.pos.block(last)
		f.push(run{f.pos, lf})
	}
}

// before fills up to the address before start.
func (f *filler) before(start key, lf leaf) {
	if start != (key{}) {
		f.through(start.prev(), lf)
	}
}

func (f *filler) push(r run) {
	f.into.push(r)
	f.pos = r.start.last(r.bits).next()
	f.full = f.pos == key{}
}

// finish fills the rest with value 0 and seals the partition.
func (f *filler) finish() {
	f.through(lastKey, leaf{})
	f.into.seal()
}

// valued is a network and the leaf value that it sets.
type valued struct {
	prefix netip.Prefix
	leaf
}

// nested makes the partitions in which each address has the value of the longest
// network that holds it, and 0 where there is none. No two networks are equal.
func nested(networks []valued) *both {
	var out both
	var v4, v6 []run
	for _, n := range networks {
		r := run{keyOf(n.prefix.Addr()), n.leaf}
		r.bits = uint8(n.prefix.Bits())
		if n.prefix.Addr().Is4() {
			v4 = append(v4, r)
		} else {
			v6 = append(v6, r)
		}
	}
	nest(&out.v4, v4)
	nest(&out.v6, v6)
	return &out
}

func nest(into *stream, runs []run) {
	slices.SortFunc(runs, func(a, b run) int {
		return cmp.Or(a.start.compare(b.start), cmp.Compare(a.bits, b.bits))
	})
	f := filler{into: into}
	var around []run // the networks that hold f.pos, the longest last
	leave := func() {
		r := around[len(around)-1]
		f.through(r.start.last(r.bits), r.leaf)
		around = around[:len(around)-1]
	}
	for _, r := range runs {
		for len(around) > 0 && around[len(around)-1].last().compare(r.start) < 0 {
			leave()
		}
		outer := leaf{}
		if len(around) > 0 {
			outer = around[len(around)-1].leaf
		}
		f.before(r.start, outer)
		around = append(around, r)
	}
	for len(around) > 0 {
		leave()
	}
	f.finish()
}
