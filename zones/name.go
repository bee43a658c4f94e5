package zones

import (
	"encoding/binary"
	"fmt"

	"github.com/miekg/dns"
)

// maxName is the longest name in wire form, in octets (RFC 1035, section 2.3.4).
const maxName = 255

// ParseName turns a name in presentation form into wire form, in the letters'
// own case. A relative name is taken as absolute.
func ParseName(s string) ([]byte, error) {
	if s == "" {
		return nil, fmt.Errorf("empty name")
	}
	buf := make([]byte, maxName+1)
	n, err := dns.PackDomainName(dns.Fqdn(s), buf, 0, nil, false)
	if err != nil || n > maxName {
		return nil, fmt.Errorf("%q is not a domain name: labels are 1 to 63 octets, the whole name at most 255", s)
	}
	return buf[:n:n], nil
}

// FormatName gives a wire-form name in presentation form.
func FormatName(wire []byte) string {
	s, _, err := dns.UnpackDomainName(wire, 0)
	if err != nil {
		return fmt.Sprintf("\\# %d %x", len(wire), wire)
	}
	return s
}

// lower folds ASCII upper case in place. Length octets are at most 63 and so
// never in the range of letters.
func lower(wire []byte) []byte {
	for i, c := range wire {
		wire[i] = LowerByte(c)
	}
	return wire
}

// isWild tells whether the first label of a name is "*".
func isWild(wire []byte) bool { return len(wire) > 2 && wire[0] == 1 && wire[1] == '*' }

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
		if LowerByte(a[i]) != LowerByte(b[i]) {
			return false
		}
	}
	return true
}

// NameLen is the length of the uncompressed name in wire form that b begins
// with; -1: there is none.
func NameLen(b []byte) int {
	for n := 0; n < len(b); n += 1 + int(b[n]) {
		switch {
		case n >= maxName:
			return -1
		case b[n] == 0:
			return n + 1
		case b[n] > 63:
			return -1
		}
	}
	return -1
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

// LowerByte folds an ASCII letter of a name to lower case (RFC 4343).
func LowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
