package steer

import (
	"net/netip"

	"gslb/geo"
	"gslb/health"
)

// audience is a compiled Audience.
type audience struct {
	name string
	matcher
}

func compileAudiences(list []Audience) (all []audience) {
	for _, a := range list {
		m := a.Match
		m.Networks = nil
		all = append(all, audience{a.Name, compileMatch(m)})
	}
	return all
}

// audience is the index of the client's audience, from 1; 0: it is in none.
func (c *Compiled) audience(p *geo.Place) int { return find(c.audiences, p) }

func find(all []audience, p *geo.Place) int {
	for i := range all {
		if all[i].matches(p, netip.Prefix{}, nil) {
			return i + 1
		}
	}
	return 0
}

// AudienceOf returns a function that names the audience of whoever is at a place,
// "" for none; nil if there are no audiences.
func AudienceOf(list []Audience) func(geo.Place) string {
	if len(list) == 0 {
		return nil
	}
	all := compileAudiences(list)
	return func(p geo.Place) string {
		if i := find(all, &p); i > 0 {
			return all[i-1].name
		}
		return ""
	}
}

// views are the standings of the sites: for everybody, and behind that for each
// audience. Where no site is down for an audience alone, its view is nil.
func (c *Compiled) views(states *health.States) [][]standing {
	all := make([][]standing, 1, 1+len(c.audiences))
	all[0] = standings(c.sites, states, c.release)
	for _, a := range c.audiences {
		var view []standing
		for i := range c.sites {
			st := states.Site(c.sites[i].Name)
			if !st.State.Available() || st.For(a.name).State.Available() {
				continue
			}
			if view == nil {
				view = append(view, all[0]...)
			}
			view[i].available = false
		}
		all = append(all, view)
	}
	return all
}

// view makes the filter see the sites as an audience does; it tells whether that is
// another view than everybody's.
func (f *filter) view(audience int) (own bool) {
	f.audience, f.sites = 0, f.views[0]
	if audience > 0 && audience < len(f.views) && f.views[audience] != nil {
		f.audience, f.sites = audience, f.views[audience]
		return true
	}
	return false
}
