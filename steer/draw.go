package steer

import (
	"math"
	"math/bits"
	"net/netip"
)

// The widths of the client network that picks consult: what RFC 7871 section
// 11.1 recommends resolvers to send, so two clients of one network agree.
const (
	networkBits4 = 24
	networkBits6 = 56
)

// network is the number that stands for the client's /24 or /56, and the width
// consulted. The zero Addr is one network of its own, of no width.
func network(a netip.Addr) (key uint64, width uint8) {
	switch {
	case a.Is4() || a.Is4In6():
		b := a.As16()
		return 4<<56 | uint64(b[12])<<16 | uint64(b[13])<<8 | uint64(b[14]), networkBits4
	case a.IsValid():
		b := a.As16()
		// 56 bits leave the top byte for the family.
		return 6<<56 | uint64(b[0])<<48 | uint64(b[1])<<40 | uint64(b[2])<<32 | uint64(b[3])<<24 |
			uint64(b[4])<<16 | uint64(b[5])<<8 | uint64(b[6]), networkBits6
	}
	return 0, 0
}

// phi is 2^64 divided by the golden ratio: its multiples, and those of its
// upper half, are spread as evenly as multiples can be.
const phi = 0x9E3779B97F4A7C15

// mix is the finalizer of SplitMix64: each bit of x flips half of the result's.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xBF58476D1CE4E5B9
	x ^= x >> 27
	x *= 0x94D049BB133111EB
	return x ^ x>>31
}

// hashString is FNV-1a, mixed. It is the same on every node and in every run.
func hashString(s string) uint64 {
	h := uint64(0xCBF29CE484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001B3
	}
	return mix(h)
}

// cost is -log2(u/2^64) in units of 2^-26, at least 1 and below 2^33. With u
// drawn evenly, cost/weight is exponential with rate weight, so the least of
// several is each with a chance in proportion to its weight: rendezvous hashing
// by weight. It is in integers so that all nodes agree to the last bit, and
// never grows with u.
func cost(u uint64) uint64 {
	zeros := bits.LeadingZeros64(u | 1)
	mantissa := u << zeros << 1 // the fraction f of u = 2^(63-zeros) * (1+f)
	i, rest := mantissa>>56, mantissa>>24&0xFFFFFFFF
	from := uint64(log2Table[i])
	to := uint64(log2Table[i+1])
	log := from + (to-from)*rest>>32
	return uint64(zeros+1)<<26 - min(log, 1<<26-1)
}

// log2Table holds log2(1+i/256) in units of 2^-26. It is a constant.
var log2Table = func() (t [257]uint32) {
	for i := range t {
		t[i] = uint32(math.Round(math.Log2(1+float64(i)/256) * (1 << 26)))
	}
	return t
}()
