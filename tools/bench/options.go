package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// options is the command line, checked.
type options struct {
	Servers   []string // names of peers
	Workloads []string
	Seconds   float64 // of each measurement
	Repeat    int
	City      string // a City database; empty: one is made up
	Networks  int    // of the made-up one
	Names     int    // of the static zone
	ServerCPU int    // core of the server under test; -1: not pinned
	LoadCPU   int    // core of the generator
	Out       string // the page; the plot goes into a directory beside it, named after it
}

// duration is how long each measurement lasts.
func (o *options) duration() time.Duration {
	return time.Duration(o.Seconds * float64(time.Second))
}

// parseOptions reads the command line: the subcommand dns and its flags.
func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("bench dns", flag.ContinueOnError)
	fs.SetOutput(out)
	servers := fs.String("servers", strings.Join(peerNames(), ","), "`names` of the servers to compare; those that are not installed are named and left out")
	load := fs.String("workloads", strings.Join(workloadNames(), ","), "`names` of the workloads")
	fs.Float64Var(&o.Seconds, "seconds", 3, "`length` of each measurement")
	fs.IntVar(&o.Repeat, "repeat", 3, "repetitions; the figures are their medians")
	fs.StringVar(&o.City, "city", "", "City database `file` in MaxMind's schema; without one, one is made up")
	fs.IntVar(&o.Networks, "networks", 200_000, "`number` of networks of the made-up database")
	fs.IntVar(&o.Names, "names", 5000, "`number` of names in the static zone")
	fs.IntVar(&o.ServerCPU, "server-cpu", 0, "`core` of the server; -1 does not pin it")
	fs.IntVar(&o.LoadCPU, "load-cpu", 1, "`core` of the generator; -1 does not pin it")
	fs.StringVar(&o.Out, "out", "docs/benchmarks.md", "`file` for the page; its plot goes into a directory of that name without the ending")
	if len(args) == 0 || args[0] != "dns" {
		if len(args) > 0 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
			fs.Usage()
			return o, flag.ErrHelp
		}
		return o, errors.New("the first argument must be the benchmark's name: dns")
	}
	if err := fs.Parse(args[1:]); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: everything after dns is a flag, see -h", fs.Arg(0))
	}
	var err1, err2 error
	o.Servers, err1 = subset("-servers", *servers, peerNames())
	o.Workloads, err2 = subset("-workloads", *load, workloadNames())
	return o, errors.Join(err1, err2, o.checkRanges())
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
	if o.Networks < 1 {
		errs = append(errs, fmt.Errorf("-networks %d: must be at least 1", o.Networks))
	}
	if o.Names < 10 || o.Names > 1<<20 {
		errs = append(errs, fmt.Errorf("-names %d: must be 10 to %d", o.Names, 1<<20))
	}
	if o.ServerCPU < -1 || o.LoadCPU < -1 {
		errs = append(errs, fmt.Errorf("-server-cpu %d, -load-cpu %d: must be the number of a core, or -1", o.ServerCPU, o.LoadCPU))
	}
	return errors.Join(errs...)
}
