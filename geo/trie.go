package geo

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// trie is a partition made for look-ups: a poptrie (Asai and Ohara, 2015) whose nodes
// hold their leaves, and in which equal subtrees are kept once.
//
//	address  | 16 bits |   IPv6, where dense: 12 bits  |   6 bits at a time
//	         direct[..] ────────> direct[..] ──────────> node ──> node ─┐
//	          └> leaf              └> leaf                └> leaf       └> leaf
//
//	node     divided 8 octets: which of the 64 parts lead to nodes; left out where none does
//	         starts  8 octets: the parts at which a leaf begins that is not equal to the one before
//	         an entry of 4 octets for each part that leads to a node
//	         a leaf of 1 to 4 octets, as the largest value needs, for each start
//
// So a part's entry or leaf is found by counting bits, mostly in the cache line that
// holds the counted bits too. What a leaf says of its width is how much wider than the
// node's part before it is divided: three bits, without regard to depth. Therefore
// subtrees in which the same values lie alike are the same octets, whatever their
// addresses, and most of them occur many times.
type trie struct {
	direct []uint32 // entries: the first 2^bits of them are looked at first
	nodes  []byte   // each at a multiple of 4, behind the nodes that it leads to
	bits   uint8
	size   uint8 // of a leaf in a node, in octets
	leaves int
}

// An entry is a leaf, its value before its width; or has leads set, and says to
// where (an offset in nodes, a multiple of 4; or 4 times an index of direct) and what is there.
const (
	leads     = 1 << 31
	ends      = 1 // a node of leaves alone
	further   = 2 // further entries
	placeMask = leads - 4

	entryWidth = 5 // bits of a leaf in an entry that are its width
	leafWidth  = 3 // bits of a leaf in a node that are its width
	stepBits   = 6
	// maxNumber is the largest value of a leaf.
	maxNumber = 1<<(31-entryWidth) - 1
)

// find returns the value and the width of the leaf that holds an address; zeros
// if the table is empty.
func (t *trie) find(k key) (value uint32, width uint8) {
	if len(t.direct) == 0 {
		return 0, 0
	}
	at := t.bits // bits of the address that are behind us
	e := t.direct[k.hi>>((64-at)&63)]
	if e&(leads|further) == leads|further {
		e = t.direct[uint64(e&placeMask>>2)+k.hi<<(at&63)>>(64-furtherBits)]
		at += furtherBits
	}
	if e < leads {
		return e >> entryWidth, uint8(e & (1<<entryWidth - 1))
	}
	hi, lo := k.from(at), k.lo<<(at&63) // what is left; at is less than 64
	for {
		node := t.nodes[e&placeMask:]
		// Shifted left by so many, a map's top bit is that of the address's part, and what is
		// left of the map are the parts up to it.
		up := 63 - hi>>(64-stepBits)
		if e&ends != 0 {
			return t.leaf(node[8:], binary.LittleEndian.Uint64(node)<<(up&63), at)
		}
		divided := binary.LittleEndian.Uint64(node)
		if int64(divided<<(up&63)) >= 0 {
			return t.leaf(node[16+4*bits.OnesCount64(divided):], binary.LittleEndian.Uint64(node[8:])<<(up&63), at)
		}
		e = binary.LittleEndian.Uint32(node[12+4*bits.OnesCount64(divided<<(up&63)):])
		hi, lo = hi<<stepBits|lo>>(64-stepBits), lo<<stepBits
		at += stepBits
	}
}

// leaf returns the last leaf of those that begin at starts, in a node of which so many bits lie before.
func (t *trie) leaf(leaves []byte, starts uint64, at uint8) (value uint32, width uint8) {
	i := (bits.OnesCount64(starts) - 1) * int(t.size)
	l := binary.LittleEndian.Uint32(leaves[i:]) & (1<<(8*t.size&63) - 1)
	return l >> leafWidth, at + 1 + uint8(l&(1<<leafWidth-1))
}

// from returns the 64 bits behind the first n, which is less than 64.
func (k key) from(n uint8) uint64 { return k.hi<<(n&63) | k.lo>>1>>((63-n)&63) }

func (t *trie) bytes() int {
	return len(t.direct)*int(unsafe.Sizeof(t.direct[0])) + len(t.nodes)
}
