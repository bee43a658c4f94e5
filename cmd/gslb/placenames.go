package main

import (
	"fmt"
	"strconv"
	"strings"

	"gslb/config"
	"gslb/geo"
)

// placeKinds are the fields of places that rules match, by their key.
type placeKinds struct{ isp, asn, city, subdivision, country nameSet }

// knownPlaces collects what occurs in any network.
func knownPlaces(places *geo.DB) placeKinds {
	k := placeKinds{isp: nameSet{}, asn: nameSet{}, city: nameSet{}, subdivision: nameSet{}, country: nameSet{}}
	places.EachPlace(func(p geo.Place) {
		k.isp.add(p.ISP)
		k.isp.add(p.ASOrg)
		k.isp.add(p.Organization)
		if p.ASN != 0 {
			k.asn.add(strconv.FormatUint(uint64(p.ASN), 10))
		}
		k.city.add(p.City)
		k.country.add(p.Country)
		for _, s := range p.Subdivision {
			if s != "" {
				k.subdivision.add(s)
				k.subdivision.add(p.Country + "-" + s)
			}
		}
	})
	return k
}

// placeWarnings lists the values in rules that match nobody, because no record
// has them: mostly they are misspelt.
func placeWarnings(cfg *config.Config, places *geo.DB) []string {
	if len(cfg.Geo.Databases) == 0 {
		return nil
	}
	k := knownPlaces(places)
	var warnings []string
	for i, s := range cfg.Steers {
		for j, r := range s.Rules {
			var asn []string
			for _, n := range r.ASN {
				asn = append(asn, strconv.FormatUint(uint64(n), 10))
			}
			for _, m := range []struct {
				key    string
				values []string
				known  nameSet
			}{{"isp", r.ISP, k.isp}, {"asn", asn, k.asn}, {"city", r.City, k.city}, {"subdivision", r.Subdivision, k.subdivision}, {"country", r.Country, k.country}} {
				if len(m.known) == 0 {
					continue // no database of that kind
				}
				for n, v := range m.values {
					if _, ok := m.known[strings.ToLower(v)]; !ok {
						warnings = append(warnings, fmt.Sprintf("steer[%d].rule[%d].%s[%d]: %q: occurs in no record of the databases and in no override, so it matches nobody%s",
							i, j, m.key, n, v, m.known.suggest(v)))
					}
				}
			}
		}
	}
	return warnings
}
