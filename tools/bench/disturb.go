package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// disturbance is something that happens to a node while it serves.
type disturbance struct {
	name, title, about string
	// run goes on until ctx ends; it counts in n.changes what the node has put in force.
	run func(n *node, ctx context.Context) error
	// settle waits until the node has nothing more to do, so that the next quiet
	// slice is one.
	settle func(n *node, ctx context.Context) error
	// beside is how many quiet slices there are on each side: more where the
	// disturbance takes many, or the quiet rate would be the less sure of the two.
	beside int
	// part is how many slices are measured while it goes on; 0: as many as it takes to come
	// into force, in the first round alone. A machine's speed changes within the minutes that a large
	// database takes under full load; within the seconds of some slices it mostly does not.
	part int
}

var disturbances = []disturbance{
	{"flips", "health flips", "a site forced down and taken back, ten changes a second, through the API and etcd", (*node).flip, (*node).siteIsUp, 2, 4},
	{"geo", "a geo database reload", "the database file replaced by another one, measured until that is in use", (*node).replaceDatabase, (*node).databaseInUse, 4, 0},
	{"parts", "parts of geo database reloads", "the same, measured for some slices only, between quiet ones; then nothing is asked until the database is in use", (*node).replaceDatabase, (*node).databaseInUse, 2, 4},
	{"zones", "zone reloads", "a zone file replaced and SIGHUP sent, again as soon as the new serial is served", (*node).reloadZone, (*node).zoneInUse, 2, 4},
}

// disturbed is what one disturbance did under one load.
type disturbed struct {
	rates     []float64 // answers per second, over those of the quiet slices beside it
	perCPU    []float64 // answers for each second of gslb's CPU time, likewise
	extra     []float64 // share of one core that gslb took beyond what as many answers take when it is quiet
	own       []float64 // share of one core that this program took
	took      time.Duration
	sent      uint64
	lost      uint64
	wrong     uint64
	heldBack  uint64
	changes   int
	p99       []float64 // µs
	p99Before []float64
}

// changeNames are the names of all disturbances.
func changeNames() []string {
	var names []string
	for _, what := range disturbances {
		names = append(names, what.name)
	}
	return names
}

// loadLevel is how hard the node is asked.
type loadLevel struct {
	title string
	share float64 // of what it can; 0: as fast as it answers
}

var loadLevels = []loadLevel{{"half of full load", 0.5}, {"full load", 0}}

// disturb measures gslb under load, quiet and disturbed slices in turn.
func disturb(ctx context.Context, o *options, dir string, progress io.Writer) (part string, plots map[string]string, err error) {
	began, machine := time.Now(), thisMachine()
	w := workloadNamed("mix")
	d, err := newDataset(ctx, o, w.needs, dir, dir)
	if err != nil {
		return "", nil, err
	}
	original := *d
	d.database, d.static = filepath.Join(dir, "in-use.mmdb"), filepath.Join(dir, "in-use.zone")
	zone, err := os.ReadFile(original.static)
	if err := errors.Join(err, withEpoch(original.database, d.database, firstEpoch), os.WriteFile(d.static, zone, 0o644)); err != nil {
		return "", nil, err
	}
	path, _ := gslb.path(dir)
	who := &contestant{title: gslb.title, version: gslb.versionOf(ctx, path), path: path, peer: &gslb, can: gslb.can, faults: map[string]string{}}
	results := map[string]map[string]*disturbed{}
	for range o.Repeat {
		n, err := startNode(ctx, who, w, d, &original, dir)
		if err != nil {
			return "", nil, err
		}
		err = n.turns(ctx, o, w, results, progress)
		n.stop()
		if err != nil {
			return "", nil, err
		}
	}
	machine.loadAfter = loadAverage()
	return disturbPage(o, began, &machine, who, results), nil, nil
}

// turns measures each disturbance under each load, between two quiet slices.
func (n *node) turns(ctx context.Context, o *options, w *workload, results map[string]map[string]*disturbed, progress io.Writer) error {
	if err := n.verify(ctx, w, n.data); err != nil {
		return err
	}
	p := o.pressure()
	full, err := n.slice(ctx, p, w)
	if err != nil {
		return err
	}
	for round := range o.Rounds {
		for _, level := range loadLevels {
			p := p
			if level.share > 0 {
				// A window for 0.2 s of queries: what a pause holds back must still be asked.
				p.rate = level.share * full.Rate
				p.inflight = min(int(p.rate*0.1), 1<<14)
			}
			for _, what := range disturbances {
				if !slices.Contains(o.Changes, what.name) || what.part == 0 && round > 0 {
					continue
				}
				var quiet generated
				if err := n.slices(ctx, p, w, what.beside, &quiet); err != nil {
					return err
				}
				got, changes, took, err := n.during(ctx, what, p, w)
				if err != nil {
					return fmt.Errorf("%s: %w", what.title, err)
				}
				if err := n.slices(ctx, p, w, what.beside, &quiet); err != nil {
					return err
				}
				if results[level.title] == nil {
					results[level.title] = map[string]*disturbed{}
				}
				if results[level.title][what.title] == nil {
					results[level.title][what.title] = &disturbed{}
				}
				d := results[level.title][what.title]
				d.add(&quiet, &got, changes, took)
				fmt.Fprintf(progress, "%-17s %-20s %7.0f answers/s, quiet %7.0f: %.3f, for a CPU second %.3f; %d lost, %d wrong, %d changes in %v\n", level.title, what.title,
					got.mean(), quiet.mean(), d.rates[len(d.rates)-1], d.perCPU[len(d.perCPU)-1], got.Lost, got.wrong(), changes, took.Round(time.Second/10))
			}
		}
	}
	return nil
}

// wrong counts the answers that were not right. In the mix the client subnet of
// names that are not steered need not come back.
func (r *generated) wrong() uint64 { return r.Mismatches - r.Reasons["ecs"] }

func (d *disturbed) add(quiet, got *generated, changes int, took time.Duration) {
	perAnswer := quiet.cpu.Seconds() / float64(quiet.Received)
	d.rates = append(d.rates, got.mean()/quiet.mean())
	d.perCPU = append(d.perCPU, perAnswer/(got.cpu.Seconds()/float64(got.Received)))
	d.extra = append(d.extra, (got.cpu.Seconds()-perAnswer*float64(got.Received))/got.wall.Seconds())
	d.own = append(d.own, got.own.Seconds()/got.wall.Seconds())
	d.sent += got.Sent
	d.lost += got.Lost
	d.wrong += got.wrong()
	d.heldBack += got.HeldBack
	d.changes += changes
	d.took += took
	d.p99, d.p99Before = append(d.p99, got.Latency.P99), append(d.p99Before, quiet.Latency.P99)
}

// slice measures the node once, quiet or not.
func (n *node) slice(ctx context.Context, p pressure, w *workload) (generated, error) {
	warm := p
	warm.length = min(warmUp, p.length)
	if _, err := n.load(ctx, warm, w, n.data, n.tools); err != nil {
		return generated{}, err
	}
	before, err := n.cpuTime()
	if err != nil {
		return generated{}, err
	}
	began, own := time.Now(), ownTime()
	r, err := n.load(ctx, p, w, n.data, n.tools)
	if err != nil {
		return generated{}, err
	}
	r.wall, r.own = time.Since(began), ownTime()-own
	after, err := n.cpuTime()
	r.cpu, r.slices = after-before, 1
	return r, err
}

// slices measures the node times times and adds that to all.
func (n *node) slices(ctx context.Context, p pressure, w *workload, times int, all *generated) error {
	for range times {
		r, err := n.slice(ctx, p, w)
		if err != nil {
			return err
		}
		all.add(&r)
	}
	return nil
}

// mostWait bounds the wait for a change to come into force: a fully busy node
// takes minutes for what it else does in seconds.
const mostWait = 15 * time.Minute

// during measures while the disturbance goes on: for the slices of its part, or until it has done
// something. Then it waits until nothing is left to do.
func (n *node) during(ctx context.Context, what disturbance, p pressure, w *workload) (all generated, changes int, took time.Duration, err error) {
	disturbing, stop := context.WithCancel(ctx)
	defer stop()
	n.changes.Store(0)
	ended := make(chan error, 1)
	go func() { ended <- what.run(n, disturbing) }() // ends with stop
	began := time.Now()
	goesOn := func() bool {
		if what.part > 0 {
			return all.slices < what.part
		}
		return all.slices == 0 || time.Since(began) < mostWait && n.changes.Load() == 0
	}
	for err == nil && len(ended) == 0 && goesOn() {
		err = n.slices(ctx, p, w, 1, &all)
	}
	changes, took = int(n.changes.Load()), time.Since(began)
	stop()
	err = errors.Join(err, <-ended)
	if err == nil && ctx.Err() == nil && changes == 0 && what.part == 0 {
		err = fmt.Errorf("no change came into force in %d measurements", all.slices)
	}
	if err == nil {
		err = what.settle(n, ctx)
	}
	return all, changes, took, err
}

// add adds up the answers of slices; the rate becomes a sum, the latencies are the worst ones.
func (r *generated) add(other *generated) {
	r.slices += other.slices
	r.cpu += other.cpu
	r.own += other.own
	r.wall += other.wall
	r.Sent += other.Sent
	r.Received += other.Received
	r.Lost += other.Lost
	r.HeldBack += other.HeldBack
	r.Rate += other.Rate
	r.Mismatches += other.Mismatches
	if r.Reasons == nil {
		r.Reasons = map[string]uint64{}
	}
	r.Reasons["ecs"] += other.Reasons["ecs"]
	r.Latency.P99 = max(r.Latency.P99, other.Latency.P99)
}

// mean is the answers per second, on average over the slices added up.
func (r *generated) mean() float64 { return r.Rate / float64(max(r.slices, 1)) }

func disturbPage(o *options, began time.Time, m *machine, who *contestant, results map[string]map[string]*disturbed) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Changes under load\n\n```sh\n%s\n```\n\n", o.commandLine())
	b.WriteString(conditions(began, m, []*contestant{who}, nil))
	b.WriteString("| load | meanwhile | changes in force | in seconds | answers, × quiet | each time | answers for a CPU second, × quiet | each time | changes take of a core % | this program % | queries | lost | wrong | p99 µs, quiet | p99 µs |\n|---|---|--:|--:|--:|---|--:|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, level := range loadLevels {
		for _, what := range disturbances {
			d := results[level.title][what.title]
			if d == nil {
				continue
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %.1f | %.3f | %s | %.3f | %s | %.1f | %.1f | %d | %d | %d | %.0f | %.0f |\n", level.title, what.title, d.changes, d.took.Seconds(),
				spreadOf(slices.Clone(d.rates)).median, listed(d.rates), spreadOf(slices.Clone(d.perCPU)).median, listed(d.perCPU), 100*spreadOf(d.extra).median, 100*spreadOf(d.own).median,
				d.sent, d.lost, d.wrong, spreadOf(d.p99Before).median, spreadOf(d.p99).median)
		}
	}
	b.WriteString("\n")
	for _, what := range disturbances {
		fmt.Fprintf(&b, "- *%s*: %s.\n", what.title, what.about)
	}
	fmt.Fprintf(&b, `- The load is the mix, every answer checked, in slices of %v s. Those with changes lie between quiet ones of the same load (on each side, and meanwhile: %s),
  and their answers for each second are compared with the mean of these: %d starts with %d rounds, of which the median counts. The aim is at least 0.95 of the quiet rate, with nothing lost or wrong.
- A geo database reload takes minutes at full load, within which the speed of a machine that others use too changes by more than what a reload costs. A whole one (`+"`-changes geo`"+`) tells how long it takes, and that nothing is lost; parts of it, between quiet slices, tell what it costs.
- *Answers for a CPU second* are those for each second of CPU time of the whole gslb process, all that a change costs it included; what other processes take from the two cores does not count.
  *Changes take* is gslb's CPU time beyond what as many answers cost in the quiet slices, as a share of one core, and *this program* what ordering, replacing and asking takes beside it.
- gslb has one worker, kept on a core of its own (`+"`pin = \"auto\"`"+`), and may use all %d cores for the rest; the generator is pinned to core %d. Without `+"`pin`"+` the kernel moves the worker to the generator's core at times,
  where it waits 80 ms and more: at half load 5000 of 5.8 million queries were lost so during one geo reload, with a core idle. What is rebuilt runs beside the worker, on whichever core the kernel puts it: on a machine
  with two cores, at full load, it takes time from the worker or from the generator, and the rate falls by what it takes. So gslb rests most of the time then, and a database takes
  minutes (package parallel). Half of full load leaves time for all of it.
- The City database is %s. Changes are counted when they are in force: by the answer of the steered name, by the database's build time and by the zone's serial.
`, o.Seconds, besideText(), o.Repeat, o.Rounds, m.cores, o.LoadCPU, databaseName(o))
	return b.String()
}

func databaseName(o *options) string {
	if o.City != "" {
		return "`" + filepath.Base(o.City) + "`"
	}
	return fmt.Sprintf("made up of about %d networks (`mkgeo -random`)", o.Networks)
}

// listed is each of the figures, in the order in which they were measured.
func listed(all []float64) string {
	var b strings.Builder
	for i, r := range all {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%.3f", r)
	}
	return b.String()
}

// besideText says how many slices there are.
func besideText() string {
	var parts []string
	for _, what := range disturbances {
		meanwhile := fmt.Sprint(what.part)
		if what.part == 0 {
			meanwhile = "as many as it takes, once"
		}
		parts = append(parts, fmt.Sprintf("%s %d and %s", what.title, what.beside, meanwhile))
	}
	return strings.Join(parts, "; ")
}
