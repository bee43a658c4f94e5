package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	maxOutput = 4 << 10 // octets of what a program writes that are looked at
	afterKill = 100 * time.Millisecond
)

// execProber is healthy when a program exits with 0. There is no shell: the
// program gets its arguments as they are configured, nothing on its standard
// input, "/" as its directory, and of the environment only PATH, LANG=C,
// GSLB_ADDRESS and GSLB_PORT (empty where the target has none).
type execProber struct {
	argv     []string
	env      []string
	timeout  time.Duration
	degraded []int
	unknown  []int
}

func newExec(c Config, _ Target, address string, m *means) (Prober, error) {
	if !m.exec {
		return nil, errors.New("exec is not allowed on this node: set allow_exec = true in [node] and start it again")
	}
	host, port := splitHost(address)
	return &execProber{
		argv: c.Argv, timeout: c.Timeout, degraded: c.ExitDegraded, unknown: c.ExitUnknown,
		env: []string{"GSLB_ADDRESS=" + host, "GSLB_PORT=" + port},
	}, nil
}

func (p *execProber) Probe(ctx context.Context) (Seen, error) {
	var out firstOutput
	state, err := (&Program{Argv: p.argv, Env: p.env, Timeout: p.timeout}).run(ctx, &out)
	if err != nil {
		return Seen{}, err
	}
	return p.judge(filepath.Base(p.argv[0]), state.ExitCode(), state.String(), &out)
}

// Program is a program to be run once, without a shell, in a process group of its
// own, in "/" and with nothing in its environment but PATH, LANG=C and Env.
type Program struct {
	Argv    []string // the first is an absolute path
	Env     []string // KEY=value
	Input   []byte   // on its standard input
	Timeout time.Duration
}

// Run runs it and returns the first line that it wrote. The error tells what it did
// instead of exiting with 0, and wraps ErrNotProbed if it could not be started.
func (p *Program) Run(ctx context.Context) (line string, err error) {
	var out firstOutput
	state, err := p.run(ctx, &out)
	switch {
	case err != nil:
		return out.line(), err
	case !state.Success():
		return out.line(), fmt.Errorf("%s: %s%s", filepath.Base(p.Argv[0]), state, out.behind())
	}
	return out.line(), nil
}

// run returns how it exited, unless it did not.
func (p *Program) run(ctx context.Context, out *firstOutput) (*os.ProcessState, error) {
	limited, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	cmd := exec.CommandContext(limited, p.Argv[0], p.Argv[1:]...)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"}, p.Env...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", out, out
	if p.Input != nil {
		cmd.Stdin = bytes.NewReader(p.Input)
	}
	cmd.WaitDelay = afterKill // a child that keeps the output open is not waited for
	ownGroup(cmd)
	err := cmd.Run()
	name := filepath.Base(p.Argv[0])
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("ended early while running %s: %w", name, ctx.Err())
	case limited.Err() != nil:
		return nil, fmt.Errorf("timeout after %v while running %s%s", round(p.Timeout), name, out.behind())
	case cmd.ProcessState == nil: // it could not be started: nothing is known of the target
		return nil, fmt.Errorf("%w: %s: %w", ErrNotProbed, name, err)
	case errors.Is(err, exec.ErrWaitDelay):
		killGroup(cmd)
	}
	return cmd.ProcessState, nil
}

func (p *execProber) judge(name string, code int, state string, out *firstOutput) (Seen, error) {
	switch {
	case code == 0:
		return Seen{Detail: out.line()}, nil
	case slices.Contains(p.degraded, code):
		return Seen{Degraded: true, Detail: fmt.Sprintf("%s: %s%s", name, state, out.behind())}, nil
	case slices.Contains(p.unknown, code):
		return Seen{}, fmt.Errorf("%w: %s: %s%s", ErrNotProbed, name, state, out.behind())
	}
	return Seen{}, fmt.Errorf("%s: %s%s", name, state, out.behind())
}

// firstOutput keeps the begin of what is written to it.
type firstOutput struct{ buffer bytes.Buffer }

func (o *firstOutput) Write(b []byte) (int, error) {
	o.buffer.Write(b[:min(len(b), maxOutput-o.buffer.Len())])
	return len(b), nil
}

// line is the first line that was written.
func (o *firstOutput) line() string {
	line, _, _ := strings.Cut(strings.TrimSpace(o.buffer.String()), "\n")
	return printable(line)
}

func (o *firstOutput) behind() string {
	if l := o.line(); l != "" {
		return ": " + l
	}
	return ""
}

func (c Config) validateExec(bad func(key, msg string)) {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		bad("argv", `is not set: must be the program and its arguments, such as ["/usr/lib/gslb/check-db", "-v"]`)
	} else if !filepath.IsAbs(c.Argv[0]) {
		bad("argv[0]", fmt.Sprintf("%q: must be the absolute path of a program", c.Argv[0]))
	}
	for i, a := range c.Argv {
		if strings.ContainsRune(a, 0) {
			bad(fmt.Sprintf("argv[%d]", i), "must not have a NUL in it")
		}
	}
	for _, l := range []struct {
		key   string
		codes []int
	}{{"exit_degraded", c.ExitDegraded}, {"exit_unknown", c.ExitUnknown}} {
		for i, code := range l.codes {
			switch key := fmt.Sprintf("%s[%d]", l.key, i); {
			case code < 1 || code > 255:
				bad(key, fmt.Sprintf("%d: must be 1 to 255; 0 is up", code))
			case l.key == "exit_unknown" && slices.Contains(c.ExitDegraded, code):
				bad(key, fmt.Sprintf("%d: stands in exit_degraded too", code))
			}
		}
	}
}

// Execs tells whether the check, or one that it is made of, runs a program.
func (c Config) Execs() bool {
	return c.Type == "exec" || slices.ContainsFunc(c.Parts, Config.Execs)
}
