package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"gslb/config"
	"gslb/console"
	"gslb/history"
)

// mostLines bounds how many different lines of one file are shown.
const mostLines = 40

func diffCommand() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "show what is different between two revisions of the topology, or one and a file",
		ArgsUsage: "[A [B]]",
		Description: "A and B are numbers of revisions (gslb history) or topology files. With A alone, it is compared with what is served;\n" +
			"without any, the newest revision with the one before it.",
		Flags: apiFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() > 2 {
				return usagef("gslb diff: want at most two, A and B")
			}
			cl := client(c)
			defer cl.Close()
			names, err := compared(ctx, cl, c.Args().Slice())
			if err != nil {
				return err
			}
			var sides [2]history.Bundle
			for i, name := range names {
				if sides[i], err = side(ctx, cl, name); err != nil {
					return err
				}
			}
			lines, err := differences(sides[0], sides[1])
			if err != nil {
				return err
			}
			fmt.Fprintf(c.Root().Writer, "%s -> %s: %s\n", names[0], names[1], plural(len(lines), "difference"))
			for _, line := range lines {
				fmt.Fprintln(c.Root().Writer, line)
			}
			return nil
		},
	}
}

// compared are the two sides that the arguments name.
func compared(ctx context.Context, cl *console.Client, args []string) ([]string, error) {
	if len(args) == 2 {
		return args, nil
	}
	t, err := cl.Topology(ctx)
	if err != nil {
		return nil, err
	}
	newest := t.Head.Stable
	if t.Head.Canary != nil {
		newest = t.Head.Canary.Revision
	}
	if newest.Number == 0 {
		return nil, fmt.Errorf("gslb diff: there is no revision of the topology yet (gslb apply writes one)")
	}
	if len(args) == 0 {
		return []string{fmt.Sprint(newest.Base), fmt.Sprint(newest.Number)}, nil
	}
	if _, isNumber := history.Number(args[0]); isNumber {
		return []string{args[0], fmt.Sprint(t.Head.Stable.Number)}, nil
	}
	return []string{fmt.Sprint(t.Head.Stable.Number), args[0]}, nil
}

// side reads a revision or a file; "0" is nothing.
func side(ctx context.Context, cl *console.Client, name string) (history.Bundle, error) {
	n, isNumber := history.Number(name)
	switch {
	case name == "0":
		return nil, nil
	case isNumber:
		if _, err := os.Stat(name); err != nil {
			c, err := cl.Content(ctx, n)
			if err != nil {
				return nil, err
			}
			return history.Unpack(c.Packed)
		}
	}
	b, _, err := bundleOf(name)
	return b, err
}

// differences says, a line each, what is different between two topologies.
func differences(a, b history.Bundle) ([]string, error) {
	before, err := tables(a)
	if err != nil {
		return nil, err
	}
	after, err := tables(b)
	if err != nil {
		return nil, err
	}
	lines := config.Changes(before, after)
	var names []string
	for _, f := range slices.Concat(a, b) {
		// What the TOML files say is told by table.
		if path.Ext(f.Name) != ".toml" && !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		lines = append(lines, fileDifferences(name, a.File(name), b.File(name))...)
	}
	return lines, nil
}

// tables reads the tables of a bundle.
func tables(b history.Bundle) (map[string]any, error) {
	if len(b) == 0 {
		return map[string]any{}, nil
	}
	dir, err := os.MkdirTemp("", "gslb-diff-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file, err := b.WriteTo(dir)
	if err != nil {
		return nil, err
	}
	return config.Tables(file)
}

// fileDifferences lists the lines that only one of two files has, as often as it
// has them. In master files the order seldom means anything.
func fileDifferences(name string, a, b []byte) []string {
	switch {
	case bytes.Equal(a, b):
		return nil
	case a == nil:
		return []string{fmt.Sprintf("+ file %s: %d bytes", name, len(b))}
	case b == nil:
		return []string{fmt.Sprintf("- file %s: %d bytes", name, len(a))}
	}
	count := map[string]int{}
	for line := range strings.Lines(string(b)) {
		count[strings.TrimRight(line, "\r\n")]++
	}
	var gone, come []string
	for line := range strings.Lines(string(a)) {
		if line = strings.TrimRight(line, "\r\n"); count[line] > 0 {
			count[line]--
		} else {
			gone = append(gone, line)
		}
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimRight(line, "\r\n"); count[line] > 0 {
			count[line]--
			come = append(come, line)
		}
	}
	out := []string{fmt.Sprintf("~ file %s: %s less, %s more", name, plural(len(gone), "line"), plural(len(come), "line"))}
	if len(gone)+len(come) == 0 {
		out[0] = fmt.Sprintf("~ file %s: the same lines in another order", name)
	}
	for _, side := range []struct {
		sign  string
		lines []string
	}{{"-", gone}, {"+", come}} {
		for i, line := range side.lines {
			if i == mostLines {
				out = append(out, fmt.Sprintf("    %s … and %d more", side.sign, len(side.lines)-i))
				break
			}
			out = append(out, fmt.Sprintf("    %s %s", side.sign, line))
		}
	}
	return out
}
