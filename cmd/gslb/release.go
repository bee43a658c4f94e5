package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/urfave/cli/v3"

	"gslb/console"
	"gslb/health"
	"gslb/history"
)

func releaseCommand() *cli.Command {
	forName := func() cli.Flag {
		return &cli.StringFlag{Name: "for", Usage: "the steered `NAME`; without it, all that have no release of their own", Value: health.AllNames, HideDefault: true}
	}
	return &cli.Command{
		Name:  "release",
		Usage: "show or say which content generation users are to see, for names with release = \"hold\"",
		Flags: apiFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb release: %q is not expected: want nothing, set or clear", c.Args().First())
			}
			cl := client(c)
			defer cl.Close()
			st, err := cl.Status(ctx)
			if err != nil {
				return err
			}
			return console.WriteReleases(c.Root().Writer, st)
		},
		Commands: []*cli.Command{
			{
				Name:      "set",
				Usage:     "give new users only to sites that serve this content generation",
				ArgsUsage: "GENERATION",
				Flags:     append(apiFlags(), forName(), whyFlag()),
				Action: func(ctx context.Context, c *cli.Command) error {
					if c.Args().Len() != 1 {
						return usagef("gslb release set: want one GENERATION, such as: gslb release set v42 --why \"spring sale\"")
					}
					if err := needWhy(c); err != nil {
						return err
					}
					cl := client(c)
					defer cl.Close()
					r, err := cl.SetRelease(ctx, health.Release{Name: c.String("for"), Generation: c.Args().First(), Who: operator(), Why: c.String("why")})
					if err != nil {
						return err
					}
					fmt.Fprintf(c.Root().Writer, "%s: %s is released, by %s: %s\n", r.Name, r.Generation, r.Who, r.Why)
					return nil
				},
			},
			{
				Name:  "clear",
				Usage: "take a release back: sites are given whatever they serve",
				Flags: append(apiFlags(), forName(), &cli.StringFlag{Name: "why", Usage: "the `REASON`, kept in gslb events"}),
				Action: func(ctx context.Context, c *cli.Command) error {
					if c.Args().Present() {
						return usagef("gslb release clear: %q is not expected: the name goes with --for", c.Args().First())
					}
					cl := client(c)
					defer cl.Close()
					if err := cl.ClearRelease(ctx, c.String("for"), history.Order{Who: operator(), Why: c.String("why")}); err != nil {
						return err
					}
					fmt.Fprintf(c.Root().Writer, "%s: no release\n", c.String("for"))
					return nil
				},
			},
		},
	}
}

// SetRelease is part of console.Backend.
func (n *node) SetRelease(ctx context.Context, r health.Release) error {
	return n.fleet.SetRelease(ctx, r)
}

// ClearRelease is part of console.Backend.
func (n *node) ClearRelease(ctx context.Context, name string, by history.Order) error {
	return n.fleet.ClearRelease(ctx, name, by)
}

// releases fills in what is released, and says what keeps it from being seen.
func releases(st *console.Status, states *health.States) {
	if states == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(states.Releases)) {
		st.Releases = append(st.Releases, states.Releases[name])
	}
	for i := range st.Steered {
		n := &st.Steered[i]
		if !n.Holds {
			continue
		}
		n.Released = states.Released(n.Name)
		if n.Released == "" || n.Alias != "" {
			continue
		}
		if err := nobodyServes(st, n.Released); err != nil {
			st.Problems = append(st.Problems, fmt.Sprintf("%s: %s is released, and %v: its users are sent to sites as though nothing was", n.Name, n.Released, err))
		}
	}
}

// nobodyServes is an error if no site in service serves a generation.
func nobodyServes(st *console.Status, generation string) error {
	for _, s := range st.Sites {
		if s.InService() && s.Serves(generation) {
			return nil
		}
	}
	return errors.New("no site in service serves it (gslb release shows which serve what)")
}
