package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gslb/config"
	"gslb/console"
	"gslb/geo"
	"gslb/health/probe"
	"gslb/steer"
)

// probe has the runner make the checks of the sites that this node is a vantage
// point of.
func (n *node) probe() error {
	n.checking.Lock()
	defer n.checking.Unlock()
	var mine []probe.Check
	for _, c := range n.checks {
		if c.Target.IsControl() || n.fleet.Probes(c.Target.Name) {
			mine = append(mine, c)
		}
	}
	return n.runner.Set(mine)
}

// probeAll makes checks those of all sites. If they cannot be made, those before stay.
func (n *node) probeAll(checks []probe.Check) error {
	n.checking.Lock()
	before := n.checks
	n.checks = checks
	n.checking.Unlock()
	err := n.probe()
	if err != nil {
		n.checking.Lock()
		n.checks = before
		n.checking.Unlock()
	}
	return err
}

// turns follows what the fleet has this node probe, until ctx ends.
func (n *node) turns(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.fleet.Turned():
			if err := n.probe(); err != nil {
				return err
			}
		}
	}
}

// doubt is how long before the control targets were lost a site may have seemed down
// for the same reason.
const doubt = 10 * time.Second

// look takes this node's votes back while too few of its control targets answer.
func (n *node) look() {
	need := n.inForce().cfg.Checker.NeedsControl()
	all, down, detail := n.runner.Sight()
	switch sees := all-down >= need; {
	case !sees && n.blind.IsZero():
		n.blind = time.Now()
		why := fmt.Sprintf("%d of its %d control targets answer, at least %d must (%s)", all-down, all, need, detail)
		n.fleet.Blind(why)
		n.fault("control", "this node's votes are withdrawn: "+why)
		n.log.Warn("control targets not seen: votes withdrawn", "why", why)
	case sees && !n.blind.IsZero():
		since := n.blind.Add(-doubt)
		n.blind = time.Time{}
		n.runner.Doubt(since)
		n.fleet.Sees(since)
		n.fault("control", "")
		n.log.Info("control targets are seen again: this node votes", "after", time.Since(since.Add(doubt)).Round(time.Millisecond))
	}
}

// unwatched says which sites nobody looks at.
func (n *node) unwatched(cfg *config.Config) (lines []string) {
	for _, site := range n.fleet.Unwatched() {
		for i := range cfg.Sites {
			if s := &cfg.Sites[i]; s.Name == site {
				lines = append(lines, fmt.Sprintf("site %s: nobody probes it, no live checker is what its vantage %q asks for; it stays in service", site, cfg.VantageOf(s)))
			}
		}
	}
	return lines
}

// audiences are those of the configuration, with the live checkers that stand for each.
func (n *node) audiences(cfg *config.Config) (all []console.Audience) {
	of := steer.AudienceOf(cfg.SteerAudiences())
	least := cfg.AudienceMin()
	for _, a := range cfg.Audiences {
		out := console.Audience{Name: a.Name, Who: audienceWords(&a), Min: least[a.Name], Vantages: []string{}}
		for _, f := range n.fleet.Nodes() {
			if f.Place != nil && slices.Contains(f.Roles, config.RoleChecker) && of(*f.Place) == a.Name && !slices.Contains(out.Vantages, f.Name) {
				out.Vantages = append(out.Vantages, f.Name)
			}
		}
		all = append(all, out)
	}
	return all
}

// audienceWords is who is in an audience: of each list anyone, and all lists.
func audienceWords(a *config.Audience) string {
	var asn, parts []string
	for _, number := range a.ASN {
		asn = append(asn, fmt.Sprintf("AS%d", number))
	}
	for _, list := range [][]string{a.ISP, asn, a.Subdivision, a.Country, a.Continent} {
		if len(list) > 0 {
			parts = append(parts, strings.Join(list, " or "))
		}
	}
	return strings.Join(parts, ", in ")
}

// placeWords is a place for people, the widest part last.
func placeWords(p *geo.Place) string {
	if p == nil {
		return ""
	}
	var parts []string
	for _, s := range []string{p.ISP, p.City, p.Country} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if len(parts) == 0 && p.HasLocation {
		return fmt.Sprintf("%.2f, %.2f", p.Location.Latitude, p.Location.Longitude)
	}
	return strings.Join(parts, ", ")
}
