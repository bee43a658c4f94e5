package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"gslb/config"
	"gslb/console"
	"gslb/forecast"
	"gslb/geo"
)

func planCommand() *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "say what would move if one configuration or topology took the place of another",
		ArgsUsage: "FILE",
		Description: "Without -against, the topology FILE is compared with what a running node serves (-api), with its databases, states and loads.\n" +
			"FILE and that of -against are whole configurations, or topologies that stand apart; these need -config NODE,\n" +
			"whose databases say where users are. Changes nothing. Ends with exit code 1 if a site would be overloaded.",
		Flags: append(append([]cli.Flag{
			&cli.StringFlag{Name: "against", Usage: "the `FILE` whose place it would take; default: what runs"},
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "the configuration `FILE` of a node, for topologies that stand apart", Sources: cli.EnvVars("GSLB_CONFIG")},
		}, forecastFlags()...), apiFlags()...),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() != 1 {
				return usagef("gslb plan: want one FILE, such as: gslb plan new.toml -against gslb.toml")
			}
			if c.String("against") == "" {
				return planRunning(ctx, c, c.Args().First())
			}
			before, err := loadPlanned(c, c.String("against"))
			if err != nil {
				return err
			}
			after, err := loadPlanned(c, c.Args().First())
			if err != nil {
				return err
			}
			f, err := newForecaster(ctx, c, after, before)
			if err != nil {
				return err
			}
			compared, err := f.plan(before, after, nil)
			if err != nil {
				return err
			}
			return f.show(c, compared, fmt.Sprintf("plan: %s in the place of %s", c.Args().First(), c.String("against")), false)
		},
	}
}

// planRunning asks a running node what a topology would move.
func planRunning(ctx context.Context, c *cli.Command, path string) error {
	for _, f := range forecastFlags() {
		if name := f.Names()[0]; name != "total" && c.IsSet(name) {
			return usagef("gslb plan: -%s goes with -against FILE: without it a running node is asked", name)
		}
	}
	bundle, _, err := bundleOf(path)
	if err != nil {
		return err
	}
	packed, err := bundle.Pack()
	if err != nil {
		return err
	}
	cl := client(c)
	defer cl.Close()
	res, err := cl.OrderTopology(ctx, console.TopologyOrder{Action: console.ActionApply, Base: -1, Packed: packed, DryRun: true, Total: c.Float("total")})
	if err != nil {
		return err
	}
	for _, w := range res.Warnings {
		fmt.Fprintln(c.Root().ErrWriter, "warning: "+w)
	}
	fmt.Fprintf(c.Root().Writer, "plan: %s in the place of revision %d\n", path, res.Head.Stable.Number)
	if res.Plan == "" {
		fmt.Fprintln(c.Root().Writer, "nothing is steered yet, so nothing moves")
	}
	fmt.Fprint(c.Root().Writer, res.Plan)
	if len(res.Overloaded) > 0 {
		return errOverloaded
	}
	return nil
}

// loadPlanned reads a configuration or a topology.
func loadPlanned(c *cli.Command, path string) (*config.Config, error) {
	if !config.IsTopology(path) {
		return load(path, "")
	}
	if c.String("config") == "" {
		return nil, usagef("gslb plan: %s is a topology that stands apart: -config NODE must say which databases a node has", path)
	}
	return load(c.String("config"), path)
}

// plan compares two configurations, each with the databases and overrides that it
// names; what is the same in places, which may be nil, is taken from there.
func (f *forecaster) plan(before, after *config.Config, places *geo.DB) (*forecast.Comparison, error) {
	was, err := places.Reopen(before.Geo)
	if err != nil {
		return nil, err
	}
	is, err := was.Reopen(after.Geo)
	if err != nil {
		return nil, err
	}
	from, err := forecastTopology(before, was)
	if err != nil {
		return nil, err
	}
	to, err := forecastTopology(after, is)
	if err != nil {
		return nil, err
	}
	users, err := forecast.Survey(from, to, f.weights)
	if err != nil {
		return nil, err
	}
	return users.Compare(forecast.Side{States: f.states}, forecast.Side{After: true, States: f.states}, f.options)
}

// show prints a comparison under a title, and gives errOverloaded if a site would be.
func (f *forecaster) show(c *cli.Command, compared *forecast.Comparison, title string, where bool) error {
	out := c.Root().Writer
	var err error
	if c.Bool("json") {
		err = writeJSON(out, compared)
	} else {
		fmt.Fprintln(out, title)
		err = compared.Write(out, where)
	}
	if err == nil && len(compared.Overloaded) > 0 {
		err = errOverloaded
	}
	return err
}
