package zones

import (
	"encoding/binary"

	"gslb/dnsname"
)

// lower folds ASCII upper case in place. Length octets are at most 63 and so
// never in the range of letters.
func lower(wire []byte) []byte {
	for i, c := range wire {
		wire[i] = dnsname.LowerByte(c)
	}
	return wire
}

// sameName compares names in wire form without regard to case (RFC 4343).
func sameName(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for len(a) >= 8 {
		if fold8(binary.LittleEndian.Uint64(a)) != fold8(binary.LittleEndian.Uint64(b)) {
			return false
		}
		a, b = a[8:], b[8:]
	}
	for i := range a {
		if dnsname.LowerByte(a[i]) != dnsname.LowerByte(b[i]) {
			return false
		}
	}
	return true
}

// fold8 folds the ASCII letters among eight octets to lower case, all at once:
// in each octet the top bit is made to tell whether it is one of A to Z, and
// then moved to where the cases differ.
func fold8(x uint64) uint64 {
	const top, ones = 0x8080808080808080, 0x0101010101010101
	low := x &^ top
	upper := (low + (0x80-'A')*ones) &^ (low + (0x7f-'Z')*ones) &^ x & top
	return x | upper>>2
}
