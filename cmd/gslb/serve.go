package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"gslb/config"
	"gslb/handover"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "run this node: DNS, health checks and balancer, as its configuration says",
		Description: "Runs until it is interrupted. SIGHUP reads the configuration and the zones again; if\n" +
			"anything in them is wrong the last good ones go on being served. SIGUSR2 has the program as\n" +
			"it lies there now take over: sockets stay open, and open connections finish in the old one.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.BoolFlag{Name: "with-stdin", Usage: "end when standard input ends, for those who start it as a child"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb serve: %q is not expected: the configuration goes behind -config", c.Args().First())
			}
			if c.Bool("with-stdin") {
				var stop context.CancelFunc
				ctx, stop = whileStdin(ctx)
				defer stop()
			}
			me := thisProcess()
			parent, err := handover.FindParent()
			if err != nil {
				return err
			}
			path := c.String("config")
			cfg, err := config.Load(path)
			if err != nil {
				return err
			}
			log, err := newLogger(os.Stderr, cfg.Node)
			if err != nil {
				return err
			}
			for _, w := range cfg.Warnings {
				log.Warn("configuration: " + w.Error())
			}
			var sockets *handover.Sockets
			if parent != nil {
				if sockets, err = parent.Take(); err != nil {
					return fmt.Errorf("gslb: %w", err)
				}
			}
			n, err := newNode(ctx, path, cfg, log, sockets)
			if err != nil {
				return fmt.Errorf("gslb: %w", err)
			}
			n.leftOver(sockets)
			n.self = me
			for n != nil {
				if n, err = n.run(ctx, parent); err != nil {
					return err
				}
				parent = nil
			}
			return nil
		},
	}
}

// newLogger makes the log of a node as its configuration says.
func newLogger(w io.Writer, cfg config.Node) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToUpper(cfg.LogLevel))); err != nil {
		return nil, fmt.Errorf("node.log_level %q: want debug, info, warn or error", cfg.LogLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return slog.New(slog.NewTextHandler(w, opts)), nil
}
