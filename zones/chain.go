package zones

import (
	"bytes"
	"encoding/binary"
	"iter"
	"slices"

	"gslb/dnsname"
)

// chain finds, among the names of a zone that own NSEC records, or NSEC3, the
// one that a name is covered by: the last that is not behind it in canonical
// order (RFC 4034, section 6.1).
//
// Names are compared by their keys (appendKey), whose order as octets is the
// canonical one. The keys are not kept but for a B-tree over them, of blocks of
// 16: what all keys of a block begin with, and of each key the eight octets that
// follow. So a search reads few cache lines, and the names themselves only
// where eight octets do not tell two apart.
type chain struct {
	nodes  []node  // in canonical order
	levels []level // the lowest, of all nodes, first; each one has the first names of the blocks below
	text   []byte  // what the keys of a block begin with
	first  []byte  // the key of the first node
	// chunks are the trees that a chain of many nodes is made of, so that the next
	// one can share those that have not changed; nodes and levels are of their first
	// nodes then. nil: it is all one tree.
	chunks []*chain
}

const (
	chunkSize = 1 << 12 // nodes of a chunk when it is made,
	mostChunk = 2 * chunkSize
)

// chainBytes is what a chain takes itself.
const chainBytes = 120

type level struct {
	heads  []uint64 // the eight octets of each key
	blocks []block
}

// block is 16 heads of a level, or what is left of them.
type block struct {
	text uint32 // where the keys' beginning is in chain.text,
	skip uint32 // and its length
}

const (
	blockBits = 4
	blockSize = 1 << blockBits
)

// maxKey is the longest key, and eight octets more, so that a head can be read
// behind it.
const maxKey = 2*dnsname.Max + 8

// appendKey appends the key of a name in a zone: its labels below the apex, in
// lower case, from the top down, each ended by 0. To keep that apart, 0 and 1
// become 1 1 and 1 2.
func appendKey(dst, name []byte, apexLen int) []byte {
	var starts [maxLabels + 1]uint8
	n := 0
	for at := 0; at < len(name)-apexLen && n < len(starts); at += 1 + int(name[at]) {
		starts[n] = uint8(at)
		n++
	}
	for n--; n >= 0; n-- {
		at := int(starts[n])
		dst = appendLabel(dst, name[at+1:at+1+int(name[at])])
	}
	return dst
}

func appendLabel(dst, label []byte) []byte {
	for _, c := range label {
		if c = dnsname.LowerByte(c); c <= 1 {
			dst = append(dst, 1)
			c++
		}
		dst = append(dst, c)
	}
	return append(dst, 0)
}

// appendKey appends the key of a name without its first k labels in a zone whose
// apex has so many labels.
func (n *Name) appendKey(dst []byte, k, apexLabels int) []byte {
	for i := n.labels - apexLabels - 1; i >= k; i-- {
		at := int(n.off[i])
		dst = appendLabel(dst, n.octets[at+1:at+1+int(n.octets[at])])
	}
	return dst
}

// keyHead is the eight octets of a key behind the first skip ones.
func keyHead(key []byte, skip int) uint64 {
	if skip+8 <= len(key) {
		return binary.BigEndian.Uint64(key[skip:])
	}
	var b [8]byte
	if skip < len(key) {
		copy(b[:], key[skip:])
	}
	return binary.BigEndian.Uint64(b[:])
}

// keyed is a node with its key while a chain is being made.
type keyed struct {
	head uint64
	key  []byte
	n    node
}

// sorted puts nodes into canonical order.
func (z *Zone) sorted(nodes []node) []keyed {
	text := make([]byte, 0, 16*len(nodes))
	list := make([]keyed, len(nodes))
	for i, n := range nodes {
		if cap(text)-len(text) < maxKey {
			text = make([]byte, 0, max(16*(len(nodes)-i), 1<<12))
		}
		at := len(text)
		text = appendKey(text, z.arena.owner(n), len(z.apex))
		key := text[at:len(text):len(text)]
		list[i] = keyed{keyHead(key, 0), key, n}
	}
	slices.SortFunc(list, func(a, b keyed) int {
		switch {
		case a.head < b.head:
			return -1
		case a.head > b.head:
			return 1
		}
		return bytes.Compare(a.key, b.key)
	})
	return list
}

// newChain makes the chain of nodes that are in canonical order.
func newChain(list []keyed) *chain {
	if len(list) <= mostChunk {
		return newChunk(list)
	}
	var chunks []*chain
	for len(list) > 0 {
		n := min(chunkSize, len(list))
		chunks = append(chunks, newChunk(list[:n]))
		list = list[n:]
	}
	return chainOf(chunks)
}

// chainOf joins chunks, none of them empty.
func chainOf(chunks []*chain) *chain {
	if len(chunks) == 1 {
		return chunks[0]
	}
	firsts := make([]keyed, len(chunks))
	for i, c := range chunks {
		firsts[i] = keyed{keyHead(c.first, 0), c.first, c.nodes[0]}
	}
	top := newChunk(firsts)
	top.chunks = chunks
	return top
}

// newChunk makes a chain of one tree.
func newChunk(list []keyed) *chain {
	c := new(chain)
	if len(list) == 0 {
		return c
	}
	c.first = bytes.Clone(list[0].key)
	c.nodes = make([]node, len(list))
	for i := range list {
		c.nodes[i] = list[i].n
	}
	for {
		l := level{make([]uint64, len(list)), make([]block, 0, (len(list)+blockSize-1)/blockSize)}
		firsts := make([]keyed, 0, cap(l.blocks))
		for at := 0; at < len(list); at += blockSize {
			keys := list[at:min(at+blockSize, len(list))]
			skip := commonPrefix(keys[0].key, keys[len(keys)-1].key)
			l.blocks = append(l.blocks, block{uint32(len(c.text)), uint32(skip)})
			c.text = append(c.text, keys[0].key[:skip]...)
			for i := range keys {
				l.heads[at+i] = keyHead(keys[i].key, skip)
			}
			firsts = append(firsts, keys[0])
		}
		c.levels = append(c.levels, l)
		if len(l.blocks) == 1 {
			c.text = slices.Clip(c.text)
			return c
		}
		list = firsts
	}
}

// all gives the nodes of the chain in canonical order.
func (c *chain) all() iter.Seq[node] {
	return func(yield func(node) bool) {
		for _, chunk := range c.pieces() {
			for _, n := range chunk.nodes {
				if !yield(n) {
					return
				}
			}
		}
	}
}

// pieces are the chunks; the chain itself where it is the only one.
func (c *chain) pieces() []*chain {
	if c.chunks != nil {
		return c.chunks
	}
	return []*chain{c}
}

// len is how many nodes there are.
func (c *chain) len() (n int) {
	for _, chunk := range c.pieces() {
		n += len(chunk.nodes)
	}
	return n
}

func commonPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// bytes is the memory that the chain takes.
func (c *chain) bytes() int {
	if c == nil {
		return 0
	}
	n := chainBytes + 4*cap(c.nodes) + cap(c.text) + cap(c.first) + 8*cap(c.chunks)
	for i := range c.levels {
		n += 8*cap(c.levels[i].heads) + 8*cap(c.levels[i].blocks)
	}
	for _, chunk := range c.chunks {
		n += chunk.bytes()
	}
	return n
}

// cover finds the last node whose key is not behind a key; where all are behind
// it that is the last one of all, since the chain is a ring. There must be one.
func (z *Zone) cover(key []byte) node {
	c := z.chain
	if bytes.Compare(key, c.first) < 0 {
		if c.chunks != nil {
			c = c.chunks[len(c.chunks)-1]
		}
		return c.nodes[len(c.nodes)-1]
	}
	i := c.at(z, key)
	if c.chunks != nil {
		c = c.chunks[i]
		i = c.at(z, key)
	}
	return c.nodes[i]
}

// at gives the place of the last node of a tree whose key is not behind a key; its
// first is not.
func (c *chain) at(z *Zone, key []byte) int {
	i := 0
	for l := len(c.levels) - 1; l >= 0; l-- {
		i = c.search(z, l, i, key)
	}
	return i
}

// search finds in a block of a level the last entry whose key is not behind the
// key; its first is not.
func (c *chain) search(z *Zone, l, number int, key []byte) int {
	lv := &c.levels[l]
	b := lv.blocks[number]
	skip := int(b.skip)
	low := number << blockBits // is not behind
	high := min(low+blockSize, len(lv.heads))
	if len(key) < skip || string(key[:skip]) != string(c.text[b.text:int(b.text)+skip]) {
		return high - 1 // key is behind what all of them begin with
	}
	h := keyHead(key, skip)
	for low++; low < high; {
		mid := (low + high) / 2
		behind := lv.heads[mid] > h
		if lv.heads[mid] == h {
			var room [maxKey]byte
			own := appendKey(room[:0], z.arena.owner(c.nodes[mid<<(blockBits*l)]), len(z.apex))
			behind = bytes.Compare(own, key) > 0
		}
		if behind {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low - 1
}
