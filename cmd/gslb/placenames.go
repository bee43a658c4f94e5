package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"gslb/config"
	"gslb/geo"
)

// placeNames are the values of one field that occur in some record or override,
// by their form in lower case.
type placeNames map[string]string

func (n placeNames) add(s string) {
	if s != "" {
		n[strings.ToLower(s)] = s
	}
}

// placeKinds are the fields of places that rules match, by their key.
type placeKinds struct{ isp, asn, city, subdivision, country placeNames }

// knownPlaces walks all networks and collects what occurs. It takes as long as
// building one policy's table.
func knownPlaces(places *geo.DB) placeKinds {
	k := placeKinds{isp: placeNames{}, asn: placeNames{}, city: placeNames{}, subdivision: placeNames{}, country: placeNames{}}
	geo.Build(places, nil, func(p geo.Place, _ netip.Prefix) uint32 {
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
		return 0
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
				known  placeNames
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

// suggest gives the name that was probably meant: one that differs by few
// letters, or else the shortest one that holds what was written.
func (n placeNames) suggest(written string) string {
	word := strings.ToLower(written)
	if _, err := strconv.Atoi(word); err == nil {
		return "" // numbers that look alike have nothing in common
	}
	best, bound, holds := "", max(1, (len(word)+1)/3)+1, ""
	for key, name := range n {
		if len(key) < len(word)+bound && len(word) < len(key)+bound {
			if d := editDistance(word, key); d < bound || d == bound && best != "" && name < best {
				best, bound = name, d
			}
		}
		if len(word) >= 3 && strings.Contains(key, word) && (holds == "" || len(name) < len(holds) || len(name) == len(holds) && name < holds) {
			holds = name
		}
	}
	if best == "" {
		best = holds
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance counts the letters to insert, delete or replace to make b of a.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(y)]
}
