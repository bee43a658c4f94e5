package main

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// bart finds the longest prefix and returns its value, to which we add the width.

type bartTable struct{ bart.Table[uint32] }

func newBart(leaves []network) table {
	t := new(bartTable)
	for _, n := range leaves {
		t.Insert(n.prefix, n.cohort<<8|uint32(n.prefix.Bits()))
	}
	return t
}

func (t *bartTable) lookup(a netip.Addr) uint32 {
	v, _ := t.Lookup(a)
	return v
}

type bartFast struct{ bart.Fast[uint32] }

func newBartFast(leaves []network) table {
	t := new(bartFast)
	for _, n := range leaves {
		t.Insert(n.prefix, n.cohort<<8|uint32(n.prefix.Bits()))
	}
	return t
}

func (t *bartFast) lookup(a netip.Addr) uint32 {
	v, _ := t.Lookup(a)
	return v
}
