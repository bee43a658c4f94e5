package geo

import (
	"net/netip"
	"time"
)

// Config says where places come from.
type Config struct {
	// Databases are MaxMind DB files in MaxMind's GeoIP2 schema, any number and
	// edition. For a field that several know, the first one listed wins.
	Databases []string `toml:"databases"`
	// Overrides beat every database; among them the longest network wins.
	Overrides []Override `toml:"override"`
	// Reload is how often the files are looked at for a replacement; default 5s.
	Reload time.Duration `toml:"reload"`
}

// DefaultReload is the default of Config.Reload: a look is one stat per file.
const DefaultReload = 5 * time.Second

// WithDefaults returns c with the defaults in place of zero values.
func (c Config) WithDefaults() Config {
	if c.Reload == 0 {
		c.Reload = DefaultReload
	}
	return c
}

// Override states the place of some networks. Fields that it leaves out are
// taken from the databases, unless these contradict it: with the country
// overridden, a city and coordinates in another country are left out.
type Override struct {
	Networks []netip.Prefix `toml:"networks"`
	Place    PlaceConfig    `toml:"place"`
}

// PlaceConfig is a Place as written in configuration.
type PlaceConfig struct {
	Continent   string    `toml:"continent"`
	Country     string    `toml:"country"`
	Subdivision string    `toml:"subdivision"`
	City        string    `toml:"city"`
	Location    []float64 `toml:"location"` // latitude, longitude in degrees
	ASN         uint32    `toml:"asn"`
	ISP         string    `toml:"isp"`
}
