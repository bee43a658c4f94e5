package geo

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// key is an address of either family, left aligned in 128 bits: 10.0.0.0 is
// 0x0a followed by zeros. So one algorithm serves both families.
type key struct{ hi, lo uint64 }

// lastKey ends the address space of both families.
var lastKey = key{^uint64(0), ^uint64(0)}

// keyOf expects an IPv4 or an IPv6 address; an IPv4-mapped one counts as IPv6.
func keyOf(a netip.Addr) key {
	if a.Is4() {
		b := a.As4()
		return key4(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func key4(a uint32) key { return key{hi: uint64(a) << 32} }

// mask returns the host bits of a network of that width: the bits after the first n.
func mask(n uint8) key {
	if n >= 64 {
		return key{lo: ^uint64(0) >> (n - 64)}
	}
	return key{^uint64(0) >> n, ^uint64(0)}
}

// last returns the last address of the network of n bits that starts at k.
func (k key) last(n uint8) key {
	m := mask(n)
	return key{k.hi | m.hi, k.lo | m.lo}
}

// next returns the address after k; after the last one comes zero.
func (k key) next() key {
	lo, carry := bits.Add64(k.lo, 1, 0)
	return key{k.hi + carry, lo}
}

// prev returns the address before k; before zero comes the last one.
func (k key) prev() key {
	lo, borrow := bits.Sub64(k.lo, 1, 0)
	return key{k.hi - borrow, lo}
}

func (k key) compare(o key) int {
	switch {
	case k == o:
		return 0
	case k.hi < o.hi || k.hi == o.hi && k.lo < o.lo:
		return -1
	}
	return 1
}

// block returns the width of the largest network that starts at k and does not
// reach beyond last.
func (k key) block(last key) uint8 {
	n := uint8(0)
	switch {
	case k.lo != 0:
		n = uint8(128 - bits.TrailingZeros64(k.lo))
	case k.hi != 0:
		n = uint8(64 - bits.TrailingZeros64(k.hi))
	}
	for k.last(n).compare(last) > 0 {
		n++
	}
	return n
}

// bit returns the bit with n bits before it.
func (k key) bit(n uint8) bool {
	if n >= 64 {
		return k.lo>>(127-n)&1 == 1
	}
	return k.hi>>(63-n)&1 == 1
}

// withBit sets the bit with n bits before it.
func (k key) withBit(n uint8) key {
	if n >= 64 {
		return key{k.hi, k.lo | 1<<(127-n)}
	}
	return key{k.hi | 1<<(63-n), k.lo}
}

// addr is the address that keyOf makes k of.
func (k key) addr(v4 bool) netip.Addr {
	if v4 {
		return addr4(uint32(k.hi >> 32))
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	return netip.AddrFrom16(b)
}

// prefixOf returns the network of n bits around a.
func prefixOf(a netip.Addr, n uint8) netip.Prefix {
	p, err := a.WithZone("").Prefix(int(n))
	if err != nil {
		return netip.Prefix{} // unreachable: n is a leaf's width, at most a's own
	}
	return p
}
