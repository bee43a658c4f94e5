package config

import (
	"fmt"
	"slices"

	"gslb/geo"
	"gslb/health"
	"gslb/health/probe"
)

// Health is [health]: who judges the sites, unless a site says otherwise.
type Health struct {
	Vantage health.Vantage `toml:"vantage"` // which checkers probe; default all
	Quorum  health.Quorum  `toml:"quorum"`  // how many of them must say down; default more than half
}

// Checker is [checker]: what this node is as a vantage point.
type Checker struct {
	Place geo.PlaceConfig `toml:"place"` // where it stands
	// Control are targets that it has to see; see probe.Control. If fewer than
	// ControlMin (default 1) answer, its votes are withdrawn.
	Control    []string `toml:"control"`
	ControlMin int      `toml:"control_min"`
}

// NeedsControl is how many control targets must answer.
func (c Checker) NeedsControl() int { return max(c.ControlMin, min(1, len(c.Control))) }

// StandsAt is where the node says that it stands; nil: it does not say.
func (c *Config) StandsAt() *geo.Place {
	p := c.Checker.Place.Place()
	if p == (geo.Place{}) {
		return nil
	}
	return &p
}

// VantageOf says which checkers probe a site, QuorumOf how many of them decide.
func (c *Config) VantageOf(s *Site) health.Vantage {
	if s.Vantage != "" {
		return s.Vantage
	}
	return c.Health.Vantage
}

// QuorumOf is the quorum of a site.
func (c *Config) QuorumOf(s *Site) health.Quorum {
	if s.Quorum != (health.Quorum{}) {
		return s.Quorum
	}
	return c.Health.Quorum
}

func (c *Config) checkChecker(r *report) {
	if r.at.has("checker.place") {
		c.Checker.Place.Validate(r.in("checker.place"))
	}
	for i, text := range c.Checker.Control {
		key := indexPath("checker.control", i)
		if _, err := probe.Control(text, nil); err != nil {
			r.bad(key, "%v", err)
		}
		if slices.Contains(c.Checker.Control[:i], text) {
			r.bad(key, "%q: listed twice", text)
		}
	}
	if n := c.Checker.ControlMin; r.at.has("checker.control_min") && (n < 1 || n > len(c.Checker.Control)) {
		r.bad("checker.control_min", "%d: must be 1 to %d, the number of targets in control", n, len(c.Checker.Control))
	}
}

// checkVantage looks at who is to probe a site.
func (c *Config) checkVantage(r *report, path string, s *Site) {
	v := c.VantageOf(s)
	items, err := v.Items()
	if err != nil || s.Check == "" {
		return // the former is reported where it was read
	}
	nearest := 0
	for _, i := range items {
		nearest = max(nearest, i.Count)
	}
	if nearest > 0 && len(s.Location) == 0 {
		r.warn(path, "%s", fmt.Sprintf("vantage %q: the site has no location, so which checkers are near is not known: some are taken", v))
	}
}
