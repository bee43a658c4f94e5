package geo

import (
	"math/bits"
	"slices"
)

// leaf is one network of a partition without its first address.
type leaf struct {
	value uint32
	bits  uint8 // width of the network, counted within its level
	kind  leafKind
}

type leafKind uint8

const (
	plain leafKind = iota
	// hole marks a range that is not looked up here: see embedded.go. It keeps
	// its neighbours from growing over it.
	hole
	// deep marks an IPv6 /64 that is divided further: value is the number of
	// the level that divides its lower 64 bits.
	deep
)

// run is a leaf with its place in the address space; bits count from the start
// of the address.
type run struct {
	start key
	leaf
}

// partition divides the whole address space of a family into leaves.
//
// It is filled by pushing runs in address order without gaps, then sealed, and
// never changes after that. Siblings of equal value merge as they are pushed.
type partition interface {
	push(run)
	seal()
	find(key) leaf // bits count from the start of the address; never deep
	cursor() cursor
	size() (leaves, bytes int)
}

// cursor steps through the leaves of a sealed partition in address order.
type cursor interface {
	next() run // must not be called after the last leaf
}

// level is a sorted array of leaves with an index of two steps. K is as wide as
// the addresses are.
//
//	address  | top n bits | next m bits |       rest      |
//	         slots[top] ──> index[base + next] ──> leaves between this entry
//	                                               and the one after it
//
// m differs from slot to slot with the number of leaves in it, so that few leaves
// are left to search however unevenly they lie: nearly all of IPv6 is in a few /12.
type level[K uint32 | uint64] struct {
	starts []K // apart from leaves: the binary search touches only these
	leaves []leaf
	slots  []slot   // 2^n
	index  []uint32 // the leaf that holds the first address of each part of a slot; then the last leaf
	bits   uint8    // n
}

// slot is the part of the addresses that begin with the same n bits.
type slot struct {
	base  uint32 // of its 2^m entries in the index
	shift uint8  // width of K less m
}

func (l *level[K]) width() uint8 { return uint8(bits.Len64(uint64(^K(0)))) }

// push appends a leaf that starts right after the last one, and merges it with
// its left sibling, and the result with its own, as long as they are alike.
//
// Why this is maximal: of two siblings the left one is complete, and therefore
// one leaf if it is of one value, before the right one begins. When the right
// one is complete it lies directly above the left one.
func (l *level[K]) push(start K, lf leaf) {
	for n := len(l.leaves); n > 0 && lf.bits > 0; n-- {
		// An equal leaf right below is the left sibling if this is a right child.
		if l.leaves[n-1] != lf || lf.kind == deep || start>>(l.width()-lf.bits)&1 == 0 {
			break
		}
		start = l.starts[n-1]
		lf.bits--
		l.starts, l.leaves = l.starts[:n-1], l.leaves[:n-1]
	}
	if len(l.leaves) == cap(l.leaves) { // append alone copies millions of leaves too often
		l.starts, l.leaves = slices.Grow(l.starts, len(l.starts)+1), slices.Grow(l.leaves, len(l.leaves)+1)
	}
	l.starts, l.leaves = append(l.starts, start), append(l.leaves, lf)
}

// maxSlotBits bounds n: 32 KiB of slots, which stay in the processor's cache.
const maxSlotBits = 12

func (l *level[K]) seal() {
	l.starts, l.leaves = exact(l.starts), exact(l.leaves)
	l.bits = uint8(min(bits.Len(uint(len(l.leaves))/8), maxSlotBits))
	l.slots = make([]slot, 1<<l.bits)
	at := 0 // the leaf that holds the first address of the part in turn
	for i := range l.slots {
		first := K(0) // of the slot; a shift by the whole width is 0 in Go
		if l.bits > 0 {
			first = K(i) << (l.width() - l.bits)
		}
		m := l.partBits(at, first)
		l.slots[i] = slot{base: uint32(len(l.index)), shift: l.width() - m}
		for part := range 1 << m {
			start := first | K(part)<<(l.width()-m)>>l.bits
			for at+1 < len(l.starts) && l.starts[at+1] <= start {
				at++
			}
			l.index = append(l.index, uint32(at))
		}
	}
	l.index = exact(append(l.index, uint32(len(l.leaves)-1)))
}

// partBits returns m for the slot that begins at first, in leaf at: about one
// entry for every one or two leaves.
func (l *level[K]) partBits(at int, first K) uint8 {
	last := first | ^K(0)>>l.bits
	n, _ := slices.BinarySearch(l.starts[at:], last)
	return min(uint8(bits.Len(uint(n)/2)), l.width()-l.bits)
}

// find returns the leaf that holds a; of an empty level the zero leaf.
func (l *level[K]) find(a K) leaf {
	if len(l.slots) == 0 {
		return leaf{}
	}
	s := l.slots[a>>(l.width()-l.bits)]
	x := s.base + uint32(a<<l.bits>>s.shift)
	lo, hi := l.index[x], l.index[x+1]
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if l.starts[mid] <= a {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return l.leaves[lo]
}

func (l *level[K]) bytes() int {
	return len(l.starts)*int(l.width()/8) + (len(l.leaves)+len(l.slots))*8 + len(l.index)*4
}

// partition4 is a partition of the IPv4 addresses.
type partition4 struct{ level level[uint32] }

func (p *partition4) push(r run) { p.level.push(uint32(r.start.hi>>32), r.leaf) }
func (p *partition4) seal()      { p.level.seal() }

func (p *partition4) find(k key) leaf { return p.level.find(uint32(k.hi >> 32)) }

func (p *partition4) size() (int, int) { return len(p.level.leaves), p.level.bytes() }

func (p *partition4) cursor() cursor { return &cursor4{p: p} }

type cursor4 struct {
	p *partition4
	i int
}

func (c *cursor4) next() run {
	r := run{key4(c.p.level.starts[c.i]), c.p.level.leaves[c.i]}
	c.i++
	return r
}

// partition6 is a partition of the IPv6 addresses: one level for the upper 64
// bits, which is all that most look-ups need, and one more for each /64 that is
// divided.
type partition6 struct {
	upper level[uint64]
	lower []level[uint64]

	// While filling: the /64 whose lower level is being filled.
	open   bool
	openHi uint64
	fill   level[uint64]
}

func (p *partition6) push(r run) {
	if p.open && r.start.hi != p.openHi {
		p.close()
	}
	if r.bits <= 64 {
		p.upper.push(r.start.hi, r.leaf)
		return
	}
	p.open, p.openHi = true, r.start.hi
	r.leaf.bits -= 64
	p.fill.push(r.start.lo, r.leaf)
}

// close ends the /64 that is being filled: it is a plain leaf if it merged into one.
func (p *partition6) close() {
	lf := p.fill.leaves[0]
	lf.bits += 64
	if len(p.fill.leaves) > 1 {
		lf = leaf{value: uint32(len(p.lower)), bits: 64, kind: deep}
		p.fill.seal()
		p.lower = append(p.lower, p.fill)
	}
	p.upper.push(p.openHi, lf)
	p.open, p.fill = false, level[uint64]{}
}

func (p *partition6) seal() {
	if p.open {
		p.close()
	}
	p.upper.seal()
}

func (p *partition6) find(k key) leaf {
	lf := p.upper.find(k.hi)
	if lf.kind == deep {
		lf = p.lower[lf.value].find(k.lo)
		lf.bits += 64
	}
	return lf
}

func (p *partition6) size() (leaves, bytes int) {
	leaves, bytes = len(p.upper.leaves)-len(p.lower), p.upper.bytes()
	for i := range p.lower {
		leaves += len(p.lower[i].leaves)
		bytes += p.lower[i].bytes()
	}
	return leaves, bytes
}

func (p *partition6) cursor() cursor { return &cursor6{p: p} }

type cursor6 struct {
	p    *partition6
	i, j int // j counts within the lower level of leaf i
}

func (c *cursor6) next() run {
	hi, lf := c.p.upper.starts[c.i], c.p.upper.leaves[c.i]
	if lf.kind != deep {
		c.i++
		return run{key{hi: hi}, lf}
	}
	lower := &c.p.lower[lf.value]
	r := run{key{hi, lower.starts[c.j]}, lower.leaves[c.j]}
	r.bits += 64
	if c.j++; c.j == len(lower.leaves) {
		c.i, c.j = c.i+1, 0
	}
	return r
}

// exact copies a slice without spare capacity.
func exact[T any](s []T) []T { return append(make([]T, 0, len(s)), s...) }
