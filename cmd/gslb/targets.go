package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"gslb/balancer"
	"gslb/config"
	"gslb/dnsname"
	"gslb/health/probe"
	"gslb/zones"
)

// findings are what is wrong with what the configuration and the zones say together.
// What a master file says is a fault: nothing of the configuration is used. What
// came by transfer or update, and no reload has been asked about, is a problem: it
// must not keep a node from starting, nor other changes out.
type findings struct {
	elsewhere map[string]bool // the zones that do not come from master files, by name
	faults    []error
	problems  []string
}

// add notes what is wrong with a zone.
func (f *findings) add(zone string, err error) {
	if f.elsewhere[zone] {
		f.problems = append(f.problems, err.Error())
		return
	}
	f.faults = append(f.faults, err)
}

// noting gives the zones that o gives, and notes that they are from elsewhere.
func (f *findings) noting(o beside) beside {
	f.elsewhere = make(map[string]bool)
	return func(read func(apex []byte) *zones.Zone) ([]*zones.Zone, error) {
		all, err := o(read)
		for _, z := range all {
			f.elsewhere[z.Name] = true
		}
		return all, err
	}
}

// checkTargets sees that each site's canonical name has an address, if it lies in
// a zone served here: users sent to a name without one would be sent nowhere.
// What is delegated or elsewhere is for others to say.
func checkTargets(cfg *config.Config, db *zones.DB, f *findings) {
	for i, s := range cfg.Sites {
		if s.CNAME == "" {
			continue
		}
		if z := withoutAddress(db, s.CNAME); z != nil {
			from := "file " + z.File
			if f.elsewhere[z.Name] {
				from = "as transfers or updates have made it"
			}
			f.add(z.Name, cfg.Fault("site", i, fmt.Sprintf("site %s: cname %s: the zone %s, %s, has neither A nor AAAA for it: add one, or correct the cname",
				s.Name, s.CNAME, z.Name, from)))
		}
	}
}

// withoutAddress gives the zone that says that a name has no address, or nil.
func withoutAddress(db *zones.DB, name string) *zones.Zone {
	wire, err := dnsname.Parse(name)
	if err != nil {
		return nil // config has refused it
	}
	var n zones.Name
	var r zones.Result
	n.Set(wire)
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		db.Lookup(&n, qtype, false, &r)
		// The chain of aliases ends in "no such name" or "no such type" exactly
		// when the zone's SOA stands in the authority section.
		if len(r.Authority) == 0 || r.Authority[0].Set.Type != dns.TypeSOA {
			return nil
		}
	}
	return r.Zone
}

// checkProbes makes the probes of all checks that are in use, without probing:
// what they need from files, such as a CA, is read.
func checkProbes(cfg *config.Config) error {
	_, err := siteChecks(cfg)
	errs := []error{err}
	for _, f := range cfg.Frontends {
		if f.Check == "" {
			continue
		}
		for _, s := range slices.Concat(f.Servers, f.Spares) {
			if _, err := serverProbe(cfg, f, s); err != nil {
				errs = append(errs, fmt.Errorf("frontend %s, check %s: %w", f.Name, f.Check, err))
				break // the others use the same check
			}
		}
	}
	return errors.Join(errs...)
}

func serverProbe(cfg *config.Config, f balancer.Config, s balancer.ServerConfig) (probe.Prober, error) {
	return probe.New(cfg.Checks[f.Check], probe.Target{Name: f.Name, Address: s.Address})
}
