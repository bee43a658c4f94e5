package config

import (
	"fmt"
	"net/netip"
	"time"

	"gslb/steer"
)

// Steer is one [[steer]]: a name whose answer depends on the client.
type Steer struct {
	Name   string `toml:"name"`   // the owner name, in one of the zones
	Answer string `toml:"answer"` // "cname" or "address"
	// TTL of the tailored answers, whole seconds from 1s to 24h; default 30s.
	TTL time.Duration `toml:"ttl"`
	// TroubleTTL is the TTL while one of its sites is not plainly in service; 0: TTL.
	TroubleTTL time.Duration `toml:"trouble_ttl"`
	// Answers is how many sites an answer gives at most, 1 to 16; default 1. For
	// answer = "address".
	Answers int `toml:"answers"`
	// Hints makes HTTPS and SVCB records at the name hold the chosen site's
	// addresses (RFC 9460); for answer = "address".
	Hints bool        `toml:"hints"`
	Rules []SteerRule `toml:"rule"` // in order: the first that matches decides
	// LastResort are the targets when no tier has a member that is up. Empty:
	// fail open, that is answer as though all were up.
	LastResort []string `toml:"last_resort"`
	// Release "hold" gives new users only to sites that serve the content generation
	// which gslb release has set; "": whatever they serve.
	Release string `toml:"release"`
}

// The forms of a steered name's answer.
const (
	AnswerCNAME   = "cname"
	AnswerAddress = "address"
	releaseHold   = "hold"
)

// SteerRule is one [[steer.rule]]. It matches a client that each matcher that
// is written matches with one of its values; without any it matches everyone.
type SteerRule struct {
	ISP         []string       `toml:"isp"`
	ASN         []uint32       `toml:"asn"`
	City        []string       `toml:"city"`
	Subdivision []string       `toml:"subdivision"`
	Country     []string       `toml:"country"`
	Continent   []string       `toml:"continent"`
	Network     []netip.Prefix `toml:"network"`
	To          []string       `toml:"to"` // tiers, in order
}

func (s Steer) withDefaults() Steer {
	if s.TTL == 0 {
		s.TTL = 30 * time.Second
	}
	if s.Answers == 0 {
		s.Answers = 1
	}
	return s
}

// matchesEveryone tells whether no matcher is written.
func (r SteerRule) matchesEveryone() bool {
	return len(r.ISP)+len(r.ASN)+len(r.City)+len(r.Subdivision)+len(r.Country)+len(r.Continent)+len(r.Network) == 0
}

func (r SteerRule) match() steer.Match {
	return steer.Match{
		Networks:    r.Network,
		ISP:         r.ISP,
		ASN:         r.ASN,
		City:        r.City,
		Subdivision: r.Subdivision,
		Country:     r.Country,
		Continent:   r.Continent,
	}
}

// Policies returns the policies of the steered names, in the order of Steers.
// Of a Config that Load or Parse returned the error is always nil.
func (c *Config) Policies() ([]steer.Policy, error) {
	sites, groups, audiences := c.SteerSites(), c.members(), c.SteerAudiences()
	measured := c.measurements()
	policies := make([]steer.Policy, len(c.Steers))
	for i, s := range c.Steers {
		p := steer.Policy{Name: s.Name, Audiences: audiences, TTL: s.TTL, Answers: several(s.Answers), Rules: make([]steer.Rule, len(s.Rules))}
		for j, rule := range s.Rules {
			tiers, err := parseTargets(rule.To, sites, groups)
			if err != nil {
				return nil, fmt.Errorf("steered name %s, rule %d: %w", s.Name, j, err)
			}
			p.Rules[j] = steer.Rule{Match: rule.match(), Tiers: tiers}
		}
		if s.Release == releaseHold {
			p.Release = s.Name
		}
		var err error
		if p.LastResort, err = parseTargets(s.LastResort, sites, groups); err != nil {
			return nil, fmt.Errorf("steered name %s, last resort: %w", s.Name, err)
		}
		if p.Picks(steer.Latency) { // the others steer alike without
			p.Measured = measured
		}
		policies[i] = p
	}
	return policies, nil
}

// several is the number of answers as a policy has it, where one goes without saying: so
// policies of revisions before there were more are still the same.
func several(answers int) int {
	if answers == 1 {
		return 0
	}
	return answers
}

func parseTargets(texts []string, sites []steer.Site, groups map[string][]steer.Member) ([]steer.Target, error) {
	var targets []steer.Target
	for _, text := range texts {
		t, err := steer.ParseTarget(text, sites, groups)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// members returns the groups as targets refer to them. A member that is not a
// site is left out: it is reported with its group.
func (c *Config) members() map[string][]steer.Member {
	index := make(map[string]int, len(c.Sites))
	for i, s := range c.Sites {
		index[s.Name] = i
	}
	groups := make(map[string][]steer.Member, len(c.Groups))
	for _, g := range c.Groups {
		list := make([]steer.Member, 0, len(g.Members))
		for _, name := range g.Members {
			i, ok := index[name]
			if !ok {
				continue
			}
			w, ok := g.Weights[name]
			if !ok {
				w = c.Sites[i].Weight
			}
			list = append(list, steer.Member{Site: i, Weight: w})
		}
		groups[g.Name] = list
	}
	return groups
}
