package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"gslb/config"
	"gslb/forecast"
	"gslb/geo"
)

func planCommand() *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "say what would move if one configuration or topology took the place of another",
		ArgsUsage: "FILE",
		Description: "FILE and that of -against are whole configurations, or topologies that stand apart; these need -config NODE,\n" +
			"whose databases say where users are. Changes nothing. Ends with exit code 1 if a site would be overloaded.",
		Flags: append(append([]cli.Flag{
			&cli.StringFlag{Name: "against", Usage: "the `FILE` whose place it would take", Required: true},
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "the configuration `FILE` of a node, for topologies that stand apart", Sources: cli.EnvVars("GSLB_CONFIG")},
		}, forecastFlags()...), apiFlags()...),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() != 1 {
				return usagef("gslb plan: want one FILE, such as: gslb plan new.toml -against gslb.toml")
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
		err = printJSON(out, compared)
	} else {
		fmt.Fprintln(out, title)
		err = compared.Write(out, where)
	}
	if err == nil && len(compared.Overloaded) > 0 {
		err = errOverloaded
	}
	return err
}
