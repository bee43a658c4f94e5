package main

import (
	"gslb/config"
	"gslb/transfer"
	"gslb/zones"
)

// The node is who serves the zones that move.
var _ transfer.Host = (*node)(nil)

// DB is part of transfer.Host.
func (n *node) DB() *zones.DB { return n.dns.Generation().DB }

// Put is part of transfer.Host. The manager sees to it that no reload changes zones
// meanwhile; signing waits its turn.
func (n *node) Put(put []*zones.Zone, drop []string, durable func() error) error {
	n.turn.Lock()
	defer n.turn.Unlock()
	n.mu.Lock()
	db := n.topo.db
	n.mu.Unlock()
	next, err := db.With(put, drop)
	if err != nil {
		return err
	}
	if durable != nil {
		if err := durable(); err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	t := *n.topo
	t.db = next
	n.topo = &t
	n.dns.Swap(n.dns.Generation().WithDB(next))
	return nil
}

// Default is part of transfer.Host.
func (n *node) Default(s *zones.Steered) int { return n.dns.Generation().Default(s) }

// beside gives the zones that are not read from master files.
type beside func(read func(apex []byte) *zones.Zone) ([]*zones.Zone, error)

// absent stands for zones that come from elsewhere where nothing is transferred.
func absent(cfg *config.Config) beside {
	return func(func([]byte) *zones.Zone) (all []*zones.Zone, err error) {
		for _, z := range cfg.Moving {
			if !z.HasFile() {
				a, err := zones.Absent(z.Name, z.File)
				if err != nil {
					return nil, err
				}
				all = append(all, a)
			}
		}
		return all, nil
	}
}
