package zones

import (
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

// key is a name as the tree is indexed: wire form, lower case (RFC 4343).
func key(wire []byte) string { return string(lower(append([]byte(nil), wire...))) }

// lower folds ASCII upper case in place. Length octets are at most 63 and so
// never in the range of letters.
func lower(wire []byte) []byte {
	for i, c := range wire {
		wire[i] = LowerByte(c)
	}
	return wire
}

// parent drops the first label of a key; the root's parent is "".
func parent(k string) string {
	if len(k) <= 1 {
		return ""
	}
	return k[1+int(k[0]):]
}

// isSub tells whether key k is at or below the key of.
func isSub(k, of string) bool {
	for len(k) > len(of) {
		k = parent(k)
	}
	return k == of
}

// labels counts the labels of a key, the root's not counted.
func labels(k string) int {
	n := 0
	for len(k) > 1 {
		k = parent(k)
		n++
	}
	return n
}

// sameName compares names in wire form without regard to case (RFC 4343).
func sameName(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if LowerByte(a[i]) != LowerByte(b[i]) {
			return false
		}
	}
	return true
}

// LowerByte folds an ASCII letter of a name to lower case (RFC 4343).
func LowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
