package geo

import (
	"net/netip"
	"strings"
)

// overrides are Config.Overrides compiled: networks to numbers of places, 0 for none.
type overrides struct {
	*both
	places *places
}

// newOverrides expects a valid Config. Should a network stand there twice all
// the same, the first one wins.
func newOverrides(list []Override) overrides {
	o := overrides{places: newPlaces()}
	seen := map[netip.Prefix]bool{}
	var networks []valued
	for _, v := range list {
		number := o.places.add(v.Place.Place())
		for _, n := range v.Networks {
			if n, ok := normalPrefix(n); ok && !seen[n] {
				seen[n] = true
				networks = append(networks, valued{n, leaf{value: number}})
			}
		}
	}
	o.places.seal()
	o.both = nested(networks)
	return o
}

// Place returns the Place that is written down, with the continent of its country.
func (c PlaceConfig) Place() Place {
	p := Place{
		Continent: c.Continent,
		Country:   c.Country,
		City:      c.City,
		ASN:       c.ASN,
		ISP:       c.ISP,
	}
	if c.Subdivision != "" {
		p.Subdivision[0] = c.Subdivision[strings.LastIndexByte(c.Subdivision, '-')+1:]
	}
	if len(c.Location) == 2 {
		p.Location, p.HasLocation = Coordinates{c.Location[0], c.Location[1]}, true
	}
	return p.normal()
}

// normalPrefix returns a network without host bits, an IPv4-mapped one as IPv4.
func normalPrefix(p netip.Prefix) (netip.Prefix, bool) {
	if !p.IsValid() {
		return p, false
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.PrefixFrom(netip.IPv6Unspecified(), p.Bits()).Masked(), p.Bits() <= 80
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}
