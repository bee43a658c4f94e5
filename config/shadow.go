package config

import (
	"net/netip"
	"slices"
	"strings"
)

// coveredBy finds the rules before the n-th that take all clients that it could
// match; nil: none do. Each value of one of its matchers may be taken by another rule:
//
//	earlier rules                       a later rule                never matches
//	country = ["KR", "CN"]              country = ["KR"]            yes
//	country = ["KR"]                    country = ["KR"], isp       yes
//	country = ["KR"]                    subdivision = ["KR-11"]     yes
//	country = ["KR"]; country = ["CN"]  country = ["KR", "CN"]      yes
//	network = ["10.0.0.0/8"]            network = ["10.1.0.0/16"]   yes
//	country = ["KR"], isp = ["KT"]      country = ["KR"]            no
//	isp = ["KT"]                        asn = [4766]                not known without the databases
func coveredBy(rules []SteerRule, n int) []int {
	later := rules[n]
	earlier := func(r SteerRule) int {
		return slices.IndexFunc(rules[:n], func(e SteerRule) bool { return e.covers(r) })
	}
	if i := earlier(later); i >= 0 {
		return []int{i}
	}
	for _, parts := range later.parts() {
		var by []int
		for _, part := range parts {
			i := earlier(part)
			if i < 0 {
				by = nil
				break
			}
			if !slices.Contains(by, i) {
				by = append(by, i)
			}
		}
		if by != nil {
			slices.Sort(by)
			return by
		}
	}
	return nil
}

// parts takes the rule apart by each of its matchers in turn: into rules that have
// one of its values each, and together match the same clients.
func (r SteerRule) parts() (all [][]SteerRule) {
	each := func(n int, only func(*SteerRule, int)) {
		if n < 2 {
			return
		}
		var parts []SteerRule
		for i := range n {
			part := r
			only(&part, i)
			parts = append(parts, part)
		}
		all = append(all, parts)
	}
	each(len(r.ISP), func(p *SteerRule, i int) { p.ISP = r.ISP[i : i+1] })
	each(len(r.ASN), func(p *SteerRule, i int) { p.ASN = r.ASN[i : i+1] })
	each(len(r.City), func(p *SteerRule, i int) { p.City = r.City[i : i+1] })
	each(len(r.Subdivision), func(p *SteerRule, i int) { p.Subdivision = r.Subdivision[i : i+1] })
	each(len(r.Country), func(p *SteerRule, i int) { p.Country = r.Country[i : i+1] })
	each(len(r.Continent), func(p *SteerRule, i int) { p.Continent = r.Continent[i : i+1] })
	each(len(r.Network), func(p *SteerRule, i int) { p.Network = r.Network[i : i+1] })
	return all
}

// covers tells whether e matches every client that r matches, as far as the rules alone say.
func (e SteerRule) covers(r SteerRule) bool {
	return within(e.ISP, r.ISP, strings.EqualFold) &&
		within(e.ASN, r.ASN, func(a, b uint32) bool { return a == b }) &&
		within(e.City, r.City, strings.EqualFold) &&
		within(e.Subdivision, r.Subdivision, coversSubdivision) &&
		(within(e.Country, r.Country, strings.EqualFold) || within(e.Country, r.Subdivision, coversCountryOf)) &&
		within(e.Continent, r.Continent, strings.EqualFold) &&
		within(e.Network, r.Network, func(a, b netip.Prefix) bool { return a.Bits() <= b.Bits() && a.Contains(b.Addr()) })
}

// within tells whether a matcher lets every client through that the other one
// lets through: it is not written, or has something for each value of the other.
func within[T any](outer, inner []T, covers func(outer, inner T) bool) bool {
	if len(outer) == 0 {
		return true
	}
	if len(inner) == 0 {
		return false
	}
	for _, v := range inner {
		if !slices.ContainsFunc(outer, func(o T) bool { return covers(o, v) }) {
			return false
		}
	}
	return true
}

// coversSubdivision: "11" is that of any country.
func coversSubdivision(outer, inner string) bool {
	if !strings.Contains(outer, "-") {
		inner = inner[strings.LastIndexByte(inner, '-')+1:]
	}
	return strings.EqualFold(outer, inner)
}

func coversCountryOf(country, subdivision string) bool {
	of, _, ok := strings.Cut(subdivision, "-")
	return ok && strings.EqualFold(country, of)
}
