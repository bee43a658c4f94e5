package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"gslb/config"
	"gslb/dnsname"
	"gslb/dnssec"
	"gslb/dnssec/upkeep"
	"gslb/zones"
)

// checkTTLs sees that no TTL of a signed zone is larger than its policy has it:
// the roll of a key would not wait for it.
func checkTTLs(signed []upkeep.Zone, db *zones.DB, f *findings) {
	for _, s := range signed {
		apex, err := dnsname.Parse(s.Name)
		if err != nil {
			continue // it was refused before
		}
		z := db.Zone(apex)
		if z == nil {
			continue
		}
		most := uint32(s.Config.MaxZoneTTL / time.Second)
		for owner, set := range z.WalkOwn() {
			if set.TTL() > most {
				f.add(z.Name, fmt.Errorf("zone %s: %s: %s %s has TTL %d, its DNSSEC policy says max_zone_ttl = %q: lower the one or raise the other",
					z.Name, z.Where(owner, set.Type), dnsname.Format(owner), dns.Type(set.Type), set.TTL(), s.Config.MaxZoneTTL))
				break
			}
		}
		for _, st := range db.Steered() {
			if st.Zone() == z && st.TTL > most {
				f.faults = append(f.faults, fmt.Errorf("steered name %s has TTL %d, the DNSSEC policy of its zone says max_zone_ttl = %q: lower the one or raise the other", st.Name, st.TTL, s.Config.MaxZoneTTL))
			}
		}
	}
}

// checkKeys reads the keys of the zones that are signed here, and changes nothing.
func checkKeys(cfg *config.Config) error {
	keys := dnssec.Folder(cfg.Node.Keys)
	names, err := keys.List()
	if err != nil {
		return err
	}
	var errs []error
	for _, z := range signedZones(cfg) {
		apex, err := dnsname.Parse(z.Name)
		if err == nil {
			var have []*dnssec.Key
			have, err = keys.LoadListed(dnsname.AppendLower(nil, apex), names)
			if err == nil && len(have) == 0 && *cfg.Node.MaintainKeys {
				err = upkeep.Lost(cfg.Node.Keys, stateOf(cfg), z.Name)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("zone %s: %w", z.Name, err))
		}
	}
	return errors.Join(errs...)
}

// checkAbandoned sees that no zone goes unsigned whose DS the parent has: whoever
// validates would find it bogus. It is told by the keys that are still there.
func checkAbandoned(cfg *config.Config, db *zones.DB, now time.Time) error {
	folder := dnssec.Folder(cfg.Node.Keys)
	have, err := folder.List()
	if err != nil || len(have) == 0 {
		return err
	}
	var errs []error
	for _, c := range cfg.Zones {
		if c.DNSSEC != "" || len(have[c.Name]) == 0 {
			continue
		}
		apex, err := dnsname.Parse(c.Name)
		if err != nil {
			continue // it was refused before
		}
		if z := db.Zone(apex); z == nil || z.Signed() {
			continue
		}
		keys, err := folder.LoadListed(dnsname.AppendLower(nil, apex), have)
		if err != nil {
			continue // they are of no use any more
		}
		p := dnssec.Config{}.WithDefaults()
		for _, k := range keys {
			if t := k.Timing; !t.DSSeen.IsZero() && (t.DSGone.IsZero() || now.Before(t.DSGone.Add(p.DSTTL+p.ParentPropagation))) {
				errs = append(errs, fmt.Errorf("zone %s: it is not to be signed any more, but the parent had its DS of key %d at %s: whoever validates would find the zone bogus; "+
					"write dnssec = \"insecure\" there, or insecure = true into its policy, until it is unsigned (or move the key's files away)", c.Name, k.Tag(), moment(t.DSSeen)))
				break
			}
		}
	}
	return errors.Join(errs...)
}
