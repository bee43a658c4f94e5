package geo

import (
	"math"
	"strings"
)

// fill returns p with the fields that it leaves out taken from q.
//
// A q that contradicts p about where (both name a continent, country, largest
// subdivision or city, and not the same) adds nothing about where: the city and
// coordinates of another country would be worse than none. A q that contradicts
// p about who (ASN or ISP) adds nothing about who.
//
//	p             q                      result
//	KR            KR Seoul 37.57,126.98  KR Seoul 37.57,126.98
//	KR            US Ashburn 39.0,-77.5  KR
//	KT            AS4766 "Korea Telecom" KT AS4766 "Korea Telecom"
//	KT            AS7922 Comcast (ISP)   KT
//	AS4766        AS7922                 AS4766
func (p Place) fill(q Place) Place {
	if !p.elsewhere(q) {
		p.Continent = first(p.Continent, q.Continent)
		p.Country = first(p.Country, q.Country)
		p.City = first(p.City, q.City)
		if p.Subdivision == ([2]string{}) {
			p.Subdivision = q.Subdivision
		}
		if !p.HasLocation {
			p.Location, p.HasLocation = q.Location, q.HasLocation
		}
	}
	if !p.otherOperator(q) {
		if p.ASN == 0 {
			p.ASN = q.ASN
		}
		p.ASOrg = first(p.ASOrg, q.ASOrg)
		p.ISP = first(p.ISP, q.ISP)
		p.Organization = first(p.Organization, q.Organization)
	}
	return p
}

func (p Place) elsewhere(q Place) bool {
	return differ(p.Continent, q.Continent) || differ(p.Country, q.Country) ||
		differ(p.Subdivision[0], q.Subdivision[0]) || differ(p.City, q.City)
}

func (p Place) otherOperator(q Place) bool {
	return differ(p.ISP, q.ISP) || p.ASN != 0 && q.ASN != 0 && p.ASN != q.ASN
}

func differ(a, b string) bool { return a != "" && b != "" && !strings.EqualFold(a, b) }

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// normal returns p as every source's Place is kept: codes in upper case, a
// continent wherever there is a country, coordinates only if they are on earth.
// So a Place is never unequal to itself (NaN), which its use as a map key needs.
func (p Place) normal() Place {
	p.Continent = strings.ToUpper(p.Continent)
	p.Country = strings.ToUpper(p.Country)
	if p.Continent == "" {
		p.Continent = continentOf(p.Country)
	}
	if !p.HasLocation || !p.Location.valid() {
		p.Location, p.HasLocation = Coordinates{}, false
	}
	return p
}

func (c Coordinates) valid() bool {
	return math.Abs(c.Latitude) <= 90 && math.Abs(c.Longitude) <= 180 // false for NaN
}
