package config

import (
	"slices"

	"gslb/steer"
)

// defaultAudienceMin is how many vantage points must agree, unless an audience says otherwise.
const defaultAudienceMin = 2

// Audience is one [[audience]]: users of an operator or a region for whom a site can
// be down alone, as the vantage points among them see.
type Audience struct {
	Name        string   `toml:"name"`
	ISP         []string `toml:"isp"`
	ASN         []uint32 `toml:"asn"`
	Subdivision []string `toml:"subdivision"`
	Country     []string `toml:"country"`
	Continent   []string `toml:"continent"`
	// Min is how many vantage points of it must agree that a site is down; default 2.
	Min int `toml:"min"`
}

// SteerAudiences returns the audiences as the decision sees them.
func (c *Config) SteerAudiences() (all []steer.Audience) {
	for _, a := range c.Audiences {
		all = append(all, steer.Audience{Name: a.Name, Match: steer.Match{ISP: a.ISP, ASN: a.ASN, Subdivision: a.Subdivision, Country: a.Country, Continent: a.Continent}})
	}
	return all
}

// AudienceMin is how many vantage points of each audience must agree.
func (c *Config) AudienceMin() map[string]int {
	out := map[string]int{}
	for _, a := range c.Audiences {
		if out[a.Name] = a.Min; a.Min == 0 {
			out[a.Name] = defaultAudienceMin
		}
	}
	return out
}

func (c *Config) checkAudiences(r *report) {
	seen := names{report: r, what: "audience"}
	for i, a := range c.Audiences {
		path := indexPath("audience", i)
		if seen.add(path+".name", a.Name) && !nameForm.MatchString(a.Name) {
			r.bad(path+".name", "%q: %s", a.Name, nameRule)
		}
		if len(a.ISP)+len(a.ASN)+len(a.Subdivision)+len(a.Country)+len(a.Continent) == 0 {
			r.bad(path, "says nothing of who is in it: set isp, asn, country, subdivision or continent")
		}
		if a.Min < 0 || r.at.has(path+".min") && a.Min < 1 {
			r.bad(path+".min", "%d: must be 1 or more vantage points", a.Min)
		}
		for key, list := range map[string][]string{"isp": a.ISP, "subdivision": a.Subdivision, "country": a.Country, "continent": a.Continent} {
			if slices.Contains(list, "") {
				r.bad(path+"."+key, "has an empty entry")
			}
		}
	}
}
