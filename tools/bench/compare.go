package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// comparison is all that a run found: what the page is made of.
type comparison struct {
	options     *options
	began       time.Time
	machine     machine
	contestants []*contestant
	missing     []string // titles of peers that are not installed
	workloads   []workload
	series      map[string]map[string]series // by workload, then by contestant's title
}

// compare is the whole run: build, set up, measure, write the page.
func compare(ctx context.Context, o *options, progress io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "gslb-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// Servers that were started by root may drop privileges: they must get at their files.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	c := &comparison{options: o, began: time.Now(), machine: thisMachine(), workloads: chosenWorkloads(o), series: map[string]map[string]series{}}
	fmt.Fprintln(progress, "building gslb, loadgen and mkgeo")
	if err := buildTools(ctx, dir); err != nil {
		return err
	}
	d, err := newDataset(ctx, o, dir, dir)
	if err != nil {
		return err
	}
	if c.contestants, c.missing, err = contestants(ctx, o, dir); err != nil {
		return err
	}
	if len(c.missing) > 0 {
		fmt.Fprintf(progress, "not installed: %s\n", strings.Join(c.missing, ", "))
	}
	for round := range o.Repeat {
		for _, who := range c.contestants {
			if err := c.turn(ctx, who, d, dir, round, progress); err != nil {
				return err
			}
		}
	}
	c.machine.loadAfter = loadAverage()
	return c.writePage()
}

// buildTools builds what runs as a process of its own, once.
func buildTools(ctx context.Context, dir string) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), "gslb/cmd/gslb", "gslb/tools/loadgen", "gslb/tools/mkgeo")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building, which works within the gslb module only: %w: %s", err, out)
	}
	return nil
}

// turn starts one server and measures all workloads. Failures of a peer are
// noted and it is left out; only those of the run as a whole are errors.
func (c *comparison) turn(ctx context.Context, who *contestant, d *dataset, dir string, round int, progress io.Writer) error {
	if slices.IndexFunc(c.workloads, func(w workload) bool { return who.faults[w.name] == "" }) < 0 {
		return nil // nothing left that it could do
	}
	s, err := who.start(ctx, c.options, d, dir)
	if err != nil && who.steer && ctx.Err() == nil {
		who.note = fmt.Sprintf("does not start with the steered name: %v", err)
		who.steer, who.can = false, abilities{}
		s, err = who.start(ctx, c.options, d, dir)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		fmt.Fprintf(progress, "%s: %v\n", who.title, err)
		for _, w := range c.workloads {
			who.faults[w.name] = fmt.Sprintf("does not start: %v", err)
		}
		return nil
	}
	defer s.stop()
	for i := range c.workloads {
		w := &c.workloads[i]
		if who.faults[w.name] != "" {
			continue
		}
		if err := c.visit(ctx, who, s, w, d, dir, round); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			who.faults[w.name] = err.Error()
			delete(c.series[w.name], who.title)
			fmt.Fprintf(progress, "%d/%d %-8s %-8s left out: %v\n", round+1, c.options.Repeat, who.title, w.name, err)
			continue
		}
		last := c.series[w.name][who.title][round]
		fmt.Fprintf(progress, "%d/%d %-8s %-8s %8.0f answers/s %7.2f µs CPU each\n", round+1, c.options.Repeat, who.title, w.name, last.Rate, last.CPU)
	}
	return nil
}

// visit checks, in the first round, and measures one workload on one server.
func (c *comparison) visit(ctx context.Context, who *contestant, s *server, w *workload, d *dataset, dir string, round int) error {
	if why := w.possible(who.can); why != "" {
		return errors.New(why)
	}
	if round == 0 && s.judged {
		if err := s.verify(ctx, w, d); err != nil {
			return err
		}
	}
	got, wrong, err := s.measure(ctx, c.options, w, d, dir)
	if err != nil {
		return err
	}
	if wrong["ecs"] > 0 { // right answers that a cache would have to take for everyone's
		who.note = "gives the client subnet option not back as asked"
		delete(wrong, "ecs")
	}
	if len(wrong) > 0 {
		return fmt.Errorf("wrong answers under load: %v", wrong)
	}
	if c.series[w.name] == nil {
		c.series[w.name] = map[string]series{}
	}
	c.series[w.name][who.title] = append(c.series[w.name][who.title], got)
	return nil
}
