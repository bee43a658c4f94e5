package geo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"gslb/parallel"
)

// searchTree reads the nodes at the start of a MaxMind DB file: pairs of
// records, each the number of another node, or no less than the number of nodes.
type searchTree struct {
	data     []byte // the tree and at least the 16 bytes after it
	nodes    uint
	width    uint // of a node, in bytes
	dataSize uint // of the data section
	ipv4     uint // the record that all IPv4 addresses lie under
	only4    bool // there is no IPv6 in it
}

// children returns the two records of a node. In a node of 7 bytes they share
// the middle one: its upper half tops the left record, its lower half the right one.
func (t *searchTree) children(n uint) (left, right uint) {
	v := binary.BigEndian.Uint64(t.data[n*t.width:])
	switch t.width {
	case 6:
		return uint(v >> 40), uint(v >> 16 & 0xffffff)
	case 7:
		return uint(v>>36&0xf<<24 | v>>40), uint(v >> 8 & 0xfffffff)
	}
	return uint(v >> 32), uint(v & 0xffffffff)
}

// rootOfIPv4 returns the record that ::/96 lies under, which can be wider.
func (t *searchTree) rootOfIPv4() uint {
	n := uint(0)
	for i := 0; i < 96 && n < t.nodes; i++ {
		n, _ = t.children(n)
	}
	return n
}

// visit is told a network, left aligned, and the offset of its record in the data section.
type visit func(start key, bits uint8, offset uint)

// walk visits the networks of a family that have a record, in address order. The IPv4
// addresses of an IPv6 tree lie in ::/96; what else leads there is an alias and left out.
func (t *searchTree) walk(v4 bool, each visit) error {
	w := walker{searchTree: t, v4: v4, depth: 128, each: each}
	if v4 {
		w.depth = 32
		return w.under(t.ipv4, key{}, 0)
	}
	if t.only4 {
		return nil
	}
	return w.under(0, key{}, 0)
}

type walker struct {
	*searchTree
	v4    bool
	depth uint8 // of the tree
	each  visit
	count int // of networks
}

func (w *walker) under(record uint, at key, bits uint8) error {
	switch {
	case record == w.nodes:
		return nil
	case record > w.nodes:
		if record < w.nodes+separatorSize || record-w.nodes-separatorSize >= w.dataSize {
			return fmt.Errorf("network %s: %w", networkOf(at, bits, w.v4), errCorruptTree)
		}
		if !w.v4 && bits == 96 && at == (key{}) {
			return nil // all of IPv4
		}
		w.each(at, bits, record-w.nodes-separatorSize)
		if w.count++; w.count%yieldEvery == 0 {
			parallel.Yield()
		}
		return nil
	case !w.v4 && record == w.ipv4:
		return nil
	case bits == w.depth || w.v4 && record == w.ipv4 && bits > 0:
		return fmt.Errorf("network %s: invalid search tree: it goes on behind the last bit", networkOf(at, bits, w.v4))
	}
	left, right := w.children(record)
	if err := w.under(left, at, bits+1); err != nil {
		return err
	}
	return w.under(right, at.withBit(bits), bits+1)
}

var errCorruptTree = errors.New("the MaxMind DB file's search tree is corrupt")

// networkOf is for people.
func networkOf(start key, bits uint8, v4 bool) netip.Prefix {
	return netip.PrefixFrom(start.addr(v4), int(bits))
}
