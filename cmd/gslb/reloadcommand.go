package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/urfave/cli/v3"

	"gslb/config"
	"gslb/console"
	"gslb/dnsname"
	"gslb/parallel"
	"gslb/zones"
)

// reloading says what is to be read again.
type reloading struct {
	topology string // the file of one that stands apart from the configuration, or ""
	force    bool   // whatever it moves
	// zones are those whose files are looked at; the configuration is not then. None: all of it.
	zones []string
	// listing is for zones whose files have come or gone: [[zones]] are listed anew, but
	// for these files, and new ones are read. The configuration, and other files, are not.
	listing  bool
	leaveOut map[string]bool
}

// some tells whether zones alone are read again, whose configuration stays as it is.
func (r reloading) some() bool { return len(r.zones) > 0 || r.listing }

// reloadOrder is one that somebody waits for.
type reloadOrder struct {
	reloading
	done chan<- reloaded // has room for it
}

type reloaded struct {
	console.Reloaded
	err error
}

// read reads the configuration; last is the one in force. Where only some zones are to
// be read again it is that one, and look tells which.
func (n *node) read(o reloading, last *config.Config) (cfg *config.Config, look func(zones.Config) bool, err error) {
	switch {
	case o.listing:
		cfg, err = last.Relist(o.leaveOut)
		return cfg, func(zones.Config) bool { return false }, err
	case len(o.zones) > 0:
		same := *last
		look, err = only(o.zones, &same)
		return &same, look, err
	case o.topology == "":
		cfg, err = config.Reload(n.path, last)
	default:
		cfg, err = config.LoadBoth(n.path, o.topology)
	}
	return cfg, nil, err
}

// only tells which zones of a configuration have these names. Each must have a file.
func only(names []string, cfg *config.Config) (func(zones.Config) bool, error) {
	want := make(map[string]bool, len(names))
	for _, name := range names {
		full, err := zones.CanonicalName(name)
		if err != nil {
			return nil, fmt.Errorf("%w: zone %.300q: %w", console.ErrInvalid, name, err)
		}
		want[full] = true
	}
	missing := maps.Clone(want)
	for _, z := range cfg.Files() {
		delete(missing, z.Name)
	}
	for full := range missing {
		return nil, fmt.Errorf("%w: zone %s is not read from a file here: must be the apex of one that is; a zone that is new in the configuration comes with a reload of everything", console.ErrNotFound, full)
	}
	return func(z zones.Config) bool { return want[z.Name] }, nil
}

// reloadFor is reloadNow for somebody who waits to hear what has changed.
func (n *node) reloadFor(ctx context.Context, o reloading) (console.Reloaded, error) {
	begin, before := time.Now(), n.inForce().db
	if err := n.reloadNow(ctx, o); err != nil {
		return console.Reloaded{}, err
	}
	done := changedZones(before, n.inForce().db)
	done.Took = time.Since(begin)
	return done, nil
}

// reloadNow reads again what is asked for, beside the queries, and tells when that fails. It runs in the
// goroutine of reloads.
func (n *node) reloadNow(ctx context.Context, o reloading) (err error) {
	all := !o.some()
	if n.dns != nil && all {
		n.dns.ReadCertificates() // whatever becomes of the rest
	}
	o.topology = n.topologyFile()
	parallel.Background(func() {
		err = guarded(ctx, func(context.Context) error { return n.reload(o) })
	})
	if err != nil {
		if all {
			n.fault("reload", fmt.Sprintf("the last reload failed, what was served before is still served: %v", err))
		}
		n.log.Error("reload failed; what was served before is still served", "error", err)
		return err
	}
	if all {
		n.fault("reload", "")
		if n.follow != nil {
			n.follow.wake() // what kept a revision from being served may have come
		}
	}
	return nil
}

// changedZones tells which zones are others than before.
func changedZones(before, after *zones.DB) console.Reloaded {
	done := console.Reloaded{Zones: len(after.Zones())}
	gone := len(before.Zones()) - len(after.Zones())
	add := func(c console.ChangedZone) {
		if done.Changed++; len(done.List) < console.MaxReloaded {
			done.List = append(done.List, c)
		}
	}
	for _, z := range after.Zones() {
		switch was := before.Zone(z.Apex()); {
		case was == nil:
			gone++
			add(console.ChangedZone{Zone: dnsname.Format(z.Apex()), Serial: z.Serial, New: true})
		case was != z:
			add(console.ChangedZone{Zone: dnsname.Format(z.Apex()), Serial: z.Serial, Was: was.Serial})
		}
	}
	if gone > 0 {
		for _, z := range before.Zones() {
			if after.Zone(z.Apex()) == nil {
				add(console.ChangedZone{Zone: dnsname.Format(z.Apex()), Was: z.Serial, Gone: true})
			}
		}
	}
	return done
}

// Reload is part of console.Backend.
func (n *node) Reload(ctx context.Context, names []string) (console.Reloaded, error) {
	done := make(chan reloaded, 1)
	select {
	case n.asked <- reloadOrder{reloading{zones: names}, done}:
	case <-ctx.Done():
		return console.Reloaded{}, fmt.Errorf("%w: an earlier reload still goes on", console.ErrUnavailable)
	}
	select {
	case r := <-done:
		return r.Reloaded, r.err
	case <-ctx.Done():
		return console.Reloaded{}, fmt.Errorf("%w: the reload goes on, the log will say what becomes of it", console.ErrUnavailable)
	}
}

func reloadCommand() *cli.Command {
	return &cli.Command{
		Name:      "reload",
		Usage:     "have a running node read its configuration and zones again, or some zones alone, and say what became of it",
		ArgsUsage: "[ZONE ...]",
		Description: "Without a ZONE it is what SIGHUP does: configuration and zones are put in force together, or, when anything\n" +
			"is wrong, not at all. With zones, only their files are read again: quick also where there are a million others.",
		Flags: apiFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			cl := client(c)
			defer cl.Close()
			r, err := cl.Reload(ctx, c.Args().Slice())
			if err != nil {
				return err
			}
			writeReloaded(c.Root().Writer, r)
			return nil
		},
	}
}

// writeReloaded says what a reload has changed.
func writeReloaded(w io.Writer, r console.Reloaded) {
	for _, z := range r.List {
		switch {
		case z.New:
			fmt.Fprintf(w, "%s new, serial %d\n", z.Zone, z.Serial)
		case z.Gone:
			fmt.Fprintf(w, "%s gone, serial was %d\n", z.Zone, z.Was)
		case z.Serial == z.Was:
			fmt.Fprintf(w, "%s changed, serial still %d: secondaries do not see that\n", z.Zone, z.Serial)
		case int32(z.Serial-z.Was) < 0: // RFC 1982, section 3.2
			fmt.Fprintf(w, "%s changed, serial %d -> %d, which goes back: secondaries keep what they have\n", z.Zone, z.Was, z.Serial)
		default:
			fmt.Fprintf(w, "%s changed, serial %d -> %d\n", z.Zone, z.Was, z.Serial)
		}
	}
	if more := r.Changed - len(r.List); more > 0 {
		fmt.Fprintf(w, "and %d zones more\n", more)
	}
	fmt.Fprintf(w, "reloaded in %v: %d of %d zones have changed\n", r.Took.Round(time.Millisecond), r.Changed, r.Zones)
}
