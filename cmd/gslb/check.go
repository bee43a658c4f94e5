package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"gslb/config"
	"gslb/geo"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "read a configuration with its zones and databases and print everything that is wrong",
		Flags: []cli.Flag{
			configFlag(),
			&cli.BoolFlag{Name: "strict", Usage: "count warnings as faults"},
		},
		UsageText: "gslb check [options] [FILE]",
		Action: func(_ context.Context, c *cli.Command) error {
			path := c.String("config")
			if c.Args().Len() == 1 && !c.IsSet("config") {
				path = c.Args().First()
			}
			return check(c, path)
		},
	}
}

func check(c *cli.Command, path string) error {
	cfg, err := config.Load(path)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, summary(err))
	}
	places, err := geo.Open(cfg.Geo)
	t, compileErr := compile(cfg, places, nil, absent(cfg), nil) // without databases if they are bad: all faults are to be seen at once
	if err := errors.Join(err, compileErr, checkProbes(cfg), checkKeys(cfg), cfg.DNS.CheckCertificates()); err != nil {
		return fmt.Errorf("%w\n%s", err, summary(err))
	}
	var warned []string
	for _, w := range cfg.Warnings {
		warned = append(warned, w.Error())
	}
	for _, w := range placeWarnings(cfg, places) {
		warned = append(warned, path+": "+w)
	}
	warned = append(warned, t.db.Warnings()...)
	for _, w := range warned {
		fmt.Fprintln(c.Root().ErrWriter, "warning: "+w)
	}
	warnings := len(warned)
	names, cohorts := 0, 0
	for _, z := range t.db.Zones() {
		names += t.db.Names(z)
	}
	for _, p := range t.policies {
		cohorts += p.Compiled.Cohorts()
	}
	fmt.Fprintf(c.Root().Writer, "%s: good: %s, %s, %s, %s in %s, %s\n", path,
		plural(len(cfg.Zones), "zone"), plural(names, "name"), plural(len(cfg.Sites), "site"),
		plural(len(cfg.Steers), "steered name"), plural(cohorts, "cohort"), plural(warnings, "warning"))
	if warnings > 0 && c.Bool("strict") {
		return errors.New("gslb check: warnings count as faults with -strict")
	}
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func summary(err error) string {
	return fmt.Sprintf("%s: nothing of it was used", plural(strings.Count(err.Error(), "\n")+1, "fault"))
}
