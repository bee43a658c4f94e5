package config

import (
	"maps"
	"slices"

	"gslb/dnssec"
	"gslb/transfer"
	"gslb/zones"
)

// DefaultDNSSEC and InsecureDNSSEC are what a zone names to be signed, or not to
// be signed any more, without a [dnssec.NAME].
const (
	DefaultDNSSEC  = "default"
	InsecureDNSSEC = "insecure"
)

// SignedBy gives the policy that a zone of the configuration is signed by;
// false: it is not signed here.
func (c *Config) SignedBy(zone string) (dnssec.Config, bool) {
	for _, z := range c.Zones {
		if z.Name == zone && z.DNSSEC != "" {
			return c.SigningPolicy(z.DNSSEC), true
		}
	}
	return dnssec.Config{}, false
}

// SigningPolicy gives the policy of a name that was checked.
func (c *Config) SigningPolicy(name string) dnssec.Config {
	p := c.DNSSEC[name]
	p.Insecure = p.Insecure || name == InsecureDNSSEC
	return p.WithDefaults()
}

// warnCompact warns of a policy with compact denial that will hardly make a proof, or none.
func (c *Config) warnCompact(r *report, name string) {
	p, key := c.SigningPolicy(name), joinPath("dnssec", name)+".denial"
	switch alg := p.Policy().Algorithm; {
	case !p.Signing().Compact:
	case *c.DNS.WithDefaults().CompactShare == 0:
		r.warn(key, `"compact": the same as "nsec3" while dns.compact_share is 0`)
	case alg.IsRSA():
		r.warn(key, `"compact": names are to be signed for one by one, and %s makes one signature in the time of some forty of ECDSAP256SHA256`, alg)
	}
}

// checkPolicyName reports a reference to a policy that is not there; "" refers to none.
func (c *Config) checkPolicyName(r *report, key, name string) {
	all := append(slices.Collect(maps.Keys(c.DNSSEC)), DefaultDNSSEC, InsecureDNSSEC)
	switch {
	case !r.at.has(key) || slices.Contains(all, name) || r.unread("dnssec") && Nearest(name, all) == "":
	case name == "":
		r.bad(key, `"": leave it out to serve the zone as it comes, or write "default" to have it signed`)
	default:
		r.badHint(key, didYouMean(name, all), "%q: there is no [dnssec.%s]", name, name)
	}
}

// warnMoving warns of zones that are signed here and will not be on other servers what
// they are here; steered are the zones with steered names.
func (c *Config) warnMoving(r *report, steered map[string]bool) {
	moving := make(map[string]*transfer.ZoneConfig, len(c.Moving))
	for i := range c.Moving {
		moving[c.Moving[i].Name] = &c.Moving[i]
	}
	for i := range c.Zones {
		z, m := &c.Zones[i], moving[c.Zones[i].Name]
		if m == nil || z.DNSSEC == "" {
			continue
		}
		path := indexPath("zone", i)
		if len(m.TransferTo)+len(m.Notify) > 0 && (z.Serial == "" || z.Serial == zones.KeepSerial) {
			r.warn(path+".dnssec", `the zone is signed here and keeps its serial number: servers that take it by transfer will not see that signatures are renewed, and those that they have expire; write serial = "increment" or "unixtime"`)
		}
		if m.Steered == transfer.SteeredOmit && steered[m.Name] {
			r.warn(path+".steered", `"omit": the zone is signed here, and its proofs (NSEC, NSEC3) tell of the steered names: whoever validates takes for forged what servers without these names answer for them`)
		}
	}
}
