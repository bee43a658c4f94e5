package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"gslb/console"
	"gslb/geo"
	"gslb/health"
	"gslb/history"
)

// apiFlags say which running node to ask.
func apiFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "api", Usage: "the running node's API, `HOST:PORT`", Value: console.DefaultListen, Sources: cli.EnvVars("GSLB_API")},
		&cli.StringFlag{Name: "token", Usage: "the API's `TOKEN`, where its configuration asks for one", Sources: cli.EnvVars("GSLB_TOKEN")},
	}
}

func client(c *cli.Command) *console.Client {
	return console.NewClient(c.String("api"), c.String("token"))
}

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show sites, vantage points, servers and what is wrong, as a running node sees them",
		Flags: append(apiFlags(),
			&spanFlag{Name: "watch", Usage: "show it again every `INTERVAL`", HideDefault: true},
			&cli.BoolFlag{Name: "json", Usage: "print it as JSON, as the API gives it"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb status: %q is not expected", c.Args().First())
			}
			every := c.Duration("watch")
			if c.IsSet("watch") && every <= 0 {
				return usagef("gslb status: -watch %v: want a time above 0, such as 2s", every)
			}
			show := console.WriteStatus
			if c.Bool("json") {
				show = func(w io.Writer, st console.Status) error { return writeJSON(w, st) }
			}
			cl := client(c)
			defer cl.Close()
			for {
				st, err := cl.Status(ctx)
				if err != nil {
					return err
				}
				if err := show(c.Root().Writer, st); err != nil {
					return err
				}
				if every <= 0 {
					return nil
				}
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(every):
					fmt.Fprintln(c.Root().Writer)
				}
			}
		},
	}
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func explainCommand() *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "say what a client would be answered, and why",
		ArgsUsage: "NAME [TYPE]",
		Description: "Asks a running node over its API. With -config it decides offline instead, from the\n" +
			"configuration, as though the health of all sites were unknown (-down SITE says otherwise).",
		Flags: append(apiFlags(),
			&cli.StringFlag{Name: "client", Usage: "the client's `ADDRESS` or network", Required: true},
			&cli.StringFlag{Name: "type", Usage: "the record `TYPE`", Value: "A"},
			&cli.StringFlag{Name: "config", Usage: "decide offline from this configuration `FILE`"},
			&cli.StringSliceFlag{Name: "down", Usage: "with -config: take this `SITE` for down"},
			&cli.StringFlag{Name: "at", Usage: "with -config: decide as the node on this machine did at a `TIME`, such as 2026-03-01T09:30:00Z or -10m"},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if n := c.Args().Len(); n != 1 && (n != 2 || c.IsSet("type")) {
				return usagef("gslb explain: want one NAME, and a TYPE once if any, such as: gslb explain www.abc.com --client 203.0.113.7")
			}
			if c.IsSet("at") {
				at, err := pastTime(c.String("at"), time.Now())
				switch {
				case err != nil:
					return usagef("gslb explain: -at %v", err)
				case !c.IsSet("config"):
					return usagef("gslb explain: -at goes with -config: it reads what the node of that configuration has recorded in its data_dir")
				case len(c.StringSlice("down")) > 0:
					return usagef("gslb explain: -at and -down do not go together: the past is as it was")
				}
				return explainPast(c, c.Args().First(), at)
			}
			e, err := explanation(ctx, c)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.Root().Writer, e.Text)
			return err
		},
	}
}

func explanation(ctx context.Context, c *cli.Command) (*console.Explanation, error) {
	name, qtype := c.Args().First(), c.String("type")
	if typ := c.Args().Get(1); typ != "" {
		qtype = typ
	}
	if !c.IsSet("config") {
		if len(c.StringSlice("down")) > 0 {
			return nil, usagef("gslb explain: -down goes with -config: it does not change a running node")
		}
		cl := client(c)
		defer cl.Close()
		return cl.Explain(ctx, name, c.String("client"), qtype)
	}
	cfg, err := loadServed(c.String("config"))
	if err != nil {
		return nil, err
	}
	places, err := geo.Open(cfg.Geo)
	if err != nil {
		return nil, err
	}
	t, err := ingredients{places: places}.compile(cfg)
	if err != nil {
		return nil, err
	}
	states := &health.States{Sites: map[string]health.Status{}}
	for _, s := range t.sites {
		states.Sites[s] = health.Status{Site: s, Why: "offline: nothing is known"}
	}
	for _, s := range c.StringSlice("down") {
		if _, ok := states.Sites[s]; !ok {
			return nil, usagef("gslb explain: -down %s: there is no such site", s)
		}
		states.Sites[s] = health.Status{Site: s, State: health.Down, Why: "taken for down with -down"}
	}
	g := t.generation(states, nil)
	return explain(g, cfg, t.db.Tailored(), name, c.String("client"), qtype)
}

func undrainCommand() *cli.Command {
	return &cli.Command{
		Name:      "undrain",
		Usage:     "take a site's override back, whether drain, force or share",
		ArgsUsage: "SITE",
		Flags:     append(apiFlags(), &cli.StringFlag{Name: "why", Usage: "the `REASON`, kept in gslb events"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() != 1 {
				return usagef("gslb undrain: want one SITE")
			}
			cl := client(c)
			defer cl.Close()
			site := c.Args().First()
			taken, err := cl.ClearOverride(ctx, site, history.Order{Who: operator(), Why: c.String("why")})
			switch {
			case err != nil:
				return err
			case taken:
				fmt.Fprintf(c.Root().Writer, "%s: its override is taken back; its health decides\n", site)
			default:
				fmt.Fprintf(c.Root().Writer, "%s: there was no override; its health decides\n", site)
			}
			return nil
		},
	}
}

func forceCommand() *cli.Command {
	return &cli.Command{
		Name:      "force",
		Usage:     "treat a site as up or down whatever the checks say",
		ArgsUsage: "SITE up|down",
		Flags:     append(apiFlags(), forFlag(), whyFlag()),
		Action: func(ctx context.Context, c *cli.Command) error {
			kind := health.OverrideKind(c.Args().Get(1))
			if c.Args().Len() != 2 || kind != health.ForceUp && kind != health.ForceDown {
				return usagef("gslb force: want SITE and up or down, such as: gslb force kt down --for 30m --why \"fibre cut\"")
			}
			if err := needWhy(c); err != nil {
				return err
			}
			return setOverride(ctx, c, c.Root().Writer, health.Override{Site: c.Args().First(), Kind: kind})
		},
	}
}

func shareCommand() *cli.Command {
	return &cli.Command{
		Name:      "share",
		Usage:     "give a site a part of the new users that it would get; the others go elsewhere",
		ArgsUsage: "SITE PERCENT",
		Flags: append(apiFlags(), forFlag(), whyFlag(),
			&spanFlag{Name: "over", Usage: "get there from what it has now in this `TIME`, such as 10m, in twenty steps", HideDefault: true}),
		Action: func(ctx context.Context, c *cli.Command) error {
			percent, err := strconv.ParseFloat(strings.TrimSuffix(c.Args().Get(1), "%"), 64)
			if c.Args().Len() != 2 || err != nil || !(percent >= 0 && percent <= 100) {
				return usagef("gslb share: want SITE and 0 to 100 percent, such as: gslb share kt 20%% --over 10m --why \"new servers\"")
			}
			if err := needWhy(c); err != nil {
				return err
			}
			if c.Duration("over") < 0 {
				return usagef("gslb share: --over %v: want a time above 0, such as 10m", c.Duration("over"))
			}
			return setOverride(ctx, c, c.Root().Writer, health.Override{Site: c.Args().First(), Kind: health.Share, Share: percent / 100, Over: c.Duration("over")})
		},
	}
}

func forFlag() cli.Flag {
	return &spanFlag{Name: "for", Usage: "end it by itself after this `TIME`, such as 30m; without it, it stays until undrain", HideDefault: true}
}

// needWhy refuses an order without a reason.
func needWhy(c *cli.Command) error {
	if c.String("why") == "" {
		return usagef("%s: say why with --why: whoever finds it at night will want to know", c.FullName())
	}
	return nil
}

func whyFlag() cli.Flag {
	return &cli.StringFlag{Name: "why", Usage: "the `REASON`, shown wherever the override is"}
}

// setOverride orders o, and tells w what is in force then.
func setOverride(ctx context.Context, c *cli.Command, w io.Writer, o health.Override) error {
	o.Who, o.Why, o.Since = operator(), c.String("why"), time.Now()
	if d := c.Duration("for"); c.IsSet("for") && d <= 0 {
		return usagef("gslb %s: --for %v: want a time above 0, such as 30m", c.Name, d)
	} else if d > 0 {
		o.Until = o.Since.Add(d)
	}
	cl := client(c)
	defer cl.Close()
	o, err := cl.SetOverride(ctx, o)
	if err != nil {
		return err
	}
	until := "until undrain"
	if !o.Until.IsZero() {
		until = "until " + o.Until.Local().Format(time.DateTime)
	}
	fmt.Fprintf(w, "%s: %s, %s, by %s: %s\n", o.Site, describe(o), until, o.Who, o.Why)
	return nil
}

func describe(o health.Override) string {
	switch o.Kind {
	case health.Drain:
		return "draining: it gives no new answers"
	case health.Share:
		text := fmt.Sprintf("takes %.3g %% of its new users", 100*o.Share)
		if o.Over > 0 {
			text += fmt.Sprintf(", gradually, in %v from now", o.Over)
		}
		return text
	}
	return o.Kind.Past()
}

// operator is who gives the order, as far as the system knows.
func operator() string {
	name := os.Getenv("SUDO_USER")
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	host, _ := os.Hostname()
	return name + "@" + host
}
