package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
)

// fewNames is the small zone that the large one is compared with.
const fewNames = 1000

// loaded is what one server took for a zone, over all starts.
type loaded struct {
	cpu, wall []float64 // seconds until it served
	memory    []float64 // octets, once it had been asked for a while
	// editCPU and editWall are seconds from the change of one zone until it is served (gslb alone).
	editCPU, editWall []float64
	lookups           series
}

// sized are the figures of one server, with few names and with many.
type sized struct {
	who       *contestant
	few, many loaded
	failed    string
}

// manyNames measures the loading of a large zone, or of many zones, and look-ups in it.
func manyNames(ctx context.Context, o *options, dir string, progress io.Writer) (part string, plots map[string]string, err error) {
	began, machine := time.Now(), thisMachine()
	few := *o
	few.Names, few.Zones = fewNames, 0
	fewData, err := newDatasetIn(ctx, &few, filepath.Join(dir, "few"), dir)
	if err != nil {
		return "", nil, err
	}
	manyData, err := newDatasetIn(ctx, o, filepath.Join(dir, "many"), dir)
	if err != nil {
		return "", nil, err
	}
	found, missing, err := contestants(ctx, o, dir, progress)
	if err != nil {
		return "", nil, err
	}
	var all []*sized
	var servers []*contestant
	for _, who := range found {
		if !who.isEcho() {
			all, servers = append(all, &sized{who: who}), append(servers, who)
		}
	}
	for number := range o.Repeat {
		for _, s := range all {
			if s.failed != "" {
				continue
			}
			if err := s.repeat(ctx, o, fewData, manyData, dir); err != nil {
				if ctx.Err() != nil {
					return "", nil, ctx.Err()
				}
				s.failed = err.Error()
				fmt.Fprintf(progress, "%d %-9s left out: %v\n", number+1, s.who.title, err)
				continue
			}
			at := len(s.many.cpu) - 1
			fmt.Fprintf(progress, "%d %-9s %6.2f s of CPU, %6.2f s, %6.0f octets a name; %.2f µs an answer, of %d names %.2f", number+1, s.who.title,
				s.many.cpu[at], s.many.wall[at], (s.many.memory[at]-s.few.memory[at])/float64(manyData.total()-fewNames), last(s.many.lookups).CPU, fewNames, last(s.few.lookups).CPU)
			if len(s.many.editCPU) > 0 {
				fmt.Fprintf(progress, "; an edit %.2f s of CPU, %.2f s", s.many.editCPU[at], s.many.editWall[at])
			}
			fmt.Fprintln(progress)
		}
	}
	machine.loadAfter = loadAverage()
	return namesPage(o, began, &machine, servers, missing, all, manyData), map[string]string{o.part() + ".svg": namesPlot(o, all, manyData)}, nil
}

func last(s series) *sample { return &s[len(s)-1] }

// repeat starts the server with each of the zones and asks both in turn.
func (s *sized) repeat(ctx context.Context, o *options, fewData, manyData *dataset, dir string) error {
	needs := abilities{static: true}
	var servers [2]*server
	sides := []struct {
		data *dataset
		into *loaded
	}{{fewData, &s.few}, {manyData, &s.many}}
	for i, side := range sides {
		began := time.Now()
		started, err := s.who.start(ctx, job{cpu: o.ServerCPU, workers: 1, needs: needs, within: loadWithin(side.data)}, side.data, dir)
		if err != nil {
			return err
		}
		defer started.stop()
		servers[i] = started
		side.into.wall = append(side.into.wall, time.Since(began).Seconds())
		side.into.cpu = append(side.into.cpu, started.loading.Seconds())
	}
	for _, server := range servers {
		if err := server.settle(ctx); err != nil {
			return err
		}
	}
	w := workloadNamed("static")
	for round := range o.Rounds {
		for i, side := range sides {
			if round == 0 {
				if err := servers[i].verify(ctx, w, side.data); err != nil {
					return err
				}
			}
			got, wrong, err := servers[i].measure(ctx, o.pressure(), w, side.data, dir)
			if err != nil || len(wrong) > 0 {
				return fmt.Errorf("%w; wrong answers: %v", err, wrong)
			}
			side.into.lookups = append(side.into.lookups, got)
		}
	}
	for i, side := range sides {
		side.into.memory = append(side.into.memory, float64(servers[i].memory()))
	}
	if s.who.title == gslb.title {
		took, err := servers[1].edit(ctx, manyData, loadWithin(manyData))
		if err != nil {
			return err
		}
		s.many.editCPU, s.many.editWall = append(s.many.editCPU, took.cpu), append(s.many.editWall, took.wall)
	}
	return nil
}

// loadWithin is how long a server may take to load what is in d.
func loadWithin(d *dataset) time.Duration {
	return 3*time.Minute + time.Duration(d.total())*60*time.Microsecond
}

func median(all []float64) float64 { return spreadOf(append([]float64(nil), all...)).median }

// perName is the memory that a name takes, in octets: what the large zone needs more than the small one.
func (s *sized) perName(d *dataset) float64 {
	return (median(s.many.memory) - median(s.few.memory)) / float64(d.total()-fewNames)
}

func namesPage(o *options, began time.Time, m *machine, servers []*contestant, missing []string, all []*sized, d *dataset) string {
	var b strings.Builder
	what := fmt.Sprintf("a zone of %d names, each with an A record", o.Names)
	if o.Zones > 0 {
		what = fmt.Sprintf("%d zones with %d names each, beside one of %d names", o.Zones, zoneNames, o.Names)
	}
	title := namesTitle(o)
	fmt.Fprintf(&b, "## %s\n\n```sh\n%s\n```\n\n", title, o.commandLine())
	b.WriteString(conditions(began, m, servers, missing))
	fmt.Fprintf(&b, "Here: %s (%.1f MiB of master files), and a zone of %d names for comparison.\n\n", what, float64(d.size())/(1<<20), fewNames)
	b.WriteString(plotLink(o, "Loading "+strings.ToLower(title), o.part()+".svg"))
	fmt.Fprintf(&b, "\n| server | CPU s until it serves | with %d names | s until it serves | octets a name | memory MiB | CPU µs/answer | × that with %d names | middle half |\n", fewNames, fewNames)
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	var out []string
	for _, s := range all {
		if s.failed != "" {
			out = append(out, fmt.Sprintf("%s (%s)", s.who.title, s.failed))
			continue
		}
		r, _ := s.many.lookups.ratio(s.few.lookups)
		fmt.Fprintf(&b, "| %s | %.2f | %.2f | %.2f | %.0f | %.0f | %.2f | %.2f | %.2f to %.2f |\n", s.who.title, median(s.many.cpu), median(s.few.cpu), median(s.many.wall),
			s.perName(d), median(s.many.memory)/(1<<20), s.many.lookups.median().CPU, r.median, r.low, r.high)
	}
	if len(out) > 0 {
		fmt.Fprintf(&b, "\nNot measured: %s.\n", strings.Join(out, ", "))
	}
	for _, s := range all {
		if len(s.many.editCPU) > 0 {
			what := "the zone"
			if o.Zones > 0 {
				what = "one of the zones, the only one that is read then"
			}
			fmt.Fprintf(&b, "\nAfter a change of %s and SIGHUP, %s serves it after %.2f s, with %.2f s of CPU.\n", what, s.who.title, median(s.many.editWall), median(s.many.editCPU))
		}
	}
	fmt.Fprintf(&b, `
- Each server is pinned to core %d, and started %d times with each of the two. It serves when it has answered for the first, a middle and the last of the names; it is asked
  every 20 ms. CPU is that of all its processes until then.
- *Octets a name* is what the proportional set size (PSS) has more than with %d names, over the names more, after both were asked for %d slices of %v s. What
  a server returns to the system only later counts.
- Look-ups are those of static names, %d of them at most, spread over all. Slices with few and with many names take turns.
- The aim for gslb, for a million names: at most 2.5 s of CPU and 300 octets a name.
`, o.ServerCPU, o.Repeat, fewNames, o.Rounds, o.Seconds, mostAsked)
	return b.String()
}

func namesTitle(o *options) string {
	if o.Zones > 0 {
		return "Many zones"
	}
	return "Many names"
}

func namesPlot(o *options, all []*sized, d *dataset) string {
	cpu, memory := panel{title: "CPU time until it serves, s"}, panel{title: "Memory for each name, octets"}
	for _, s := range all {
		if s.failed != "" {
			continue
		}
		class := "other"
		if s.who.title == gslb.title {
			class = "gslb"
		}
		each := s.perName(d)
		cpu.bars = append(cpu.bars, bar{s.who.title, class, spreadOf(append([]float64(nil), s.many.cpu...))})
		memory.bars = append(memory.bars, bar{s.who.title, class, spread{each, each, each, each, each}})
	}
	return drawBars("Loading "+strings.ToLower(namesTitle(o)), "less is better", "%.4g", []panel{cpu, memory})
}
