package zones

// Config is one [[zone]] of the configuration.
type Config struct {
	Name string `toml:"name"` // the apex, e.g. "abc.com."
	File string `toml:"file"` // RFC 1035 master file
	// DNSSEC is the [dnssec.NAME] that the zone is signed by; empty: it is served as it comes.
	DNSSEC string `toml:"dnssec"`
	// Serial is what happens to the SOA's serial number when the zone is signed
	// here: "keep", "increment" or "unixtime"; empty: it is kept.
	Serial Serial `toml:"serial"`
}
