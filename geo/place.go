package geo

// Place is what the geo databases, joined, say about a network: where its
// users are and who operates it. The zero Place means that nothing is known.
// Place is comparable, so it can be a map key.
type Place struct {
	// Continent is MaxMind's two-letter code: AF AN AS EU NA OC SA. Empty: unknown.
	Continent string
	// Country is the ISO 3166-1 alpha-2 code, upper case. Empty: unknown.
	Country string
	// Subdivision holds up to two ISO 3166-2 subdivision codes without the
	// country ("11", "ENG"), the largest region first. Empty: unknown.
	Subdivision [2]string
	// City is the English name. Empty: unknown.
	City string
	// Location is the place's coordinates; see HasLocation.
	Location Coordinates
	// HasLocation tells a real 0,0 from an unknown location.
	HasLocation bool
	// ASN is the autonomous system number; 0: unknown.
	ASN uint32
	// ASOrg is the organization the autonomous system is registered to.
	ASOrg string
	// ISP is the operator that a user would name; Organization the network's
	// registrant. Only ISP and Enterprise databases, and overrides, fill them.
	ISP          string
	Organization string
}

// Coordinates are WGS 84 degrees, latitude north and longitude east positive.
type Coordinates struct {
	Latitude, Longitude float64
}
