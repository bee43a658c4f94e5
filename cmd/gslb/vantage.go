package main

import (
	"context"
	"fmt"

	"gslb/config"
	"gslb/health/probe"
)

// probe has the runner make the checks of the sites that this node is a vantage
// point of.
func (n *node) probe() error {
	n.checking.Lock()
	defer n.checking.Unlock()
	var mine []probe.Check
	for _, c := range n.checks {
		if n.fleet.Probes(c.Target.Name) {
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
