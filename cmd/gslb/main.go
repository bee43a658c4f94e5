// Command gslb is an authoritative DNS server that sends every user to the
// nearest healthy site, with the site's balancer in the same program.
//
// Rules of the user interface: what a command prints for people goes to
// standard output, faults to standard error with exit code 1, wrong usage with
// exit code 2; a fault says what was wrong, where, and what would be right;
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
	"syscall"

	"github.com/urfave/cli/v3"
)

// version is set by release builds; otherwise it is the module's.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().Run(ctx, os.Args); err != nil {
		var usage usageError
		fmt.Fprintln(os.Stderr, err)
		if errors.As(err, &usage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func root() *cli.Command {
	return &cli.Command{
		Name:                  "gslb",
		Usage:                 "authoritative DNS that sends every user to the nearest healthy site",
		Version:               versionString(),
		EnableShellCompletion: true,
		Suggest:               true,
		ExitErrHandler:        func(context.Context, *cli.Command, error) {}, // main prints it, once
		OnUsageError: func(_ context.Context, _ *cli.Command, err error, _ bool) error {
			return usagef("%w (gslb help lists the commands)", err)
		},
		Commands: []*cli.Command{
			serveCommand(), checkCommand(), demoCommand(),
			statusCommand(), explainCommand(),
			drainCommand(), undrainCommand(), forceCommand(),
			demoServerCommand(),
		},
		Action: func(_ context.Context, c *cli.Command) error {
			if name := c.Args().First(); name != "" {
				return usagef("gslb: there is no command %q (gslb help lists them)", name)
			}
			return cli.ShowRootCommandHelp(c)
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
