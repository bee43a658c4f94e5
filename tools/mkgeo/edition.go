package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// edition says what the records of a kind of database hold.
type edition struct {
	name         string
	databaseType string // names that begin with GeoIP are MaxMind's own
	record       func(r *row) mmdbtype.Map
}

var editions = []edition{
	{"city", "gslb-City", cityRecord},
	{"country", "gslb-Country", countryRecord},
	{"enterprise", "gslb-Enterprise", enterpriseRecord},
	{"isp", "gslb-ISP", ispRecord},
	{"asn", "gslb-ASN", asnRecord},
}

func editionNames() []string {
	names := make([]string, len(editions))
	for i, e := range editions {
		names[i] = e.name
	}
	return names
}

func editionNamed(name string) (edition, error) {
	for _, e := range editions {
		if e.name == name {
			return e, nil
		}
	}
	return edition{}, fmt.Errorf("-type %q: must be one of %s", name, strings.Join(editionNames(), ", "))
}

// tree inserts the rows, short networks first, so that the long ones win. Rows
// that have nothing for the edition leave their network as it is.
func (e edition) tree(rows []row, databaseType, from string, epoch int64) (*mmdbwriter.Tree, error) {
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		BuildEpoch:              epoch,
		DatabaseType:            databaseType,
		Description:             map[string]string{"en": "Made from " + from},
		Languages:               []string{"en"},
		IncludeReservedNetworks: true, // documentation and private networks are what it is for
	})
	if err != nil {
		return nil, err
	}
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(a, b row) int { return cmp.Compare(a.network.Bits(), b.network.Bits()) })
	var faults []error
	inserted := 0
	for i := range sorted {
		r := &sorted[i]
		record := e.record(r)
		if len(record) == 0 {
			continue
		}
		if err := tree.Insert(ipNet(r), record); err != nil {
			faults = append(faults, fmt.Errorf("line %d: network %s: %w", r.line, r.network, err))
			continue
		}
		inserted++
	}
	if len(faults) == 0 && inserted == 0 {
		return nil, fmt.Errorf("%d rows, and none of them has anything for a database of type %s", len(rows), e.name)
	}
	return tree, errors.Join(faults...)
}

func ipNet(r *row) *net.IPNet {
	a := r.network.Addr()
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(r.network.Bits(), a.BitLen())}
}

// put sets a field unless it is empty.
func put(m mmdbtype.Map, name, value string) {
	if value != "" {
		m[mmdbtype.String(name)] = mmdbtype.String(value)
	}
}

// part returns a map with one field, or nil.
func part(name, value string) mmdbtype.Map {
	if value == "" {
		return nil
	}
	return mmdbtype.Map{mmdbtype.String(name): mmdbtype.String(value)}
}

func putMap(m mmdbtype.Map, name string, value mmdbtype.Map) {
	if len(value) > 0 {
		m[mmdbtype.String(name)] = value
	}
}

func countryRecord(r *row) mmdbtype.Map {
	m := mmdbtype.Map{}
	putMap(m, "continent", part("code", r.continent))
	putMap(m, "country", part("iso_code", r.country))
	putMap(m, "registered_country", part("iso_code", r.registeredCountry))
	return m
}

func cityRecord(r *row) mmdbtype.Map {
	m := countryRecord(r)
	var subdivisions mmdbtype.Slice
	for _, code := range r.subdivisions {
		if code != "" {
			subdivisions = append(subdivisions, part("iso_code", code))
		}
	}
	if len(subdivisions) > 0 {
		m["subdivisions"] = subdivisions
	}
	if r.city != "" {
		m["city"] = mmdbtype.Map{"names": part("en", r.city)}
	}
	if r.located {
		m["location"] = mmdbtype.Map{
			"latitude":  mmdbtype.Float64(r.location.Latitude),
			"longitude": mmdbtype.Float64(r.location.Longitude),
		}
	}
	return m
}

func enterpriseRecord(r *row) mmdbtype.Map {
	m := cityRecord(r)
	putMap(m, "traits", ispRecord(r))
	return m
}

func asnRecord(r *row) mmdbtype.Map {
	m := mmdbtype.Map{}
	if r.asn != 0 {
		m["autonomous_system_number"] = mmdbtype.Uint32(r.asn)
	}
	put(m, "autonomous_system_organization", r.asOrg)
	return m
}

func ispRecord(r *row) mmdbtype.Map {
	m := asnRecord(r)
	put(m, "isp", r.isp)
	put(m, "organization", r.organization)
	return m
}
