package geo

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Table maps every address to a number, as compactly as it goes. It never
// changes. The zero Table maps everything to 0.
type Table struct {
	both
	buildTime time.Duration
}

// TableStats describes a Table.
type TableStats struct {
	Leaves4   int           `json:"leaves4"` // networks that the IPv4 addresses are divided into
	Leaves6   int           `json:"leaves6"`
	Bytes     int           `json:"bytes"`
	BuildTime time.Duration `json:"build_time"` // how long Build took
}

// Build walks everything that db says, joined, and makes a Table of what cohort
// returns for it. db may be nil: then nothing is known of any place.
//
// cohort gets the Place of a piece of the address space and the longest of cuts
// that contains it, the zero Prefix if none does. It is called from the calling
// goroutine, once for each distinct combination of cut and what every source says,
// not for each network. Networks in cuts lose their host bits; IPv4-mapped ones
// are taken for IPv4.
//
// Neighbours with the same number merge as far as they go.
func Build(db *DB, cuts []netip.Prefix, cohort func(p Place, within netip.Prefix) uint32) *Table {
	begin := time.Now()
	if db == nil {
		db = &DB{overrides: newOverrides(nil), holes: holes()}
	}
	c := newCutter(cuts)
	t := new(Table)
	n := newNumberer(db, c.prefixes, cohort)
	for _, v4 := range [...]bool{true, false} {
		parts := []partition{db.holes.family(v4), db.overrides.family(v4)}
		for _, s := range db.sources {
			parts = append(parts, s.family(v4))
		}
		parts = append(parts, c.family(v4))
		into := t.family(v4)
		n.note(0)
		sweep(parts, func(at run, values []uint32, changed int) {
			n.note(changed)
			if at.kind == plain {
				at.value = n.number(values)
			}
			into.push(at)
		})
		into.seal()
	}
	t.buildTime = time.Since(begin)
	return t
}

// cutter holds the cuts as partitions of numbers: cuts[value-1], 0 for none.
type cutter struct {
	*both
	prefixes []netip.Prefix
}

func newCutter(cuts []netip.Prefix) cutter {
	c := cutter{prefixes: []netip.Prefix{{}}}
	seen := map[netip.Prefix]bool{}
	var networks []valued
	for _, p := range cuts {
		p, ok := normalPrefix(p)
		if !ok || seen[p] {
			continue
		}
		seen[p] = true
		networks = append(networks, valued{p, leaf{value: uint32(len(c.prefixes))}})
		c.prefixes = append(c.prefixes, p)
	}
	c.both = nested(networks)
	return c
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
		lf := t.v4.level.find(binary.BigEndian.Uint32(b[:]))
		return lf.value, lf.bits
	}
	if !a.IsValid() {
		return 0, 0
	}
	k := keyOf(a)
	if inner, before, ok := embedded(k); ok {
		lf := t.v4.level.find(inner)
		return lf.value, before + lf.bits
	}
	lf := t.v6.find(k)
	return lf.value, lf.bits
}

// Stats describes the table.
func (t *Table) Stats() TableStats {
	leaves4, bytes4 := t.v4.size()
	leaves6, bytes6 := t.v6.size()
	return TableStats{Leaves4: leaves4, Leaves6: leaves6, Bytes: bytes4 + bytes6, BuildTime: t.buildTime}
}
