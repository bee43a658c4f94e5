package geo

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// minReload is how often at most the files are looked at.
const minReload = 100 * time.Millisecond

// continents are MaxMind's codes, with the names that people write instead.
var continents = map[string]string{
	"AF": "africa", "AN": "antarctica", "AS": "asia", "EU": "europe",
	"NA": "north america", "OC": "oceania", "SA": "south america",
}

var (
	countryForm     = regexp.MustCompile(`^[A-Za-z]{2}$`)
	subdivisionForm = regexp.MustCompile(`^([A-Za-z]{2}-)?[A-Za-z0-9]{1,3}$`)
)

// Validate calls bad once for each fault, with the key it is in. It does not
// look at the files: Open does.
func (c Config) Validate(bad func(key, msg string)) {
	if c.Reload != 0 && c.Reload < minReload {
		bad("reload", fmt.Sprintf("%v: must be at least %v", c.Reload, minReload))
	}
	for i, path := range c.Databases {
		key := fmt.Sprintf("databases[%d]", i)
		if path == "" {
			bad(key, `"": must be the name of a MaxMind DB file`)
		} else if slices.Contains(c.Databases[:i], path) {
			bad(key, fmt.Sprintf("%q: listed twice", path))
		}
	}
	seen := map[string]int{}
	for i, o := range c.Overrides {
		path := fmt.Sprintf("override[%d]", i)
		o.validate(func(key, msg string) { bad(path+"."+key, msg) })
		for j, n := range o.Networks {
			id := n.Masked().String()
			if first, ok := seen[id]; ok && n.IsValid() {
				bad(fmt.Sprintf("%s.networks[%d]", path, j), fmt.Sprintf("%q: already in override[%d]", n, first))
			}
			seen[id] = i
		}
	}
}

func (o Override) validate(bad func(key, msg string)) {
	check := func(key string, err error) {
		if err != nil {
			bad(key, err.Error())
		}
	}
	if len(o.Networks) == 0 {
		bad("networks", `missing: must list at least one network, such as ["192.0.2.0/24"]`)
	}
	for i, n := range o.Networks {
		if n.IsValid() { // config says so of what is no network at all
			check(fmt.Sprintf("networks[%d]", i), CheckNetwork(n))
		}
	}
	o.Place.Validate(func(key, msg string) { bad(strings.TrimSuffix("place."+key, "."), msg) })
}

// Validate reports what is wrong with a place as it is written; key is relative to it, "" for all of it.
func (p PlaceConfig) Validate(bad func(key, msg string)) {
	check := func(key string, err error) {
		if err != nil {
			bad(key, err.Error())
		}
	}
	if p.Continent+p.Country+p.Subdivision+p.City+p.ISP == "" && p.ASN == 0 && len(p.Location) == 0 {
		bad("", `missing: must state something, such as { country = "KR", isp = "KT" }`)
	}
	if p.Continent != "" {
		check("continent", CheckContinent(p.Continent))
	}
	if p.Country != "" {
		check("country", CheckCountry(p.Country))
	}
	if c := continentOf(strings.ToUpper(p.Country)); c != "" && p.Continent != "" && !strings.EqualFold(c, p.Continent) {
		bad("continent", fmt.Sprintf("%q: %s is in %s; leave the continent out, the country tells it", p.Continent, p.Country, c))
	}
	if p.Subdivision != "" {
		check("subdivision", CheckSubdivision(p.Subdivision))
	}
	if p.Location != nil {
		check("location", CheckLocation(p.Location))
	}
}

// CheckNetwork tells whether addresses can be found in a network as written: it
// has no host bits, and is not within the ranges of IPv6 that are looked up by the
// IPv4 address within.
func CheckNetwork(n netip.Prefix) error {
	if n != n.Masked() {
		return fmt.Errorf("%q: has bits set beyond its length; the network is %q", n, n.Masked())
	}
	if v4, ok := normalPrefix(n); ok && v4.Addr().Is4() && n.Addr().Is6() {
		return fmt.Errorf("%q: must be written as an IPv4 network, %q", n, v4)
	}
	for _, r := range embeddedRanges {
		if n.Bits() >= r.Bits() && r.Contains(n.Addr()) {
			return fmt.Errorf("%q: lies in %s, where addresses are looked up by the IPv4 address within: must be the IPv4 network", n, r)
		}
	}
	return nil
}

// CheckContinent tells whether code is one of MaxMind's seven, in either case.
func CheckContinent(code string) error {
	if _, ok := continents[strings.ToUpper(code)]; ok {
		return nil
	}
	for known, name := range continents {
		if strings.EqualFold(code, name) {
			return fmt.Errorf("%q: must be the continent's code, %q", code, known)
		}
	}
	return fmt.Errorf("%q: must be one of AF, AN, AS, EU, NA, OC, SA", code)
}

// CheckCountry tells whether code is one of ISO 3166-1 alpha-2, in either case.
func CheckCountry(code string) error {
	switch strings.ToUpper(code) {
	case "UK": // reserved, but the databases say GB
		return fmt.Errorf("%q: the code of the United Kingdom is \"GB\"", code)
	case "EL":
		return fmt.Errorf("%q: the code of Greece is \"GR\"", code)
	case "EU":
		return fmt.Errorf("%q: is a continent: must be a country's two-letter code", code)
	}
	if !countryForm.MatchString(code) {
		return fmt.Errorf("%q: must be a two-letter code of ISO 3166-1, such as \"KR\"", code)
	}
	if continentOf(strings.ToUpper(code)) == "" {
		return fmt.Errorf("%q: is no country's code in ISO 3166-1", code)
	}
	return nil
}

// CheckSubdivision tells whether code has the form of ISO 3166-2, with or
// without the country: "KR-11" or "11".
func CheckSubdivision(code string) error {
	if !subdivisionForm.MatchString(code) {
		return fmt.Errorf("%q: must be a code of ISO 3166-2, such as \"KR-11\" or \"11\"", code)
	}
	return nil
}

// CheckLocation tells whether l is a latitude and a longitude in degrees.
func CheckLocation(l []float64) error {
	if len(l) != 2 {
		return fmt.Errorf("%v: must be latitude and longitude, such as [37.57, 126.98]", l)
	}
	lat, lon := l[0], l[1]
	switch {
	case !(lat >= -90 && lat <= 90) && lon >= -90 && lon <= 90 && lat >= -180 && lat <= 180:
		return fmt.Errorf("[%v, %v]: latitude comes first and must be -90 to 90; turned round it would be [%v, %v]", lat, lon, lon, lat)
	case !(lat >= -90 && lat <= 90):
		return fmt.Errorf("[%v, %v]: latitude must be -90 to 90", lat, lon)
	case !(lon >= -180 && lon <= 180):
		return fmt.Errorf("[%v, %v]: longitude must be -180 to 180", lat, lon)
	}
	return nil
}
