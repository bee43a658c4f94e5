package main

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"gslb/config"
	"gslb/dnsname"
	"gslb/health"
	"gslb/steer"
	"gslb/zones"
)

// The bounds of the exhaustive check. With up to mostSites sites in a policy all their
// states are looked at, with more those in which one, two or all are down; and with so
// many cohorts that these would be more than mostWork plans, those in which one is, or all.
const (
	mostSites = 12
	mostWork  = 4 << 20
)

// checkStates looks at every state of the sites of each steered name: up or down. It
// finds the clients that get no records of a type which they get in other states, and
// those whose rule leads nowhere else when its sites are down.
func (t *topology) checkStates() (warnings, notes []error) {
	sites := t.cfg.SteerSites()
	for i, p := range t.policies {
		used := reachable(t.sources[i], len(sites))
		x := exhaustive{topology: t, policy: p.Compiled, used: used}
		for j, s := range t.db.Steered() {
			if s.Policy == i {
				x.names = append(x.names, j)
			}
		}
		x.look()
		warnings, notes = append(warnings, x.warnings...), append(notes, x.notes...)
	}
	return warnings, notes
}

// exhaustive is the check of one policy.
type exhaustive struct {
	*topology
	policy   *steer.Compiled
	used     []int // sites
	names    []int // steered names that have it, in the order of the DB
	warnings []error
	notes    []error

	told map[string]bool // what has been said, once each
}

func (x *exhaustive) look() {
	x.told = map[string]bool{}
	lacks := map[string][]bool{} // name and type: by site
	for _, n := range x.names {
		s := x.db.Steered()[n]
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if lack := x.lacking(s, qtype); lack != nil {
				lacks[s.Name+" "+dns.Type(qtype).String()] = lack
			}
		}
	}
	for _, down := range statesOfSites(x.used, mostWork/max(x.policy.Cohorts(), 1)) {
		live := x.policy.Live(x.states(down))
		for cohort := range uint32(x.policy.Cohorts()) {
			live.Expected(cohort, func(p steer.Portion) {
				if p.Share == 0 {
					return
				}
				for _, question := range slices.Sorted(maps.Keys(lacks)) {
					if lacks[question][p.Site] && !slices.ContainsFunc(p.Set, func(s int32) bool { return !lacks[question][s] }) {
						x.empty(question, int(p.Site), down)
					}
				}
				if p.FailOpen && len(down) < len(x.used) {
					x.deadEnd(cohort, down)
				}
			})
		}
	}
}

// statesOfSites lists the sets of sites that can be down, the smallest first: so many, if it can.
func statesOfSites(used []int, most int) (all [][]int) {
	if n := len(used); n > mostSites || 1<<n > most {
		all = append(all, nil)
		for i, a := range used {
			all = append(all, []int{a})
			for _, b := range used[:i] {
				if n*(n+1)/2 <= most && n > 2 {
					all = append(all, []int{b, a})
				}
			}
		}
		if n > 1 {
			all = append(all, used)
		}
	} else {
		for set := range uint(1) << len(used) {
			var down []int
			for rest := set; rest != 0; rest &= rest - 1 {
				down = append(down, used[bits.TrailingZeros(rest)])
			}
			all = append(all, down)
		}
	}
	slices.SortStableFunc(all, func(a, b []int) int { return len(a) - len(b) })
	return all
}

func (x *exhaustive) states(down []int) *health.States {
	s := &health.States{Revision: 1, Sites: map[string]health.Status{}}
	for i, name := range x.sites {
		st := health.Status{Site: name, State: health.Up}
		if slices.Contains(down, i) {
			st.State = health.Down
		}
		s.Sites[name] = st
	}
	return s
}

// lacking tells which sites have no records of the type to give; nil if that is the
// same for all: then it is meant.
func (x *exhaustive) lacking(s *zones.Steered, qtype uint16) []bool {
	out := make([]bool, len(x.sites))
	count := 0
	for _, i := range x.used {
		site := x.cfg.Sites[i]
		if s.Form == zones.CNAME {
			out[i] = hasNone(x.db, site.CNAME, qtype)
		} else {
			out[i] = true
			for _, a := range site.Addresses {
				out[i] = out[i] && a.Is4() != (qtype == dns.TypeA)
			}
		}
		if out[i] {
			count++
		}
	}
	if count == 0 || count == len(x.used) {
		return nil
	}
	return out
}

// hasNone tells whether a zone served here says that there are no records of the type.
func hasNone(db *zones.DB, name string, qtype uint16) bool {
	wire, err := dnsname.Parse(name)
	if err != nil {
		return false
	}
	var n zones.Name
	var r zones.Result
	n.Set(wire)
	db.Lookup(&n, qtype, false, &r)
	return len(r.Authority) > 0 && r.Authority[0].Set.Type == dns.TypeSOA
}

func (x *exhaustive) empty(question string, site int, down []int) {
	key := fmt.Sprintf("%s %d", question, site)
	if x.told[key] {
		return
	}
	x.told[key] = true
	x.warnings = append(x.warnings, x.cfg.Fault("site", site, fmt.Sprintf(
		"%s: with %s, clients are sent to %s, which has no such records, while other sites of the name have: they get an empty answer", question, x.words(down), x.sites[site])))
}

// deadEnd tells of a rule all of whose sites can be down while others are up.
func (x *exhaustive) deadEnd(cohort uint32, down []int) {
	rule := x.policy.Plan(cohort).Rule
	key := fmt.Sprint("rule ", rule)
	if x.told[key] {
		return
	}
	x.told[key] = true
	for _, n := range x.names {
		name := x.db.Steered()[n].Name
		s := slices.IndexFunc(x.cfg.Steers, func(s config.Steer) bool { return s.Name == name })
		if s < 0 || rule >= len(x.cfg.Steers[s].Rules) {
			continue
		}
		x.notes = append(x.notes, x.cfg.RuleFault(s, rule, fmt.Sprintf(
			`%s: with %s, its clients are sent there all the same, though other sites are up: if that is not meant, add a further tier such as "nearest:all"`, name, x.words(down))))
	}
}

func (x *exhaustive) words(down []int) string {
	if len(down) == 0 {
		return "all sites up"
	}
	var names []string
	for _, i := range down {
		names = append(names, x.sites[i])
	}
	return strings.Join(names, ", ") + " down"
}

// checkLoops finds steered names that lead back to themselves: by the canonical name
// of a site, and whatever aliases follow.
func checkLoops(cfg *config.Config, db *zones.DB, f *findings) error {
	leads := map[string][]string{} // from a steered name to others
	known := map[string]string{}
	for _, s := range cfg.Steers {
		known[s.Name] = s.Name
	}
	next := make([]string, len(cfg.Sites)) // steered names that the sites' cnames lead to
	through := make([]string, len(cfg.Sites))
	for i, s := range cfg.Sites {
		if s.CNAME != "" {
			next[i], through[i] = steeredAt(db, known, s.CNAME, f.elsewhere)
		}
	}
	policies, err := cfg.Policies()
	if err != nil {
		return err
	}
	by := map[[2]string]string{} // the zone from elsewhere by whose aliases a name leads to another
	for i, s := range cfg.Steers {
		if s.Answer != config.AnswerCNAME {
			continue
		}
		for _, site := range reachable(policies[i], len(cfg.Sites)) {
			if next[site] == "" {
				continue
			}
			step := [2]string{s.Name, next[site]}
			if !slices.Contains(leads[s.Name], next[site]) {
				leads[s.Name] = append(leads[s.Name], next[site])
				by[step] = through[site]
			} else if through[site] == "" {
				by[step] = ""
			}
		}
	}
	for i, s := range cfg.Steers {
		if way := loop(leads, s.Name, s.Name, nil); way != nil {
			way = append([]string{s.Name}, way...)
			zone := ""
			for j := range way[1:] {
				zone = cmp.Or(zone, by[[2]string{way[j], way[j+1]}])
			}
			f.add(zone, cfg.Fault("steer", i, fmt.Sprintf("the cnames of its sites lead back to it: %s: it would never come to an address", strings.Join(way, " -> "))))
		}
	}
	return nil
}

// loop gives the way from a name to another, nil: there is none.
func loop(leads map[string][]string, from, to string, passed []string) []string {
	for _, next := range leads[from] {
		if next == to {
			return append(slices.Clone(passed), next)
		}
		if !slices.Contains(passed, next) {
			if way := loop(leads, next, to, append(slices.Clone(passed), next)); way != nil {
				return way
			}
		}
	}
	return nil
}

// steeredAt is the steered name that a name is, or leads to by aliases; "" if none.
// through is a zone from elsewhere that has one of these aliases.
func steeredAt(db *zones.DB, known map[string]string, name string, elsewhere map[string]bool) (steered, through string) {
	for range zones.MaxChain {
		if s, ok := known[strings.ToLower(name)]; ok {
			return s, through
		}
		wire, err := dnsname.Parse(name)
		if err != nil {
			return "", ""
		}
		var n zones.Name
		var r zones.Result
		n.Set(wire)
		db.Lookup(&n, dns.TypeCNAME, false, &r)
		if len(r.Answer) == 0 || r.Answer[0].Set.Type != dns.TypeCNAME {
			return "", ""
		}
		if elsewhere[r.Zone.Name] {
			through = r.Zone.Name
		}
		for data := range r.Answer[0].Set.Data() {
			name = dnsname.Format(data)
		}
	}
	return "", ""
}
