// Package networks tells what is configured for the network of an address: which
// of several lists of networks hold it, and whether it may come in.
package networks

import (
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

// A Range is addresses of one family, from First to Last.
type Range struct{ First, Last netip.Addr }

// Where returns the addresses that have a value of which is reports true: sorted, IPv4 first,
// each Range as long as can be.
func (r *Ranges[T]) Where(is func(T) bool) (out []Range) {
	add := func(first, last netip.Addr) {
		if n := len(out); n > 0 && out[n-1].Last.Next() == first {
			out[n-1].Last = last
			return
		}
		out = append(out, Range{first, last})
	}
	for i, k := range r.v4 {
		if !is(r.of4[i]) {
			continue
		}
		last := ^uint32(0)
		if i+1 < len(r.v4) {
			last = r.v4[i+1] - 1
		}
		add(addr4(k), addr4(last))
	}
	for i, k := range r.v6 {
		if !is(r.of6[i]) {
			continue
		}
		last := [2]uint64{^uint64(0), ^uint64(0)}
		if i+1 < len(r.v6) {
			next := r.v6[i+1]
			low, borrow := bits.Sub64(next[1], 1, 0)
			last = [2]uint64{next[0] - borrow, low}
		}
		add(addr6(k), addr6(last))
	}
	return out
}

func addr4(k uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, k)))
}

func addr6(k [2]uint64) netip.Addr {
	return netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, k[0]), k[1])))
}

// Allowed returns a function that tells whether an address may come in. The longest network of
// allow and deny that holds it decides (of the same in both, allow). What
// neither holds may, unless something is listed in allow.
func Allowed(allow, deny []netip.Prefix) func(netip.Addr) bool {
	network := AllowedNetwork(allow, deny)
	return func(a netip.Addr) bool { return network(netip.PrefixFrom(a, a.BitLen())) }
}

// AllowedNetwork is Allowed for whole networks: the longest network of allow and deny that
// holds all of it decides, whatever they say of parts of it.
func AllowedNetwork(allow, deny []netip.Prefix) func(netip.Prefix) bool {
	rules := make(map[netip.Prefix]bool, len(allow)+len(deny))
	lengths := map[bool][]int{} // of the networks of each family, true: IPv4; the longest first
	list := func(networks []netip.Prefix, allowed bool) {
		for _, p := range networks {
			rules[p.Masked()] = allowed
			v4 := p.Addr().Is4()
			if i, found := slices.BinarySearchFunc(lengths[v4], p.Bits(), func(has, want int) int { return want - has }); !found {
				lengths[v4] = slices.Insert(lengths[v4], i, p.Bits())
			}
		}
	}
	list(deny, false)
	list(allow, true)
	return func(n netip.Prefix) bool {
		for _, length := range lengths[n.Addr().Is4()] {
			if length > n.Bits() {
				continue
			}
			p, _ := n.Addr().Prefix(length)
			if allowed, found := rules[p]; found {
				return allowed
			}
		}
		return len(allow) == 0
	}
}

// Holds tells whether one of networks holds a.
func Holds(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}
