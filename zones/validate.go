package zones

import (
	"fmt"
	"strings"

	"gslb/dnsname"
)

// Validate calls bad once for each fault, with the key it is in. It does not
// look at the file: ReadFile does.
func (c Config) Validate(bad func(key, msg string)) {
	if c.Name == "" {
		bad("name", `missing: must be the zone's apex, such as "abc.com."`)
	} else if name, err := CanonicalName(c.Name); err != nil {
		bad("name", err.Error())
	} else if name == "*" || strings.HasPrefix(name, "*.") {
		bad("name", fmt.Sprintf("%q: a zone's apex can't be a wildcard", c.Name))
	}
	switch c.Serial {
	case "", KeepSerial, IncrementSerial, UnixTimeSerial:
	default:
		bad("serial", fmt.Sprintf("%q: must be %q, %q or %q", c.Serial, KeepSerial, IncrementSerial, UnixTimeSerial))
	}
	if c.File == "" {
		bad("file", "missing: must be the zone's master file (RFC 1035)")
	}
}

// CanonicalName returns a domain name that a person wrote in the configuration
// as it is used everywhere: absolute and in lower case (RFC 4343). A missing
// final dot is taken as forgotten. Unlike ParseName it refuses what DNS can
// carry but nobody means: blanks, control characters and letters beyond ASCII.
func CanonicalName(s string) (string, error) {
	if isPlain(s) {
		return strings.TrimSuffix(s, ".") + ".", nil
	}
	escaped := false
	for _, r := range s {
		switch {
		case r > 0x7e:
			return "", fmt.Errorf("%q: must be in ASCII; write an international name in its xn-- form", s)
		case r < ' ', r == ' ' && !escaped:
			return "", fmt.Errorf("%q: must be a domain name, without blanks", s)
		}
		escaped = r == '\\' && !escaped
	}
	wire, err := dnsname.Parse(s)
	if err != nil {
		if s == "" || strings.Contains(strings.TrimSuffix(s, "."), "..") || strings.HasPrefix(s, ".") {
			return "", fmt.Errorf("%q: must be a domain name, no label empty", s)
		}
		return "", fmt.Errorf("%q: must be a domain name: labels of 1 to 63 octets, 255 in all, and \\000 to \\255 where octets are given as numbers", s)
	}
	return dnsname.Format(lower(wire)), nil
}

// isPlain tells whether a name is certainly one, and in lower case: of letters,
// digits, hyphens and underscores, as nearly all are.
func isPlain(s string) bool {
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			if label++; label > 63 {
				return false
			}
		default:
			return false
		}
	}
	return s != "" && len(s) <= 253
}
