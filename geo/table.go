package geo

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Table maps every address to a number, for look-ups that are fast. It never
// changes. The zero Table maps everything to 0.
type Table struct {
	v4, v6    trie
	buildTime time.Duration
}

// TableStats describes a Table.
type TableStats struct {
	Leaves4   int           `json:"leaves4"` // networks that the IPv4 addresses are divided into
	Leaves6   int           `json:"leaves6"`
	Bytes     int           `json:"bytes"`
	BuildTime time.Duration `json:"build_time"` // of it and of all that were built with it
}

// Lookup returns the number of an address and the width in bits of the leaf
// around it, in the address's own family: all addresses that share so many bits
// with it have the same number, and 0 means the whole family.
//
// An IPv4-mapped address counts as an IPv4 address, its bits too. Addresses of
// 6to4, NAT64 and Teredo are looked up by the IPv4 address within; their bits
// count in the IPv6 address. An invalid address gets 0, 0.
func (t *Table) Lookup(a netip.Addr) (value uint32, bits uint8) {
	if a.Is4() || a.Is4In6() {
		b := a.As4()
		return t.v4.find(key4(binary.BigEndian.Uint32(b[:])))
	}
	if !a.IsValid() {
		return 0, 0
	}
	k := keyOf(a)
	if inner, before, ok := embedded(k); ok {
		value, bits = t.v4.find(key4(inner))
		return value, before + bits
	}
	return t.v6.find(k)
}

// Stats describes the table.
func (t *Table) Stats() TableStats {
	return TableStats{Leaves4: t.v4.leaves, Leaves6: t.v6.leaves, Bytes: t.v4.bytes() + t.v6.bytes(), BuildTime: t.buildTime}
}

func (t *Table) family(v4 bool) *trie {
	if v4 {
		return &t.v4
	}
	return &t.v6
}
