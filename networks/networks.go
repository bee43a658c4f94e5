// Package networks tells what is configured for the network of an address: which
// of several lists of networks hold it, and whether it may come in.
package networks

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"sort"
)

// Ranges is a value for each address: the addresses of each family are divided
// into ranges, sorted by where they begin, that all have the same. It never
// changes. IPv4-mapped addresses are IPv4.
type Ranges[T any] struct {
	v4  []uint32
	v6  [][2]uint64
	of4 []T // of each range
	of6 []T
}

// New makes the Ranges of a function that gives the same for all addresses which
// the same of these networks hold.
func New[T any](networks []netip.Prefix, of func(netip.Addr) T) *Ranges[T] {
	starts := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	for _, p := range networks {
		starts = append(starts, p.Masked().Addr())
		if next := last(p).Next(); next.IsValid() {
			starts = append(starts, next)
		}
	}
	slices.SortFunc(starts, netip.Addr.Compare)
	r := new(Ranges[T])
	for _, a := range slices.Compact(starts) {
		if a.Is4() {
			r.v4, r.of4 = append(r.v4, key4(a)), append(r.of4, of(a))
		} else {
			r.v6, r.of6 = append(r.v6, key6(a)), append(r.of6, of(a))
		}
	}
	return r
}

// last is the last address of a network.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// At returns what an address has.
func (r *Ranges[T]) At(a netip.Addr) T {
	if a = a.Unmap(); a.Is4() {
		k := key4(a)
		return r.of4[sort.Search(len(r.v4), func(i int) bool { return r.v4[i] > k })-1]
	}
	k := key6(a)
	return r.of6[sort.Search(len(r.v6), func(i int) bool { return above(r.v6[i], k) })-1]
}

func key4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func key6(a netip.Addr) [2]uint64 {
	b := a.As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
}

func above(a, b [2]uint64) bool {
	_, borrow := bits.Sub64(b[1], a[1], 0)
	_, borrow = bits.Sub64(b[0], a[0], borrow)
	return borrow != 0
}

// Allowed returns a function that tells whether an address may come in. The longest network of
// allow and deny that holds it decides (of the same in both, allow). What
// neither holds may, unless something is listed in allow.
func Allowed(allow, deny []netip.Prefix) func(netip.Addr) bool {
	type rule struct {
		netip.Prefix
		allow bool
	}
	var rules []rule
	for _, p := range allow {
		rules = append(rules, rule{p, true})
	}
	for _, p := range deny {
		rules = append(rules, rule{p, false})
	}
	slices.SortStableFunc(rules, func(a, b rule) int { return cmp.Compare(b.Bits(), a.Bits()) })
	return func(a netip.Addr) bool {
		if i := slices.IndexFunc(rules, func(r rule) bool { return r.Contains(a) }); i >= 0 {
			return rules[i].allow
		}
		return len(allow) == 0
	}
}

// Holds tells whether one of networks holds a.
func Holds(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}
