package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"gslb/config"
	"gslb/console"
	"gslb/forecast"
	"gslb/geo"
	"gslb/health"
	"gslb/zones"
)

// forecastFlags say what is counted and how it is shown.
func forecastFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "live", Usage: "begin with the sites as a running node sees them, and with its load (see -api)"},
		totalFlag(),
		&cli.StringFlag{Name: "weights", Usage: "count users by a `FILE` of lines network,queries or country,people or country,operator,people, not by addresses"},
		&cli.BoolFlag{Name: "ipv6", Usage: "count IPv6 networks of 48 bits, not IPv4 addresses"},
		&cli.BoolFlag{Name: "shedding", Usage: "let every site with a capacity shed users when it is near that, as one with a balancer does"},
		&cli.StringSliceFlag{Name: "name", Usage: "look at this steered `NAME` alone"},
		&cli.StringFlag{Name: "by", Usage: "tell users apart by country, operator or both", Value: string(forecast.ByBoth)},
		&cli.IntFlag{Name: "top", Usage: "list so many `LINES` of each kind, and add up the rest", Value: 20},
		&cli.BoolFlag{Name: "json", Usage: "print it as JSON"},
	}
}

func simulateCommand() *cli.Command {
	return &cli.Command{
		Name:  "simulate",
		Usage: "say where everyone would go if sites failed, and who would be overloaded",
		Description: "Looks at the whole address space with the configuration's databases. Changes nothing and asks nobody,\n" +
			"but with -live. Ends with exit code 1 if a site would be overloaded, with 0 if none would.",
		Flags: append(append([]cli.Flag{
			configFlag(),
			&cli.StringSliceFlag{Name: "down", Usage: "take these `SITES` for down"},
			&cli.StringSliceFlag{Name: "up", Usage: "take these `SITES` for up, with -live"},
			&cli.StringSliceFlag{Name: "drain", Usage: "take these `SITES` for draining"},
			&cli.BoolFlag{Name: "n-1", Usage: "take each single site for down in turn"},
		}, forecastFlags()...), apiFlags()...),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb simulate: %q is not expected", c.Args().First())
			}
			return simulate(ctx, c)
		},
	}
}

// errOverloaded makes the exit code; what is wrong has been printed.
var errOverloaded = errors.New("a site would be overloaded")

func simulate(ctx context.Context, c *cli.Command) error {
	cfg, err := loadServed(c.String("config"))
	if err != nil {
		return err
	}
	f, err := newForecaster(ctx, c, cfg)
	if err != nil {
		return err
	}
	places, err := geo.Open(cfg.Geo)
	if err != nil {
		return err
	}
	topology, err := forecastTopology(cfg, places)
	if err != nil {
		return err
	}
	users, err := forecast.Survey(topology, nil, f.weights)
	if err != nil {
		return err
	}
	changed, what, err := f.whatIf(c, cfg)
	if err != nil {
		return err
	}
	if c.Bool("n-1") {
		return f.eachDown(ctx, c, cfg, users, changed, what)
	}
	compared, err := users.Compare(forecast.Side{States: f.states}, forecast.Side{States: changed}, f.options)
	if err != nil {
		return err
	}
	return f.show(c, compared, "what if: "+cmp.Or(what, "all as it is"), true)
}

// forecaster is what the flags of forecasts come to.
type forecaster struct {
	options forecast.Options
	weights *forecast.Weights
	states  *health.States // of the sites as they are
}

// newForecaster reads the flags. The configurations are those that it is about.
func newForecaster(ctx context.Context, c *cli.Command, cfgs ...*config.Config) (*forecaster, error) {
	f := &forecaster{states: &health.States{}, options: forecast.Options{
		Total: c.Float("total"), Shedding: c.Bool("shedding"), By: forecast.By(c.String("by")), Most: c.Int("top"),
	}}
	command := "gslb " + c.Name
	if !slices.Contains([]forecast.By{forecast.ByBoth, forecast.ByCountry, forecast.ByOperator}, f.options.By) {
		return nil, usagef("%s: -by %s: want country, operator or both", command, f.options.By)
	}
	if c.IsSet("total") && !(f.options.Total > 0) {
		return nil, usagef("%s: -total %v: want a load above 0", command, f.options.Total)
	}
	if f.options.Most < 1 {
		return nil, usagef("%s: -top %d: want 1 or more", command, f.options.Most)
	}
	if c.IsSet("weights") && c.Bool("ipv6") {
		return nil, usagef("%s: -ipv6 and -weights are two ways to count: want one", command)
	}
	var err error
	if f.weights, err = readWeights(c.String("weights")); err != nil {
		return nil, err
	}
	f.weights.IPv6 = c.Bool("ipv6")
	if c.Bool("live") {
		cl := client(c)
		defer cl.Close()
		st, err := cl.Status(ctx)
		if err != nil {
			return nil, err
		}
		f.states = statesOf(st)
		f.options.Names = answered(st.Counters.Choices, steeredNames(cfgs))
	}
	return f, f.only(c, steeredNames(cfgs))
}

func readWeights(path string) (*forecast.Weights, error) {
	if path == "" {
		return &forecast.Weights{}, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	w, err := forecast.ReadWeights(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return w, nil
}

// statesOf takes the States out of a node's status.
func statesOf(st console.Status) *health.States {
	s := &health.States{Revision: st.Revision, Stale: st.Stale, At: st.Now, Times: st.Times, Sites: map[string]health.Status{}}
	for _, site := range st.Sites {
		s.Sites[site.Site] = site.Status
	}
	return s
}

// answered weighs the steered names by how often a node has answered each with each site;
// nil if it has not.
func answered(choices map[string]map[string]uint64, names nameSet) map[string]float64 {
	weights := map[string]float64{}
	sum := 0.0
	for _, name := range names {
		for _, n := range choices[name] {
			weights[name] += float64(n)
			sum += float64(n)
		}
	}
	if sum == 0 {
		return nil
	}
	return weights
}

func steeredNames(cfgs []*config.Config) nameSet {
	all := make(nameSet)
	for _, cfg := range cfgs {
		for _, s := range cfg.Steers {
			all.add(s.Name)
		}
	}
	return all
}

// only leaves the names that are asked for.
func (f *forecaster) only(c *cli.Command, known nameSet) error {
	if !c.IsSet("name") {
		return nil
	}
	chosen := map[string]float64{}
	for _, name := range c.StringSlice("name") {
		full, err := zones.CanonicalName(name)
		if _, ok := known[full]; err != nil || !ok {
			return usagef("gslb %s: -name %s: there is no such steered name%s", c.Name, name, known.suggest(full))
		}
		chosen[full] = 1
		if w, ok := f.options.Names[full]; ok && w > 0 {
			chosen[full] = w
		}
	}
	f.options.Names = chosen
	return nil
}

// forecastTopology takes out of a configuration what forecasts are made from.
func forecastTopology(cfg *config.Config, places *geo.DB) (*forecast.Topology, error) {
	policies, err := cfg.Policies()
	if err != nil {
		return nil, err
	}
	return &forecast.Topology{Sites: cfg.SteerSites(), Policies: policies, Places: places}, nil
}

// whatIf gives the States with the changes that the flags say, and these in words.
func (f *forecaster) whatIf(c *cli.Command, cfg *config.Config) (*health.States, string, error) {
	changed := f.states
	var words []string
	for _, flag := range []struct {
		name string
		set  func(*health.Status)
	}{
		{"down", supposeDown},
		{"up", supposeUp},
		{"drain", supposeDraining},
	} {
		sites := c.StringSlice(flag.name)
		for _, site := range sites {
			if err := knownSite(c, cfg, flag.name, site); err != nil {
				return nil, "", err
			}
			changed = with(changed, site, flag.set)
		}
		if len(sites) > 0 {
			words = append(words, flag.name+" "+strings.Join(sites, ", "))
		}
	}
	return changed, strings.Join(words, "; "), nil
}

func knownSite(c *cli.Command, cfg *config.Config, flag, site string) error {
	known := make(nameSet)
	for _, s := range cfg.Sites {
		if s.Name == site {
			return nil
		}
		known.add(s.Name)
	}
	return usagef("gslb %s: -%s %s: there is no such site%s", c.Name, flag, site, known.suggest(site))
}

// with gives States in which one site is different.
func with(states *health.States, site string, set func(*health.Status)) *health.States {
	next := *states
	next.Sites = make(map[string]health.Status, len(states.Sites)+1)
	for name, st := range states.Sites {
		next.Sites[name] = st
	}
	st := states.Site(site)
	set(&st)
	next.Sites[site] = st
	return &next
}
