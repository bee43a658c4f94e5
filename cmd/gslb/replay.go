package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"gslb/config"
	"gslb/geo"
	"gslb/health"
	"gslb/replay"
	"gslb/steady"
	"gslb/steer"
	"gslb/zones"
)

// view is what decisions are made from, from a time on.
type view struct {
	at     time.Time
	cfg    *config.Config
	places *geo.DB
	states *health.States
}

// replayFolder is where a node keeps what its decisions were made from.
func replayFolder(cfg *config.Config) string { return filepath.Join(cfg.Node.DataDir, "replay") }

// seen hands what is in force now to the part that records it; n.mu is held. It
// doesn't wait: what a disk that hangs leaves no room for is not recorded.
func (n *node) seen(states *health.States) {
	select {
	case n.views <- view{steady.Now(), n.topo.cfg, n.places, states}:
	default:
		n.faults["replay"] = "recording for gslb explain -at does not keep up: the disk of data_dir hangs or is slow"
	}
}

// record writes what was in force to disk, for gslb explain -at.
func (n *node) record(ctx context.Context) error {
	log, err := replay.Open(n.replays)
	if err != nil {
		return err
	}
	defer log.Close()
	var last view
	var topology *replay.Topology
	for {
		select {
		case <-ctx.Done():
			return nil
		case v := <-n.views:
			if topology == nil || v.cfg != last.cfg || v.places != last.places {
				if topology, err = replayed(v.cfg, v.places); err != nil {
					return err
				}
			}
			last = v
			if err := log.Add(v.at, topology, v.states); err != nil {
				return err
			}
			if len(n.views) == 0 {
				n.fault("replay", "")
			}
		}
	}
}

// replayed takes out of a configuration what decisions are made from.
func replayed(cfg *config.Config, places *geo.DB) (*replay.Topology, error) {
	policies, err := cfg.Policies()
	if err != nil {
		return nil, err
	}
	t := &replay.Topology{Overrides: cfg.Geo.Overrides, Databases: places.Sources()}
	for i, s := range cfg.SteerSites() {
		site := replay.Site{Site: s, CNAME: cfg.Sites[i].CNAME}
		for _, a := range cfg.Sites[i].Addresses {
			site.Addresses = append(site.Addresses, a.String())
		}
		t.Sites = append(t.Sites, site)
	}
	shared, index := distinct(policies)
	for i, s := range cfg.Steers {
		t.Names = append(t.Names, replay.Name{Name: s.Name, Policy: shared[index[i]], CNAME: s.Answer == config.AnswerCNAME})
	}
	for i := range t.Databases {
		t.Databases[i].LoadTime = 0
	}
	return t, nil
}

// sharedPolicy is the policy that a steered name's answers come from: see compile.
func sharedPolicy(all []steer.Policy, i int) steer.Policy {
	return all[slices.IndexFunc(all, func(p steer.Policy) bool { return samePolicy(p, all[i]) })]
}

// explainPast decides as the node of a configuration did at a time.
func explainPast(c *cli.Command, name string, at time.Time) error {
	cfg, err := loadServed(c.String("config"))
	if err != nil {
		return err
	}
	client, err := clientAddr(c.String("client"))
	if err != nil {
		return usagef("gslb explain: %v", err)
	}
	r, bad, err := replay.Find(replayFolder(cfg), at)
	if err != nil {
		return fmt.Errorf("gslb explain: -at %s: %w", at.Format(time.RFC3339), err)
	}
	full, err := zones.CanonicalName(name)
	if err != nil {
		return usagef("gslb explain: %v", err)
	}
	n, ok := r.Topology.Find(full)
	if !ok {
		return fmt.Errorf("gslb explain: %s was not a steered name at %s", full, at.Format(time.RFC3339))
	}
	places, err := geo.Open(geo.Config{Databases: cfg.Geo.Databases, Overrides: r.Topology.Overrides})
	if err != nil {
		return err
	}
	out := c.Root().Writer
	fmt.Fprintf(out, "%s for %s at %s, as this node decided then (its view of the sites is that of %s, revision %d)\n",
		full, client, at.Format(time.RFC3339), r.At.Format(time.RFC3339Nano), r.States.Revision)
	if why := r.Topology.Differs(places.Sources()); why != "" {
		fmt.Fprintf(out, "Not exact: the place of the client is looked up in other databases than then: %s\n", why)
	}
	if bad > 0 {
		fmt.Fprintf(out, "Not exact: %d records could not be read; what they said may have been in force\n", bad)
	}
	return decidePast(out, &r, &n, places, client, at)
}

func decidePast(out io.Writer, r *replay.Record, n *replay.Name, places *geo.DB, client netip.Addr, at time.Time) error {
	c, err := steer.Compile(&n.Policy, r.Topology.SteerSites())
	if err != nil {
		return err
	}
	place, _ := places.Lookup(client)
	inner, _ := geo.Inner(client)
	var within netip.Prefix
	for _, cut := range c.Cuts() {
		if cut.Contains(inner) && (!within.IsValid() || cut.Bits() > within.Bits()) {
			within = cut
		}
	}
	tr := new(steer.Trace)
	cohort := c.Classify(place, within, tr)
	ttl := max(uint32(n.Policy.TTL/time.Second), 1)
	live := c.Live(r.States)
	choice := live.Choose(cohort, steer.Ask{Client: inner, Period: uint32(at.Unix()) / ttl}, tr)
	if n.CNAME {
		fmt.Fprintf(out, "  CNAME  %s\n", r.Topology.Sites[choice.Site].CNAME)
	} else {
		for _, site := range live.Sites(choice) {
			for _, a := range r.Topology.Sites[site].Addresses {
				fmt.Fprintf(out, "  address  %s\n", a)
			}
		}
	}
	fmt.Fprintln(out)
	return tr.Write(out)
}

// pastTime reads the time of -at: of day, or a whole one, or how long ago.
func pastTime(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d <= 0 {
		return now.Add(d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			if t.After(now) {
				return time.Time{}, fmt.Errorf("%q: has not come yet (it is %s)", text, now.Format(time.RFC3339))
			}
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf(`%q: want a time such as 2026-03-01T09:30:00Z or "2026-03-01 09:30", or how long ago, such as -10m`, text)
}
