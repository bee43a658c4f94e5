package geo

import (
	"fmt"
	"strings"
)

// Place is what the geo databases, joined, say about a network: where its
// users are and who operates it. The zero Place means that nothing is known.
// Place is comparable, so it can be a map key.
type Place struct {
	// Continent is MaxMind's two-letter code: AF AN AS EU NA OC SA. Empty: unknown.
	Continent string `json:"continent,omitempty"`
	// Country is the ISO 3166-1 alpha-2 code, upper case. Empty: unknown. Where
	// a database knows no country it is the one the network is registered in.
	Country string `json:"country,omitempty"`
	// Subdivision holds up to two ISO 3166-2 subdivision codes without the
	// country ("11", "ENG"), the largest region first. Empty: unknown.
	Subdivision [2]string `json:"subdivision,omitzero"`
	// City is the English name. Empty: unknown.
	City string `json:"city,omitempty"`
	// Location is the place's coordinates; see HasLocation.
	Location Coordinates `json:"location,omitzero"`
	// HasLocation tells a real 0,0 from an unknown location.
	HasLocation bool `json:"has_location,omitempty"`
	// ASN is the autonomous system number; 0: unknown.
	ASN uint32 `json:"asn,omitempty"`
	// ASOrg is the organization the autonomous system is registered to.
	ASOrg string `json:"as_org,omitempty"`
	// ISP is the operator that a user would name; Organization the network's
	// registrant. Only ISP and Enterprise databases, and overrides, fill them.
	ISP          string `json:"isp,omitempty"`
	Organization string `json:"organization,omitempty"`
}

// Coordinates are WGS 84 degrees, latitude north and longitude east positive.
type Coordinates struct {
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
}

// String returns the coordinates as "37.57,126.98".
func (c Coordinates) String() string { return fmt.Sprintf("%g,%g", c.Latitude, c.Longitude) }

// String describes the place for people, from the wide to the narrow:
// "AS KR-11 Seoul (37.57,126.98) KT AS4766". Of the zero Place it is "unknown".
func (p Place) String() string {
	var words []string
	add := func(word string) {
		if word != "" {
			words = append(words, word)
		}
	}
	add(p.Continent)
	region := p.Country
	for _, s := range p.Subdivision {
		if s != "" {
			region += "-" + s
		}
	}
	add(region)
	add(p.City)
	if p.HasLocation {
		add("(" + p.Location.String() + ")")
	}
	add(first(p.ISP, first(p.ASOrg, p.Organization)))
	if p.ASN != 0 {
		add(fmt.Sprintf("AS%d", p.ASN))
	}
	if len(words) == 0 {
		return "unknown"
	}
	return strings.Join(words, " ")
}
