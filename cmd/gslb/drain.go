package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v3"

	"gslb/console"
	"gslb/health"
)

const (
	// drainEvery is how often -wait looks, drainSay how often it says at least that it waits.
	drainEvery = time.Second
	drainSay   = 30 * time.Second
	// exitNotYet is the exit code when what is waited for has not come in time.
	exitNotYet = 3
)

func drainCommand() *cli.Command {
	return &cli.Command{
		Name:      "drain",
		Usage:     "give a site no new users; those it has finish",
		ArgsUsage: "SITE",
		Description: "With -wait it shows who still comes, and returns when the site can be switched off: when no\n" +
			"cache has an answer that names it any more, no new connection has come for a while (-quiet), and\n" +
			"no connection is open but old ones, which it lists ([drain] in the configuration says what is\n" +
			"old). Where no balancer of the site reports, it goes by DNS alone, and says so.\n" +
			"For a site that drains already, -wait alone waits. Exit codes: 0 it can be switched off; 3 not\n" +
			"within -timeout; 1 a fault, or the drain was taken back; 2 wrong usage.",
		Flags: append(apiFlags(), forFlag(), whyFlag(),
			&cli.BoolFlag{Name: "wait", Usage: "return when the site can be switched off"},
			&spanFlag{Name: "timeout", Usage: "with -wait: the longest `TIME`; without it, for ever", HideDefault: true},
			&spanFlag{Name: "quiet", Usage: "with -wait: the `TIME` in which no new connection may come; default: drain.quiet of the configuration", HideDefault: true},
			&cli.BoolFlag{Name: "json", Usage: "with -wait: print each step as a line of JSON, as the API gives it"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() != 1 {
				return usagef("gslb drain: want one SITE")
			}
			for _, name := range []string{"timeout", "quiet"} {
				if c.IsSet(name) && c.Duration(name) < time.Second {
					return usagef("gslb drain: -%s %v: want a second or more, such as 10m", name, c.Duration(name))
				}
			}
			for _, name := range []string{"timeout", "quiet", "json"} {
				if c.IsSet(name) && !c.Bool("wait") {
					return usagef("gslb drain: -%s goes with -wait", name)
				}
			}
			if c.Bool("wait") && !c.IsSet("why") && !c.IsSet("for") {
				switch drains, err := drainsAlready(ctx, c); {
				case err != nil:
					return err
				case drains:
					return waitDrained(ctx, c)
				}
			}
			if err := needWhy(c); err != nil {
				return err
			}
			w := c.Root().Writer
			if c.Bool("json") {
				w = io.Discard
			}
			if err := setOverride(ctx, c, w, health.Override{Site: c.Args().First(), Kind: health.Drain}); err != nil || !c.Bool("wait") {
				return err
			}
			return waitDrained(ctx, c)
		},
	}
}

func drainsAlready(ctx context.Context, c *cli.Command) (bool, error) {
	cl := client(c)
	defer cl.Close()
	p, err := cl.Drained(ctx, c.Args().First(), 0)
	return p.Draining, err
}

// waitDrained shows how far the site is until it can be switched off.
func waitDrained(ctx context.Context, c *cli.Command) error {
	cl := client(c)
	defer cl.Close()
	site, began := c.Args().First(), time.Now()
	show := &drainShow{w: c.Root().Writer, json: c.Bool("json")}
	var fault error // of the last look
	for {
		p, err := cl.Drained(ctx, site, c.Duration("quiet"))
		switch {
		case errors.Is(err, console.ErrUnavailable) || err != nil && fault == nil && show.shown:
			fault = err // a node that starts again is soon back
		case err != nil:
			return err
		case !p.Draining:
			return fmt.Errorf("gslb drain: %s does not drain any more: the order was taken back, or has ended", site)
		default:
			fault = nil
			show.step(p, time.Now())
			if p.Safe {
				return show.end(p)
			}
		}
		if limit := c.Duration("timeout"); limit > 0 && time.Since(began) >= limit {
			return exitError{exitNotYet, fmt.Errorf("gslb drain: %s is not empty after %v: %s", site, limit, p.Text)}
		}
		select {
		case <-ctx.Done():
			return exitError{exitNotYet, fmt.Errorf("gslb drain: interrupted; %s goes on draining (gslb undrain %[1]s takes that back)", site)}
		case <-time.After(drainEvery):
		}
	}
}

// drainShow prints the steps.
type drainShow struct {
	w     io.Writer
	json  bool
	shown bool
	last  string // what was said
	at    time.Time
}

// step prints what is new.
func (s *drainShow) step(p health.DrainProgress, now time.Time) {
	s.shown = true
	said := fmt.Sprint(phaseOf(p), openOf(p))
	if said == s.last && now.Sub(s.at) < drainSay || p.Safe && !s.json {
		return
	}
	s.last, s.at = said, now
	if s.json {
		s.print(p)
		return
	}
	line := fmt.Sprintf("%s %s: %s", now.Format(time.TimeOnly), p.Site, p.Text)
	if c := p.Clients; c != nil {
		line += fmt.Sprintf("; %d open, %d new since it drains", c.Open, c.New)
	}
	if !p.Empty.IsZero() {
		line += "; expected to be empty at " + p.Empty.Local().Format(time.TimeOnly)
	}
	fmt.Fprintln(s.w, line)
}

// phaseOf is what it waits for, without the times that change.
func phaseOf(p health.DrainProgress) string {
	quiet := p.Clients != nil && p.Clients.Quiet >= p.Quiet
	return fmt.Sprint(p.Given, p.NotHeard, p.Gone, p.Waiting, p.Overstay, quiet, p.Safe)
}

func openOf(p health.DrainProgress) string {
	if p.Clients == nil {
		return ""
	}
	return fmt.Sprint(p.Clients.Open, p.Clients.New)
}

// end prints the verdict.
func (s *drainShow) end(p health.DrainProgress) error {
	if s.json {
		return nil // the last step was it
	}
	fmt.Fprintf(s.w, "%s: %s\n", p.Site, p.Text)
	if p.Clients != nil && p.Clients.Open > 0 {
		for _, line := range console.DrainLines(p) {
			fmt.Fprintln(s.w, "  "+line)
		}
	}
	return nil
}

func (s *drainShow) print(p health.DrainProgress) {
	_ = json.NewEncoder(s.w).Encode(p) // standard output is gone: nobody reads
}
