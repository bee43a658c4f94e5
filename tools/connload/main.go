// Connload loads a layer 4 balancer: it plays the clients and, in the same event
// loop on one core, the servers behind it.
//
//	connload -serve 127.0.0.1:8001,127.0.0.1:8002 -target 127.0.0.1:8000 -mode short -duration 1s
//
// What a balancer costs is measured best when all else costs little: one thread,
// one epoll set, no allocation while it runs, and both ends in one process, so
// that nothing but the balancer is woken for a byte. The servers know nothing of
// the balancer; each mode is a small protocol:
//
//	short  a connection for each request: the client sends 100 octets, the server answers 200 and closes
//	kept   such requests one after the other on connections that stay
//	down   the server sends without end, and the client throws away
//	up     the other way round
//	idle   connections that were asked once and stay; it prints "ready" and waits for the end of its input
//	udp    datagrams of 60 octets, each sent back
//
// With -rate requests begin at that pace, whatever the answers do (an open
// loop), and latency counts from when a request was due.
//
// The report goes to standard output as JSON. The exit code is 0, 1 when
// something failed, 2 for a bad command line. Linux only.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The modes.
const (
	modeShort = "short"
	modeKept  = "kept"
	modeDown  = "down"
	modeUp    = "up"
	modeIdle  = "idle"
	modeUDP   = "udp"
)

var modes = []string{modeShort, modeKept, modeDown, modeUp, modeIdle, modeUDP}

// options is the command line, checked.
type options struct {
	mode     string
	target   netip.AddrPort
	serve    []netip.AddrPort
	conns    int
	duration time.Duration
	warm     time.Duration
	rate     float64 // requests per second; 0: as fast as answers come
}

func main() {
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "connload: %v\n", err)
		return 2
	}
	r, err := load(o, stdin, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "connload: %v\n", err)
		return 1
	}
	if r != nil {
		if err := json.NewEncoder(stdout).Encode(r); err != nil {
			fmt.Fprintf(stderr, "connload: %v\n", err)
			return 1
		}
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var target, serve string
	fs := flag.NewFlagSet("connload", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.mode, "mode", modeShort, "one of `"+strings.Join(modes, ", ")+"`")
	fs.StringVar(&target, "target", "", "`address` and port that the clients connect to; none: servers only, until the end of the input")
	fs.StringVar(&serve, "serve", "", "`addresses` and ports to serve at, with commas between")
	fs.IntVar(&o.conns, "conns", 32, "`number` of connections at once (udp: of clients)")
	fs.DurationVar(&o.duration, "duration", time.Second, "`time` that is measured")
	fs.DurationVar(&o.warm, "warm", 100*time.Millisecond, "`time` of load before that, not counted")
	fs.Float64Var(&o.rate, "rate", 0, "requests per second, begun in time (mode kept); 0: as fast as answers come")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	var errs []error
	if !slices.Contains(modes, o.mode) {
		errs = append(errs, fmt.Errorf("-mode %q: must be one of %s", o.mode, strings.Join(modes, ", ")))
	}
	var err error
	if target != "" {
		if o.target, err = netip.ParseAddrPort(target); err != nil {
			errs = append(errs, fmt.Errorf("-target: %w", err))
		}
	}
	for s := range strings.SplitSeq(serve, ",") {
		if s == "" {
			continue
		}
		at, err := netip.ParseAddrPort(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("-serve: %w", err))
		}
		o.serve = append(o.serve, at)
	}
	switch {
	case target == "" && len(o.serve) == 0:
		errs = append(errs, errors.New("-target or -serve must be given"))
	case o.conns < 1 || o.conns > 1<<20:
		errs = append(errs, fmt.Errorf("-conns %d: must be 1 to %d", o.conns, 1<<20))
	case o.duration <= 0 || o.warm < 0:
		errs = append(errs, errors.New("-duration must be above 0, and -warm not below"))
	case o.rate < 0 || o.rate > 0 && o.mode != modeKept:
		errs = append(errs, errors.New("-rate is for the mode kept, and not below 0"))
	}
	return o, errors.Join(errs...)
}

// report is what was seen in the time that counts.
type report struct {
	Mode    string  `json:"mode"`
	Seconds float64 `json:"seconds"`
	Done    uint64  `json:"done"`   // requests answered, or connections open (idle)
	Octets  uint64  `json:"octets"` // received by the clients (up: by the servers)
	Failed  uint64  `json:"failed"` // requests or connections that failed
	Rate    float64 `json:"rate"`   // Done per second
	Latency struct {
		P50  float64 `json:"p50"`
		P90  float64 `json:"p90"`
		P99  float64 `json:"p99"`
		P999 float64 `json:"p999"`
		Max  float64 `json:"max"`
	} `json:"latency_us"`
	Servers []uint64          `json:"servers"` // connections (udp: datagrams) that each address got
	Reasons map[string]uint64 `json:"failures,omitempty"`
}
