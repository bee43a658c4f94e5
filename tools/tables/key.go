package main

import "math/bits"

// key is an address of either family, left aligned in 128 bits.
type key struct{ hi, lo uint64 }

type leaf struct {
	value uint32
	bits  uint8
}

// run is a leaf with its place in the address space.
type run struct {
	start key
	leaf
}

func (r run) last() key { return r.start.last(r.bits) }

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

func (k key) compare(o key) int {
	switch {
	case k == o:
		return 0
	case k.hi < o.hi || k.hi == o.hi && k.lo < o.lo:
		return -1
	}
	return 1
}

// network returns the first address of the network of n bits around k.
func (k key) network(n uint8) key {
	m := mask(n)
	return key{k.hi &^ m.hi, k.lo &^ m.lo}
}

// minus returns the distance from o to k, which must not be before it.
func (k key) minus(o key) key {
	lo, borrow := bits.Sub64(k.lo, o.lo, 0)
	return key{k.hi - o.hi - borrow, lo}
}

// withBit sets the bit with n bits before it.
func (k key) withBit(n uint8) key {
	if n >= 64 {
		return key{k.hi, k.lo | 1<<(127-n)}
	}
	return key{k.hi | 1<<(63-n), k.lo}
}
