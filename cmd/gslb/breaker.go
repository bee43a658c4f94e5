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
		Usage: "show what the breaker holds back, let it through or drop it",
		Flags: apiFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb breaker: %q is not expected: want nothing, allow or drop", c.Args().First())
			}
			cl := client(c)
			defer cl.Close()
			st, err := cl.Status(ctx)
			if err != nil {
				return err
			}
			if len(st.Held) == 0 && len(st.HeldChanges) == 0 {
				fmt.Fprintln(c.Root().Writer, "nothing is held")
			}
			for _, h := range st.HeldChanges {
				fmt.Fprintf(c.Root().Writer, "the new %s, since %s: %s\n", h.What, moment(h.Since), h.Why)
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
		Commands: []*cli.Command{
			breakerOrder("allow", "let through what the breakers of all nodes hold back at the moment", "what was held is let through", (*console.Client).Allow),
			breakerOrder("drop", "have all nodes forget the databases that they hold back; sites stay held, and a topology is taken back with gslb rollback", "what was held is dropped", (*console.Client).Drop),
		},
	}
}

// breakerOrder is an order about what is held.
func breakerOrder(name, usage, done string, order func(*console.Client, context.Context, history.Order) error) *cli.Command {
	return &cli.Command{
		Name:  name,
		Usage: usage,
		Flags: append(apiFlags(), whyFlag()),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb breaker %s: %q is not expected", name, c.Args().First())
			}
			if err := needWhy(c); err != nil {
				return err
			}
			cl := client(c)
			defer cl.Close()
			st, err := cl.Status(ctx)
			if err != nil {
				return err
			}
			if err := order(cl, ctx, history.Order{Who: operator(), Why: c.String("why")}); err != nil {
				return err
			}
			if len(st.Held) == 0 && len(st.HeldChanges) == 0 {
				done = fmt.Sprintf("node %s holds nothing; on nodes that do, %s", st.Node.Name, done)
			}
			fmt.Fprintln(c.Root().Writer, done)
			return nil
		},
	}
}

// Allow is part of console.Backend.
func (n *node) Allow(ctx context.Context, by history.Order) error { return n.fleet.Allow(ctx, by) }

// Drop is part of console.Backend.
func (n *node) Drop(ctx context.Context, by history.Order) error { return n.fleet.Drop(ctx, by) }

// held fills in what the breaker holds back.
func (n *node) held(st *console.Status) {
	h := n.fleet.Held()
	if h == nil {
		return
	}
	st.Held = h.Sites
	st.HeldSites = &console.HeldSites{Sites: h.Sites, Why: h.Why, Since: h.Since, Until: h.Until}
	st.Problems = append(st.Problems, fmt.Sprintf("HELD by the breaker since %s: %s. It is let through at %s; gslb breaker allow does so now, gslb force SITE up keeps a site in service",
		moment(h.Since), h.Why, moment(h.Until)))
}
