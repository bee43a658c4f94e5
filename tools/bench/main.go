// Bench measures gslb, and compares it with the DNS servers that are installed on
// the same machine.
//
//	go run ./tools/bench dns [-servers gslb,knot,bind] [-seconds 0.5] [-repeat 3] [-rounds 3] [-out docs/benchmarks.md]
//	go run ./tools/bench scale      one core and two
//	go run ./tools/bench disturb    reloads and health changes under load
//	go run ./tools/bench zones      a zone of a million names
//	go run ./tools/bench balancer   the L4 tier beside HAProxy and nginx
//	go run ./tools/bench planes     the L4 tier's planes in network namespaces
//	go run ./tools/bench failover   from the deciding probe to changed answers
//	go run ./tools/bench fleet      a thousand sites, fifty DNS nodes, three members of etcd
//
// It writes each server's configuration for the same zones, and for the same geo
// databases where the server can steer, into a temporary directory, starts the
// servers with one worker each, pinned to one core, checks that they answer
// rightly, and drives one at a time with tools/loadgen from another core. Bare
// echoes of datagrams are the limit rows. The servers take turns in short slices,
// and ratios are taken slice by slice: a machine that changes its speed does so
// to all. What comes out is a page of tables and plots.
//
// It owns the set-up of the peers, the measuring and the page. The questions,
// and the judgement of each answer, belong to tools/loadgen, which runs as a
// process of its own. Invariants: whatever was started is ended and the
// temporary directory removed, also on failure and Ctrl-C; nothing is measured
// that did not answer rightly first. Linux only: it pins by sched_setaffinity(2)
// and reads CPU clocks and /proc.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

// The main goroutine stays on the main thread, which lives as long as the
// process: servers are started from it, and end with the thread that started
// them (PR_SET_PDEATHSIG).
func init() { runtime.LockOSThread() }

// command is one of the benchmarks, with the defaults of its flags.
type command struct {
	name, about, takes string
	servers, workloads []string
	seconds            float64
	repeat, rounds     int
	size               int // of the static zone
	// run measures in dir, where the tools are, and returns its part of the page
	// and its plots by the name of their files.
	run func(ctx context.Context, o *options, dir string, progress io.Writer) (part string, plots map[string]string, err error)
}

// commands in the order of the page.
var commands []command

func init() { // refers to what refers to it
	commands = []command{
		{"dns", "gslb beside other servers", "10 minutes", peerNames(), workloadNames(), 0.5, 3, 3, 5000, compare},
		{"scale", "one core and two", "2 minutes", []string{"gslb", "gdnsd", "knot", "nsd"}, []string{"static", "ecs"}, 0.5, 2, 3, 5000, scale},
		{"disturb", "gslb under load, while health flips and databases and zones are reloaded", "15 minutes", []string{"gslb"}, []string{"mix"}, 2, 1, 12, 5000, disturb},
		{"zones", "a zone of many names, or many zones", "4 minutes", []string{"gslb", "gdnsd", "knot", "nsd", "bind", "powerdns"}, []string{"static"}, 0.5, 3, 3, 1_000_000, manyNames},
		{"xdp", "gslb's AF_XDP beside its sockets, on a veth pair; needs root", "2 minutes", []string{"gslb"}, []string{"static"}, 1, 3, 3, 5000, benchXDP},
		{"balancer", "the L4 tier beside HAProxy and nginx", "5 minutes", l4PeerNames(), l4WorkloadNames(), 1, 2, 3, 5000, compareBalancers},
		{"planes", "the L4 tier's planes, those in the kernel too, in network namespaces; needs root", "2 minutes", []string{"gslb", "haproxy"}, []string{"short"}, 1, 2, 5, 5000, comparePlanes},
		{"failover", "from the probe that decides to changed answers on ten DNS nodes", "2 minutes", []string{"gslb"}, []string{"static"}, 1, 1, 30, 5000, failover},
		{"fleet", "what a thousand sites and fifty DNS nodes ask of etcd", "4 minutes", []string{"gslb"}, []string{"static"}, 1, 1, 1, 5000, simulateFleet},
	}
}

func commandNamed(name string) *command {
	for i := range commands {
		if commands[i].name == name {
			return &commands[i]
		}
	}
	return nil
}

func commandNames() []string {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	return names
}

// manyZonesPart is the part of the page for "bench zones -zones N", which stands beside
// that for many names in one zone.
const manyZonesPart = "zones-many"

// partNames lists the parts of the page in their order.
func partNames() []string {
	var names []string
	for _, name := range commandNames() {
		if names = append(names, name); name == "zones" {
			names = append(names, manyZonesPart)
		}
	}
	return names
}

// part is the name of the part of the page that the run writes.
func (o *options) part() string {
	if o.Command == "zones" && o.Zones > 0 {
		return manyZonesPart
	}
	return o.Command
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == echoCommand { // before signals are caught: they end it
		fmt.Fprintf(os.Stderr, "bench: %v\n", serveEcho(os.Args[2]))
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == blastCommand {
		if err := blast(os.Args[2:], os.Stdout); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %v\n", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program; it gives the exit code: 0, 1 for a failure, 2 for a
// bad command line.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 2
	}
	if err := benchmark(ctx, &o, stderr); err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

// benchmark is one whole run: build, measure, write the page.
func benchmark(ctx context.Context, o *options, progress io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "gslb-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// Servers that were started by root may drop privileges: they must get at their files.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if o.Tools != "" {
		err = linkTools(o.Tools, dir)
	} else {
		fmt.Fprintln(progress, "building gslb, loadgen, connload and mkgeo")
		err = buildTools(ctx, dir)
	}
	if err != nil {
		return err
	}
	part, plots, err := commandNamed(o.Command).run(ctx, o, dir, progress)
	if err != nil {
		return err
	}
	return writePage(o.Out, o.part(), part, plots)
}

// linkTools takes what buildTools would build from another directory.
func linkTools(from, dir string) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	for _, name := range []string{"gslb", "loadgen", "connload", "mkgeo"} {
		if _, err := os.Stat(filepath.Join(from, name)); err != nil {
			return fmt.Errorf("-tools: %w", err)
		}
		if err := os.Symlink(filepath.Join(from, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// buildTools builds what runs as a process of its own, once.
func buildTools(ctx context.Context, dir string) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), "gslb/cmd/gslb", "gslb/tools/loadgen", "gslb/tools/connload", "gslb/tools/mkgeo")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building, which works within the gslb module only: %w: %s", err, out)
	}
	return nil
}
