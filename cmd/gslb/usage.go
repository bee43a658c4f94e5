package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"
)

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitError is a fault with an exit code of its own.
type exitError struct {
	code int
	error
}

// misused says in one line what is wrong with a command line and where to look.
func misused(_ context.Context, c *cli.Command, err error, _ bool) error {
	text := strings.TrimSpace(strings.SplitN(err.Error(), "\n", 2)[0])
	hint := ""
	if _, flag, ok := strings.Cut(text, "flag provided but not defined: "); ok {
		text = "there is no flag " + flag
		known := make(nameSet)
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				known.add(name)
			}
		}
		if name := known.similar(strings.TrimLeft(flag, "-")); name != "" {
			hint = "; did you mean -" + name + "?"
		}
	}
	full := c.FullName()
	return usagef("%s: %s%s (%s -help lists the flags)", full, text, hint, full)
}

// similarCommand is a hint at the command that was probably meant.
func similarCommand(c *cli.Command, written string) string {
	known := make(nameSet)
	for _, sub := range c.VisibleCommands() {
		known.add(sub.Name)
	}
	return known.suggest(written)
}
