package main

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"sort"
)

// lines is what gslb had before its trie: a trie of few, wide steps, in which
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

// layer lays runs out in lines.
type layer struct {
	*lines
	width uint8 // of an address in bits
}

// firstBits bounds how many bits the first step takes: 2^16 entries of IPv4 are
// half a megabyte, which stays in the processor's second cache; the IPv6 addresses
// in use begin with few different bits, so that more would be empty.
const (
	firstBits4 = 16
	firstBits6 = 12
)

func newLines(leaves []network) table {
	l := layer{lines: new(lines), width: 128}
	most := firstBits6
	if leaves[0].prefix.Addr().Is4() {
		l.width, most = 32, firstBits4
	}
	var runs []run
	for _, f := range flatten(leaves) {
		runs = append(runs, run{key{f.hi, f.lo}, leaf{f.value >> 8, uint8(f.bits)}})
	}
	l.bits = uint8(min(bits.Len(uint(len(runs))/4), most))
	l.index = make([]entry, 1<<l.bits)
	l.fillIndex(0, runs, 0, l.bits)
	return l.lines
}

func (t *lines) lookup(a netip.Addr) uint32 {
	hi, lo := alignedAddr(a)
	value, width := t.find(key{hi, lo})
	return value<<8 | uint32(width)
}

// fillIndex fills the entries from base on, which divide the network of so many
// bits that runs make up.
func (l *layer) fillIndex(base int, runs []run, at, stride uint8) {
	eachPart(runs, at, stride, func(i int, part []run) {
		l.index[base+i] = entry{bits: part[0].bits}
		l.index[base+i].value = l.entry(part, at+stride)
	})
}

// eachPart divides the network of so many bits that runs make up into 2^stride
// equal parts. A part within one leaf gets that leaf.
func eachPart(runs []run, at, stride uint8, f func(i int, part []run)) {
	k := runs[0].start.network(at)
	for i := range 1 << stride {
		n := 1
		if runs[0].bits > at+stride {
			last := k.last(at + stride)
			n = sort.Search(len(runs), func(j int) bool { return runs[j].start.compare(last) > 0 })
		}
		f(i, runs[:n])
		k = k.last(at + stride).next()
		if n > 1 || runs[0].last().next() == k {
			runs = runs[n:]
		}
	}
}

// entry returns the value of a network of so many bits that runs make up: a single
// leaf's own, or one that leads on to what it makes of them.
func (l *layer) entry(runs []run, at uint8) uint32 {
	if len(runs) == 1 {
		return runs[0].value
	}
	stride, indexed := l.plan(runs, at)
	head := leads | uint32(stride)<<strideShift
	if indexed {
		base := len(l.index)
		l.index = append(l.index, make([]entry, 1<<stride)...)
		l.fillIndex(base, runs, at, stride)
		return head | toIndex | uint32(base)
	}
	base := len(l.lines.lines)
	l.lines.lines = append(l.lines.lines, make([]line, 1<<stride)...)
	eachPart(runs, at, stride, func(i int, part []run) { l.fillLine(base+i, part, at+stride) })
	return head | uint32(base)
}

// fillLine fills a line with the network of so many bits that runs make up. Where they
// are too many or too narrow for it, the widest are divided first, since they
// hold most addresses, and what is not divided to the end goes on in other lines.
func (l *layer) fillLine(n int, runs []run, at uint8) {
	type item struct {
		runs []run
		bits uint8
	}
	items := append(make([]item, 0, inLine), item{runs, at})
	for len(items) < inLine {
		widest := -1
		for i, it := range items {
			if len(it.runs) > 1 && it.bits < at+lineBits && (widest < 0 || it.bits < items[widest].bits ||
				it.bits == items[widest].bits && len(it.runs) > len(items[widest].runs)) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		it := items[widest]
		middle := it.runs[0].start.withBit(it.bits)
		j, _ := slices.BinarySearchFunc(it.runs, middle, func(r run, k key) int { return r.start.compare(k) })
		items[widest].runs, items[widest].bits = it.runs[:j], it.bits+1
		items = slices.Insert(items, widest+1, item{it.runs[j:], it.bits + 1})
	}
	var out line
	for i := range widthAt {
		out.setBound(i, lineEnd)
	}
	out.setBound(widthAt, uint16(min(at, runs[0].bits)))
	first := runs[0].start.network(at)
	for i, it := range items {
		if i == 0 {
			out.setBound(0, 0)
		} else {
			out.setBound(i, uint16(it.runs[0].start.minus(first).from(at)>>(64-lineBits)))
		}
		out.values[i] = l.entry(it.runs, it.bits)
	}
	l.lines.lines[n] = out
}

// plan chooses how a network of so many bits is divided: for every stride, by
// lines or by index, it weighs the memory against the cache lines that a look-up
// reads, at a price in bytes.
func (l *layer) plan(runs []run, at uint8) (stride uint8, indexed bool) {
	n := len(runs)
	if n <= inLine {
		return 0, false
	}
	price := float64(16 * n)
	if l.width == 32 {
		price = max(price, float64(int(1<<25)>>at))
	}
	best := -1.0
	for s := uint8(0); s <= maxStride && at+s < l.width && 1<<s <= 4*n; s++ {
		parts, divided, over, more := l.weigh(runs, at, s)
		lineCost := float64(64*(1<<s+more)) + price*over
		indexCost := float64(8*(1<<s)+64*(parts+more)) + price*(divided+over)
		if best < 0 || lineCost < best {
			best, stride, indexed = lineCost, s, false
		}
		if s > 0 && indexCost < best {
			best, stride, indexed = indexCost, s, true
		}
	}
	return stride, indexed
}

// weigh tells what a stride would come to: how many parts hold several leaves,
// the share of look-ups that end in them, the share that goes on behind their
// line, and the number of lines for these.
func (l *layer) weigh(runs []run, at, stride uint8) (parts int, divided, over float64, more int) {
	count := func(n int) {
		if n < 2 {
			return
		}
		share := 1 / float64(int(1)<<stride) // IPv4: by addresses
		if l.width > 32 {
			share = float64(n) / float64(len(runs)) // IPv6: nearly all addresses are empty
		}
		parts++
		divided += share
		if n > inLine {
			over += share * float64(n-inLine) / float64(n)
			more += (n - inLine + inLine - 3) / (inLine - 2)
		}
	}
	n, current := 0, key{}
	for _, r := range runs {
		if r.bits <= at+stride {
			continue
		}
		if k := r.start.network(at + stride); n == 0 || k != current {
			count(n)
			n, current = 0, k
		}
		n++
	}
	count(n)
	return parts, divided, over, more
}
