package main

import (
	"context"
	"fmt"
	"io"
	"os"
)

// The limit rows: no DNS at all.
const (
	echoTitle  = "echo in Go"
	echoTitleC = "echo in C"
)

// contestants are the echoes and the peers of o that are there; missing are the
// titles of the others.
func contestants(ctx context.Context, o *options, tools string, progress io.Writer) (found []*contestant, missing []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	if c, ok := echoInC(ctx, tools); ok {
		found = append(found, c)
	} else {
		missing = append(missing, echoTitleC)
		fmt.Fprintf(progress, "left out: %s, which needs a C compiler (cc)\n", echoTitleC)
	}
	found = append(found, &contestant{title: echoTitle, version: "the same in Go", path: self, echo: []string{echoCommand, "ADDRESS"}, can: everything, faults: map[string]string{}})
	for _, name := range o.Servers {
		for i := range peers {
			p := &peers[i]
			if p.name != name {
				continue
			}
			path, ok := p.path(tools)
			if !ok {
				missing = append(missing, p.title)
				fmt.Fprintf(progress, "left out: %s, which is not installed (%s)\n", p.title, p.origin)
				continue
			}
			found = append(found, &contestant{title: p.title, version: p.versionOf(ctx, path), path: path, peer: p, can: p.can, faults: map[string]string{}})
		}
	}
	return found, missing, nil
}

// echoCommand is how this program starts itself as a limit row.
const echoCommand = "echo"
