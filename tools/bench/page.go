package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// writePage writes the page and its plot.
func (c *comparison) writePage() error {
	plots := strings.TrimSuffix(c.options.Out, filepath.Ext(c.options.Out))
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	plot := filepath.Join(plots, "cpu.svg")
	if err := os.WriteFile(plot, []byte(c.plot()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(c.options.Out, []byte(c.page(filepath.Base(plots)+"/cpu.svg")), 0o644)
}

// page renders the comparison as Markdown.
func (c *comparison) page(plot string) string {
	var b strings.Builder
	b.WriteString(`# Benchmarks

<!-- Written by tools/bench: a new run replaces it. -->

gslb and the DNS servers that were installed on one machine, in one run:

`)
	fmt.Fprintf(&b, "```sh\n%s\n```\n\n", c.command())
	b.WriteString(c.conditions())
	fmt.Fprintf(&b, "![CPU time per answer by server and workload](%s)\n", plot)
	for i := range c.workloads {
		b.WriteString(c.table(&c.workloads[i]))
	}
	b.WriteString(c.method())
	return b.String()
}

// command is the exact one, but for the directory of the database.
func (c *comparison) command() string {
	o := c.options
	var servers []string
	for _, who := range c.contestants {
		if who.peer != nil {
			servers = append(servers, who.peer.name)
		}
	}
	line := fmt.Sprintf("go run ./tools/bench dns -servers %s -workloads %s -seconds %v -repeat %d -names %d -server-cpu %d -load-cpu %d",
		strings.Join(servers, ","), strings.Join(o.Workloads, ","), o.Seconds, o.Repeat, o.Names, o.ServerCPU, o.LoadCPU)
	if o.City != "" {
		return line + " -city " + filepath.Base(o.City)
	}
	return line + " -networks " + strconv.Itoa(o.Networks)
}

func (c *comparison) conditions() string {
	var b strings.Builder
	m := &c.machine
	fmt.Fprintf(&b, "- %s; %s, %s, %d cores, %s\n", c.began.UTC().Format("2006-01-02 15:04 MST"), m.kernel, m.cpu, m.cores, m.compiler)
	var versions []string
	for _, who := range c.contestants {
		versions = append(versions, fmt.Sprintf("%s (%s)", who.title, who.version))
	}
	fmt.Fprintf(&b, "- %s\n", strings.Join(versions, ", "))
	if len(c.missing) > 0 {
		fmt.Fprintf(&b, "- not installed: %s\n", strings.Join(c.missing, ", "))
	}
	for _, who := range c.contestants {
		if who.note != "" {
			fmt.Fprintf(&b, "- %s %s\n", who.title, who.note)
		}
	}
	fmt.Fprintf(&b, "- Load average (1, 5, 15 minutes) before the run %s, after it %s. The run itself adds up to 2. ", m.loadBefore, m.loadAfter)
	if first, _, _ := strings.Cut(m.loadBefore, " "); !quiet(first) {
		b.WriteString("**Other work ran on this machine: the figures are provisional.** It takes time off both cores, so rates and latencies suffer most; " +
			"it also empties caches and changes how many queries meet in one batch, so that the CPU time per answer differs between repetitions (see the last column). ")
	}
	b.WriteString("Ratios within this run mean more than figures, and differences smaller than the ranges mean nothing.\n\n")
	return b.String()
}

// quiet tells whether a load average of one minute is that of an idle machine.
func quiet(load string) bool {
	value, err := strconv.ParseFloat(load, 64)
	return err == nil && value < 0.5
}

// table renders one workload: CPU per answer first, with its ratio to gslb's.
func (c *comparison) table(w *workload) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", w.title, w.about)
	b.WriteString("| server | CPU µs/answer | × gslb | answers/s | loss % | p50 µs | p99 µs | core % | memory MiB | CPU µs, least to greatest |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	base := c.series[w.name][gslb.title]
	var out []string
	for _, who := range c.contestants {
		s := c.series[w.name][who.title]
		if len(s) == 0 {
			out = append(out, fmt.Sprintf("%s (%s)", who.title, who.faults[w.name]))
			continue
		}
		m, ratio := s.median(), "–"
		if len(base) > 0 {
			ratio = fmt.Sprintf("%.2f", m.CPU/base.median().CPU)
		}
		_, least, greatest := s.figure(func(s *sample) float64 { return s.CPU })
		fmt.Fprintf(&b, "| %s | %.2f | %s | %.0f | %.3f | %.0f | %.0f | %.0f | %.0f | %.2f to %.2f |\n",
			who.title, m.CPU, ratio, m.Rate, 100*m.Loss, m.P50, m.P99, 100*m.Busy, m.Memory, least, greatest)
	}
	if len(out) > 0 {
		fmt.Fprintf(&b, "\nNot measured: %s.\n", strings.Join(out, ", "))
	}
	return b.String()
}

func (c *comparison) method() string {
	database := fmt.Sprintf("made up of about %d networks (`mkgeo -random`)", c.options.Networks)
	if c.options.City != "" {
		database = "`" + filepath.Base(c.options.City) + "`"
	}
	return fmt.Sprintf(`
## How it is measured

- Each server has one worker for UDP and one for TCP, and is pinned to core %d with all its threads and processes; the generator (tools/loadgen) is
  pinned to core %d (-1: not pinned). In each repetition every server in turn is started afresh, warmed up, measured for %v s with each workload,
  and ended, before the next one comes. Figures are medians over %d repetitions, each by itself.
- CPU per answer is what the server's process group ran (its CPU clocks), in user and kernel mode, over the answers that came in time. It is the
  first figure, since the generator may be the slower side: then *core %%* is below 100, and the rate is the generator's. Kernel work that loopback does
  at once for the peer's socket counts for whoever sends.
- The generator keeps 2 sockets with 100 queries outstanding on each, sends and receives in batches, and asks at once when an answer has come:
  latencies are those of a full server. An answer after 500 ms is lost.
- Before it is measured a server must answer right: static names, a name that does not exist, and the steered name for 200 client networks, as
  reading the database directly says. Under load every answer is checked for question, rcode, number of records and client subnet (in the mix, only that it is an answer).
- The static zone has %d names with an A record. The steered name has %d sites by country, from a City database: %s. Of loopback clients it knows
  nothing, so by source address everyone gets the default site.
- Nothing is signed. NSD and BIND have no steering by client subnet. Response rate limiting is off everywhere. Other settings are the server's defaults, PowerDNS's caches among them.
- *Memory* is the proportional set size of the process group: pages shared by several processes count once. gslb's includes its embedded etcd.
- The row *echo* sends each query back with recvmmsg and sendmmsg, in Go with the runtime's poller: what a server in Go that does nothing would cost. It is no
  lower bound for others: a C program that waits in recvmmsg itself saves some of the system calls, and can cost less while it does more.
`, c.options.ServerCPU, c.options.LoadCPU, c.options.Seconds, c.options.Repeat, c.options.Names, len(sites), database)
}
