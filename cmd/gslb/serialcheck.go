package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"gslb/config"
	"gslb/dnsname"
	"gslb/transfer"
	"gslb/zones"
)

// serialWarnings tells of zones of a configuration whose serial numbers are not newer
// than what had says is there already, so that secondaries would not follow.
func serialWarnings(t *topology, had func(z *zones.Zone, moves bool) (transfer.Had, error)) (all []string) {
	moves, how := make(map[string]*transfer.Zone), serialsOf(t.cfg)
	for i := range t.cfg.Moving {
		moves[t.cfg.Moving[i].Name] = &t.cfg.Moving[i].Zone
	}
	signed := make(map[string]bool)
	for _, z := range t.signed {
		signed[z.Name] = true
	}
	faults := make(map[string]bool)
	for _, z := range t.db.Zones() {
		move, known := moves[z.Name]
		if !known {
			move = new(transfer.Zone)
		}
		h, err := had(z, known)
		if err != nil {
			faults[fmt.Sprintf("what secondaries have is not known, so that serial numbers are not compared with it: %v", err)] = true
			continue
		}
		if w := h.Behind(z, signed[z.Name], how[z.Name], move); w != "" {
			all = append(all, w)
		}
	}
	return append(all, slices.Sorted(maps.Keys(faults))...)
}

// serialWarnings compares with what this node serves, and has sent.
func (n *node) serialWarnings(t *topology) []string {
	if n.moves == nil {
		return nil
	}
	return serialWarnings(t, func(z *zones.Zone, _ bool) (transfer.Had, error) {
		return n.moves.Had(dnsname.AppendLower(nil, z.Apex())), nil
	})
}

// sentSerialWarnings compares with what the node of a configuration has on disk: what
// it sent to secondaries, and what updates made.
func sentSerialWarnings(cfg *config.Config, t *topology) []string {
	return serialWarnings(t, func(z *zones.Zone, moves bool) (h transfer.Had, err error) {
		if !moves {
			return h, nil
		}
		return transfer.HadOnDisk(filepath.Join(cfg.Node.DataDir, "zones"), z.Name)
	})
}
