package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
		Description: "FILE is a configuration, or a topology that stands apart (it says nothing of a node). With -config NODE the\n" +
			"topology FILE is checked as that node, which has topology = \"etcd\", would serve it.",
		Action: func(_ context.Context, c *cli.Command) error {
			path, topology := c.String("config"), ""
			switch {
			case c.Args().Len() > 1:
				return usagef("gslb check: want one FILE")
			case c.Args().Len() == 1 && c.IsSet("config"):
				topology = c.Args().First()
			case c.Args().Len() == 1 && config.IsTopology(c.Args().First()):
				path, topology = "", c.Args().First()
			case c.Args().Len() == 1:
				path = c.Args().First()
			}
			return check(c, path, topology)
		},
	}
}

// load reads a node's file, a topology, or both together.
func load(node, topology string) (*config.Config, error) {
	switch {
	case node == "":
		return config.LoadTopology(topology)
	case topology == "":
		return config.Load(node)
	}
	return config.LoadBoth(node, topology)
}

// examined is a configuration that was found good.
type examined struct {
	topology *topology
	places   *geo.DB
}

// examine reads all that a configuration names and finds every fault. node tells
// whether it says what a node is. What is the same in places and prev, which may
// be nil, is taken from there.
func examine(cfg *config.Config, node bool, places *geo.DB, prev *topology) (*examined, error) {
	places, err := places.Reopen(cfg.Geo)
	t, compileErr := ingredients{places: places, prev: prev}.compile(cfg) // without databases if they are bad: all faults are to be seen at once
	err = errors.Join(err, compileErr, checkProbes(cfg))
	if err == nil && node { // without a node's databases clients are nowhere
		err = t.checkExpected()
	}
	if node {
		err = errors.Join(err, checkKeys(cfg), cfg.DNS.CheckCertificates())
	}
	if err != nil {
		return nil, err
	}
	return &examined{t, places}, nil
}

func check(c *cli.Command, path, topology string) error {
	cfg, err := load(path, topology)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, summary(err))
	}
	node := path != ""
	x, err := examine(cfg, node, nil, nil)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, summary(err))
	}
	t, places := x.topology, x.places
	what := path
	if topology != "" {
		what = topology
	}
	if topology == "" && cfg.Node.Topology != "" {
		fmt.Fprintf(c.Root().Writer, "%s: good: node %s, whose topology comes from etcd (gslb check -config %s TOPOLOGY checks the two together)\n", path, cfg.Node.Name, path)
		return nil
	}
	path = what
	var warned []string
	for _, w := range cfg.Warnings {
		warned = append(warned, w.Error())
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Checks)) {
		if w := cfg.Checks[name].CAWarning(time.Now()); w != "" {
			warned = append(warned, fmt.Sprintf("%s: check.%s: %s", path, name, w))
		}
	}
	for _, w := range placeWarnings(cfg, places) {
		warned = append(warned, path+": "+w)
	}
	warned = append(warned, t.db.Warnings()...)
	warned = append(warned, presignedWarnings(t.db, time.Now())...)
	if node {
		warned = append(warned, sentSerialWarnings(cfg, t)...)
	}
	empty, notes := t.checkStates()
	for _, w := range empty {
		warned = append(warned, w.Error())
	}
	for _, n := range notes {
		fmt.Fprintln(c.Root().ErrWriter, "note: "+n.Error())
	}
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
