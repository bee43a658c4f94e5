package main

import (
	"encoding/binary"
	"net/netip"
)

// dir24 is DIR-24-8 (Gupta, Lin, McKeown 1998): an entry for each /24, which is a
// leaf or the number of 256 entries for its addresses.
type dir24 struct {
	first []uint32
	more  []uint32
}

const divided = 1 << 31

func newDir24(leaves []network) table {
	t := &dir24{first: make([]uint32, 1<<24)}
	for _, n := range leaves {
		b := n.prefix.Addr().As4()
		at, v := binary.BigEndian.Uint32(b[:]), n.cohort<<8|uint32(n.prefix.Bits())
		if n.prefix.Bits() <= 24 {
			for i := range uint32(1) << (24 - n.prefix.Bits()) {
				t.first[at>>8+i] = v
			}
			continue
		}
		if t.first[at>>8]&divided == 0 {
			t.first[at>>8] = divided | uint32(len(t.more)/256)
			t.more = append(t.more, make([]uint32, 256)...)
		}
		base := t.first[at>>8] &^ divided * 256
		for i := range uint32(1) << (32 - n.prefix.Bits()) {
			t.more[base+at&0xff+i] = v
		}
	}
	return t
}

func (t *dir24) lookup(a netip.Addr) uint32 {
	b := a.As4()
	at := binary.BigEndian.Uint32(b[:])
	v := t.first[at>>8]
	if v&divided != 0 {
		v = t.more[v&^divided*256+at&0xff]
	}
	return v
}
