package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"gslb/console"
	"gslb/history"
	"gslb/steady"
)

func historyCommand() *cli.Command {
	return &cli.Command{
		Name:  "history",
		Usage: "list the revisions of the topology, with who, when and why",
		Flags: append(apiFlags(),
			&cli.IntFlag{Name: "limit", Usage: "at most this `NUMBER`, the newest; 0: all", Value: 20},
			&cli.BoolFlag{Name: "json", Usage: "print it as JSON, as the API gives it"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb history: %q is not expected", c.Args().First())
			}
			cl := client(c)
			defer cl.Close()
			all, err := cl.Revisions(ctx, c.Int("limit"))
			if err != nil {
				return err
			}
			t, err := cl.Topology(ctx)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return writeJSON(c.Root().Writer, all)
			}
			if len(all) == 0 {
				fmt.Fprintln(c.Root().Writer, "there is no revision of the topology yet (gslb apply writes one)")
				return nil
			}
			return console.WriteRevisions(c.Root().Writer, all, t)
		},
	}
}

func rollbackCommand() *cli.Command {
	return &cli.Command{
		Name:      "rollback",
		Usage:     "make an earlier revision of the topology the next one, or take a canary back",
		ArgsUsage: "[REVISION]",
		Description: "Writes a new revision with the content of REVISION. Without REVISION it takes back the canary if there is one, else it\n" +
			"goes back to the revision before the one that is served.",
		Flags: append(apiFlags(), orderWhyFlag(), baseFlag(),
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be done, and do nothing"}, waitFlag(), timeoutFlag()),
		Action: func(ctx context.Context, c *cli.Command) error {
			o := console.TopologyOrder{Order: order(c), Action: console.ActionRollback, DryRun: c.Bool("dry-run")}
			if err := needWhy(c); err != nil && !o.DryRun {
				return err
			}
			if c.Args().Len() > 1 {
				return usagef("gslb rollback: want at most one REVISION")
			}
			if text := c.Args().First(); text != "" {
				n, ok := history.Number(text)
				if !ok {
					return usagef("gslb rollback: %q: want the number of a revision (gslb history lists them)", text)
				}
				o.To = n
			}
			return settle(ctx, c, o)
		},
	}
}

func promoteCommand() *cli.Command {
	return &cli.Command{
		Name:  "promote",
		Usage: "let all nodes serve the revision that is a canary",
		Flags: append(apiFlags(), orderWhyFlag(), baseFlag(), waitFlag(), timeoutFlag()),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb promote: %q is not expected", c.Args().First())
			}
			if err := needWhy(c); err != nil {
				return err
			}
			o := console.TopologyOrder{Order: order(c), Action: console.ActionPromote}
			return settle(ctx, c, o)
		},
	}
}

// settle carries out a rollback or a promotion.
func settle(ctx context.Context, c *cli.Command, o console.TopologyOrder) error {
	cl := client(c)
	defer cl.Close()
	t, err := cl.Topology(ctx)
	if err != nil {
		return err
	}
	if o.Base = c.Int64("base"); o.Base < 0 {
		o.Base = t.Head.Newest
	}
	if o.Action == console.ActionRollback && o.To == 0 {
		switch {
		case t.Head.Canary != nil:
			o.Action = console.ActionDrop
		case t.Head.Stable.Base == 0:
			return fmt.Errorf("gslb rollback: there is no revision before %d", t.Head.Stable.Number)
		default:
			o.To = t.Head.Stable.Base
		}
	}
	if o.DryRun && o.Action == console.ActionDrop {
		fmt.Fprintf(c.Root().Writer, "the canary, revision %d, would be taken back; all would serve revision %d (nothing was written)\n", t.Head.Canary.Number, t.Head.Stable.Number)
		return nil
	}
	var lines []string
	if o.Action == console.ActionRollback {
		if lines, err = between(ctx, cl, t.Head.Stable.Number, o.To); err != nil {
			return err
		}
	}
	res, err := cl.OrderTopology(ctx, o)
	if err != nil {
		return err
	}
	for _, w := range res.Warnings {
		fmt.Fprintln(c.Root().ErrWriter, "warning: "+w)
	}
	text := fmt.Sprintf("revision %d of the topology is served from now on", res.Revision)
	switch {
	case o.DryRun:
		text = fmt.Sprintf("revision %d, with the content of revision %d, would be served (nothing was written)", res.Revision, o.To)
	case o.Action == console.ActionRollback:
		text += fmt.Sprintf(": it is what revision %d was", o.To)
	case o.Action == console.ActionDrop:
		text += ": the canary is taken back"
	}
	if o.Action == console.ActionRollback {
		text += fmt.Sprintf(", %s against revision %d", plural(len(lines), "difference"), t.Head.Stable.Number)
	}
	fmt.Fprintln(c.Root().Writer, text)
	writeSome(c.Root().Writer, lines)
	fmt.Fprint(c.Root().Writer, res.Plan)
	if o.DryRun {
		return nil
	}
	return waitIfAsked(ctx, c, cl, res.Revision, history.First{})
}

// between lists what is different in revision after against revision before.
func between(ctx context.Context, cl *console.Client, before, after int64) ([]string, error) {
	var bundles [2]history.Bundle
	for i, number := range []int64{before, after} {
		if number == 0 {
			continue // nothing: before the first revision
		}
		content, err := cl.Content(ctx, number)
		if err != nil {
			return nil, err
		}
		if bundles[i], err = history.Unpack(content.Packed); err != nil {
			return nil, err
		}
	}
	return differences(bundles[0], bundles[1])
}

func eventsCommand() *cli.Command {
	return &cli.Command{
		Name:  "events",
		Usage: "show what was ordered and what happened, in one time line",
		Flags: append(apiFlags(),
			&cli.StringFlag{Name: "since", Usage: "not older than this `TIME`: an age such as 2h or 3d, a date, or a time", HideDefault: true},
			&cli.StringFlag{Name: "site", Usage: "of this `SITE` alone"},
			&cli.StringFlag{Name: "kind", Usage: "of this `KIND` alone: " + strings.Join(history.Kinds, ", ")},
			&cli.IntFlag{Name: "limit", Usage: "at most this `NUMBER`, the newest", Value: 1000},
			&cli.BoolFlag{Name: "json", Usage: "print it as JSON, as the API gives it"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb events: %q is not expected", c.Args().First())
			}
			f := history.Filter{Site: c.String("site"), Kind: c.String("kind"), Limit: c.Int("limit")}
			if text := c.String("since"); text != "" {
				var err error
				if f.Since, err = console.Since(text, steady.Now()); err != nil {
					return usagef("gslb events: -%w", err)
				}
			}
			cl := client(c)
			defer cl.Close()
			events, err := cl.Events(ctx, f)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return writeJSON(c.Root().Writer, events)
			}
			return console.WriteEvents(c.Root().Writer, events)
		},
	}
}
