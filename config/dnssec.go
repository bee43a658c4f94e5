package config

import (
	"maps"
	"slices"

	"gslb/dnssec"
)

// DefaultDNSSEC is what a zone names to be signed without a [dnssec.NAME].
const DefaultDNSSEC = "default"

// SignedBy gives the policy that a zone of the configuration is signed by;
// false: it is not signed here.
func (c *Config) SignedBy(zone string) (dnssec.Config, bool) {
	for _, z := range c.Zones {
		if z.Name == zone && z.DNSSEC != "" {
			return c.DNSSEC[z.DNSSEC].WithDefaults(), true
		}
	}
	return dnssec.Config{}, false
}

// checkPolicyName reports a reference to a policy that is not there; "" refers to none.
func (c *Config) checkPolicyName(r *report, key, name string) {
	all := append(slices.Collect(maps.Keys(c.DNSSEC)), DefaultDNSSEC)
	switch {
	case !r.at.has(key) || slices.Contains(all, name) || r.unread("dnssec") && Nearest(name, all) == "":
	case name == "":
		r.bad(key, `"": leave it out to serve the zone as it comes, or write "default" to have it signed`)
	default:
		r.badHint(key, didYouMean(name, all), "%q: there is no [dnssec.%s]", name, name)
	}
}
