package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"gslb/balancer"
	"gslb/console"
)

func serversCommand() *cli.Command {
	return &cli.Command{
		Name:      "servers",
		Usage:     "show the servers behind a balancer's frontends; drain, add and remove them",
		ArgsUsage: "[FRONTEND]",
		Flags: append(apiFlags(),
			&cli.DurationFlag{Name: "watch", Usage: "show it again every `INTERVAL`", HideDefault: true},
			&cli.BoolFlag{Name: "json", Usage: "print it as JSON, as the API gives it"},
			&cli.BoolFlag{Name: "events", Usage: "show what happened to them lately, too"}),
		Commands: []*cli.Command{serverDrainCommand(), serverUndrainCommand(), serverAddCommand(), serverRemoveCommand()},
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() > 1 {
				return usagef("gslb servers: want one FRONTEND at most")
			}
			every := c.Duration("watch")
			if c.IsSet("watch") && every <= 0 {
				return usagef("gslb servers: -watch %v: want a time above 0, such as 2s", every)
			}
			cl := client(c)
			defer cl.Close()
			for {
				l, err := cl.Frontends(ctx)
				if err != nil {
					return err
				}
				if err := showServers(c, l); err != nil || every <= 0 {
					return err
				}
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(every):
				}
			}
		},
	}
}

func showServers(c *cli.Command, l console.FrontendList) error {
	if name := c.Args().First(); name != "" {
		var known []string
		for _, f := range l.Frontends {
			known = append(known, f.Name)
		}
		if !slices.Contains(known, name) {
			return fmt.Errorf("gslb servers: there is no frontend %q: the node has %s", name, strings.Join(known, ", "))
		}
		l.Frontends = slices.DeleteFunc(l.Frontends, func(f balancer.FrontendStatus) bool { return f.Name != name })
		l.Events = slices.DeleteFunc(l.Events, func(e balancer.Event) bool { return e.Frontend != name })
		l.Hooks = slices.DeleteFunc(l.Hooks, func(h balancer.HookStatus) bool { return h.Frontend != name })
	}
	w := c.Root().Writer
	if c.Bool("json") {
		return writeJSON(w, l)
	}
	if err := console.WriteFrontends(w, l); err != nil || !c.Bool("events") {
		return err
	}
	fmt.Fprintln(w)
	for _, e := range l.Events {
		fmt.Fprintf(w, "%s  %s %s %s: %q\n", moment(e.At), e.Frontend, e.Server, e.What, e.Why)
	}
	return nil
}

// frontendFlag says behind which frontend a server is.
func frontendFlag() cli.Flag {
	return &cli.StringFlag{Name: "frontend", Usage: "the server's `FRONTEND`; default: the only one that has it"}
}

// ordered makes an order of a command's one argument and its flags.
func ordered(ctx context.Context, c *cli.Command, cl *console.Client, do string) (o console.ServerOrder, err error) {
	if c.Args().Len() != 1 {
		return o, usagef("%s: want one ADDRESS, host:port", c.FullName())
	}
	o = console.ServerOrder{Do: do, Frontend: c.String("frontend"), Address: c.Args().First(), Who: operator(), Why: c.String("why")}
	if o.Frontend != "" {
		return o, nil
	}
	l, err := cl.Frontends(ctx)
	if err != nil {
		return o, err
	}
	var all, having []string
	for _, f := range l.Frontends {
		all = append(all, f.Name)
		if slices.ContainsFunc(f.Servers, func(s balancer.ServerStatus) bool { return s.Address == o.Address }) {
			having = append(having, f.Name)
		}
	}
	if do == console.AddServer {
		having = all
	}
	switch len(having) {
	case 1:
		o.Frontend = having[0]
		return o, nil
	case 0:
		return o, fmt.Errorf("%s: no frontend of the node has a server %s", c.FullName(), o.Address)
	}
	return o, usagef("%s: say which with -frontend: %s", c.FullName(), strings.Join(having, ", "))
}

func serverDrainCommand() *cli.Command {
	return &cli.Command{
		Name:      "drain",
		Usage:     "give a server no new connections; those it has may finish within a time",
		ArgsUsage: "ADDRESS",
		Flags: append(apiFlags(), frontendFlag(), &cli.StringFlag{Name: "why", Usage: "the `REASON`, in the node's log"},
			&cli.DurationFlag{Name: "within", Usage: "reset what is left after this `TIME`; default: the frontend's drain_timeout", HideDefault: true},
			&cli.BoolFlag{Name: "wait", Usage: "show how far it is until it is done"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			if d := c.Duration("within"); c.IsSet("within") && d <= 0 {
				return usagef("gslb servers drain: -within %v: want a time above 0, such as 5m", d)
			}
			cl := client(c)
			defer cl.Close()
			o, err := ordered(ctx, c, cl, console.DrainServer)
			if err != nil {
				return err
			}
			o.Within = c.Duration("within").Seconds()
			if err := cl.OrderServer(ctx, o); err != nil {
				return err
			}
			fmt.Fprintf(c.Root().Writer, "%s: drains, in frontend %s\n", o.Address, o.Frontend)
			if !c.Bool("wait") {
				return nil
			}
			return waitServerDrained(ctx, c, cl, o)
		},
	}
}

// waitServerDrained shows how far a drain is, at each change, until its end.
func waitServerDrained(ctx context.Context, c *cli.Command, cl *console.Client, o console.ServerOrder) error {
	last := ""
	for {
		l, err := cl.Frontends(ctx)
		if err != nil {
			return err
		}
		text, done := drainText(l, o)
		if text != last {
			fmt.Fprintln(c.Root().Writer, text)
			last = text
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func drainText(l console.FrontendList, o console.ServerOrder) (text string, done bool) {
	for _, f := range l.Frontends {
		for _, s := range f.Servers {
			if f.Name != o.Frontend || s.Address != o.Address {
				continue
			}
			switch d := s.Drain; {
			case d == nil:
				return o.Address + ": does not drain any more", true
			case d.Left == 0:
				return fmt.Sprintf("%s: drained, all of its %d connections have ended", o.Address, d.Begun), true
			default:
				return fmt.Sprintf("%s: %d of %d connections left", o.Address, d.Left, d.Begun), false
			}
		}
	}
	return o.Address + ": is not there any more", true
}

func serverUndrainCommand() *cli.Command {
	return serverOrderCommand("undrain", "give a server connections again", console.UndrainServer, "takes connections again", nil)
}

func serverRemoveCommand() *cli.Command {
	return serverOrderCommand("remove", "take out a server that was added; its connections finish", console.RemoveServer, "is removed; its connections finish", nil)
}

func serverAddCommand() *cli.Command {
	return serverOrderCommand("add", "put a server behind a frontend, beside those of the configuration", console.AddServer, "is behind it", []cli.Flag{
		&cli.FloatFlag{Name: "weight", Usage: "its `WEIGHT`; default 1", HideDefault: true},
		&cli.FloatFlag{Name: "capacity", Usage: "`CONNECTIONS` that it can take well, where the others state it", HideDefault: true},
		&cli.StringFlag{Name: "zone", Usage: "its `ZONE`"},
		&cli.BoolFlag{Name: "spare", Usage: "keep it until it is needed"},
		&cli.DurationFlag{Name: "ttl", Usage: "remove it after this `TIME` unless it is added again", HideDefault: true},
	})
}

func serverOrderCommand(name, usage, do, done string, flags []cli.Flag) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage, ArgsUsage: "ADDRESS",
		Flags: append(append(apiFlags(), frontendFlag(), &cli.StringFlag{Name: "why", Usage: "the `REASON`, in the node's log"}), flags...),
		Action: func(ctx context.Context, c *cli.Command) error {
			cl := client(c)
			defer cl.Close()
			o, err := ordered(ctx, c, cl, do)
			if err != nil {
				return err
			}
			if do == console.AddServer {
				o.Weight, o.Capacity, o.Zone, o.Spare, o.TTL = c.Float("weight"), c.Float("capacity"), c.String("zone"), c.Bool("spare"), c.Duration("ttl").Seconds()
			}
			if err := cl.OrderServer(ctx, o); err != nil {
				return err
			}
			fmt.Fprintf(c.Root().Writer, "%s: %s, frontend %s\n", o.Address, done, o.Frontend)
			return nil
		},
	}
}

func connectionsCommand() *cli.Command {
	return &cli.Command{
		Name:  "connections",
		Usage: "show the connections that are open through a balancer",
		Flags: append(apiFlags(),
			&cli.StringFlag{Name: "frontend", Usage: "of this `FRONTEND`"},
			&cli.StringFlag{Name: "server", Usage: "to this server, `HOST:PORT`"},
			&cli.StringFlag{Name: "client", Usage: "from this `ADDRESS` or network"},
			&cli.DurationFlag{Name: "min-age", Usage: "open for this `TIME` at least", HideDefault: true},
			&cli.DurationFlag{Name: "min-idle", Usage: "without a byte for this `TIME` at least", HideDefault: true},
			&cli.StringFlag{Name: "sort", Usage: "the largest first, by `WHAT`: " + strings.Join(balancer.ConnectionSorts(), ", "), Value: "age"},
			&cli.StringFlag{Name: "top", Usage: "count them by `WHAT` instead: " + strings.Join(balancer.ConnectionGroupings(), ", ")},
			&cli.IntFlag{Name: "limit", Usage: "show this `NUMBER` at most", Value: 20},
			&cli.BoolFlag{Name: "json", Usage: "print it as JSON, as the API gives it"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb connections: %q is not expected", c.Args().First())
			}
			q := console.ConnectionQuery{Top: c.String("top"), ConnectionFilter: balancer.ConnectionFilter{
				Frontend: c.String("frontend"), Server: c.String("server"), MinAge: c.Duration("min-age"), MinIdle: c.Duration("min-idle"),
				Sort: c.String("sort"), Limit: c.Int("limit")}}
			if text := c.String("client"); text != "" {
				p, err := netip.ParsePrefix(text)
				if a, e := netip.ParseAddr(text); e == nil {
					p, err = netip.PrefixFrom(a, a.BitLen()), nil
				}
				if err != nil {
					return usagef("gslb connections: -client %q: want an address such as 203.0.113.7 or a network such as 203.0.113.0/24", text)
				}
				q.Client = p
			}
			cl := client(c)
			defer cl.Close()
			l, err := cl.Connections(ctx, q)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return writeJSON(c.Root().Writer, l)
			}
			return console.WriteConnections(c.Root().Writer, l, q.Top)
		},
	}
}
