package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v3"

	"gslb/agent"
	"gslb/console"
)

const defaultState = "/run/gslb-agent"

func agentCommand() *cli.Command {
	state := &cli.StringFlag{Name: "state", Usage: "the `FILE` of what an operator said", Value: defaultState}
	ranges := []cli.Flag{
		&cli.StringFlag{Name: "cpu", Usage: "the share of the processors that is busy, `FROM:TO`, such as 0.7:0.95"},
		&cli.StringFlag{Name: "memory", Usage: "the share of the memory that is in use, `FROM:TO`"},
		&cli.StringFlag{Name: "queue", Usage: "tasks that want to run, for each processor, `FROM:TO`"},
		&cli.StringFlag{Name: "connections", Usage: "TCP sockets in use, `FROM:TO`"},
		&cli.StringFlag{Name: "app", Usage: "the application's own figure, `FROM:TO`"},
	}
	return &cli.Command{
		Name:  "agent",
		Usage: "run on a server and say how much load it can take (HAProxy's agent-check protocol)",
		Description: "From FROM to TO of a figure the server's weight goes down from 100 % to -least; of several the\n" +
			"least counts. Without any, the weight is always 100 %. The application's figure is the first line of\n" +
			"-app-file, -app-exec or -app-url: a number, or drain, maint or down; unreadable, the server is down.",
		Flags: append(ranges,
			&cli.StringFlag{Name: "listen", Usage: "where balancers ask, `HOST:PORT`", Value: ":9777"},
			&cli.DurationFlag{Name: "interval", Usage: "the `TIME` between two readings", Value: time.Second},
			&cli.FloatFlag{Name: "least", Usage: "the least `PERCENT` of the weight", Value: 10},
			&cli.StringFlag{Name: "app-file", Usage: "read the application's figure from this `FILE`"},
			&cli.StringFlag{Name: "app-exec", Usage: "or from this `PROGRAM` with its arguments, split at blanks; there is no shell"},
			&cli.StringFlag{Name: "app-url", Usage: "or from this `URL`"},
			state,
			&cli.StringSliceFlag{Name: "register", Usage: "add the server to the balancers of the nodes whose API is at this `URL`"},
			&cli.StringFlag{Name: "token", Usage: "their API's `TOKEN`", Sources: cli.EnvVars("GSLB_TOKEN")},
			&cli.StringFlag{Name: "frontend", Usage: "behind this `FRONTEND`"},
			&cli.StringFlag{Name: "address", Usage: "where the server serves, `HOST:PORT`"},
			&cli.FloatFlag{Name: "weight", Usage: "its `WEIGHT`; default 1", HideDefault: true},
			&cli.FloatFlag{Name: "capacity", Usage: "`CONNECTIONS` that it can take well, where the others state it", HideDefault: true},
			&cli.StringFlag{Name: "zone", Usage: "its `ZONE`"},
		),
		Commands: []*cli.Command{
			stateCommand(agent.Drain, "give this server no new connections"),
			stateCommand(agent.Maint, "take this server out for maintenance"),
			stateCommand(agent.Ready, "let this server's figures decide again"),
		},
		Action: runAgent,
	}
}

func stateCommand(state, usage string) *cli.Command {
	return &cli.Command{
		Name: state, Usage: usage,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "why", Usage: "the `REASON`, shown at the balancer"},
			&cli.StringFlag{Name: "state", Usage: "the `FILE` that the agent reads", Value: defaultState},
		},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb agent %s: %q is not expected", state, c.Args().First())
			}
			if err := agent.WriteState(c.String("state"), state, c.String("why")); err != nil {
				return err
			}
			fmt.Fprintf(c.Root().Writer, "this server is %s from the balancers' next check on\n", state)
			return nil
		},
	}
}

func runAgent(ctx context.Context, c *cli.Command) error {
	if c.Args().Present() {
		return usagef("gslb agent: %q is not expected", c.Args().First())
	}
	cfg := agent.Config{Interval: c.Duration("interval"), State: c.String("state"),
		App: agent.App{File: c.String("app-file"), Exec: strings.Fields(c.String("app-exec")), URL: c.String("app-url")}}
	cfg.Rules.Least = c.Float("least") / 100
	for name, r := range map[string]*agent.Range{"cpu": &cfg.Rules.CPU, "memory": &cfg.Rules.Memory, "queue": &cfg.Rules.Queue,
		"connections": &cfg.Rules.Connections, "app": &cfg.Rules.App} {
		if !c.IsSet(name) {
			continue
		}
		var err error
		if *r, err = agent.ParseRange(c.String(name)); err != nil {
			return usagef("gslb agent: -%s %v", name, err)
		}
	}
	switch {
	case cfg.Interval < 100*time.Millisecond:
		return usagef("gslb agent: -interval %v: want 100ms or more", cfg.Interval)
	case !(cfg.Rules.Least >= 0 && cfg.Rules.Least <= 1):
		return usagef("gslb agent: -least %v: want 0 to 100", c.Float("least"))
	case c.IsSet("register") && (c.String("frontend") == "" || c.String("address") == ""):
		return usagef("gslb agent: -register needs -frontend and -address")
	}
	ln, err := net.Listen("tcp", c.String("listen"))
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	log.Info("answering agent checks", "address", ln.Addr().String())
	var wg sync.WaitGroup
	for _, at := range c.StringSlice("register") {
		wg.Go(func() { register(ctx, c, at, log) })
	}
	err = agent.New(cfg, log).Run(ctx, ln)
	wg.Wait()
	return err
}

// A registration is renewed three times before it ends.
const (
	registerFor   = 30 * time.Second
	registerEvery = 10 * time.Second
)

// register keeps the server behind a frontend of the balancer at a URL until ctx ends, and then takes it out.
func register(ctx context.Context, c *cli.Command, at string, log *slog.Logger) {
	if u, err := url.Parse(at); err == nil && u.Host != "" {
		at = u.Scheme + "://" + u.Host
	}
	cl := console.NewClient(at, c.String("token"))
	defer cl.Close()
	o := console.ServerOrder{Do: console.AddServer, Frontend: c.String("frontend"), Address: c.String("address"), TTL: registerFor.Seconds(),
		Weight: c.Float("weight"), Capacity: c.Float("capacity"), Zone: c.String("zone"), Who: operator(), Why: "gslb agent"}
	said := ""
	for {
		text, wait := "registered", registerEvery
		if err := cl.OrderServer(ctx, o); err != nil && ctx.Err() == nil {
			text, wait = "cannot register: "+err.Error(), time.Second
		}
		if text != said && ctx.Err() == nil {
			log.Info(text, "balancer", at, "frontend", o.Frontend, "server", o.Address)
			said = text
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
			defer cancel()
			o.Do = console.RemoveServer
			if err := cl.OrderServer(last, o); err != nil {
				log.Warn("could not be taken out; the balancer does so when it is not renewed", "balancer", at, "error", err)
			}
			return
		case <-time.After(wait):
		}
	}
}
