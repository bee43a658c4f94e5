package main

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"sort"
)

// poptrie is the trie of Asai and Ohara (2015): steps of six bits, nodes and leaves
// found by counting bits, equal neighbours among the leaves kept once, the first
// 16 bits by a direct table.
type poptrie struct {
	direct []uint32 // leaf, or divided and the number of a node
	nodes  []popNode
	leaves []uint32
}

type popNode struct {
	nodes, leaves        uint64 // which of the 64 parts are nodes; at which a new leaf begins
	firstNode, firstLeaf uint32
}

// flat is a network left aligned in 128 bits.
type flat struct {
	hi, lo uint64
	bits   int
	value  uint32
}

func flatten(leaves []network) []flat {
	out := make([]flat, len(leaves))
	for i, n := range leaves {
		hi, lo := alignedAddr(n.prefix.Addr())
		out[i] = flat{hi, lo, n.prefix.Bits(), n.cohort<<8 | uint32(n.prefix.Bits())}
	}
	return out
}

func alignedAddr(a netip.Addr) (hi, lo uint64) {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:])) << 32, 0
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// window returns n bits of an address from bit at on, zeros behind its end.
func window(hi, lo uint64, at, n int) uint64 {
	if at >= 64 {
		return lo << (at - 64) >> (64 - n)
	}
	return (hi<<at | lo>>1>>(63-at)) >> (64 - n)
}

func newPoptrie(leaves []network) table {
	all := flatten(leaves)
	t := &poptrie{direct: make([]uint32, 1<<16)}
	parts(all, 0, 16, func(i int, part []flat) {
		if len(part) == 1 {
			t.direct[i] = part[0].value
			return
		}
		n := len(t.nodes)
		t.nodes = append(t.nodes, popNode{})
		t.direct[i] = divided | uint32(n)
		t.fill(n, part, 16)
	})
	return t
}

// parts divides the networks in which the bits from at on differ into 2^n.
func parts(all []flat, at, n int, f func(i int, part []flat)) {
	for i := range 1 << n {
		k := sort.Search(len(all), func(j int) bool { return all[j].bits > at && int(window(all[j].hi, all[j].lo, at, n)) > i })
		if k == 0 { // within the leaf that began before
			k = 1
		}
		f(i, all[:k])
		next := k
		if k == 1 && all[0].bits < at+n {
			begin := int(window(all[0].hi, all[0].lo, at, n))
			if all[0].bits <= at {
				begin = 0
			}
			if i+1 < begin+1<<(at+n-max(all[0].bits, at)) {
				next = 0
			}
		}
		all = all[next:]
	}
}

func (t *poptrie) fill(n int, all []flat, at int) {
	var node popNode
	var children [][]flat
	var values []uint32
	parts(all, at, 6, func(i int, part []flat) {
		if len(part) > 1 {
			node.nodes |= 1 << i
			children = append(children, part)
		} else if len(values) == 0 || values[len(values)-1] != part[0].value {
			node.leaves |= 1 << i
			values = append(values, part[0].value)
		}
	})
	node.firstNode, node.firstLeaf = uint32(len(t.nodes)), uint32(len(t.leaves))
	t.leaves = append(t.leaves, values...)
	t.nodes = append(t.nodes, make([]popNode, len(children))...)
	t.nodes[n] = node
	for i, c := range children {
		t.fill(int(node.firstNode)+i, c, at+6)
	}
}

func (t *poptrie) lookup(a netip.Addr) uint32 {
	hi, lo := alignedAddr(a)
	v := t.direct[hi>>48]
	if v&divided == 0 {
		return v
	}
	n := &t.nodes[v&^divided]
	for at := 16; ; at += 6 {
		i := window(hi, lo, at, 6)
		upTo := uint64(2)<<i - 1
		if n.nodes>>i&1 == 0 {
			return t.leaves[int(n.firstLeaf)+bits.OnesCount64(n.leaves&upTo)-1]
		}
		n = &t.nodes[int(n.firstNode)+bits.OnesCount64(n.nodes&upTo)-1]
	}
}
