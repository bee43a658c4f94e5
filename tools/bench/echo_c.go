package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
)

// echoInC is the limit row: tools/bench/echo.c, where there is a C compiler.
func echoInC(ctx context.Context, tools string) (*contestant, bool) {
	compiler, err := exec.LookPath("cc")
	if err != nil {
		return nil, false
	}
	source, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "gslb/tools/bench").Output()
	if err != nil {
		return nil, false
	}
	binary := filepath.Join(tools, "echo-c")
	if exec.CommandContext(ctx, compiler, "-O2", "-o", binary, filepath.Join(strings.TrimSpace(string(source)), "echo.c")).Run() != nil {
		return nil, false
	}
	c := &contestant{title: echoTitleC, version: "the limit: no DNS at all", path: binary, echo: []string{"PORT"}, can: everything, faults: map[string]string{}}
	for i := range workloads {
		if workloads[i].tcp {
			c.faults[workloads[i].name] = "has no TCP"
		}
	}
	return c, true
}
