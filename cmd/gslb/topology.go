package main

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"gslb/config"
	"gslb/dnsserver"
	"gslb/geo"
	"gslb/health"
	"gslb/steer"
	"gslb/zones"
)

// topology is what a configuration's zones, sites and policies compile to.
type topology struct {
	cfg      *config.Config
	db       *zones.DB
	policies []dnsserver.Policy // distinct ones
	sources  []steer.Policy     // as configured, of each in policies
	sites    []string
	secrets  *dnsserver.Secrets // of cookies; nil: random ones
}

// compile reads the zones, but for those of prev (which may be nil) that are
// still the same, and compiles the policies against the databases. All faults
// come as one error. others are the zones that do not come from files.
func compile(cfg *config.Config, places *geo.DB, prev *zones.DB, others beside) (*topology, error) {
	t := &topology{cfg: cfg}
	for _, z := range cfg.Zones {
		if z.DNSSEC != "" {
			return nil, fmt.Errorf("zone %s: dnssec = %q: signing is not wired in yet", z.Name, z.DNSSEC)
		}
	}
	for _, s := range cfg.Sites {
		t.sites = append(t.sites, s.Name)
	}
	all, err := cfg.Policies()
	if err != nil {
		return nil, err
	}
	index := make([]int, len(all)) // of each steered name's policy in t.sources
	for i, p := range all {
		at := slices.IndexFunc(t.sources, func(q steer.Policy) bool { return samePolicy(p, q) })
		if at < 0 {
			at = len(t.sources)
			t.sources = append(t.sources, p)
		}
		index[i] = at
	}
	if t.policies, err = classify(t.sources, cfg.SteerSites(), places); err != nil {
		return nil, err
	}
	if t.db, err = zones.ReloadBeside(prev, cfg.Files(), others, steeredConfigs(cfg, all, index), zoneSites(cfg)); err != nil {
		return nil, err
	}
	if err := checkTargets(cfg, t.db); err != nil {
		return nil, err
	}
	if path := cfg.DNS.CookieSecretFile; path != "" {
		if t.secrets, err = dnsserver.ReadSecrets(path); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// samePolicy tells whether two steered names can share one compiled policy.
func samePolicy(p, q steer.Policy) bool {
	return p.TTL == q.TTL && reflect.DeepEqual(p.Rules, q.Rules) && reflect.DeepEqual(p.LastResort, q.LastResort)
}

// classify compiles policies and builds the tables of all of them in one walk.
func classify(sources []steer.Policy, sites []steer.Site, places *geo.DB) ([]dnsserver.Policy, error) {
	out := make([]dnsserver.Policy, len(sources))
	specs := make([]geo.Spec, len(sources))
	for i := range sources {
		c, err := steer.Compile(&sources[i], sites)
		if err != nil {
			return nil, fmt.Errorf("steered name %s: %w", sources[i].Name, err)
		}
		out[i].Compiled = c
		specs[i] = geo.Spec{
			Name:   "steered name " + sources[i].Name,
			Cuts:   c.Cuts(),
			Cohort: func(p geo.Place, within netip.Prefix) uint32 { return c.Classify(p, within, nil) },
		}
	}
	tables, err := geo.BuildAll(places, specs)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].Compiled.Settle()
		out[i].Table = tables[i]
	}
	return out, nil
}

func zoneSites(cfg *config.Config) []zones.Site {
	var out []zones.Site
	for _, s := range cfg.Sites {
		out = append(out, zones.Site{Name: s.Name, CNAME: s.CNAME, Addresses: s.Addresses})
	}
	return out
}

func steeredConfigs(cfg *config.Config, policies []steer.Policy, index []int) []zones.SteeredConfig {
	var out []zones.SteeredConfig
	for i, s := range cfg.Steers {
		form := zones.CNAME
		if s.Answer == zones.Address.String() {
			form = zones.Address
		}
		out = append(out, zones.SteeredConfig{Name: s.Name, Form: form, TTL: s.TTL, Policy: index[i], Sites: reachable(policies[i], len(cfg.Sites))})
	}
	return out
}

// reachable lists the sites that a policy can choose. One whose rules do not
// match everyone ends in the nearest of all sites.
func reachable(p steer.Policy, sites int) []int {
	used := make([]bool, sites)
	everyone := false
	mark := func(tiers []steer.Target) {
		for _, t := range tiers {
			for _, m := range t.Members {
				used[m.Site] = true
			}
		}
	}
	for _, r := range p.Rules {
		mark(r.Tiers)
		everyone = everyone || reflect.DeepEqual(r.Match, steer.Match{})
	}
	mark(p.LastResort)
	var out []int
	for i := range used {
		if used[i] || !everyone {
			out = append(out, i)
		}
	}
	return out
}

// declared lists the networks that the configuration names.
func (t *topology) declared() []netip.Prefix {
	var all []netip.Prefix
	for _, o := range t.cfg.Geo.Overrides {
		all = append(all, o.Networks...)
	}
	for _, p := range t.policies {
		all = append(all, p.Compiled.Cuts()...)
	}
	return all
}

// generation makes what the DNS server answers from.
func (t *topology) generation(places *geo.DB, states *health.States) *dnsserver.Generation {
	return dnsserver.NewGeneration(dnsserver.Inputs{
		DB: t.db, Policies: t.policies, Sites: len(t.sites), Places: places, Declared: t.declared(), States: states,
		Access: dnsserver.NewAccess(t.cfg.DNS),
	})
}
