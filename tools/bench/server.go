package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/miekg/dns"
)

// echoCommand is how this program starts itself as the limit row.
const echoCommand = "echo"

// contestant is a server that takes part, or the echo.
type contestant struct {
	title   string
	version string
	path    string
	peer    *peer // nil: the echo
	can     abilities
	steer   bool              // false once it failed to start with the steered name
	note    string            // for the page
	faults  map[string]string // by workload: why it was not measured
}

// server is a contestant that runs.
type server struct {
	*process
	address string // host:port
	judged  bool   // answers must be right: not so those of the echo
}

// start configures and starts c in a directory below dir and waits until it answers.
func (c *contestant) start(ctx context.Context, o *options, d *dataset, dir string) (*server, error) {
	own, err := os.MkdirTemp(dir, "server-")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{address: fmt.Sprintf("127.0.0.1:%d", port), judged: c.peer != nil}
	args := []string{echoCommand, s.address}
	if c.peer != nil {
		if args, err = c.peer.configure(&setup{dir: own, port: port, steer: c.steer, data: d}); err != nil {
			return nil, err
		}
	}
	if s.process, err = startProcess(o.ServerCPU, own, c.path, args...); err != nil {
		return nil, err
	}
	if err := s.waitReady(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// waitReady polls until the server answers for its zones. A minute is for the
// servers that read a large database on a busy machine.
func (s *server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client := dns.Client{Timeout: 200 * time.Millisecond}
	for {
		m, _, err := client.ExchangeContext(ctx, new(dns.Msg).SetQuestion(staticName(0), dns.TypeA), s.address)
		if err == nil && m.Rcode == dns.RcodeSuccess {
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

// freePort finds a port that is free for both UDP and TCP now.
func freePort() (int, error) {
	for range 20 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenPacket("udp4", l.Addr().String())
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return port, nil
		}
	}
	return 0, errors.New("no port of 127.0.0.1 is free for both UDP and TCP")
}

// contestants are the echo and the peers of o that are there; missing are the
// titles of the others.
func contestants(ctx context.Context, o *options, tools string) (found []*contestant, missing []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	found = append(found, &contestant{title: "echo", version: "the limit in Go: no DNS at all", path: self, can: abilities{steer: true, ecs: true}, faults: map[string]string{}})
	for _, name := range o.Servers {
		for i := range peers {
			p := &peers[i]
			if p.name != name {
				continue
			}
			path, ok := p.path(tools)
			if !ok {
				missing = append(missing, p.title)
				continue
			}
			found = append(found, &contestant{
				title: p.title, version: p.versionOf(ctx, path), path: path, peer: p, can: p.can, steer: p.can.steer, faults: map[string]string{},
			})
		}
	}
	return found, missing, nil
}

// loadgen is the generator's binary among the tools.
func loadgen(tools string) string { return filepath.Join(tools, "loadgen") }
