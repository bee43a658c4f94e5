package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// options is the command line, checked. Each benchmark has those of its own and
// the common ones.
type options struct {
	Command   string
	Servers   []string // names of peers
	Workloads []string
	Changes   []string // what happens under load (bench disturb only)
	Seconds   float64  // of each measurement
	Repeat    int      // times that the servers are started
	Rounds    int      // times that each is measured between
	City      string   // a City database; empty: one is made up
	Networks  int      // of the made-up ones
	Names     int      // of the static zone
	Zones     int      // number of zones, for the benchmark of that name
	ServerCPU int      // core of the server under test; -1: not pinned
	LoadCPU   int      // core of the generator
	Out       string   // the page; the plots go into a directory beside it, named after it

	Tools string // directory where gslb, loadgen, connload and mkgeo are; empty: they are built

	args []string // as given
}

// duration is how long each measurement lasts.
func (o *options) duration() time.Duration {
	return time.Duration(o.Seconds * float64(time.Second))
}

// pressure is the load as hard as it gets.
func (o *options) pressure() pressure { return pressure{cpu: o.LoadCPU, length: o.duration()} }

// parseOptions reads the command line: the name of the benchmark and its flags.
func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	if len(args) == 0 {
		args = []string{commands[0].name}
		fmt.Fprintf(out, "bench %s: %s; -h tells of others\n", commands[0].name, commands[0].about)
	}
	if commandNamed(args[0]) == nil {
		if slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
			o.help(out)
			return o, flag.ErrHelp
		}
		return o, fmt.Errorf("the first argument must be the benchmark's name: %s", strings.Join(commandNames(), ", "))
	}
	o.Command, o.args = args[0], args
	c := commandNamed(o.Command)
	fs := flag.NewFlagSet("bench "+o.Command, flag.ContinueOnError)
	fs.SetOutput(out)
	servers := fs.String("servers", strings.Join(c.servers, ","), "`names` of the servers; those that are not installed are named and left out")
	load := fs.String("workloads", strings.Join(c.workloads, ","), "`names` of the workloads")
	changes := fs.String("changes", strings.Join(changeNames(), ","), "`names` of what happens under load (bench disturb only)")
	fs.Float64Var(&o.Seconds, "seconds", c.seconds, "`length` of each measurement")
	fs.IntVar(&o.Repeat, "repeat", c.repeat, "`times` that all servers are started afresh")
	fs.IntVar(&o.Rounds, "rounds", c.rounds, "`times` that each server is measured after each start, in turn with the others")
	fs.StringVar(&o.City, "city", "", "City database `file` in MaxMind's schema; without one, one is made up")
	fs.IntVar(&o.Networks, "networks", 200_000, "`number` of networks of the made-up databases")
	fs.IntVar(&o.Names, "names", c.size, "`number` of names in the static zone")
	fs.IntVar(&o.Zones, "zones", 0, "`number` of zones with three names each, instead of one zone (bench zones only)")
	fs.IntVar(&o.ServerCPU, "server-cpu", 0, "`core` of the server; -1 does not pin it")
	fs.IntVar(&o.LoadCPU, "load-cpu", 1, "`core` of the generator; -1 does not pin it")
	fs.StringVar(&o.Out, "out", "docs/benchmarks.md", "`file` of the page, in which this benchmark's part is replaced; plots go into a directory of that name without the ending")
	fs.StringVar(&o.Tools, "tools", "", "`directory` with gslb, loadgen, connload and mkgeo ready to run, such as those of another version; without one they are built from this source")
	if err := fs.Parse(args[1:]); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: everything after %s is a flag, see -h", fs.Arg(0), o.Command)
	}
	var err1, err2, err3 error
	knownServers, knownWorkloads := peerNames(), workloadNames()
	if o.Command == "balancer" || o.Command == "planes" {
		knownServers, knownWorkloads = c.servers, c.workloads
	}
	o.Servers, err1 = subset("-servers", *servers, knownServers)
	o.Workloads, err2 = subset("-workloads", *load, knownWorkloads)
	o.Changes, err3 = subset("-changes", *changes, changeNames())
	return o, errors.Join(err1, err2, err3, o.checkRanges())
}

// help tells what there is to measure, and which servers are here.
func (o *options) help(out io.Writer) {
	fmt.Fprintln(out, "Measures gslb, and compares it with the DNS servers that are installed here. What is not installed is left out.\n\nbenchmarks:")
	for _, c := range commands {
		fmt.Fprintf(out, "  go run ./tools/bench %-8s %s (takes about %s)\n", c.name, c.about, c.takes)
	}
	fmt.Fprintf(out, "\nWithout a name it is %s. NAME -h lists the flags of each, such as -servers. Each writes its part of a page, -out.\n\nservers:\n", commands[0].name)
	for i := range peers {
		p := &peers[i]
		state := "is there"
		if p.name == gslb.name {
			state = "is built from this source"
		} else if path, ok := findBinary(p.binary); ok {
			state += ": " + path
		} else {
			state = "is missing; " + p.origin
		}
		fmt.Fprintf(out, "  %-11s %s\n", p.name, state)
	}
	fmt.Fprintf(out, "\nbalancers, for bench balancer: %s\n", strings.Join(l4PeerNames(), ", "))
	fmt.Fprintln(out, `
Where other work runs, ratios hold better when the kernel lets this go first, as root: nice alone does not do it, as it counts within a session.
  setsid -w sh -c 'echo -19 > /proc/self/autogroup; exec nice -n -19 go run ./tools/bench NAME'
A million zones are a million files: TMPDIR=/dev/shm spares the disk.`)
}

// subset splits a list of names that must all be known.
func subset(name, list string, known []string) ([]string, error) {
	var chosen []string
	for _, s := range strings.Split(list, ",") {
		if s = strings.TrimSpace(s); !slices.Contains(known, s) {
			return nil, fmt.Errorf("%s %q: must be of %s", name, s, strings.Join(known, ", "))
		}
		if !slices.Contains(chosen, s) {
			chosen = append(chosen, s)
		}
	}
	return chosen, nil
}

func (o *options) checkRanges() error {
	var errs []error
	if !(o.Seconds >= 0.05 && o.Seconds <= 3600) {
		errs = append(errs, fmt.Errorf("-seconds %v: must be 0.05 to 3600", o.Seconds))
	}
	if o.Repeat < 1 || o.Repeat > 1000 {
		errs = append(errs, fmt.Errorf("-repeat %d: must be 1 to 1000", o.Repeat))
	}
	if o.Rounds < 1 || o.Rounds > 1000 {
		errs = append(errs, fmt.Errorf("-rounds %d: must be 1 to 1000", o.Rounds))
	}
	if o.Networks < 1 {
		errs = append(errs, fmt.Errorf("-networks %d: must be at least 1", o.Networks))
	}
	if o.Names < 10 || o.Names > 1<<24 {
		errs = append(errs, fmt.Errorf("-names %d: must be 10 to %d", o.Names, 1<<24))
	}
	if o.Zones < 0 || o.Zones > 1<<20 {
		errs = append(errs, fmt.Errorf("-zones %d: must be 0 to %d", o.Zones, 1<<20))
	}
	if o.ServerCPU < -1 || o.LoadCPU < -1 {
		errs = append(errs, fmt.Errorf("-server-cpu %d, -load-cpu %d: must be the number of a core, or -1", o.ServerCPU, o.LoadCPU))
	}
	return errors.Join(errs...)
}

// commandLine is the command as given, but for the directories of files.
func (o *options) commandLine() string {
	line := []string{"go run ./tools/bench"}
	for i := 0; i < len(o.args); i++ {
		a := o.args[i]
		flagName, value, joined := strings.Cut(strings.TrimLeft(a, "-"), "=")
		switch {
		case i == 0 || !strings.HasPrefix(a, "-"):
			line = append(line, a)
		case flagName == "out" || flagName == "tools": // where they are is the reader's choice
			if !joined {
				i++
			}
		case flagName == "city" && joined:
			line = append(line, "-city="+filepath.Base(value))
		case flagName == "city" && i+1 < len(o.args):
			i++
			line = append(line, a, filepath.Base(o.args[i]))
		default:
			line = append(line, a)
		}
	}
	return strings.Join(line, " ")
}
