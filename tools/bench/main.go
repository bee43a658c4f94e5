// Bench compares gslb with the DNS servers that are installed on the same
// machine, in one run.
//
//	go run ./tools/bench dns [-servers gslb,knot,bind] [-seconds 3] [-repeat 3] [-out docs/benchmarks.md]
//
// It writes each server's configuration for the same zones, and for the same geo
// database where the server can steer, into a temporary directory, starts the
// servers one after the other with one worker each, pinned to one core, checks
// that they answer rightly, and drives them with tools/loadgen from another
// core. A bare echo of datagrams is the limit row. The servers take turns
// within each repetition, and figures are medians over the repetitions. What
// comes out is a page of tables and a plot of CPU time per answer.
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
	"os/signal"
	"runtime"
	"syscall"
)

// The main goroutine stays on the main thread, which lives as long as the
// process: servers are started from it, and end with the thread that started
// them (PR_SET_PDEATHSIG).
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) == 3 && os.Args[1] == echoCommand { // before signals are caught: they end it
		fmt.Fprintf(os.Stderr, "bench: %v\n", serveEcho(os.Args[2]))
		os.Exit(1)
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
	if err := compare(ctx, &o, stderr); err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}
