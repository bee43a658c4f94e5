package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	"gslb/config"
	"gslb/forecast"
	"gslb/health"
)

// oneDown is what happens when one site is down.
type oneDown struct {
	Down string `json:"down"`
	*forecast.Comparison
}

// eachDown takes each site for down in turn, on top of what has changed already.
func (f *forecaster) eachDown(c *cli.Command, cfg *config.Config, users *forecast.Users, changed *health.States, what string) error {
	options := f.options
	if !c.Bool("json") {
		options.Most = -1
	}
	var all []oneDown
	over := false
	for _, s := range cfg.Sites {
		down := with(changed, s.Name, func(st *health.Status) { st.State, st.Why = health.Down, "taken for down" })
		compared, err := users.Compare(forecast.Side{States: changed}, forecast.Side{States: down}, options)
		if err != nil {
			return err
		}
		all = append(all, oneDown{s.Name, compared})
		over = over || len(compared.Overloaded) > 0
	}
	out := c.Root().Writer
	var err error
	if c.Bool("json") {
		err = writeJSON(out, all)
	} else {
		if what != "" {
			what = ", besides: " + what
		}
		fmt.Fprintf(out, "what if: each single site down%s\n", what)
		err = writeEachDown(tabwriter.NewWriter(out, 0, 8, 2, ' ', 0), all)
	}
	if err == nil && over {
		err = errOverloaded
	}
	return err
}

func writeEachDown(w *tabwriter.Writer, all []oneDown) error {
	fmt.Fprintln(w, "DOWN\tUSERS MOVE\tTO\tOVERLOADED\tCARRIES")
	for _, one := range all {
		carries := "-"
		if one.First != "" {
			carries = fmt.Sprintf("%.6g (then %s)", one.Carries, one.First)
		}
		fmt.Fprintf(w, "%s\t%.1f %%\t%s\t%s\t%s\n", one.Down, 100*one.Moved, gains(one.Comparison), overloads(one.Comparison), carries)
	}
	if slices.ContainsFunc(all, func(one oneDown) bool { return overloads(one.Comparison) == "?" }) {
		fmt.Fprintln(w, "? is not known: say with -total what load to expect in all (or take a running node's with -live); and each site needs a capacity")
	}
	return w.Flush()
}

// gains lists who gets the users, the one that gets most first.
func gains(c *forecast.Comparison) string {
	var won []forecast.SiteChange
	for _, s := range c.Sites {
		if s.ShareAfter-s.ShareBefore > 0.0005 {
			won = append(won, s)
		}
	}
	slices.SortStableFunc(won, func(a, b forecast.SiteChange) int {
		return cmp.Compare(b.ShareAfter-b.ShareBefore, a.ShareAfter-a.ShareBefore)
	})
	const most = 4
	var words []string
	for _, s := range won[:min(most, len(won))] {
		words = append(words, fmt.Sprintf("%s +%.1f %%", s.Site, 100*(s.ShareAfter-s.ShareBefore)))
	}
	if more := len(won) - most; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return cmp.Or(strings.Join(words, ", "), "-")
}

func overloads(c *forecast.Comparison) string {
	var words []string
	for _, s := range c.Sites {
		if s.Over {
			words = append(words, fmt.Sprintf("%s %.0f %%", s.Site, 100*s.LoadAfter/s.Capacity))
		}
	}
	if words == nil && c.Total == 0 {
		return "?"
	}
	return cmp.Or(strings.Join(words, ", "), "-")
}
