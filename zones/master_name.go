package zones

import (
	"bytes"

	"gslb/dnsname"
)

// appendName appends a name in wire form, the letters as written; a relative
// one is below origin (RFC 1035, section 5.1). flaw tells why it is no name,
// "": it is one.
func appendName(dst, s, origin []byte, escaped bool) (out []byte, flaw string) {
	if len(s) == 1 && s[0] == '@' {
		return append(dst, origin...), ""
	}
	if len(s) == 1 && s[0] == '.' {
		return append(dst, 0), ""
	}
	if escaped {
		return appendEscapedName(dst, s, origin)
	}
	if len(s) > dnsname.Max {
		return dst, longName
	}
	start := len(dst)
	// Each dot becomes the length of the label behind it.
	dst = append(append(dst, 0), s...)
	at := start
	for i := start + 1; i < len(dst); i++ {
		if dst[i] != '.' {
			continue
		}
		if flaw = labelFlaw(i - at - 1); flaw != "" {
			return dst[:start], flaw
		}
		dst[at], at = byte(i-at-1), i
	}
	return closeName(dst, start, at, origin)
}

// closeName ends the name at start, whose last label's length stands at at.
func closeName(dst []byte, start, at int, origin []byte) (out []byte, flaw string) {
	if n := len(dst) - at - 1; n == 0 {
		if at == start {
			return dst[:start], labelFlaw(0)
		}
		dst[at] = 0 // the name ended in a dot: it is absolute
	} else {
		if flaw = labelFlaw(n); flaw != "" {
			return dst[:start], flaw
		}
		dst[at] = byte(n)
		dst = append(dst, origin...)
	}
	if len(dst)-start > dnsname.Max {
		return dst[:start], longName
	}
	return dst, ""
}

const longName = "is too long for a name: at most 255 octets, its origin counted"

// labelFlaw tells what is wrong with the length of a label.
func labelFlaw(n int) string {
	switch {
	case n == 0:
		return "is not a name: two dots with nothing between them, or a dot in front"
	case n > 63:
		return "has a label that is too long: at most 63 octets from dot to dot"
	}
	return ""
}

func appendEscapedName(dst, s, origin []byte) (out []byte, flaw string) {
	start, at := len(dst), len(dst)
	dst = append(dst, 0)
	for len(s) > 0 {
		if s[0] == '.' {
			if flaw = labelFlaw(len(dst) - at - 1); flaw != "" {
				return dst[:start], flaw
			}
			dst[at], at = byte(len(dst)-at-1), len(dst)
			dst, s = append(dst, 0), s[1:]
			continue
		}
		c, n, flaw := unescape(s)
		if flaw != "" {
			return dst[:start], flaw
		}
		dst, s = append(dst, c), s[n:]
	}
	return closeName(dst, start, at, origin)
}

// unescape reads one character of a text, which may be \X or \DDD (RFC 1035, section 5.1); n is how many octets that took.
func unescape(s []byte) (c byte, n int, flaw string) {
	switch {
	case s[0] != '\\':
		return s[0], 1, ""
	case len(s) < 2:
		return 0, 0, `ends in a \ that has nothing to stand in front of`
	case !isDigit(s[1]):
		return s[1], 2, ""
	case len(s) < 4 || !isDigit(s[2]) || !isDigit(s[3]):
		return 0, 0, `has a \ with less than three digits: \DDD is an octet in decimal, such as \032`
	}
	v := int(s[1]-'0')*100 + int(s[2]-'0')*10 + int(s[3]-'0')
	if v > 255 {
		return 0, 0, `has a \DDD above \255`
	}
	return byte(v), 4, ""
}

// appendText appends a text with its escapes resolved.
func appendText(dst, s []byte, escaped bool) (out []byte, flaw string) {
	if !escaped {
		return append(dst, s...), ""
	}
	for len(s) > 0 {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			i = len(s)
		}
		dst, s = append(dst, s[:i]...), s[i:]
		if len(s) == 0 {
			break
		}
		c, n, flaw := unescape(s)
		if flaw != "" {
			return dst, flaw
		}
		dst, s = append(dst, c), s[n:]
	}
	return dst, ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
