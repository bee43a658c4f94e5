package health

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Finding is one vantage point's verdict on one address of a site.
type Finding struct {
	Address string // host, or host:port
	State   State
	Detail  string // what the last probe saw
}

// Combine makes one verdict on a site of the verdicts on its addresses. Both
// families of a site are given to users together, so a site whose IPv4
// addresses all fail is of no use to most of them, while IPv6 alone may well
// fail at the vantage point itself; clients fall back from it (RFC 8305).
//
//	no address known yet                         Unknown
//	all addresses down                           Down
//	all IPv4 addresses (or names) down           Down
//	some down                                    Degraded
//	some degraded                                Degraded
//	else, at least one up                        Up
func Combine(findings []Finding) (State, string) {
	var known, bad, four, badFour int
	var faults []string
	degraded := false
	for _, f := range findings {
		if f.State == Unknown {
			continue
		}
		known++
		is4 := !isIPv6(f.Address)
		if is4 {
			four++
		}
		switch f.State {
		case Down:
			bad++
			if is4 {
				badFour++
			}
		case Degraded:
			degraded = true
		default:
			continue
		}
		faults = append(faults, describeFinding(f, len(findings) > 1))
	}
	slices.Sort(faults)
	detail := strings.Join(faults, "; ")
	switch {
	case known == 0:
		return Unknown, ""
	case bad == known || four > 0 && badFour == four:
		return Down, detail
	case bad > 0 || degraded:
		return Degraded, detail
	}
	if detail == "" && len(findings) > 0 {
		detail = findings[0].Detail
	}
	return Up, detail
}

func describeFinding(f Finding, name bool) string {
	if !name {
		return f.Detail
	}
	return fmt.Sprintf("%s: %s", f.Address, f.Detail)
}

func isIPv6(address string) bool {
	if ap, err := netip.ParseAddrPort(address); err == nil {
		return ap.Addr().Unmap().Is6()
	}
	a, err := netip.ParseAddr(strings.Trim(address, "[]"))
	return err == nil && a.Unmap().Is6()
}
