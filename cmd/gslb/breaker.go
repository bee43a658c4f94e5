package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"gslb/console"
	"gslb/history"
)

func breakerCommand() *cli.Command {
	return &cli.Command{
		Name:  "breaker",
		Usage: "show what the breaker holds back, or let it through",
		Flags: apiFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb breaker: %q is not expected: want nothing, or allow", c.Args().First())
			}
			cl := client(c)
			defer cl.Close()
			st, err := cl.Status(ctx)
			if err != nil {
				return err
			}
			if len(st.Held) == 0 {
				fmt.Fprintln(c.Root().Writer, "nothing is held")
			}
			for _, s := range st.Sites {
				for _, name := range st.Held {
					if s.Site == name {
						fmt.Fprintf(c.Root().Writer, "%s: %s\n", name, s.Why)
					}
				}
			}
			return nil
		},
		Commands: []*cli.Command{{
			Name:  "allow",
			Usage: "let through what the breakers of all nodes hold back at the moment",
			Flags: append(apiFlags(), whyFlag()),
			Action: func(ctx context.Context, c *cli.Command) error {
				if c.Args().Present() {
					return usagef("gslb breaker allow: %q is not expected", c.Args().First())
				}
				if err := needWhy(c); err != nil {
					return err
				}
				cl := client(c)
				defer cl.Close()
				if err := cl.Allow(ctx, history.Order{Who: operator(), Why: c.String("why")}); err != nil {
					return err
				}
				fmt.Fprintln(c.Root().Writer, "what was held is let through")
				return nil
			},
		}},
	}
}

// Allow is part of console.Backend.
func (n *node) Allow(ctx context.Context, by history.Order) error { return n.fleet.Allow(ctx, by) }

// held fills in what the breaker holds back.
func (n *node) held(st *console.Status) {
	h := n.fleet.Held()
	if h == nil {
		return
	}
	st.Held = h.Sites
	st.Problems = append(st.Problems, fmt.Sprintf("HELD by the breaker since %s: %s. It is let through at %s; gslb breaker allow does so now, gslb force SITE up keeps a site in service",
		moment(h.Since), h.Why, moment(h.Until)))
}
