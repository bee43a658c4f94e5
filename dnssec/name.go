package dnssec

import (
	"bytes"
	"fmt"
	"strings"

	"gslb/dnsname"
)

// maxLabels is how many labels a name of 255 octets can have.
const maxLabels = 128

// labelStarts puts the places of the name's labels into starts, without the
// root, and says how many there are.
func labelStarts(name []byte, starts *[maxLabels]uint8) int {
	n := 0
	for i := 0; i < len(name) && name[i] != 0 && n < maxLabels; i += int(name[i]) + 1 {
		starts[n] = uint8(i)
		n++
	}
	return n
}

// Compare orders names canonically (RFC 4034, section 6.1): by labels from the
// right, each as a string of octets, without regard to case. The names are
// absolute and in wire form.
func Compare(a, b []byte) int {
	var as, bs [maxLabels]uint8
	n, m := labelStarts(a, &as), labelStarts(b, &bs)
	for n > 0 && m > 0 {
		n, m = n-1, m-1
		if c := compareLabels(a[as[n]:], b[bs[m]:]); c != 0 {
			return c
		}
	}
	return n - m
}

// compareLabels compares the first labels of two names.
func compareLabels(a, b []byte) int {
	n, m := int(a[0]), int(b[0])
	for i := 1; i <= n && i <= m; i++ {
		if x, y := dnsname.LowerByte(a[i]), dnsname.LowerByte(b[i]); x != y {
			return int(x) - int(y)
		}
	}
	return n - m
}

// within says whether name is apex or stands below it; both in lower case.
func within(name, apex []byte) bool {
	for {
		if bytes.Equal(name, apex) {
			return true
		}
		if len(name) <= len(apex) || name[0] == 0 {
			return false
		}
		name = name[int(name[0])+1:]
	}
}

// signedLabels is the field Labels of an RRSIG: without the root, and without
// the asterisk of a wildcard (RFC 4034, section 3.1.3).
func signedLabels(owner []byte) uint8 {
	var starts [maxLabels]uint8
	n := labelStarts(owner, &starts)
	if dnsname.IsWild(owner) {
		n--
	}
	return uint8(n)
}

// fileName gives a name as BIND writes it in the names of key files: lower
// case, and whatever is no letter, digit, hyphen or underscore as %XX.
func fileName(wire []byte) string {
	if len(wire) == 1 {
		return "."
	}
	var b strings.Builder
	for i := 0; i < len(wire) && wire[i] != 0; i += int(wire[i]) + 1 {
		for _, c := range wire[i+1 : i+1+int(wire[i])] {
			c = dnsname.LowerByte(c)
			if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		b.WriteByte('.')
	}
	return b.String()
}
