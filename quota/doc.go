// Package quota holds how much each of many may have, in tables of a fixed size
// that all goroutines share without a lock: Rates bounds how often something is
// done, Counts how many are held at once. Who is counted is a number, mostly a
// hash of a network (Network).
//
// Both tables are sets of four words, of which one is found by the low bits of
// the number and known by the high ones. Where all four are in use the one that
// matters least is forgotten, or the newcomer is not counted: who floods a table
// with new numbers gets no further than that, and takes no memory.
package quota

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
)

// ways is how many places a number may have in a table.
const ways = 4

// Key mixes numbers into one that cannot be foreseen without its secret. The
// zero Key has no secret.
type Key [2]uint64

// NewKey returns a Key with a secret of its own.
func NewKey() Key { return Key{rand.Uint64(), rand.Uint64()} } // seeded by the system, ChaCha8

// Mix mixes a further number x into h, which is 0 at first.
func (k *Key) Mix(h, x uint64) uint64 {
	hi, lo := bits.Mul64(h^x^k[0], x^k[1])
	return hi ^ lo
}

// Network is the network of an address as a number: its first bits4 bits if it
// is IPv4 or IPv4-mapped, else its first bits6, of which 64 count at most.
func Network(a netip.Addr, bits4, bits6 int) uint64 {
	if a.Is4() || a.Is4In6() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:])) >> (32 - bits4)
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8])>>(64-bits6) | 1<<63
}
