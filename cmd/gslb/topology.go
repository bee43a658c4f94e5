package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"gslb/config"
	"gslb/dnssec/upkeep"
	"gslb/dnsserver"
	"gslb/geo"
	"gslb/health"
	"gslb/steady"
	"gslb/steer"
	"gslb/zones"
)

// topology is what a configuration's zones, sites and policies compile to.
type topology struct {
	cfg      *config.Config
	db       *zones.DB
	signed   []upkeep.Zone      // that are signed here
	policies []dnsserver.Policy // distinct ones
	sources  []steer.Policy     // as configured, of each in policies
	places   *geo.DB            // that policies are compiled against
	sites    []string
	secrets  *dnsserver.Secrets // of cookies; nil: random ones
	found    findings
	targets  []string // problems of the sites' canonical names
}

// ingredients are what a topology is made of beside its configuration.
type ingredients struct {
	places *geo.DB // that policies are compiled against
	// prev is what was compiled before. What would come out the same is taken from it: zones by
	// their files, policies with their tables. nil: there is none.
	prev    *topology
	others  beside                  // the zones that do not come from files; nil: they are absent
	signing *signings               // how zones are signed; nil: none is
	look    func(zones.Config) bool // whose files are looked at, see zones.Input.Look; nil: all
}

// compile reads the zones and compiles the policies against the databases. All
// faults come as one error.
func (in ingredients) compile(cfg *config.Config) (*topology, error) {
	t := &topology{cfg: cfg, places: in.places, signed: signedZones(cfg)}
	prev, others := in.prev, in.others
	if prev == nil {
		prev = new(topology)
	}
	if others == nil {
		others = absent(cfg)
	}
	for _, s := range cfg.Sites {
		t.sites = append(t.sites, s.Name)
	}
	all, err := cfg.Policies()
	if err != nil {
		return nil, err
	}
	var index []int
	t.sources, index = distinct(all)
	if t.policies, err = classify(t.sources, cfg.SteerSites(), in.places, prev); err != nil {
		return nil, err
	}
	load := zones.Input{Zones: cfg.Files(), Others: t.found.noting(others), Steered: steeredConfigs(cfg, all, index), Sites: zoneSites(cfg), Serials: serialsOf(cfg), Look: in.look}
	if s := in.signing; s != nil {
		load.Signing, load.Now, load.Numbers = s.zones, s.now, s.numbers
	}
	if t.db, err = load.Load(prev.db); err != nil {
		return nil, err
	}
	checkTTLs(t.signed, t.db, &t.found)
	if err := errors.Join(errors.Join(t.found.faults...), checkAbandoned(cfg, t.db, steady.Now())); err != nil {
		return nil, err
	}
	targets := findings{elsewhere: t.found.elsewhere}
	checkTargets(cfg, t.db, &targets)
	if err := checkLoops(cfg, t.db, &t.found); err != nil {
		return nil, err
	}
	if err := errors.Join(slices.Concat(targets.faults, t.found.faults)...); err != nil {
		return nil, err
	}
	t.targets = targets.problems
	if path := cfg.DNS.CookieSecretFile; path != "" {
		if t.secrets, err = dnsserver.ReadSecrets(path); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// distinct lists the policies that differ, each as the first steered name has it that
// steers so, and where that of each name is among them.
func distinct(all []steer.Policy) (sources []steer.Policy, index []int) {
	index = make([]int, len(all))
	alike := make(map[[sha256.Size]byte][]int) // those in sources that are written out alike
	for i, p := range all {
		p.Name, p.Measured = "", nil // which may be much, and is mostly the same
		text, err := json.Marshal(p)
		if err != nil { // then all are compared
			text = nil
		}
		sum := sha256.Sum256(text)
		at := slices.IndexFunc(alike[sum], func(at int) bool { return samePolicy(all[i], sources[at]) })
		if at < 0 {
			alike[sum] = append(alike[sum], len(sources))
			index[i] = len(sources)
			sources = append(sources, all[i])
			continue
		}
		index[i] = alike[sum][at]
	}
	return sources, index
}

// samePolicy tells whether two steered names can share one compiled policy.
func samePolicy(p, q steer.Policy) bool {
	return p.TTL == q.TTL && p.Answers == q.Answers && p.Release == q.Release && reflect.DeepEqual(p.Rules, q.Rules) && reflect.DeepEqual(p.LastResort, q.LastResort) && reflect.DeepEqual(p.Audiences, q.Audiences) && reflect.DeepEqual(p.Measured, q.Measured)
}

// classify compiles policies and builds the tables of all of them in one walk.
// Those of prev that would come out the same are taken from there.
func classify(sources []steer.Policy, sites []steer.Site, places *geo.DB, prev *topology) ([]dnsserver.Policy, error) {
	out := make([]dnsserver.Policy, len(sources))
	known := prev.classified(sites, places)
	var specs []geo.Spec
	var fresh []int // which policies specs are of
	for i := range sources {
		if p, ok := known(&sources[i]); ok {
			out[i] = p
			continue
		}
		c, err := steer.Compile(&sources[i], sites)
		if err != nil {
			return nil, fmt.Errorf("steered name %s: %w", sources[i].Name, err)
		}
		out[i].Compiled = c
		fresh = append(fresh, i)
		specs = append(specs, geo.Spec{
			Name:   "steered name " + sources[i].Name,
			Cuts:   c.Cuts(),
			Cohort: func(p geo.Place, within netip.Prefix) uint32 { return c.Classify(p, within, nil) },
		})
	}
	if len(fresh) == 0 {
		return out, nil
	}
	tables, err := geo.BuildAll(places, specs)
	if err != nil {
		return nil, err
	}
	for n, i := range fresh {
		out[i].Compiled.Settle()
		out[i].Table = tables[n]
	}
	return out, nil
}

// classified gives a look-up of the policies in t, for those that are to be
// compiled with these sites and databases.
func (t *topology) classified(sites []steer.Site, places *geo.DB) func(*steer.Policy) (dnsserver.Policy, bool) {
	byName := make(map[string]int, len(t.sources))
	if t.cfg != nil && t.places == places && slices.Equal(t.cfg.SteerSites(), sites) {
		for i := range t.sources {
			byName[t.sources[i].Name] = i
		}
	}
	return func(p *steer.Policy) (dnsserver.Policy, bool) {
		if i, ok := byName[p.Name]; ok && reflect.DeepEqual(*p, t.sources[i]) {
			return t.policies[i], true
		}
		return dnsserver.Policy{}, false
	}
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
		out = append(out, zones.SteeredConfig{Name: s.Name, Form: form, TTL: s.TTL, TroubleTTL: s.TroubleTTL, Hints: s.Hints, Policy: index[i], Sites: reachable(policies[i], len(cfg.Sites)),
			Answers: s.Answers, Groups: together(policies[i], len(cfg.Sites))})
	}
	return out
}

// reachable lists the sites that a policy can choose. One whose rules do not
// match everyone ends in the nearest of all sites.
func reachable(p steer.Policy, sites int) []int {
	used := make([]bool, sites)
	tiers, everyone := tiersOf(p)
	for _, t := range tiers {
		for _, m := range t.Members {
			used[m.Site] = true
		}
	}
	var out []int
	for i := range used {
		if used[i] || !everyone {
			out = append(out, i)
		}
	}
	return out
}

// tiersOf lists all tiers of a policy, those of its last resort first, and tells whether some rule
// matches everyone.
func tiersOf(p steer.Policy) (tiers []steer.Target, everyone bool) {
	tiers = slices.Clone(p.LastResort)
	for _, r := range p.Rules {
		tiers = append(tiers, r.Tiers...)
		everyone = everyone || reflect.DeepEqual(r.Match, steer.Match{})
	}
	return tiers, everyone
}

// together lists the sites of each tier of a policy that answers with several of them, each list once.
func together(p steer.Policy, sites int) (all [][]int) {
	if p.Answers < 2 {
		return nil
	}
	add := func(group []int) {
		slices.Sort(group)
		if !slices.ContainsFunc(all, func(g []int) bool { return slices.Equal(g, group) }) {
			all = append(all, group)
		}
	}
	tiers, everyone := tiersOf(p)
	for _, t := range tiers {
		var group []int
		for _, m := range t.Members {
			group = append(group, m.Site)
		}
		add(group)
	}
	if !everyone {
		var group []int
		for i := range sites {
			group = append(group, i)
		}
		add(group)
	}
	return all
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

// generation makes what the DNS server answers from. before, which may be nil, is what it
// answered from until now.
func (t *topology) generation(states *health.States, before *dnsserver.Generation) *dnsserver.Generation {
	return dnsserver.NewGeneration(dnsserver.Inputs{
		DB: t.db, Policies: t.policies, Sites: t.sites, Places: t.places, Declared: t.declared(), States: states,
		Access: dnsserver.NewAccess(t.cfg.DNS), Before: before,
	})
}

// serialsOf says what becomes of serial numbers, of zones without a file too.
func serialsOf(cfg *config.Config) map[string]zones.Serial {
	all := make(map[string]zones.Serial)
	for i := range cfg.Zones {
		if z := &cfg.Zones[i]; z.Serial != "" {
			all[z.Name] = z.Serial
		}
	}
	return all
}
