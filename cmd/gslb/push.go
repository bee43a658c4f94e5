package main

import (
	"fmt"
	"slices"
	"strings"

	"gslb/config"
	"gslb/console"
	"gslb/health/probe"
)

// Push is part of console.Backend: it notes what an application reports of
// itself for the checks of this node.
func (n *node) Push(p console.Push) error {
	cfg := n.inForce().cfg
	if c, ok := cfg.Checks[p.Check]; !ok || c.Type != "push" {
		return fmt.Errorf("%w: there is no check of type push with the name %.100q", console.ErrNotFound, p.Check)
	}
	targets := pushTargets(cfg, p.Check)
	addresses, ok := targets[p.Target]
	if !ok {
		return fmt.Errorf("%w: target %.100q: no site or frontend of this name is checked by %s on this node", console.ErrNotFound, p.Target, p.Check)
	}
	if p.Address != "" && !slices.Contains(addresses, p.Address) {
		return fmt.Errorf("%w: address %.100q: must be one of %s's, %s", console.ErrNotFound, p.Address, p.Target, strings.Join(addresses, ", "))
	}
	n.board.Report(probe.Pushed(p))
	return nil
}

// pushTargets are the targets that this node checks by what is pushed for the
// check, with their addresses.
func pushTargets(cfg *config.Config, check string) map[string][]string {
	out := map[string][]string{}
	if cfg.Node.HasRole(config.RoleChecker) {
		for _, s := range cfg.Sites {
			if madeOf(cfg.Checks[s.Check], check) {
				out[s.Name] = append(out[s.Name], probed(s)...)
			}
		}
	}
	if cfg.Node.HasRole(config.RoleBalancer) {
		for _, f := range cfg.Frontends {
			if !madeOf(cfg.Checks[f.Check], check) {
				continue
			}
			for _, s := range slices.Concat(f.Servers, f.Spares) {
				out[f.Name] = append(out[f.Name], s.Address)
			}
		}
	}
	return out
}

// madeOf tells whether c is the check of that name, or made of it by any way.
func madeOf(c probe.Config, name string) bool {
	return c.Name == name || slices.ContainsFunc(c.Parts, func(p probe.Config) bool { return madeOf(p, name) })
}

// forgetPushed drops what was reported for checks that are gone.
func (n *node) forgetPushed(cfg *config.Config) {
	targets := map[string]map[string][]string{} // by check
	n.board.Keep(func(check, target string) bool {
		if targets[check] == nil {
			targets[check] = pushTargets(cfg, check)
		}
		_, ok := targets[check][target]
		return ok
	})
}

// probeWarnings are what the probes have seen that a person should look at, once
// for each target.
func (n *node) probeWarnings() []string {
	var lines []string
	for _, r := range n.runner.Results() {
		if r.Warning == "" {
			continue
		}
		if line := fmt.Sprintf("site %s: %s", r.Target.Name, r.Warning); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if n.balancer != nil {
		lines = append(lines, n.balancer.Warnings()...)
	}
	return lines
}
