package steer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"gslb/geo"
)

// matcher is a compiled Match.
//
//	a field of the rule │ the client             │ the field
//	────────────────────┼────────────────────────┼──────────
//	not set             │ anything               │ holds
//	set                 │ unknown                │ fails
//	set                 │ equals one of the list │ holds
//	set                 │ equals none            │ fails
//
// The rule matches when every field holds; a rule without fields matches
// everyone.
type matcher struct {
	match    Match
	networks map[netip.Prefix]struct{}
	bits     []int // the distinct lengths in networks, ascending
	asn      map[uint32]struct{}
}

func compileMatch(m Match) matcher {
	c := matcher{match: m}
	if len(m.Networks) > 0 {
		c.networks = make(map[netip.Prefix]struct{}, len(m.Networks))
		for _, n := range m.Networks {
			n = canonical(n)
			c.networks[n] = struct{}{}
			c.bits = append(c.bits, n.Bits())
		}
		slices.Sort(c.bits)
		c.bits = slices.Compact(c.bits)
	}
	if len(m.ASN) > 0 {
		c.asn = make(map[uint32]struct{}, len(m.ASN))
		for _, n := range m.ASN {
			c.asn[n] = struct{}{}
		}
	}
	return c
}

// canonical is the prefix with its host bits cleared, and in IPv4 when it is
// the IPv4-mapped form of one (RFC 4291 section 2.5.5.2), as clients are.
func canonical(p netip.Prefix) netip.Prefix {
	const mapped = 96
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p.Masked()
}

// matches tells whether the client matches. within is the longest of the
// policies' cuts that contains it; a network of the rule contains the client if
// and only if it contains that. When why is not nil, it is told the field that
// decided.
func (c *matcher) matches(p *geo.Place, within netip.Prefix, why *string) bool {
	m := &c.match
	switch {
	case c.bits != nil && !c.contains(within):
		explain(why, func() string {
			return fmt.Sprintf("network: client is in none of %s", list(m.Networks))
		})
	case len(m.ISP) > 0 && !containsFold(m.ISP, p.ISP, p.ASOrg, p.Organization):
		explain(why, func() string { return differs("isp", list(m.ISP), p.ISP, p.ASOrg, p.Organization) })
	case c.asn != nil && !c.inASN(p.ASN):
		explain(why, func() string {
			if p.ASN == 0 {
				return differs("asn", list(m.ASN))
			}
			return differs("asn", list(m.ASN), fmt.Sprint(p.ASN))
		})
	case len(m.City) > 0 && !containsFold(m.City, p.City):
		explain(why, func() string { return differs("city", list(m.City), p.City) })
	case len(m.Subdivision) > 0 && !inSubdivision(m.Subdivision, p):
		explain(why, func() string { return differs("subdivision", list(m.Subdivision), subdivisions(p)...) })
	case len(m.Country) > 0 && !containsFold(m.Country, p.Country):
		explain(why, func() string { return differs("country", list(m.Country), p.Country) })
	case len(m.Continent) > 0 && !containsFold(m.Continent, p.Continent):
		explain(why, func() string { return differs("continent", list(m.Continent), p.Continent) })
	default:
		explain(why, m.String)
		return true
	}
	return false
}

// contains tells whether one of the networks contains within.
func (c *matcher) contains(within netip.Prefix) bool {
	if !within.IsValid() {
		return false
	}
	for _, bits := range c.bits {
		if bits > within.Bits() {
			break
		}
		n, err := within.Addr().Prefix(bits)
		if err != nil {
			break
		}
		if _, ok := c.networks[n]; ok {
			return true
		}
	}
	return false
}

// inASN tells whether the number is known and in the list.
func (c *matcher) inASN(asn uint32) bool {
	_, ok := c.asn[asn]
	return ok && asn != 0
}

// containsFold tells whether one of the values that are known equals one of
// the list, without regard to case.
func containsFold(list []string, values ...string) bool {
	for _, v := range values {
		if v == "" {
			continue
		}
		for _, s := range list {
			if strings.EqualFold(s, v) {
				return true
			}
		}
	}
	return false
}

// inSubdivision matches "KR-11" on country and code, "11" on the code alone,
// each with the place's larger and smaller subdivision.
func inSubdivision(list []string, p *geo.Place) bool {
	for _, s := range list {
		country, code, ok := strings.Cut(s, "-")
		if !ok {
			code = s
		} else if !strings.EqualFold(country, p.Country) {
			continue
		}
		for _, have := range p.Subdivision {
			if have != "" && strings.EqualFold(code, have) {
				return true
			}
		}
	}
	return false
}

// subdivisions are the place's, in the full form of ISO 3166-2.
func subdivisions(p *geo.Place) []string {
	var full []string
	for _, code := range p.Subdivision {
		if code != "" {
			full = append(full, strings.TrimPrefix(p.Country+"-"+code, "-"))
		}
	}
	return full
}

// String returns the match as a person would write it: `isp "KT" and country "KR"`.
func (m Match) String() string {
	var parts []string
	add := func(field string, n int, values string) {
		if n > 0 {
			parts = append(parts, field+" "+values)
		}
	}
	add("network", len(m.Networks), list(m.Networks))
	add("isp", len(m.ISP), list(m.ISP))
	add("asn", len(m.ASN), list(m.ASN))
	add("city", len(m.City), list(m.City))
	add("subdivision", len(m.Subdivision), list(m.Subdivision))
	add("country", len(m.Country), list(m.Country))
	add("continent", len(m.Continent), list(m.Continent))
	if parts == nil {
		return "everyone"
	}
	return strings.Join(parts, " and ")
}

func explain(why *string, say func() string) {
	if why != nil {
		*why = say()
	}
}

// differs says what was wanted of a field and what the client has in it.
func differs(field, wanted string, have ...string) string {
	var known []string
	for _, h := range have {
		if h != "" && !slices.Contains(known, h) {
			known = append(known, h)
		}
	}
	if known == nil {
		return fmt.Sprintf("%s: wants %s, the client's is unknown", field, wanted)
	}
	return fmt.Sprintf("%s: wants %s, the client's is %s", field, wanted, strings.Join(known, ", "))
}

// list joins values for people; a long list is cut.
func list[T any](values []T) string {
	const most = 6 // fits a terminal line
	var parts []string
	for i, v := range values {
		if i == most {
			parts = append(parts, fmt.Sprintf("… (%d in all)", len(values)))
			break
		}
		parts = append(parts, fmt.Sprint(v))
	}
	return strings.Join(parts, ", ")
}
