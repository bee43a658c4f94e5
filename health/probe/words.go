package probe

import (
	"net/netip"
	"strings"
	"unicode"
)

// printable makes one bounded line of what somebody else wrote.
func printable(s string) string {
	const bound = 200
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > bound {
		s = strings.ToValidUTF8(s[:bound], "") + "…"
	}
	return strings.TrimSpace(s)
}

func addrText(b [16]byte) string { return netip.AddrFrom16(b).String() }

// parseAddr is an address in its one form.
func parseAddr(s string) (string, bool) {
	a, err := netip.ParseAddr(s)
	return a.String(), err == nil
}
