// Package dnsname knows domain names by themselves (RFC 1035, section 3.1):
// between presentation form and uncompressed wire form, and without regard to
// case (RFC 4343). It knows nothing of messages, zones or keys.
package dnsname

import (
	"fmt"

	"github.com/miekg/dns"
)

// Max is the longest name in wire form, in octets (RFC 1035, section 2.3.4).
const Max = 255

// Parse turns a name in presentation form into wire form, in the letters' own
// case. A relative name is taken as absolute.
func Parse(s string) ([]byte, error) {
	if s == "" {
		return nil, fmt.Errorf("empty name")
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		if d := s[i+1:]; len(d) >= 3 && isDigit(d[0]) && isDigit(d[1]) && isDigit(d[2]) && d[:3] > "255" { // the library takes it modulo 256
			return nil, fmt.Errorf("%q is not a domain name: \\%s is no octet, these are \\000 to \\255", s, d[:3])
		}
		i++ // what is escaped escapes nothing
	}
	buf := make([]byte, Max+1)
	n, err := dns.PackDomainName(dns.Fqdn(s), buf, 0, nil, false)
	if err != nil || n > Max {
		return nil, fmt.Errorf("%q is not a domain name: labels are 1 to 63 octets, the whole name at most 255", s)
	}
	return buf[:n:n], nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// Format gives a wire-form name in presentation form.
func Format(wire []byte) string {
	s, _, err := dns.UnpackDomainName(wire, 0)
	if err != nil {
		return fmt.Sprintf("\\# %d %x", len(wire), wire)
	}
	return s
}

// Len is the length of the uncompressed name in wire form that b begins with;
// -1: there is none.
func Len(b []byte) int {
	for n := 0; n < len(b); n += 1 + int(b[n]) {
		switch {
		case n >= Max:
			return -1
		case b[n] == 0:
			return n + 1
		case b[n] > 63:
			return -1
		}
	}
	return -1
}

// IsWild tells whether the first label of a name is "*" (RFC 4592, section 2.1.1).
func IsWild(wire []byte) bool { return len(wire) > 2 && wire[0] == 1 && wire[1] == '*' }

// LowerByte folds an ASCII letter of a name to lower case. Length octets are at
// most 63 and so never in the range of letters.
func LowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// AppendLower appends a name in lower case.
func AppendLower(dst, wire []byte) []byte {
	for _, c := range wire {
		dst = append(dst, LowerByte(c))
	}
	return dst
}
