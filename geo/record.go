package geo

import (
	"strings"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"
)

// schema says in which forms the records of a database carry what we use.
// A database can have several.
type schema uint8

const (
	// located: country, city, location … as maps: the City, Country and
	// Enterprise editions (traits hold the operator in the last).
	located schema = 1 << iota
	// operated: autonomous_system_number, isp … at the top: the ISP and ASN editions.
	operated
	// flat: country_code, city, latitude … as strings and numbers at the top, as in
	// the @ip-location-db packages.
	flat
)

// sampled is how many distinct records of a database of unknown type are looked
// at to tell its schema.
const sampled = 4096

// schemaOf tells the schema by the type that the metadata state, or else by the
// fields present in the first of the records at these offsets.
func schemaOf(r *maxminddb.Reader, offsets []uint32) schema {
	switch edition := strings.ToLower(r.Metadata.DatabaseType); {
	case !strings.HasPrefix(edition, "geoip2-") && !strings.HasPrefix(edition, "geolite2-"):
	case strings.Contains(edition, "city"), strings.Contains(edition, "country"), strings.Contains(edition, "enterprise"):
		return located
	case strings.Contains(edition, "isp"), strings.Contains(edition, "asn"):
		return operated
	}
	var s schema
	for _, offset := range offsets[:min(sampled, len(offsets))] {
		var fields map[string]any
		if r.LookupOffset(uintptr(offset)).Decode(&fields) == nil {
			s |= schemaOfFields(fields)
		}
	}
	return s
}

func schemaOfFields(fields map[string]any) (s schema) {
	for name, value := range fields {
		_, isMap := value.(map[string]any)
		switch name {
		case "continent", "country", "registered_country", "city", "location", "traits":
			if isMap {
				s |= located
			} else if name == "city" {
				s |= flat
			}
		case "autonomous_system_number", "autonomous_system_organization", "isp", "organization":
			s |= operated
		case "country_code", "latitude", "longitude":
			s |= flat
		}
	}
	return s
}

// locatedRecord has the fields of the City, Country and Enterprise editions that
// we use, which are few of those that there are.
type locatedRecord struct {
	Continent struct {
		Code string `maxminddb:"code"`
	} `maxminddb:"continent"`
	Country           isoCoded   `maxminddb:"country"`
	RegisteredCountry isoCoded   `maxminddb:"registered_country"`
	Subdivisions      []isoCoded `maxminddb:"subdivisions"`
	City              struct {
		Names struct {
			English string `maxminddb:"en"`
		} `maxminddb:"names"`
	} `maxminddb:"city"`
	Location struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
	} `maxminddb:"location"`
	Traits struct {
		ASN          uint32 `maxminddb:"autonomous_system_number"`
		ASOrg        string `maxminddb:"autonomous_system_organization"`
		ISP          string `maxminddb:"isp"`
		Organization string `maxminddb:"organization"`
	} `maxminddb:"traits"`
}

type isoCoded struct {
	ISOCode string `maxminddb:"iso_code"`
}

// flatRecord is the schema of the @ip-location-db packages.
type flatRecord struct {
	CountryCode string   `maxminddb:"country_code"`
	City        string   `maxminddb:"city"`
	Latitude    *float64 `maxminddb:"latitude"`
	Longitude   *float64 `maxminddb:"longitude"`
}

// decode returns what a record says.
func (s schema) decode(result maxminddb.Result) (Place, error) {
	var p Place
	if s&located != 0 {
		var record locatedRecord
		if err := result.Decode(&record); err != nil {
			return Place{}, err
		}
		p = p.fill(placeOfLocated(&record))
	}
	if s&operated != 0 {
		var record geoip2.ISP // has all the fields of ASN
		if err := result.Decode(&record); err != nil {
			return Place{}, err
		}
		p = p.fill(Place{
			ASN:          uint32(record.AutonomousSystemNumber),
			ASOrg:        record.AutonomousSystemOrganization,
			ISP:          record.ISP,
			Organization: record.Organization,
		})
	}
	if s&flat != 0 {
		var record flatRecord
		if err := result.Decode(&record); err != nil {
			return Place{}, err
		}
		q := Place{Country: record.CountryCode, City: record.City}
		q.locate(record.Latitude, record.Longitude)
		p = p.fill(q)
	}
	return p.normal(), nil
}

func placeOfLocated(record *locatedRecord) Place {
	t := &record.Traits
	p := Place{
		Continent:    record.Continent.Code,
		Country:      first(record.Country.ISOCode, record.RegisteredCountry.ISOCode),
		City:         record.City.Names.English,
		ASN:          t.ASN,
		ASOrg:        t.ASOrg,
		ISP:          t.ISP,
		Organization: t.Organization,
	}
	for i, s := range record.Subdivisions {
		if i < len(p.Subdivision) {
			p.Subdivision[i] = s.ISOCode
		}
	}
	p.locate(record.Location.Latitude, record.Location.Longitude)
	return p
}

func (p *Place) locate(latitude, longitude *float64) {
	if latitude != nil && longitude != nil {
		p.Location, p.HasLocation = Coordinates{*latitude, *longitude}, true
	}
}
