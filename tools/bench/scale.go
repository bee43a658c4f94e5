package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// scaling is one server with one worker on one core, and with two on two.
type scaling struct {
	who      *contestant
	one, two map[string]series // by workload
}

// scale compares one core with two. In each case the generator runs on the same
// cores as the server: all that there is, it is one of everything or two.
func scale(ctx context.Context, o *options, dir string, progress io.Writer) (part string, plots map[string]string, err error) {
	began, machine := time.Now(), thisMachine()
	if machine.cores < 2 {
		return "", nil, errors.New("one core and two cannot be compared on a machine with one")
	}
	list := chosenWorkloads(o.Workloads)
	needs := needsOf(list)
	needs.static = true
	d, err := newDataset(ctx, o, needs, dir, dir)
	if err != nil {
		return "", nil, err
	}
	found, missing, err := contestants(ctx, o, dir, progress)
	if err != nil {
		return "", nil, err
	}
	var all []*scaling
	var servers []*contestant
	for _, who := range found {
		if !who.isEcho() {
			servers = append(servers, who)
			all = append(all, &scaling{who, map[string]series{}, map[string]series{}})
		}
	}
	for range o.Repeat {
		for _, s := range all {
			if err := s.repeat(ctx, o, list, needs, d, dir, progress); err != nil {
				return "", nil, err
			}
		}
	}
	machine.loadAfter = loadAverage()
	return scalePage(o, began, &machine, servers, missing, list, all), nil, nil
}

// repeat starts the server both ways and measures them in turn.
func (s *scaling) repeat(ctx context.Context, o *options, list []workload, needs abilities, d *dataset, dir string, progress io.Writer) error {
	single, err := s.who.begin(ctx, job{cpu: o.ServerCPU, workers: 1, needs: needs, within: 2 * time.Minute}, d, dir)
	if err != nil {
		return s.excuse(ctx, err)
	}
	defer single.stop()
	double, err := s.who.begin(ctx, job{cpu: -1, workers: 2, needs: needs, within: 2 * time.Minute}, d, dir)
	if err != nil {
		return s.excuse(ctx, err)
	}
	defer double.stop()
	single.core = -1 // the kernel's packet thread works for the generator, too, when both share the core
	for round := range o.Rounds {
		for i := range list {
			w := &list[i]
			if w.possible(s.who.can) != "" {
				continue
			}
			if round == 0 {
				if err := errors.Join(single.verify(ctx, w, d), double.verify(ctx, w, d)); err != nil {
					return s.excuse(ctx, err)
				}
			}
			// Eight sockets, so that the kernel finds some for both workers.
			one, wrong1, err1 := single.measure(ctx, pressure{cpu: o.ServerCPU, length: o.duration(), sockets: 8, inflight: 32}, w, d, dir)
			two, wrong2, err2 := double.measure(ctx, pressure{cpu: -1, length: o.duration(), sockets: 8, inflight: 32}, w, d, dir)
			if err := errors.Join(err1, err2); err != nil || len(wrong1)+len(wrong2) > 0 {
				return s.excuse(ctx, errors.Join(err, fmt.Errorf("wrong answers: %v %v", wrong1, wrong2)))
			}
			s.one[w.name], s.two[w.name] = append(s.one[w.name], one), append(s.two[w.name], two)
			fmt.Fprintf(progress, "%-10s %-8s one core %7.0f answers/s %5.2f µs CPU each, two %7.0f %5.2f: %.2f by CPU\n", s.who.title, w.name, one.Rate, one.CPU, two.Rate, two.CPU, 2*one.CPU/two.CPU)
		}
	}
	return nil
}

// excuse leaves the server out, unless the run as a whole has ended.
func (s *scaling) excuse(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.who.note = "is left out: " + err.Error()
	clear(s.one)
	clear(s.two)
	return nil
}

func scalePage(o *options, began time.Time, m *machine, servers []*contestant, missing []string, list []workload, all []*scaling) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## One core and two\n\n```sh\n%s\n```\n\n", o.commandLine())
	b.WriteString(conditions(began, m, servers, missing))
	b.WriteString("| workload | server | CPU µs/answer, one core | two cores | scaling by CPU | middle half | scaling by rate |\n|---|---|--:|--:|--:|--:|--:|\n")
	for i := range list {
		for _, s := range all {
			one, two := s.one[list[i].name], s.two[list[i].name]
			r, ok := one.ratio(two)
			if !ok {
				continue
			}
			rates := make([]float64, len(one))
			for i := range one {
				rates[i] = two[i].Rate / one[i].Rate
			}
			fmt.Fprintf(&b, "| %s | %s | %.2f | %.2f | %.2f | %.2f to %.2f | %.2f |\n",
				list[i].title, s.who.title, one.median().CPU, two.median().CPU, 2*r.median, 2*r.low, 2*r.high, spreadOf(rates).median)
		}
	}
	fmt.Fprintf(&b, `
- *Scaling by CPU* is twice the answers for each CPU second of the server with two workers on two cores, over those of one worker on one core: 2 when a second
  worker costs the first one nothing, less when they wait for each other's locks or cache lines. The aim is 1.8. *Scaling by rate* is the plain ratio of the answers per second.
- In both cases the generator shares the cores with the server: with one worker, both are pinned to core %d and the other one is idle; with two, both may use both.
  So the second case has two of everything, and one generator does not hold two workers back. The rates are lower than with a core for the generator alone.
- %d starts with %d slices of %v s for each; ratios are taken slice by slice, and are medians. 8 sockets with 32 queries outstanding on each.
`, o.ServerCPU, o.Repeat, o.Rounds, o.Seconds)
	return b.String()
}
