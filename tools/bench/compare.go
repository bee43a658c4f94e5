package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
	own         map[string]series            // gslb's answers to workload.beside of this workload
}

// repetition is what goes with one repetition: the servers, started together.
type repetition struct {
	number  int
	servers map[*contestant]*server
	data    *dataset
	dir     string
}

// compare measures all servers under all workloads, in turn.
func compare(ctx context.Context, o *options, dir string, progress io.Writer) (part string, plots map[string]string, err error) {
	c := &comparison{options: o, began: time.Now(), machine: thisMachine(), workloads: chosenWorkloads(o.Workloads), series: map[string]map[string]series{}, own: map[string]series{}}
	needs := needsOf(c.workloads)
	needs.static = true // asked for when a server is waited for
	d, err := newDataset(ctx, o, needs, dir, dir)
	if err != nil {
		return "", nil, err
	}
	if c.contestants, c.missing, err = contestants(ctx, o, dir, progress); err != nil {
		return "", nil, err
	}
	for number := range o.Repeat {
		if err := c.repeat(ctx, &repetition{number, map[*contestant]*server{}, d, dir}, progress); err != nil {
			return "", nil, err
		}
	}
	c.machine.loadAfter = loadAverage()
	return c.page(), c.plots(), nil
}

// repeat starts all servers, lets them take turns, and ends them.
func (c *comparison) repeat(ctx context.Context, r *repetition, progress io.Writer) error {
	defer func() {
		for _, s := range r.servers {
			s.stop()
		}
	}()
	needs := needsOf(c.workloads)
	needs.static = true
	for _, who := range c.contestants {
		if slices.IndexFunc(c.workloads, func(w workload) bool { return who.faults[w.name] == "" }) < 0 {
			continue // nothing left that it could do
		}
		s, err := who.begin(ctx, job{cpu: c.options.ServerCPU, workers: 1, needs: needs, within: 2 * time.Minute}, r.data, r.dir)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(progress, "%s: %v\n", who.title, err)
			for _, w := range c.workloads {
				c.leaveOut(who, &w, fmt.Errorf("does not start: %w", err))
			}
			continue
		}
		r.servers[who] = s
	}
	for round := range c.options.Rounds {
		for i := range c.workloads {
			if err := c.round(ctx, r, &c.workloads[i], round, progress); err != nil {
				return err
			}
		}
	}
	return nil
}

// round measures each server once under one workload. Another one begins each time.
func (c *comparison) round(ctx context.Context, r *repetition, w *workload, round int, progress io.Writer) error {
	first := r.number*c.options.Rounds + round
	for i := range c.contestants {
		who := c.contestants[(first+i)%len(c.contestants)]
		if who.faults[w.name] != "" {
			continue
		}
		if err := c.visit(ctx, who, r, w, round == 0); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			c.leaveOut(who, w, err)
			fmt.Fprintf(progress, "%d.%d %-10s %-11s left out: %v\n", r.number+1, round+1, who.title, w.name, err)
			continue
		}
		s := c.series[w.name][who.title]
		fmt.Fprintf(progress, "%d.%d %-10s %-11s %8.0f answers/s %7.2f µs CPU each, server %3.0f %%, generator %3.0f %%\n", r.number+1, round+1, who.title, w.name,
			s[len(s)-1].Rate, s[len(s)-1].CPU, 100*s[len(s)-1].Busy, 100*s[len(s)-1].Generator)
	}
	return nil
}

// leaveOut notes why a server has no figures for a workload.
func (c *comparison) leaveOut(who *contestant, w *workload, err error) {
	who.faults[w.name] = err.Error()
	delete(c.series[w.name], who.title)
	if who.peer != nil && who.peer.name == gslb.name {
		delete(c.own, w.name)
	}
}

// visit measures one slice of one workload on one server.
func (c *comparison) visit(ctx context.Context, who *contestant, r *repetition, w *workload, verify bool) error {
	if why := w.possible(who.can); why != "" {
		return errors.New(why)
	}
	s := r.servers[who]
	if verify && s.judged {
		if err := s.verify(ctx, w, r.data); err != nil {
			return err
		}
	}
	if w.beside != "" && who.title == gslb.title {
		beside, err := c.slice(ctx, who, s, workloadNamed(w.beside), r)
		if err != nil {
			return err
		}
		c.own[w.name] = append(c.own[w.name], beside)
	}
	got, err := c.slice(ctx, who, s, w, r)
	if err != nil {
		return err
	}
	if c.series[w.name] == nil {
		c.series[w.name] = map[string]series{}
	}
	c.series[w.name][who.title] = append(c.series[w.name][who.title], got)
	return nil
}

// slice is one measurement, in which all answers were right.
func (c *comparison) slice(ctx context.Context, who *contestant, s *server, w *workload, r *repetition) (sample, error) {
	got, wrong, err := s.measure(ctx, c.options.pressure(), w, r.data, r.dir)
	if err != nil {
		return got, err
	}
	if w.lenient {
		delete(wrong, "ecs")
	}
	if wrong["ecs"] > 0 && !who.isEcho() && who.peer.name == coredns.name { // right answers that a cache would have to take for everyone's
		who.note = "gives the client subnet option not back as asked"
		delete(wrong, "ecs")
	}
	if len(wrong) > 0 {
		return got, fmt.Errorf("wrong answers under load: %v", wrong)
	}
	return got, nil
}
