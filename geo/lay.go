package geo

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"gslb/parallel"
)

const (
	// directBits bounds how many bits the first step takes: 2^16 entries are a
	// quarter of a megabyte.
	directBits = 16
	// furtherBits is how many the second one takes, and furtherLeaves how many leaves
	// an IPv6 network must have to be worth it: some twenty of the first step's have,
	// in which registries hand out what is in use.
	furtherBits   = 12
	furtherLeaves = 2048
)

// layer makes a trie of a stream, reading it once from end to end. Its node is the
// last one that was read and not yet laid out.
type layer struct {
	trie
	reader
	pool
	v4      bool
	limit   int // bytes
	read    int // leaves
	scratch []byte
}

// lay makes a trie of a whole partition.
func lay(p *stream, v4 bool, limit int) (*trie, error) {
	l := &layer{reader: p.reader(), v4: v4, limit: limit}
	l.trie = trie{leaves: p.leaves, bits: uint8(min(max(bits.Len(uint(p.leaves)/4), 1), directBits))}
	l.size = uint8(bits.Len32(p.most<<leafWidth|(1<<leafWidth-1))+7) / 8
	l.direct = make([]uint32, 1<<l.trie.bits)
	l.advance()
	l.fill(0, l.trie.bits, l.trie.bits)
	if l.over() {
		return nil, fmt.Errorf("its %d networks take more than %d bytes", p.leaves, min(limit, placeMask))
	}
	t := l.trie
	t.direct = exact(t.direct)
	t.nodes = piecewise(make([]byte, 0, len(l.octets)+tail), l.octets)[:len(l.octets)+tail]
	return &t, nil
}

// tail is how many octets behind the last node find may read of a leaf of fewer than four.
const tail = 3

func (l *layer) over() bool {
	return l.bytes()+len(l.octets)+tail > l.limit || len(l.octets) > placeMask || len(l.direct) > placeMask>>2
}

// advance reads the next leaf, if there is one.
func (l *layer) advance() {
	if l.read == l.leaves {
		return
	}
	l.next()
	l.read++
	if l.read%(yieldEvery/4) == 0 {
		parallel.Yield()
	}
}

// fill fills the entries from base on, which divide a network into 2^stride
// of so many bits.
func (l *layer) fill(base int, stride, at uint8) {
	for i := base; i < base+1<<stride; {
		if l.run.bits > at {
			l.direct[i] = l.entry(stride, at)
			i++
			continue
		}
		for range 1 << (at - l.run.bits) {
			l.direct[i] = l.value<<entryWidth | uint32(l.run.bits)
			i++
		}
		l.advance()
	}
}

// entry lays out a network of so many bits that has several leaves.
func (l *layer) entry(stride, at uint8) uint32 {
	if l.v4 || at != directBits || stride != directBits || !l.dense(at) {
		return l.node(at)
	}
	base := len(l.direct)
	l.direct = longer(l.direct, 1<<furtherBits)
	l.fill(base, furtherBits, at+furtherBits)
	return leads | further | uint32(base)<<2
}

// dense tells whether the network of so many bits that begins here has many leaves.
func (l *layer) dense(at uint8) bool {
	ahead, last := l.reader, l.start.last(at)
	for range furtherLeaves {
		if ahead.last == last {
			return false
		}
		ahead.next()
	}
	return true
}

// node lays out a network of so many bits that has several leaves, and returns the
// entry that leads to it.
func (l *layer) node(at uint8) uint32 {
	var divided, starts uint64
	var entries, leaves [1 << stepBits]uint32
	var n, m int
	for i := 0; i < 1<<stepBits; {
		width := l.run.bits
		if width > at+stepBits {
			entries[n] = l.node(at + stepBits)
			divided |= 1 << i
			n++
			i++
			continue
		}
		leaf := l.value<<leafWidth | uint32(width-at-1)
		if m == 0 || leaves[m-1] != leaf {
			leaves[m] = leaf
			starts |= 1 << i
			m++
		}
		i += 1 << (at + stepBits - width)
		l.advance()
	}
	if l.over() {
		return leads // it is given up
	}
	entry, b := uint32(leads|ends), l.scratch[:0]
	if n > 0 {
		entry, b = leads, binary.LittleEndian.AppendUint64(b, divided)
	}
	b = binary.LittleEndian.AppendUint64(b, starts)
	for _, e := range entries[:n] {
		b = binary.LittleEndian.AppendUint32(b, e)
	}
	for _, leaf := range leaves[:m] {
		b = binary.LittleEndian.AppendUint32(b, leaf)[:len(b)+int(l.size)]
	}
	l.scratch = b
	return entry | l.place(b)
}
