package geo

import (
	"encoding/binary"
	"net/netip"
)

// The ranges of IPv6 addresses that hold an IPv4 address, by which they are
// looked up. In the IPv6 partitions they are holes.
//
//	range           RFC    the IPv4 address      looked up as
//	::ffff:0:0/96   4291   last 32 bits          an IPv4 address altogether
//	64:ff9b::/96    6052   last 32 bits          96 + width
//	2001::/32       4380   last 32 bits, negated 96 + width
//	2002::/16       3056   the 32 bits after 16  16 + width
const (
	nat64Upper   = 0x0064_ff9b_0000_0000
	teredoUpper  = 0x2001_0000
	sixToFourTop = 0x2002
)

var embeddedRanges = [...]netip.Prefix{
	netip.PrefixFrom(netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff}), 96),
	netip.PrefixFrom(netip.AddrFrom16([16]byte{0, 0x64, 0xff, 0x9b}), 96),
	netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01}), 32),
	netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x02}), 16),
}

// embedded returns the IPv4 address within an IPv6 address and the number of
// bits before it.
func embedded(k key) (a uint32, before uint8, ok bool) {
	switch {
	case k.hi>>48 == sixToFourTop:
		return uint32(k.hi >> 16), 16, true
	case k.hi>>32 == teredoUpper:
		return ^uint32(k.lo), 96, true
	case k.hi == nat64Upper && k.lo>>32 == 0:
		return uint32(k.lo), 96, true
	}
	return 0, 0, false
}

// Inner returns the IPv4 address by which a 6to4, NAT64 or Teredo address is
// looked up, and the number of bits before it. Any other address is its own, with
// none before it; an IPv4-mapped one becomes IPv4.
//
// Where the bits after a client's prefix are zero, and the prefix is too short
// to hold the IPv4 address, what is returned is not one that anybody has.
func Inner(a netip.Addr) (inner netip.Addr, before uint8) {
	if a = a.Unmap(); !a.Is6() {
		return a, 0
	}
	if v4, before, ok := embedded(keyOf(a)); ok {
		return addr4(v4), before
	}
	return a, 0
}

// addr4 is the address in the form embedded returns it.
func addr4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, a)))
}

// holes are the partitions that keep the IPv6 ranges above apart.
func holes() *both {
	networks := make([]valued, len(embeddedRanges))
	for i, r := range embeddedRanges {
		networks[i] = valued{r, leaf{hole: true}}
	}
	return nested(networks)
}
