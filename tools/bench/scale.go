package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// scaling is one server on one core and on two: as one process with two workers,
// and as two processes with one worker each, which share nothing.
type scaling struct {
	who                *contestant
	one, apart, shared map[string]series // by workload
}

// scale compares one core with two. In each case the generators run on the same
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
			all = append(all, &scaling{who, map[string]series{}, map[string]series{}, map[string]series{}})
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
	var double [3]*server // one with two workers, and two with one
	for i, on := range []job{{cpu: -1, workers: 2}, {cpu: 0, workers: 1}, {cpu: 1, workers: 1}} {
		if double[i], err = s.who.begin(ctx, job{cpu: on.cpu, workers: on.workers, needs: needs, within: 2 * time.Minute}, d, dir); err != nil {
			return s.excuse(ctx, err)
		}
		defer double[i].stop()
	}
	for _, server := range append(double[:], single) {
		server.core = -1 // the kernel's packet thread works for the generator, too, when both share the core
	}
	for round := range o.Rounds {
		for i := range list {
			w := &list[i]
			if w.possible(s.who.can) != "" {
				continue
			}
			if round == 0 {
				if err := errors.Join(single.verify(ctx, w, d), double[0].verify(ctx, w, d), double[1].verify(ctx, w, d), double[2].verify(ctx, w, d)); err != nil {
					return s.excuse(ctx, err)
				}
			}
			// Eight sockets each, so that the kernel finds some for both workers.
			one, wrong1, err1 := single.measure(ctx, pressure{cpu: o.ServerCPU, length: o.duration(), sockets: scaleSockets, inflight: scaleInflight}, w, d, dir)
			apart, wrong2, err2 := measureBoth(ctx, [2]*server{double[1], double[2]}, o, w, d, dir)
			shared, wrong3, err3 := measureBoth(ctx, [2]*server{double[0], double[0]}, o, w, d, dir)
			if err := errors.Join(err1, err2, err3); err != nil || len(wrong1)+len(wrong2)+len(wrong3) > 0 {
				return s.excuse(ctx, errors.Join(err, fmt.Errorf("wrong answers: %v %v %v", wrong1, wrong2, wrong3)))
			}
			s.one[w.name], s.apart[w.name], s.shared[w.name] = append(s.one[w.name], one), append(s.apart[w.name], apart), append(s.shared[w.name], shared)
			fmt.Fprintf(progress, "%-10s %-8s one core %7.0f answers/s %5.2f µs CPU each; two, apart %7.0f %5.2f, shared %7.0f %5.2f: scaling %.2f, from one core %.2f\n", s.who.title, w.name,
				one.Rate, one.CPU, apart.Rate, apart.CPU, shared.Rate, shared.CPU, 2*apart.CPU/shared.CPU, 2*one.CPU/shared.CPU)
		}
	}
	return nil
}

// What each generator keeps going.
const (
	scaleSockets  = 8
	scaleInflight = 32
)

// measureBoth loads two servers, or one twice, with a generator each at the same
// time, on a core each.
func measureBoth(ctx context.Context, both [2]*server, o *options, w *workload, d *dataset, dir string) (got sample, wrong map[string]uint64, err error) {
	usage := func() (cpu time.Duration, err error) {
		for i, s := range both {
			if i > 0 && s == both[0] {
				break
			}
			t, e := s.clock()
			cpu, err = cpu+t, errors.Join(err, e)
		}
		return cpu, err
	}
	load := func(length time.Duration) (answers uint64, rate float64, wrong map[string]uint64, err error) {
		var r [2]generated
		var errs [2]error
		var wg sync.WaitGroup
		for i := range both {
			wg.Go(func() {
				r[i], errs[i] = both[i].load(ctx, pressure{cpu: i, length: length, sockets: scaleSockets, inflight: scaleInflight}, w, d, dir)
			})
		}
		wg.Wait()
		wrong = r[0].Reasons
		if len(wrong) == 0 {
			wrong = r[1].Reasons
		}
		return r[0].Received + r[1].Received, r[0].Rate + r[1].Rate, wrong, errors.Join(errs[:]...)
	}
	if _, _, _, err := load(min(warmUp, o.duration())); err != nil {
		return got, nil, err
	}
	before, err := usage()
	if err != nil {
		return got, nil, err
	}
	answers, rate, wrong, err := load(o.duration())
	if err != nil {
		return got, nil, err
	}
	after, err := usage()
	return sample{Rate: rate, CPU: float64((after - before).Nanoseconds()) / 1e3 / float64(answers)}, wrong, err
}

// excuse leaves the server out, unless the run as a whole has ended.
func (s *scaling) excuse(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.who.note = "is left out: " + err.Error()
	clear(s.one)
	clear(s.apart)
	clear(s.shared)
	return nil
}

func scalePage(o *options, began time.Time, m *machine, servers []*contestant, missing []string, list []workload, all []*scaling) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## One core and two\n\n```sh\n%s\n```\n\n", o.commandLine())
	b.WriteString(conditions(began, m, servers, missing))
	b.WriteString("| workload | server | CPU µs/answer: one core | two, apart | two, shared | **scaling** | middle half | from one core | middle half |\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for i := range list {
		for _, s := range all {
			one, apart, shared := s.one[list[i].name], s.apart[list[i].name], s.shared[list[i].name]
			r, ok := apart.ratio(shared)
			if !ok {
				continue
			}
			from, _ := one.ratio(shared)
			fmt.Fprintf(&b, "| %s | %s | %.2f | %.2f | %.2f | **%.2f** | %.2f to %.2f | %.2f | %.2f to %.2f |\n", list[i].title, s.who.title,
				one.median().CPU, apart.median().CPU, shared.median().CPU, 2*r.median, 2*r.low, 2*r.high, 2*from.median, 2*from.low, 2*from.high)
		}
	}
	fmt.Fprintf(&b, `
- *Scaling* compares a server with two workers with two servers of one worker each, which share nothing and are kept on a core each with their generator, under the same load: it is twice
  the answers for each CPU second of the one over those of the two. 2 means that a second worker costs the first one nothing; it is less when they wait for each other's locks or cache
  lines, and when queries pass from core to core. The aim is 1.8. gslb runs with pin = "auto" and spread = "cpu", which keep a query on the core that received it.
- *From one core* compares with one server with one worker and its generator on core %d alone, the other core idle. It is below 2
  by what packets that pass from core to core cost the kernel, by the other core's share of memory and cache, and by what the rest of the machine does.
- In all cases the generators share the cores with the server, so that it is one of everything or two, and no generator holds a server back: one for one core, two for two, kept on one each,
  each with %d sockets and %d queries outstanding on each.
- %d starts with %d slices of %v s for each; ratios are taken slice by slice, and are medians.
`, o.ServerCPU, scaleSockets, scaleInflight, o.Repeat, o.Rounds, o.Seconds)
	return b.String()
}
