package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// page renders the comparison as Markdown.
func (c *comparison) page() string {
	var b strings.Builder
	b.WriteString("## gslb beside other servers\n\n")
	fmt.Fprintf(&b, "```sh\n%s\n```\n\n", c.options.commandLine())
	b.WriteString(conditions(c.began, &c.machine, c.contestants, c.missing))
	b.WriteString(c.standing())
	for _, f := range plottedFigures {
		b.WriteString(plotLink(c.options, f.title, f.file))
	}
	for i := range c.workloads {
		b.WriteString(c.table(&c.workloads[i]))
	}
	b.WriteString(c.method())
	return b.String()
}

// conditions tells when, on what and of what a part was measured.
func conditions(began time.Time, m *machine, found []*contestant, missing []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- %s; %s, %s, %d cores, %s\n", began.UTC().Format("2006-01-02 15:04 MST"), m.kernel, m.cpu, m.cores, m.compiler)
	var versions []string
	for _, who := range found {
		versions = append(versions, fmt.Sprintf("%s (%s)", who.title, who.version))
	}
	fmt.Fprintf(&b, "- %s\n", strings.Join(versions, ", "))
	if len(missing) > 0 {
		fmt.Fprintf(&b, "- not installed: %s\n", strings.Join(missing, ", "))
	}
	for _, who := range found {
		if who.note != "" {
			fmt.Fprintf(&b, "- %s %s\n", who.title, who.note)
		}
	}
	fmt.Fprintf(&b, "- Load average (1, 5, 15 minutes) before the run %s, after it %s. The run itself adds up to 2. ", m.loadBefore, m.loadAfter)
	if first, _, _ := strings.Cut(m.loadBefore, " "); !quiet(first) {
		b.WriteString("**Other work ran on this machine: the figures are provisional.** It takes time off both cores, so rates and latencies suffer most; " +
			"it also empties caches and changes how many queries meet in one batch. ")
	}
	b.WriteString("Ratios mean more than figures, and differences smaller than the ranges mean nothing.\n\n")
	return b.String()
}

// quiet tells whether a load average of one minute is that of an idle machine.
func quiet(load string) bool {
	value, err := strconv.ParseFloat(load, 64)
	return err == nil && value < 0.5
}

// table renders one workload: CPU per answer first, with its ratios.
func (c *comparison) table(w *workload) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", w.title, w.about)
	b.WriteString("| server | CPU µs/answer | × gslb | middle half | × gdnsd | answers/s | loss % | p50 µs | p99 µs | server core % | generator core % | memory MiB |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	all := c.series[w.name]
	var out []string
	for _, who := range c.contestants {
		s := all[who.title]
		if len(s) == 0 {
			out = append(out, fmt.Sprintf("%s (%s)", who.title, who.faults[w.name]))
			continue
		}
		m, ratio, middle, other := s.median(), "–", "–", "–"
		if r, ok := s.ratio(all[gslb.title]); ok {
			ratio = fmt.Sprintf("%.2f", r.median)
			middle = fmt.Sprintf("%.2f to %.2f", r.low, r.high)
		}
		if r, ok := s.ratio(all[gdnsd.title]); ok {
			other = fmt.Sprintf("%.2f", r.median)
		}
		fmt.Fprintf(&b, "| %s | %.2f | %s | %s | %s | %.0f | %.3f | %.0f | %.0f | %.0f | %.0f | %.0f |\n",
			who.title, m.CPU, ratio, middle, other, m.Rate, 100*m.Loss, m.P50, m.P99, 100*m.Busy, 100*m.Generator, m.Memory)
	}
	if len(out) > 0 {
		fmt.Fprintf(&b, "\nNot measured: %s.\n", strings.Join(out, ", "))
	}
	return b.String()
}

func (c *comparison) method() string {
	o := c.options
	database := databaseName(o)
	return fmt.Sprintf(`
### How it is measured

- Each server has one worker for UDP and one for TCP, and is pinned to core %d with all its threads and processes; the generator (tools/loadgen) is
  pinned to core %d (-1: not pinned). All servers are started together, %d times; each time, %d rounds go over all workloads, and in each of them every
  server is measured once, for %v s after a warm-up of %v, one at a time and another one first in each round. The idle ones stay started.
- Figures are medians over the %d slices, each by itself. Ratios are taken slice by slice, since a machine may change its speed in the midst of a run, and
  their median and middle half are given. What gslb is compared with of its own is measured right before.
- CPU per answer is what the server's process group ran (its CPU clocks), in user and kernel mode, with the kernel's packet thread of its core, over the
  answers that came in time. It is the first figure, since the generator may be the slower side: then *server core %%* is below 100 and *generator core %%*
  near it, and the rate is the generator's. Kernel work that loopback does at once for the peer's socket counts for whoever sends.
- The generator keeps 2 sockets with 100 queries outstanding on each, sends and receives in batches, and asks at once when an answer has come:
  latencies are those of a full server. An answer after 500 ms is lost.
- Before it is measured a server must answer right: static names, a name that does not exist, the steered names for 200 client networks each, as reading the
  databases directly says, and signatures that hold. Under load every answer is checked for question, rcode, number of records and client subnet.
- The static zone has %d names with an A record. The steered name has %d sites by country, from a City database: %s. Of loopback clients it knows
  nothing, so by source address everyone gets the default site. The name by operator goes by an ASN database made up of about %d networks.
- The signed zone has the same names and is signed beforehand (ECDSA P-256, NSEC); all servers read the same file. gdnsd 3 serves no signed zones.
  NSD and BIND take no client subnet; "BIND views" has a view for each site, by country of the source address. Response rate limiting is off everywhere. Other
  settings are the server's defaults, PowerDNS's caches among them.
- *Memory* is the proportional set size of the process group: pages shared by several processes count once. gslb's includes its embedded etcd.
- The echoes send each query back with recvmmsg and sendmmsg: what a server that does nothing costs. The one in C waits in recvmmsg and has no TCP, the one in Go
  waits in the runtime's poller.
`, o.ServerCPU, o.LoadCPU, o.Repeat, o.Rounds, o.Seconds, warmUp, o.Repeat*o.Rounds, o.Names, len(sites), database, o.Networks)
}
