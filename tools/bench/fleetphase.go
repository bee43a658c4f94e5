package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gslb/health"
)

// fleetPhase is one row of the page.
type fleetPhase struct {
	title   string
	began   time.Time
	took    time.Duration
	puts    float64         // keys written
	commits float64         // raft entries: transactions and what leases need
	wal     float64         // octets to the logs of all members
	sent    float64         // octets from the members to their clients
	cpu     time.Duration   // of all members and nodes
	delays  []time.Duration // until each watcher had seen it
	times   int             // that it happened
}

// beginPhase starts the counting, and end stops it.
func beginPhase(title string) (p fleetPhase, end func(*fleetPhase)) {
	before, cpu := counters(), processCPU(os.Getpid())
	return fleetPhase{title: title, began: time.Now()}, func(p *fleetPhase) {
		p.took, p.cpu = time.Since(p.began), processCPU(os.Getpid())-cpu
		after := counters()
		delta := func(name string) float64 { return after[name] - before[name] }
		// Each member counts for itself, and all are in this process.
		p.puts = delta("etcd_mvcc_put_total") / fleetMembers
		p.commits = delta("etcd_server_proposals_committed_total")
		p.wal = delta("etcd_disk_wal_write_bytes_total")
		p.sent = delta("etcd_network_client_grpc_sent_bytes_total")
	}
}

// and is two phases of the same kind in one.
func (p fleetPhase) and(q fleetPhase) fleetPhase {
	q.took, q.cpu = q.took+p.took, q.cpu+p.cpu
	q.puts, q.commits, q.wal, q.sent = q.puts+p.puts, q.commits+p.commits, q.wal+p.wal, q.sent+p.sent
	q.delays, q.times = append(p.delays, q.delays...), p.times+1
	return q
}

// steady measures while nothing happens.
func (s *simulated) steady(ctx context.Context, title string) (fleetPhase, error) {
	return s.during(ctx, title, fleetSteady)
}

// during measures for so long.
func (s *simulated) during(ctx context.Context, title string, long time.Duration) (fleetPhase, error) {
	p, done := beginPhase(title)
	select {
	case <-time.After(long):
	case <-ctx.Done():
		return p, ctx.Err()
	}
	done(&p)
	return p, nil
}

// fall has sites fail, as all vantage points see at the same moment, some times.
func (s *simulated) fall(ctx context.Context, title string, count, times int) (p fleetPhase, err error) {
	for range times {
		one, done := beginPhase(title)
		var seen []<-chan struct{}
		for _, w := range s.watchers {
			seen = append(seen, w.expect(count))
		}
		s.vote(count, health.Down, "connection refused")
		for _, c := range seen {
			select {
			case <-c:
			case <-ctx.Done():
				return p, ctx.Err()
			case <-time.After(2 * time.Minute):
				return p, errors.New("a watcher has not seen the fall within two minutes")
			}
		}
		for _, w := range s.watchers {
			w.mu.Lock()
			one.delays = append(one.delays, w.at.Sub(one.began))
			w.mu.Unlock()
		}
		done(&one)
		p = p.and(one)
		s.vote(count, health.Up, "HTTP 200 in 12 ms")
		if err := s.settled(ctx); err != nil {
			return p, err
		}
	}
	return p, nil
}

// heapInUse is what lives on the heap after a collection of garbage.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// counters sums what etcd counts, by the name of the metric.
func counters() map[string]float64 {
	all := map[string]float64{}
	families, _ := prometheus.DefaultGatherer.Gather() // what is inconsistent is left out
	for _, f := range families {
		for _, m := range f.GetMetric() {
			all[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

// delayRange is the range and the middle of some delays, in milliseconds.
func delayRange(all []time.Duration) string {
	if len(all) == 0 {
		return "–"
	}
	slices.Sort(all)
	ms := func(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d.Microseconds())/1000) }
	return ms(all[0]) + " / " + ms(quantile(all, 0.5)) + " / " + ms(quantile(all, 0.9)) + " / " + ms(all[len(all)-1])
}

func fleetPage(o *options, began time.Time, m *machine, who *contestant, phases []fleetPhase, memory float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## A fleet of a thousand sites\n\n```sh\n%s\n```\n\n", o.commandLine())
	b.WriteString(conditions(began, m, []*contestant{who}, nil))
	b.WriteString("| what happens | keys written | raft entries | kB to the logs | kB to the nodes | CPU | delay in ms: min / middle / 90 % / max |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, p := range phases {
		unit, per := "/s", p.took.Seconds()
		if len(p.delays) > 0 {
			unit, per = "", float64(p.times)
		}
		each := func(x float64) string { return fmt.Sprintf("%.1f%s", x/per, unit) }
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %.2f s%s | %s |\n", p.title, each(p.puts), each(p.commits), each(p.wal/1e3), each(p.sent/1e3), p.cpu.Seconds()/per, unit, delayRange(p.delays))
	}
	fmt.Fprintf(&b, `
- %d sites, %d vantage points which vote on all of them, %d members of etcd with their real fsync, and up to %d DNS nodes that watch, each with a client and a copy on disk of its own: fleet.Fleet as it runs in gslb, all in one process. A node holds %.1f MB of heap for it.
- What goes on all the time is per second, what happens once is for each time. The delay is from the first vote of the first vantage point, all of which vote at the same moment, until a node has evaluated that all of the sites are down.
- One process for all members and nodes: the more nodes, the more wait for the processor, which in a real fleet each would have for itself. The rows with fewer nodes tell how much of the delay that is.
- Each balancer reports every second; a report that says nothing new is written each ten seconds.
`, fleetSites, fleetVantages, fleetMembers, fleetWatchers, memory/1e6)
	return b.String()
}
