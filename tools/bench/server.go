package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// contestant is a server that takes part, or an echo.
type contestant struct {
	title   string
	version string
	path    string
	peer    *peer             // nil: an echo
	echo    []string          // arguments of an echo; ADDRESS stands for where it listens
	can     abilities         // of the peer, less what it failed to start with
	note    string            // for the page
	faults  map[string]string // by workload: why it was not measured
}

// isEcho tells the limit rows from servers.
func (c *contestant) isEcho() bool { return c.peer == nil }

// everything is what an echo can.
var everything = abilities{true, true, true, true, true}

// server is a contestant that runs.
type server struct {
	*process
	address string        // host:port
	judged  bool          // answers must be right: not so those of the echo
	loading time.Duration // CPU time until the first answer
}

// job is how a server is to be started.
type job struct {
	cpu     int           // core; -1: any
	workers int           // threads or processes for UDP
	needs   abilities     // of the workloads to come
	within  time.Duration // until it answers
}

// lastResorts are what a server that does not start is tried without, in turn.
var lastResorts = []struct {
	without string
	drop    func(a *abilities)
}{
	{"the signed zone", func(a *abilities) { a.signed = false }},
	{"the name by operator", func(a *abilities) { a.operator = false }},
	{"the steered name", func(a *abilities) { a.steer, a.ecs = false, false }},
}

// begin starts the contestant with all that is needed and it can; what it fails to
// start with is left out, and said in its note.
func (c *contestant) begin(ctx context.Context, j job, d *dataset, dir string) (*server, error) {
	s, err := c.start(ctx, j, d, dir)
	for _, last := range lastResorts {
		if err == nil || ctx.Err() != nil || c.isEcho() {
			break
		}
		before := c.can.both(j.needs)
		last.drop(&c.can)
		if c.can.both(j.needs) == before {
			continue
		}
		c.note = fmt.Sprintf("does not start with %s: %v", last.without, err)
		s, err = c.start(ctx, j, d, dir)
	}
	return s, err
}

// start configures and starts c in a directory below dir and waits until it answers.
func (c *contestant) start(ctx context.Context, j job, d *dataset, dir string) (*server, error) {
	own, err := os.MkdirTemp(dir, "server-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(own, 0o755); err != nil { // it may drop privileges
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{address: fmt.Sprintf("127.0.0.1:%d", port), judged: !c.isEcho()}
	args := slices.Clone(c.echo)
	for i, a := range args {
		args[i] = strings.NewReplacer("ADDRESS", s.address, "PORT", fmt.Sprint(port)).Replace(a)
	}
	if !c.isEcho() {
		if args, err = c.peer.configure(&setup{dir: own, port: port, with: c.can.both(j.needs), workers: j.workers, data: d}); err != nil {
			return nil, err
		}
	}
	if s.process, err = startProcess(j.cpu, own, c.path, args...); err != nil {
		return nil, err
	}
	if err := s.waitReady(ctx, j.within, d); err != nil {
		s.stop()
		return nil, err
	}
	s.loading, err = s.cpuTime()
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// waitReady polls until the server answers for all of its zones.
func (s *server) waitReady(ctx context.Context, within time.Duration, d *dataset) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	client := dns.Client{Timeout: 200 * time.Millisecond}
	left := d.probes()
	for {
		for len(left) > 0 {
			m, _, err := client.ExchangeContext(ctx, new(dns.Msg).SetQuestion(left[0], dns.TypeA), s.address)
			if err != nil || m.Rcode != dns.RcodeSuccess {
				break
			}
			left = left[1:]
		}
		if len(left) == 0 {
			return nil
		}
		if s.ended() {
			return fmt.Errorf("ended while starting: %s", s.lastWords())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w: %s", ctx.Err(), s.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// settle waits until the server has done with what it does behind its first
// answers, such as giving memory back: until it uses next to no CPU time.
func (s *server) settle(ctx context.Context) error {
	const pause, idle = 300 * time.Millisecond, 10 * time.Millisecond
	before, err := s.cpuTime()
	for deadline := time.Now().Add(time.Minute); err == nil && time.Now().Before(deadline); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		var now time.Duration
		if now, err = s.cpuTime(); now-before < idle {
			break
		}
		before = now
	}
	return err
}

// freePort finds a port of loopback that is free for both UDP and TCP, from below
// those that connections get, of which many are made before somebody listens.
func freePort() (port int, err error) {
	for range 100 {
		port = 12000 + rand.N(19000)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		l, err1 := net.Listen("tcp", address)
		c, err2 := net.ListenPacket("udp", address)
		if err1 == nil {
			l.Close()
		}
		if err2 == nil {
			c.Close()
		}
		if err = errors.Join(err1, err2); err == nil {
			return port, nil
		}
	}
	return 0, err
}

// loadgen is the generator's binary among the tools.
func loadgen(tools string) string { return filepath.Join(tools, "loadgen") }
