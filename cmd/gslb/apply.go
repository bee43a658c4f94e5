package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"gslb/config"
	"gslb/console"
	"gslb/history"
)

const (
	// waitStep is how often apply --wait looks.
	waitStep = 100 * time.Millisecond
	// stuckFor is how long all that are late must have said that they cannot serve the
	// revision: they try again after one, two and four seconds, and what they lack may
	// have come by then.
	stuckFor = 8 * time.Second
)

func applyCommand() *cli.Command {
	return &cli.Command{
		Name:      "apply",
		Usage:     "write a topology to etcd as the next revision, which all nodes serve from then on",
		ArgsUsage: "TOPOLOGY",
		Description: "Refuses what gslb check refuses, here and on the node that is asked. When somebody else's revision came after --base\n" +
			"(default: the newest there is when the command begins), nothing is written.",
		Flags: append(apiFlags(),
			orderWhyFlag(), baseFlag(),
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be done, and do nothing"},
			&cli.StringFlag{Name: "canary", Usage: "try it first: `nodes=NAME,NAME`, or share=5%: a part of the clients' networks; gslb promote or gslb rollback ends that", HideDefault: true},
			&cli.BoolFlag{Name: "force", Usage: "apply it even when it takes a site above its capacity"},
			totalFlag(), waitFlag(), timeoutFlag(),
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() != 1 {
				return usagef("gslb apply: want one TOPOLOGY, such as: gslb apply topology.toml --why \"new site\"")
			}
			if err := needWhy(c); err != nil && !c.Bool("dry-run") {
				return err
			}
			canary, err := canaryOf(c.String("canary"))
			if err != nil {
				return err
			}
			return apply(ctx, c, c.Args().First(), canary)
		},
	}
}

func canaryOf(text string) (first history.First, err error) {
	if text == "" {
		return first, nil
	}
	kind, value, _ := strings.Cut(text, "=")
	switch kind {
	case "nodes":
		for _, n := range strings.Split(value, ",") {
			if n = strings.TrimSpace(n); n != "" {
				first.Nodes = append(first.Nodes, n)
			}
		}
	case "share":
		percent, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(value, "%")), 64)
		if err != nil || !strings.HasSuffix(value, "%") || !(percent > 0 && percent < 100) {
			return first, usagef("gslb apply: -canary %q: want a share of the clients' networks, such as -canary share=5%%", text)
		}
		first.Share = percent / 100
	}
	if first.All() {
		return first, usagef("gslb apply: -canary %q: want the nodes that serve it first, such as -canary nodes=ns1,ns2, or a share of the clients' networks, such as -canary share=5%%", text)
	}
	return first, nil
}

func orderWhyFlag() cli.Flag {
	return &cli.StringFlag{Name: "why", Usage: "the `REASON`, kept with the revision"}
}

func baseFlag() cli.Flag {
	return &cli.Int64Flag{Name: "base", Usage: "the `REVISION` that this was made for: another one that has come since refuses it", Value: -1, HideDefault: true}
}

func totalFlag() cli.Flag {
	return &cli.FloatFlag{Name: "total", Usage: "the `LOAD` to expect in all, in the unit of the sites' capacities; without it, what the balancers report", HideDefault: true}
}

func waitFlag() cli.Flag {
	return &cli.BoolFlag{Name: "wait", Usage: "return when all live nodes that are to serve it do"}
}

func timeoutFlag() cli.Flag {
	return &spanFlag{Name: "timeout", Usage: "with -wait: the longest `TIME`", Value: time.Minute}
}

// bundleOf reads a topology with all that travels with it, and refuses what is
// wrong with it.
func bundleOf(path string) (history.Bundle, []string, error) {
	cfg, err := config.LoadTopology(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%w\n%s", err, summary(err))
	}
	x, err := examine(cfg, false, nil, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%w\n%s", err, summary(err))
	}
	parts := cfg.Parts()
	first, rest := parts[:1:1], slices.Clone(parts[1:])
	root := cfg.Root()
	for _, z := range x.topology.db.Zones() {
		if rel, err := filepath.Rel(root, z.File); err != nil || !filepath.IsLocal(rel) {
			continue // the file of each node
		}
		rest = append(rest, z.Files()...)
	}
	slices.Sort(rest)
	b, err := history.ReadBundle(root, append(first, slices.Compact(rest)...))
	var warnings []string
	for _, w := range cfg.Warnings {
		warnings = append(warnings, w.Error())
	}
	warnings = append(warnings, x.topology.db.Warnings()...)
	return b, append(warnings, presignedWarnings(x.topology.db, time.Now())...), err
}

func apply(ctx context.Context, c *cli.Command, path string, canary history.First) error {
	bundle, warnings, err := bundleOf(path)
	if err != nil {
		return err
	}
	packed, err := bundle.Pack()
	if err != nil {
		return err
	}
	cl := client(c)
	defer cl.Close()
	t, err := cl.Topology(ctx)
	if err != nil {
		return err
	}
	out := c.Root().Writer
	stable := t.Head.Stable
	if stable.Sum == bundle.Sum() && t.Head.Canary == nil && t.Problem == "" { // with one, the nodes may hold it
		fmt.Fprintf(out, "%s: is what revision %d says already: nothing to do\n", path, stable.Number)
		return waitIfAsked(ctx, c, cl, stable.Number, history.First{Nodes: canary.Nodes})
	}
	base := c.Int64("base")
	if base < 0 {
		base = t.Head.Newest
	}
	var before history.Bundle
	if stable.Number > 0 {
		content, err := cl.Content(ctx, stable.Number)
		if err == nil {
			before, err = history.Unpack(content.Packed)
		}
		if err != nil {
			return err
		}
	}
	lines, err := differences(before, bundle)
	if err != nil {
		return err
	}
	res, err := cl.OrderTopology(ctx, console.TopologyOrder{Order: order(c), Action: console.ActionApply, Base: base, Packed: packed, Canary: canary.Nodes, Share: canary.Share,
		DryRun: c.Bool("dry-run"), Force: c.Bool("force"), Total: c.Float("total")})
	if err != nil {
		return err
	}
	for _, w := range res.Warnings {
		// The node names the files relative to the topology's folder.
		if !slices.ContainsFunc(warnings, func(known string) bool { return strings.HasSuffix(known, w) }) {
			warnings = append(warnings, w)
		}
	}
	for _, w := range warnings {
		fmt.Fprintln(c.Root().ErrWriter, "warning: "+w)
	}
	verb := "is served from now on"
	switch {
	case c.Bool("dry-run"):
		verb = "would be served (nothing was written)"
	case !canary.All():
		verb = "is a canary on " + canary.String() + " from now on (gslb promote or gslb rollback ends it)"
	}
	fmt.Fprintf(out, "revision %d of the topology %s: %s, %s against revision %d\n", res.Revision, verb,
		plural(len(bundle), "file"), plural(len(lines), "difference"), stable.Number)
	writeSome(out, lines)
	if res.Plan != "" {
		fmt.Fprint(out, res.Plan)
	}
	if c.Bool("dry-run") {
		if len(res.Overloaded) > 0 && !c.Bool("force") {
			return fmt.Errorf("it would be refused: it takes %s above the capacity (-force applies it all the same)", strings.Join(res.Overloaded, ", "))
		}
		return nil
	}
	return waitIfAsked(ctx, c, cl, res.Revision, canary)
}

// writeSome prints the first lines.
func writeSome(out io.Writer, lines []string) {
	const most = 20
	for i, line := range lines {
		if i == most {
			fmt.Fprintf(out, "  … and %d more (gslb diff shows them)\n", len(lines)-i)
			return
		}
		fmt.Fprintln(out, "  "+line)
	}
}

// order is who gives an order, from where and why.
func order(c *cli.Command) history.Order {
	who, _, _ := strings.Cut(operator(), "@")
	host, _ := os.Hostname()
	return history.Order{Who: who, Host: host, Why: c.String("why")}
}

func waitIfAsked(ctx context.Context, c *cli.Command, cl *console.Client, revision int64, first history.First) error {
	if !c.Bool("wait") {
		return nil
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.Duration("timeout"))
	defer cancel()
	var late []string
	var stuckSince time.Time
	for {
		t, err := cl.Topology(ctx)
		if err == nil {
			var all int
			var stuck bool
			if late, all, stuck = lateNodes(t.Nodes, revision, first); len(late) == 0 {
				fmt.Fprintf(c.Root().Writer, "%s: revision %d is served after %v\n", plural(all, "node"), revision, time.Since(begin).Round(10*time.Millisecond))
				return nil
			}
			switch {
			case !stuck:
				stuckSince = time.Time{}
			case stuckSince.IsZero():
				stuckSince = time.Now()
			case time.Since(stuckSince) > stuckFor:
				return fmt.Errorf("revision %d is not served by all:\n%s", revision, strings.Join(late, "\n"))
			}
		}
		select {
		case <-time.After(waitStep):
		case <-ctx.Done():
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				late = append(late, err.Error())
			}
			return fmt.Errorf("revision %d is not served by all after %v:\n%s", revision, time.Since(begin).Round(time.Second), strings.Join(late, "\n"))
		}
	}
}

// lateNodes tells which of the live nodes that are to serve a revision do not.
// stuck: each of them has said that it can't.
func lateNodes(nodes []console.FleetNode, revision int64, first history.First) (late []string, all int, stuck bool) {
	stuck = true
	for _, n := range nodes {
		if !n.Follows || len(first.Nodes) > 0 && !slices.Contains(first.Nodes, n.Name) {
			continue
		}
		serves := n.Revision
		if first.Share > 0 {
			serves = n.Trial
		}
		if all++; serves == revision {
			continue
		}
		why := "has not said why"
		if n.Problem != "" && n.Wanted == revision {
			why = n.Problem
		} else {
			stuck = false
		}
		late = append(late, fmt.Sprintf("  %s serves revision %d: %s", n.Name, serves, why))
	}
	return late, all, stuck
}
