// Loadgen asks a DNS server many questions and checks the answers.
//
//	go run ./tools/loadgen -server 127.0.0.1:5353 -name www.abc.com -ecs random4 -duration 5s -check
//
// It sends and receives in batches (sendmmsg, recvmmsg where the system has
// them), matches every answer with its query by id, and reports rate, loss,
// answers that are wrong, and latency percentiles. With -rate it is an open
// loop: queries are due at fixed times, and those that a full window kept from
// being sent are reported, for they would be the slowest. A query that has no
// answer within -timeout is lost.
//
// The exit code is 0 when the run passed, 1 when answers were wrong, missing or
// lost beyond -max-loss, 2 for a bad command line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program; it gives the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	var all []template
	if err == nil {
		all, err = templates(&o)
	}
	if err != nil {
		fmt.Fprintf(stderr, "loadgen: %v\n", err)
		return 2
	}
	r, err := generate(ctx, &o, all)
	if err != nil {
		fmt.Fprintf(stderr, "loadgen: %v\n", err)
		return 1
	}
	write := r.writeText
	if o.JSON {
		write = r.writeJSON
	}
	if err := errors.Join(write(stdout), r.fault(&o)); err != nil {
		fmt.Fprintf(stderr, "loadgen: %v\n", err)
		return 1
	}
	return 0
}

// generate runs all lanes to their end.
func generate(ctx context.Context, o *options, all []template) (report, error) {
	lanes := make([]*lane, o.Sockets)
	for i := range lanes {
		c, err := dial(o)
		if err != nil {
			return report{}, err
		}
		defer func() { _ = c.Close() }() // of the last connection, if there were several
		lanes[i] = newLane(o, c, all, i)
	}
	var running sync.WaitGroup
	for _, l := range lanes {
		running.Go(func() { l.run(ctx) })
	}
	running.Wait()
	var sending time.Duration
	for _, l := range lanes {
		sending = max(sending, min(l.now, l.stopAt))
	}
	return newReport(o, lanes, max(sending, time.Nanosecond)), nil
}
