package main

import (
	"math/bits"
	"net/netip"
	"sort"
)

// sorted is what gslb had before: the leaves in order, with an index of two steps that
// leaves few of them to a binary search. IPv6 addresses are told apart by their
// first 64 bits; what lies deeper is left out here.
type sorted struct {
	starts []uint64
	values []uint64 // as wide as they were with their widths
	slots  []struct {
		base  uint32
		shift uint8
	}
	index []uint32
}

const slotBits = 12

func newSorted(leaves []network) table {
	t := new(sorted)
	for _, n := range leaves {
		hi, _ := alignedAddr(n.prefix.Addr())
		if k := len(t.starts); k > 0 && t.starts[k-1] == hi {
			continue
		}
		t.starts = append(t.starts, hi)
		t.values = append(t.values, uint64(n.cohort)<<8|uint64(n.prefix.Bits()))
	}
	t.slots = make([]struct {
		base  uint32
		shift uint8
	}, 1<<slotBits)
	holder := func(a uint64) uint32 {
		return uint32(sort.Search(len(t.starts), func(i int) bool { return t.starts[i] > a }) - 1)
	}
	for i := range t.slots {
		first := uint64(i) << (64 - slotBits)
		n := holder(first|(1<<(64-slotBits)-1)) - holder(first)
		m := min(bits.Len(uint(n)/2), 64-slotBits)
		t.slots[i].base, t.slots[i].shift = uint32(len(t.index)), uint8(64-m)
		for part := range uint64(1) << m {
			t.index = append(t.index, holder(first|part<<(64-m)>>slotBits))
		}
	}
	t.index = append(t.index, uint32(len(t.starts)-1))
	return t
}

func (t *sorted) lookup(a netip.Addr) uint32 {
	k, _ := alignedAddr(a)
	s := &t.slots[k>>(64-slotBits)]
	x := s.base + uint32(k<<slotBits>>s.shift)
	lo, hi := t.index[x], t.index[x+1]
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if t.starts[mid] <= k {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return uint32(t.values[lo])
}
