package steer

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// validate finds what would make a decision impossible or meaningless.
func validate(p *Policy, sites []Site) error {
	v := validator{sites: sites}
	if len(sites) == 0 {
		v.bad("no sites: must have at least one")
	}
	names := make(map[string]bool)
	for _, s := range sites {
		v.site(s, names)
	}
	for i, r := range p.Rules {
		if len(r.Tiers) == 0 {
			v.bad("rule %d has no tier: must have at least one", i+1)
		}
		for _, n := range r.Match.Networks {
			if !n.IsValid() {
				v.bad("rule %d: network is not valid: must be an address and a length", i+1)
			}
		}
		v.tiers(fmt.Sprintf("rule %d, tier", i+1), r.Tiers)
	}
	v.tiers("last resort", p.LastResort)
	if p.Answers < 0 || p.Answers > MaxAnswers {
		v.bad("answers %d: must be 1 to %d", p.Answers, MaxAnswers)
	}
	return errors.Join(v.errs...)
}

type validator struct {
	sites []Site
	errs  []error
}

func (v *validator) bad(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf(format, args...))
}

func (v *validator) site(s Site, names map[string]bool) {
	if s.Name == "" {
		v.bad("a site has no name: must have one")
	} else if names[s.Name] {
		v.bad("site %q occurs twice: names must differ", s.Name)
	}
	names[s.Name] = true
	if !validWeight(s.Weight) {
		v.bad("site %q: weight %v: %s", s.Name, s.Weight, weightWanted)
	}
	if math.IsNaN(s.Bias) || math.IsInf(s.Bias, 0) {
		v.bad("site %q: bias %v: must be a number of kilometres", s.Name, s.Bias)
	}
	if !(s.Capacity >= 0 && s.Capacity <= maxCapacity) {
		v.bad("site %q: capacity %v: must be from 0 to %g", s.Name, s.Capacity, maxCapacity)
	}
	if l := s.Location; s.HasLocation && !(math.Abs(l.Latitude) <= 90 && math.Abs(l.Longitude) <= 180) {
		v.bad("site %q: location %v, %v: must be a latitude of -90 to 90 and a longitude of -180 to 180 degrees", s.Name, l.Latitude, l.Longitude)
	}
}

func (v *validator) tiers(where string, tiers []Target) {
	if len(tiers) > math.MaxInt8 { // Choice.Tier
		v.bad("%s: %d of them: must be at most %d", where, len(tiers), math.MaxInt8)
	}
	for i, t := range tiers {
		v.tier(fmt.Sprintf("%s %d (%q)", where, i+1, t.Label), t)
	}
}

func (v *validator) tier(where string, t Target) {
	if int(t.Pick) >= len(pickNames) {
		v.bad("%s: pick %v: must be one of %s", where, t.Pick, strings.Join(pickNames[:], ", "))
	}
	if len(t.Members) == 0 {
		v.bad("%s has no member: must have at least one", where)
	}
	if weighty := t.weighty(); t.Min < 0 || t.Min > max(weighty, 1) {
		v.bad("%s: min %d: must be 1 to %d, its members with a weight", where, t.Min, max(weighty, 1))
	}
	seen := make(map[int]bool)
	for _, m := range t.Members {
		switch {
		case m.Site < 0 || m.Site >= len(v.sites):
			v.bad("%s: site number %d: must be 0 to %d", where, m.Site, len(v.sites)-1)
		case seen[m.Site]:
			v.bad("%s: site %q occurs twice: must occur once", where, v.sites[m.Site].Name)
		case !validWeight(m.Weight):
			v.bad("%s: weight %v of site %q: %s", where, m.Weight, v.sites[m.Site].Name, weightWanted)
		}
		seen[m.Site] = true
	}
}
