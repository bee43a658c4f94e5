package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func readyCommand() *cli.Command {
	return &cli.Command{
		Name:      "ready",
		Usage:     "tell whether a node answers, or whether a virtual address may lead to it",
		ArgsUsage: "[FRONTEND]",
		Description: "Ends with 0 if the node is ready, or, with a FRONTEND, if that has servers that take\n" +
			"connections and the node is not about to end; else it says why not and ends with 1.",
		Flags: apiFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() > 1 {
				return usagef("gslb ready: want one FRONTEND at most")
			}
			cl := client(c)
			defer cl.Close()
			ready := cl.Ready
			if name := c.Args().First(); name != "" {
				ready = func(ctx context.Context) error { return cl.FrontendReady(ctx, name) }
			}
			if err := ready(ctx); err != nil {
				return err
			}
			_, err := fmt.Fprintln(c.Root().Writer, "ready")
			return err
		},
	}
}
