package geo

import (
	"fmt"
	"math/bits"
	"runtime"
	"slices"
	"sort"
)

// layer lays runs out in lines.
type layer struct {
	*lines
	width uint8 // of an address in bits
	limit int   // bytes
}

// firstBits bounds how many bits the first step takes: 2^16 entries of IPv4 are
// half a megabyte, which stays in the processor's second cache; the IPv6 addresses
// in use begin with few different bits, so that more would be empty.
const (
	firstBits4 = 16
	firstBits6 = 12
)

// lay makes lines of a whole partition.
func lay(p *stream, v4 bool, limit int) (*lines, error) {
	l := layer{lines: &lines{leaves: p.leaves}, width: 128, limit: limit}
	most := firstBits6
	if v4 {
		l.width, most = 32, firstBits4
	}
	l.bits = uint8(min(bits.Len(uint(p.leaves)/4), most))
	l.index = make([]entry, 1<<l.bits)
	var runs []run // of one entry: there are too many to have all at once
	r := p.reader()
	r.next()
	for i, first := 0, (key{}); i < 1<<l.bits; i++ {
		last := first.last(l.bits)
		for runs = append(runs[:0], r.run); r.last.compare(last) < 0; runs = append(runs, r.run) {
			r.next()
		}
		l.index[i] = entry{bits: runs[0].bits}
		l.index[i].value = l.entry(runs, l.bits)
		if r.last == last && last != lastKey {
			r.next()
		}
		first = last.next()
		if i%16 == 0 {
			runtime.Gosched()
		}
	}
	if l.over() {
		return nil, fmt.Errorf("its %d networks take more than %d bytes", p.leaves, limit)
	}
	l.index, l.lines.lines = exact(l.index), exact(l.lines.lines)
	return l.lines, nil
}

func (l *layer) over() bool {
	return l.bytes() > l.limit || len(l.index) > baseMask || len(l.lines.lines) > baseMask
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
	if l.over() {
		return 0 // it is given up
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
