package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"gslb/parallel"
	"gslb/zones"
)

// sum tells sets of records apart, whatever their order: it is the sum, modulo
// 2^256, of the SHA-256 digests of the records, so that a change of a few records
// changes it without a look at the others. It guards against what went wrong, not
// against who can write the files that it stands in.
type sum [4]uint64

func (s *sum) add(r zones.RR) {
	d := sha256.Sum256([]byte(recordKey(r)))
	var carry uint64
	for i := range s {
		s[i], carry = bits.Add64(s[i], binary.BigEndian.Uint64(d[8*i:]), carry)
	}
}

func (s *sum) remove(r zones.RR) {
	d := sha256.Sum256([]byte(recordKey(r)))
	var borrow uint64
	for i := range s {
		s[i], borrow = bits.Sub64(s[i], binary.BigEndian.Uint64(d[8*i:]), borrow)
	}
}

// change is the sum after a change.
func (s *sum) change(c *change) {
	s.remove(c.before)
	s.add(c.after)
	for _, r := range c.removed {
		s.remove(r)
	}
	for _, r := range c.added {
		s.add(r)
	}
}

func sumOf(list []zones.RR) (s sum) {
	for _, r := range list {
		s.add(r)
	}
	return s
}

func sumOfZone(z *zones.Zone) (s sum) {
	for owner, set := range z.Walk() {
		for r := range set.Of(owner) {
			s.add(r)
		}
		parallel.Yield()
	}
	return s
}

func (s sum) bytes() (b [sha256.Size]byte) {
	for i := range s {
		binary.BigEndian.PutUint64(b[8*i:], s[i])
	}
	return b
}

func sumFrom(b []byte) (s sum) {
	for i := range s {
		s[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return s
}
