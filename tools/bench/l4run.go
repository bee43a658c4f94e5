package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"
)

// l4Contestant is a balancer that takes part.
type l4Contestant struct {
	*l4Peer // nil: the servers by themselves
	title   string
	version string
	path    string
	note    string
	running *process
	at      l4Place
	series  map[string][]l4Sample // by workload
	faults  map[string]string     // by workload
}

// l4Comparison is one whole run.
type l4Comparison struct {
	options     *options
	began       time.Time
	machine     machine
	contestants []*l4Contestant
	workloads   []l4Workload
	missing     []string
	servers     []string // addresses
}

// l4Servers is the number of servers behind each balancer.
const l4Servers = 4

// compareBalancers measures gslb's L4 tier beside others.
func compareBalancers(ctx context.Context, o *options, dir string, progress io.Writer) (part string, plots map[string]string, err error) {
	c := &l4Comparison{options: o, began: time.Now(), machine: thisMachine()}
	for i := range l4Workloads {
		if slices.Contains(o.Workloads, l4Workloads[i].name) {
			c.workloads = append(c.workloads, l4Workloads[i])
		}
	}
	c.find(ctx, dir, progress)
	for range l4Servers {
		port, err := freePort()
		if err != nil {
			return "", nil, err
		}
		c.servers = append(c.servers, fmt.Sprintf("127.0.0.1:%d", port))
	}
	for repeat := range o.Repeat {
		if err := c.repeat(ctx, repeat, dir, progress); err != nil {
			return "", nil, err
		}
	}
	c.machine.loadAfter = loadAverage()
	return c.page(), c.plots(), nil
}

// find fills the list of who takes part.
func (c *l4Comparison) find(ctx context.Context, dir string, progress io.Writer) {
	add := func(p *l4Peer, title, version, path string) {
		c.contestants = append(c.contestants, &l4Contestant{l4Peer: p, title: title, version: version, path: path, series: map[string][]l4Sample{}, faults: map[string]string{}})
	}
	add(nil, "servers alone", "the limit: no balancer", "")
	for i := range l4Peers {
		p := &l4Peers[i]
		if !slices.Contains(c.options.Servers, p.name) {
			continue
		}
		path, ok := p.path(dir)
		if !ok {
			c.missing = append(c.missing, p.title)
			fmt.Fprintf(progress, "left out: %s, which is not installed (%s)\n", p.title, p.origin)
			continue
		}
		add(p, p.title, p.versionOf(ctx, path), path)
	}
}

// repeat starts all balancers, and measures them in turn.
func (c *l4Comparison) repeat(ctx context.Context, number int, dir string, progress io.Writer) error {
	defer func() {
		for _, who := range c.contestants {
			if who.running != nil {
				who.running.stop()
				who.running = nil
			}
		}
	}()
	for _, who := range c.contestants {
		if who.l4Peer == nil || who.note != "" {
			continue
		}
		if err := who.start(ctx, c.options, dir, c.servers); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			who.note = "is left out: " + err.Error()
			fmt.Fprintf(progress, "%s %s\n", who.title, who.note)
		}
	}
	// Idle memory first, as long as no balancer has grown by anything else.
	order := slices.Clone(c.workloads)
	slices.SortStableFunc(order, func(a, b l4Workload) int { return btoi(b.mode == "idle") - btoi(a.mode == "idle") })
	for round := range c.options.Rounds {
		for i := range order {
			w := &order[i]
			if w.mode == "idle" && round > 0 {
				continue
			}
			for j := range c.contestants {
				who := c.contestants[(j+round+number)%len(c.contestants)]
				if err := c.slice(ctx, w, who, dir, progress); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// slice measures one balancer under one workload, once.
func (c *l4Comparison) slice(ctx context.Context, w *l4Workload, who *l4Contestant, dir string, progress io.Writer) error {
	target := who.at.listen
	if w.udp {
		target = who.at.datagrams
	}
	switch {
	case who.note != "" || who.faults[w.name] != "":
		return nil
	case who.l4Peer == nil && w.mode == "idle":
		who.faults[w.name] = "is no balancer"
		return nil
	case who.l4Peer == nil:
		target = c.servers[0]
	case w.udp && !who.udp:
		who.faults[w.name] = "has no UDP"
		return nil
	}
	got, err := w.measure(ctx, c.options, dir, target, c.servers, who.running)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		who.faults[w.name] = err.Error()
		delete(who.series, w.name)
		fmt.Fprintf(progress, "%-18s %-8s %v\n", who.title, w.name, err)
		return nil
	}
	who.series[w.name] = append(who.series[w.name], got)
	fmt.Fprintf(progress, "%-18s %-8s CPU %8.3f, rate %10.0f, p50 %6.0f p99 %6.0f µs, %5.0f octets\n", who.title, w.name, got.CPU, got.Rate, got.P50, got.P99, got.Memory)
	return nil
}

// start configures and starts the balancer, and waits until it listens.
func (who *l4Contestant) start(ctx context.Context, o *options, dir string, servers []string) error {
	own, err := os.MkdirTemp(dir, "balancer-")
	if err != nil {
		return err
	}
	if err := os.Chmod(own, 0o755); err != nil { // it may drop privileges
		return err
	}
	tcp, err1 := freePort()
	udp, err2 := freePort()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	who.at = l4Place{listen: fmt.Sprintf("127.0.0.1:%d", tcp), servers: servers}
	if who.udp {
		who.at.datagrams = fmt.Sprintf("127.0.0.1:%d", udp)
	}
	args, err := who.configure(own, who.at)
	if err != nil {
		return err
	}
	if who.running, err = startProcess(o.ServerCPU, own, who.path, args...); err != nil {
		return err
	}
	if err := who.listens(ctx); err != nil {
		who.running.stop()
		who.running = nil
		return err
	}
	return nil
}

// listens waits until the balancer takes connections.
func (who *l4Contestant) listens(ctx context.Context) error {
	for end := time.Now().Add(time.Minute); ; {
		conn, err := net.DialTimeout("tcp", who.at.listen, time.Second)
		if err == nil {
			return conn.Close()
		}
		if who.running.ended() {
			return fmt.Errorf("ended while starting: %s", who.running.lastWords())
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("does not listen: %w: %s", err, who.running.lastWords())
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}
