package main

import (
	"fmt"
	"strings"
)

// of returns the contestant of that peer, or nil.
func (c *l4Comparison) of(name string) *l4Contestant {
	for _, who := range c.contestants {
		if who.l4Peer != nil && who.name == name {
			return who
		}
	}
	return nil
}

// figure is the spread of one figure.
func l4Figure(s []l4Sample, of func(*l4Sample) float64) spread {
	all := make([]float64, len(s))
	for i := range s {
		all[i] = of(&s[i])
	}
	return spreadOf(all)
}

// l4Ratio compares a figure slice by slice.
func l4Ratio(s, to []l4Sample, of func(*l4Sample) float64) (spread, bool) {
	n := min(len(s), len(to))
	if n == 0 {
		return spread{}, false
	}
	all := make([]float64, n)
	for i := range n {
		all[i] = of(&s[i]) / of(&to[i])
	}
	return spreadOf(all), true
}

func l4CPU(s *l4Sample) float64    { return s.CPU }
func l4Memory(s *l4Sample) float64 { return s.Memory }

// first is the workload's first figure.
func (w *l4Workload) first() func(*l4Sample) float64 {
	switch {
	case w.mode == "idle":
		return l4Memory
	case w.rate > 0:
		return func(s *l4Sample) float64 { return s.P50 }
	}
	return l4CPU
}

func (c *l4Comparison) page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## The L4 tier beside other balancers\n\n```sh\n%s\n```\n\n", c.options.commandLine())
	var found []*contestant
	for _, who := range c.contestants {
		found = append(found, &contestant{title: who.title, version: who.version, note: who.note})
	}
	b.WriteString(conditions(c.began, &c.machine, found, c.missing))
	b.WriteString(c.standing())
	b.WriteString(plotLink(c.options, "What a balancer costs", "balancer.svg"))
	for i := range c.workloads {
		b.WriteString(c.table(&c.workloads[i]))
	}
	b.WriteString(c.method())
	return b.String()
}

// standing compares what was found with what is aimed at.
func (c *l4Comparison) standing() string {
	var b strings.Builder
	b.WriteString("| aim | here | middle half | |\n|---|--:|--:|---|\n")
	row := func(w *l4Workload, title, to string, bound float64) {
		own, other := c.of("gslb"), c.of(to)
		if own == nil || other == nil || bound == 0 {
			return
		}
		r, ok := l4Ratio(own.series[w.name], other.series[w.name], w.first())
		if !ok {
			return
		}
		verdict := "met"
		if r.median > bound {
			verdict = "**missed**"
		}
		fmt.Fprintf(&b, "| %s, of %s: at most %.2f | %.2f | %.2f to %.2f | %s |\n", title, other.title, bound, r.median, r.low, r.high, verdict)
	}
	for i := range c.workloads {
		w := &c.workloads[i]
		title := "CPU time, " + strings.ToLower(w.title[:1]) + w.title[1:]
		if w.mode == "idle" {
			title = "memory of an idle connection"
		}
		row(w, title, w.against, w.bound)
		if w.perByte {
			row(w, title, "haproxy-splice", 1)
		}
	}
	return b.String() + "\n"
}

func (c *l4Comparison) table(w *l4Workload) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n%s", w.title, w.about)
	if w.aim != "" {
		fmt.Fprintf(&b, " Aim: %s.", w.aim)
	}
	b.WriteString("\n\n")
	own, out := c.of("gslb"), []string(nil)
	switch {
	case w.mode == "idle":
		b.WriteString("| balancer | octets/connection | × HAProxy |\n|---|--:|--:|\n")
	case w.rate > 0:
		b.WriteString("| balancer | p50 µs | p99 µs | p99.9 µs | p50 added µs | p99 added µs |\n|---|--:|--:|--:|--:|--:|\n")
	case w.perByte:
		b.WriteString("| balancer | CPU s/GB | × HAProxy | middle half | × HAProxy, splicing | MB/s |\n|---|--:|--:|--:|--:|--:|\n")
	default:
		b.WriteString("| balancer | CPU µs | × " + c.titleOf(w.against) + " | middle half | × gslb | per second | p50 µs | p99 µs |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	}
	for _, who := range c.contestants {
		s := who.series[w.name]
		if len(s) == 0 {
			if who.note == "" {
				out = append(out, fmt.Sprintf("%s (%s)", who.title, who.faults[w.name]))
			}
			continue
		}
		ratio := func(to *l4Contestant) (string, string) {
			if to == nil || who.l4Peer == nil {
				return "–", "–"
			}
			r, ok := l4Ratio(s, to.series[w.name], w.first())
			if !ok {
				return "–", "–"
			}
			return fmt.Sprintf("%.2f", r.median), fmt.Sprintf("%.2f to %.2f", r.low, r.high)
		}
		median := func(of func(*l4Sample) float64) float64 { return l4Figure(s, of).median }
		rate := median(func(s *l4Sample) float64 { return s.Rate })
		p50, p99 := func(s *l4Sample) float64 { return s.P50 }, func(s *l4Sample) float64 { return s.P99 }
		to, middle := ratio(c.of(w.against))
		switch {
		case w.mode == "idle":
			fmt.Fprintf(&b, "| %s | %.0f | %s |\n", who.title, median(l4Memory), to)
		case w.rate > 0:
			added := func(of func(*l4Sample) float64) string {
				alone := c.contestants[0].series[w.name]
				if who.l4Peer == nil || len(alone) == 0 {
					return "–"
				}
				return fmt.Sprintf("%.0f", median(of)-l4Figure(alone, of).median)
			}
			fmt.Fprintf(&b, "| %s | %.0f | %.0f | %.0f | %s | %s |\n", who.title, median(p50), median(p99), median(func(s *l4Sample) float64 { return s.P999 }), added(p50), added(p99))
		case w.perByte:
			splicing, _ := ratio(c.of("haproxy-splice"))
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %.0f |\n", who.title, cpuText(who, "%.3f", median(l4CPU)), to, middle, splicing, rate/1e6)
		default:
			toOwn, _ := ratio(own)
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %.0f | %.0f | %.0f |\n", who.title, cpuText(who, "%.1f", median(l4CPU)), to, middle, toOwn, rate, median(p50), median(p99))
		}
	}
	if len(out) > 0 {
		fmt.Fprintf(&b, "\nNot measured: %s.\n", strings.Join(out, ", "))
	}
	return b.String()
}

// cpuText has no figure for the servers by themselves, which are the generator's.
func cpuText(who *l4Contestant, format string, cpu float64) string {
	if who.l4Peer == nil {
		return "–"
	}
	return fmt.Sprintf(format, cpu)
}

func (c *l4Comparison) titleOf(name string) string {
	if who := c.of(name); who != nil {
		return who.title
	}
	return name
}

func (c *l4Comparison) method() string {
	o := c.options
	return fmt.Sprintf(`
### How the balancers are measured

- Each balancer has one thread and is pinned to core %d; clients and servers are one event loop (tools/connload) on core %d (-1: not pinned). All balancers are started together, %d times; each time, %d rounds go over all
  workloads, and in each of them every balancer is measured once, for %v s, one at a time and another one first in each round. The idle ones stay started.
- CPU is what the balancer's process group ran (its CPU clocks), in user and kernel mode, with the kernel's packet thread of its core, over the requests, pairs of datagrams or octets that came through. It is the first
  figure, since the generator may be the slower side. Kernel work that loopback does at once for the peer's socket counts for whoever sends. gslb's includes its embedded etcd, about a hundredth of a core.
- A system call costs more on this kind of virtual machine than on hardware: a balancer that makes fewer gains more here than it would there.
- Ratios are taken slice by slice, and their median and middle half are given.
- There are %d servers behind each; HAProxy and nginx pick the one with the least connections, gslb by least-load. HAProxy has one thread; the second row of it has splicing forced both ways. nginx has one worker and half-closes as the others do.
- *Memory* is what the proportional set size of the process group grew by, right after the start, over the connections; what the kernel holds for sockets is the same for all.
`, o.ServerCPU, o.LoadCPU, o.Repeat, o.Rounds, o.Seconds, l4Servers)
}

// plots draws the first figures.
func (c *l4Comparison) plots() map[string]string {
	var panels []panel
	for i := range c.workloads {
		w := &c.workloads[i]
		unit := " (µs)"
		switch {
		case w.mode == "idle":
			unit = " (octets)"
		case w.perByte:
			unit = " (s/GB)"
		}
		p := panel{title: w.title + unit}
		for _, who := range c.contestants {
			if s := who.series[w.name]; len(s) > 0 && (who.l4Peer != nil || w.rate > 0) {
				class := "other"
				if who.l4Peer != nil && who.binary == "gslb" {
					class = "gslb"
				}
				p.bars = append(p.bars, bar{who.title, class, l4Figure(s, w.first())})
			}
		}
		if len(p.bars) > 0 {
			panels = append(panels, p)
		}
	}
	return map[string]string{"balancer.svg": drawBars("What a balancer costs", "less is better", "%.3g", panels)}
}
