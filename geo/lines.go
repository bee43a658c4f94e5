package geo

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// lines is a partition made for look-ups: a trie of few, wide steps, in which
// most addresses are found by reading two cache lines, whatever the table's size.
//
//	address  | first n bits | next stride bits |  next 15 bits  |   rest
//	         index[..] ───────> lines[base+..] ──> bounds: which of ten
//	          │                                     │
//	          └> leaf                               └> leaf, or a network that
//	                                                   goes on in further lines
//
// An entry is a leaf or leads on: to 2^stride lines, or to 2^stride further entries
// where lines would mostly be empty. Strides differ with how densely the networks
// lie. A line holds up to ten networks side by side, in the order of addresses, by
// the first address of each: what its next 15 bits are. From two bounds follows
// the network's width, which therefore costs no memory and no further read.
type lines struct {
	index  []entry // the first 2^bits of them are looked at first
	lines  []line
	bits   uint8
	leaves int
}

// entry is a leaf: a value and its width in bits; or a value with leads set.
type entry struct {
	value uint32
	bits  uint8
}

// The bits of a value that leads on: the flags, then 5 of stride, 25 of base.
const (
	leads       = 1 << 31
	toIndex     = 1 << 30
	strideShift = 25
	maxStride   = 16
	baseMask    = 1<<strideShift - 1
	// maxNumber is the largest value of a leaf.
	maxNumber = leads - 1
)

const (
	inLine    = 10 // networks in a line
	lineBits  = 15 // that a line tells apart
	lineEnd   = 1 << lineBits
	oneInEach = 1<<48 | 1<<32 | 1<<16 | 1
	topOfEach = lineEnd * oneInEach
	widthAt   = 11 // among the bounds
)

// line is one cache line of 64 bytes.
type line struct {
	// bounds are 12 numbers of 16 bits, little endian: 0, the bounds between
	// networks, lineEnd as often as there is room; and the width in bits of the
	// network that they divide, or of a single leaf that fills the line, which can be wider.
	bounds [24]byte
	values [inLine]uint32
}

func (l *line) bound(i int) uint16 { return binary.LittleEndian.Uint16(l.bounds[2*i:]) }

func (l *line) setBound(i int, x uint16) { binary.LittleEndian.PutUint16(l.bounds[2*i:], x) }

// find returns the value and the width of the leaf that holds an address; zeros
// if the table is empty.
func (t *lines) find(k key) (value uint32, width uint8) {
	if len(t.index) == 0 {
		return 0, 0
	}
	at := t.bits // bits of the address that are behind us
	e := t.index[k.hi>>(64-at)]
	for e.value >= leads {
		rest := k.from(at)
		stride := uint8(e.value >> strideShift & 31)
		i := e.value&baseMask + uint32(rest>>1>>(63-stride))
		rest <<= stride
		at += stride
		if e.value&toIndex != 0 {
			e = t.index[i]
			continue
		}
		l := &t.lines[i]
		n := l.search(rest >> (64 - lineBits))
		size := l.bound(n+1) - l.bound(n)
		at = uint8(l.bound(widthAt)) + lineBits + 1 - uint8(bits.Len16(size))
		e = entry{l.values[n], at}
	}
	return e.value, e.bits
}

// search returns the number of the network that holds x, which has 15 bits.
//
// The top bit of each 16 of (x with its top bit set) - bound stays set if and only if the
// bound is not above x: four comparisons in one subtraction, none of which borrows from the next.
func (l *line) search(x uint64) int {
	x = x*oneInEach | topOfEach
	return bits.OnesCount64((x-binary.LittleEndian.Uint64(l.bounds[0:]))&topOfEach) +
		bits.OnesCount64((x-binary.LittleEndian.Uint64(l.bounds[8:]))&topOfEach) +
		bits.OnesCount64((x-binary.LittleEndian.Uint64(l.bounds[16:]))&(topOfEach>>16)) - 1
}

// from returns the 64 bits behind the first n; what is behind the address's end is 0.
func (k key) from(n uint8) uint64 {
	if n >= 64 {
		return k.lo << (n - 64)
	}
	return k.hi<<n | k.lo>>1>>(63-n)
}

func (t *lines) bytes() int {
	return len(t.index)*int(unsafe.Sizeof(entry{})) + len(t.lines)*int(unsafe.Sizeof(line{}))
}
