package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"gslb/config"
	"gslb/console"
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
	db := n.inForce().db
	next, err := db.With(put, drop)
	if err != nil {
		return err
	}
	if durable != nil {
		if err := durable(); err != nil {
			return err
		}
	}
	n.keepSerials(next)
	n.mu.Lock()
	defer n.mu.Unlock()
	t := *n.topo
	t.db = next
	for _, p := range t.arrived(put) {
		n.log.Warn(p)
	}
	n.topo = &t
	n.dns.Swap(n.dns.Generation().WithDB(next))
	for _, w := range next.NewWarnings(db) {
		n.log.Warn(w)
	}
	return nil
}

// arrived looks at what zones that have come by transfer or update do to the sites'
// canonical names, and gives the problems that are new.
func (t *topology) arrived(put []*zones.Zone) (news []string) {
	f := findings{elsewhere: t.found.elsewhere}
	for _, z := range put {
		if !f.elsewhere[z.Name] {
			f.elsewhere = maps.Clone(f.elsewhere)
			f.elsewhere[z.Name] = true
		}
	}
	t.found.elsewhere = f.elsewhere
	concerned := func(s config.Site) bool {
		return s.CNAME != "" && slices.ContainsFunc(put, func(z *zones.Zone) bool { return dns.IsSubDomain(z.Name, s.CNAME) })
	}
	if !slices.ContainsFunc(t.cfg.Sites, concerned) {
		return nil
	}
	checkTargets(t.cfg, t.db, &f)
	before := t.targets
	t.targets = f.problems
	return slices.DeleteFunc(slices.Clone(f.problems), func(p string) bool { return slices.Contains(before, p) })
}

// mostFound is how many problems of zones from elsewhere are told one by one.
const mostFound = 20

// problems are those that zones from elsewhere make.
func (t *topology) problems() []string {
	all := slices.Concat(t.targets, t.found.problems)
	if len(all) > mostFound {
		all = append(all[:mostFound], fmt.Sprintf("zones that come by transfer or update: %d more like these", len(all)-mostFound))
	}
	return all
}

// Default is part of transfer.Host.
func (n *node) Default(s *zones.Steered) []int32 { return n.dns.Generation().Default(s) }

// beside gives the zones that are not read from master files.
type beside func(read func(apex []byte) *zones.Zone) ([]*zones.Zone, error)

// absent stands for zones that come from elsewhere where nothing is transferred.
func absent(cfg *config.Config) beside {
	return func(func([]byte) *zones.Zone) (all []*zones.Zone, err error) {
		for _, z := range cfg.Elsewhere {
			a, err := zones.Absent(z.Name, z.File)
			if err != nil {
				return nil, err
			}
			all = append(all, a)
		}
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

// movements adds to a status how the zones move, and what is wrong with that.
func (n *node) movements(st *console.Status) {
	if n.moves == nil {
		return
	}
	by := make(map[string]*console.Transfer)
	for _, s := range n.moves.Status() {
		by[s.Zone] = &console.Transfer{
			Role: s.Role, Catalog: s.Catalog, Primary: s.Primary, Moved: s.Moved, Confirmed: s.Confirmed, Next: s.Next, Expires: s.Expires,
			Sent: s.Sent, SentFailed: s.SentFailed, Refused: s.Refused, Taken: s.Taken, TakenFailed: s.TakenFailed,
			Updates: s.Updates, UpdatesRefused: s.UpdatesRefused, UpdatesForwarded: s.UpdatesForwarded, History: s.History,
		}
		st.Problems = append(st.Problems, s.Problems...)
	}
	for i := range st.Zones {
		st.Zones[i].Transfer = by[st.Zones[i].Name]
	}
}

var (
	descMoved     = prometheus.NewDesc("gslb_zone_transfers_total", "Transfers of the zone, by direction and outcome.", []string{"zone", "direction", "outcome"}, nil)
	descUpdates   = prometheus.NewDesc("gslb_zone_updates_total", "Dynamic updates of the zone, by outcome.", []string{"zone", "outcome"}, nil)
	descConfirmed = prometheus.NewDesc("gslb_zone_confirmed_timestamp_seconds", "When a secondary's copy of the zone was last known to be the newest.", []string{"zone"}, nil)
	descExpires   = prometheus.NewDesc("gslb_zone_expires_timestamp_seconds", "When a secondary's copy of the zone expires unless a primary is reached.", []string{"zone"}, nil)
)

// collectMovements gives how the zones of a status move to Prometheus.
func collectMovements(st console.Status, ch chan<- prometheus.Metric) {
	for _, z := range st.Zones {
		m := z.Transfer
		if m == nil {
			continue
		}
		count := func(d *prometheus.Desc, v uint64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append([]string{z.Name}, labels...)...)
		}
		count(descMoved, m.Sent, "out", "done")
		count(descMoved, m.SentFailed, "out", "failed")
		count(descMoved, m.Refused, "out", "refused")
		count(descMoved, m.Taken, "in", "done")
		count(descMoved, m.TakenFailed, "in", "failed")
		count(descUpdates, m.Updates, "done")
		count(descUpdates, m.UpdatesRefused, "refused")
		count(descUpdates, m.UpdatesForwarded, "forwarded")
		for d, at := range map[*prometheus.Desc]time.Time{descConfirmed: m.Confirmed, descExpires: m.Expires} {
			if !at.IsZero() {
				ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(at.Unix()), z.Name)
			}
		}
	}
}
