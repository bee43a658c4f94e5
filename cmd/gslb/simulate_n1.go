package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	"gslb/config"
	"gslb/console"
	"gslb/forecast"
	"gslb/health"
)

// eachDown shows what happens with each single site down.
func (f *forecaster) eachDown(ctx context.Context, c *cli.Command, cfg *config.Config, users *forecast.Users, changed *health.States, what string) error {
	options := f.options
	if !c.Bool("json") {
		options.Most = -1
	}
	all, err := eachDown(ctx, users, cfg, changed, options)
	if err != nil {
		return err
	}
	over := slices.ContainsFunc(all, func(one console.OneDown) bool { return len(one.Overloaded) > 0 })
	out := c.Root().Writer
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

func writeEachDown(w *tabwriter.Writer, all []console.OneDown) error {
	fmt.Fprintln(w, "DOWN\tUSERS MOVE\tTO\tOVERLOADED\tCARRIES")
	for _, one := range all {
		carries := "-"
		if one.First != "" {
			carries = fmt.Sprintf("%.6g (then %s)", one.Carries, one.First)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", one.Down, forecast.Percent(one.Moved), gains(one.Comparison), overloads(one.Comparison), carries)
	}
	if slices.ContainsFunc(all, func(one console.OneDown) bool { return overloads(one.Comparison) == "?" }) {
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
		words = append(words, fmt.Sprintf("%s +%s", s.Site, forecast.Percent(s.ShareAfter-s.ShareBefore)))
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
			words = append(words, s.Site+" "+forecast.Percent(s.LoadAfter/s.Capacity))
		}
	}
	if words == nil && c.Total == 0 {
		return "?"
	}
	return cmp.Or(strings.Join(words, ", "), "-")
}
