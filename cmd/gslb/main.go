// Command gslb is an authoritative DNS server that sends every user to the
// nearest healthy site, with the site's balancer in the same program.
//
// Rules of the user interface: what a command prints for people goes to
// standard output, faults to standard error with exit code 1, wrong usage with
// exit code 2, others where a command says so; a fault says what was wrong, where, and what would be right;
// flags take one dash or two; a command that changes something says what it
// changed; nothing asks back.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"
)

// version is set by release builds; otherwise it is the module's.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && !slices.Contains(servers, os.Args[1]) {
		context.AfterFunc(ctx, endAtLast)
	}
	if err := root().Run(ctx, os.Args); err != nil {
		var usage usageError
		var exit exitError
		fmt.Fprintln(os.Stderr, err)
		if errors.As(err, &exit) {
			os.Exit(exit.code)
		}
		if errors.As(err, &usage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// servers are the commands that end by themselves when they are told to, in their time.
var servers = []string{"serve", "agent", "demo", "demo-server"}

// endAtLast ends a command that was told to end (Ctrl-C, SIGTERM) and hangs all the same, in a
// file that is a pipe or on a file system that is away: it has a moment for its last words.
func endAtLast() {
	time.Sleep(2 * time.Second)
	fmt.Fprintln(os.Stderr, "gslb: interrupted")
	os.Exit(1)
}

func root() *cli.Command {
	c := &cli.Command{
		Name:                  "gslb",
		Usage:                 "authoritative DNS that sends every user to the nearest healthy site",
		Version:               versionString(),
		EnableShellCompletion: true,
		Suggest:               true,
		ExitErrHandler:        func(context.Context, *cli.Command, error) {}, // main prints it, once
		Commands: []*cli.Command{
			serveCommand(), checkCommand(), demoCommand(),
			statusCommand(), readyCommand(), explainCommand(), simulateCommand(), planCommand(),
			drainCommand(), undrainCommand(), forceCommand(), shareCommand(), releaseCommand(), breakerCommand(), reloadCommand(), etcdCommand(),
			serversCommand(), connectionsCommand(), agentCommand(),
			applyCommand(), historyCommand(), diffCommand(), rollbackCommand(), promoteCommand(), eventsCommand(),
			keysCommand(),
			versionCommand(), demoServerCommand(),
		},
		Action: func(_ context.Context, c *cli.Command) error {
			if name := c.Args().First(); name != "" {
				return usagef("gslb: there is no command %q%s (gslb help lists them)", name, similarCommand(c, name))
			}
			return cli.ShowRootCommandHelp(c)
		},
	}
	tellMisuse(c)
	return c
}

// tellMisuse gives a command and all below it our words for wrong usage.
func tellMisuse(c *cli.Command) {
	c.OnUsageError = misused
	for _, sub := range c.Commands {
		tellMisuse(sub)
	}
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version",
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb version: %q is not expected", c.Args().First())
			}
			_, err := fmt.Fprintln(c.Root().Writer, "gslb version "+versionString())
			return err
		},
	}
}

func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// configFlag is the flag that names the configuration file.
func configFlag() *cli.StringFlag {
	return &cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "the configuration `FILE`", Value: "gslb.toml", Sources: cli.EnvVars("GSLB_CONFIG")}
}
