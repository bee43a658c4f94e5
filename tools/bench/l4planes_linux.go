package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"gslb/tools/l4bed"
)

// l4Plane is one way from the client to the servers.
type l4Plane struct {
	title   string
	answers l4bed.Return
	target  string
	// start starts what is between, in the balancer's namespace; nil: nothing is.
	start func(b *planeBed) (*process, error)
	bound float64 // of its own cost, as a share of HAProxy's; 0: none

	bed    *planeBed
	note   string
	series []l4Sample // CPU: microseconds of the core for each connection, all in all
}

// planeBed is the namespaces of one way, with what runs in them.
type planeBed struct {
	*l4bed.Site
	o       *options
	tools   string
	dir     string
	servers []func() error
	running *process
}

const (
	planeServers = 3
	planeVirtual = l4bed.VIP4 + ":80"
	planeProxied = l4bed.Balancer4 + ":80"
)

// planes in the order of the page. The first is the limit, the second the peer.
func planes() []*l4Plane {
	gslbPlane := func(listen, lines string) func(*planeBed) (*process, error) {
		return func(b *planeBed) (*process, error) {
			if _, err := gslbBalancer(lines)(b.dir, l4Place{listen: listen, servers: serverAddresses()}); err != nil {
				return nil, err
			}
			return b.inBalancer(filepath.Join(b.tools, "gslb"), "serve", "-config", filepath.Join(b.dir, "gslb.toml"))
		}
	}
	return []*l4Plane{
		{title: "no balancer", answers: l4bed.ByBalancer, target: l4bed.Server4(0) + ":80"},
		{title: "HAProxy", answers: l4bed.ByBalancer, target: planeProxied, start: startHAProxy},
		{title: "gslb, proxy", answers: l4bed.ByBalancer, target: planeProxied, start: gslbPlane(planeProxied, "")},
		{title: "nftables alone (DNAT)", answers: l4bed.ByBalancer, target: planeVirtual, start: startNFTables},
		{title: "gslb, nat", answers: l4bed.ByBalancer, target: planeVirtual, start: gslbPlane(planeVirtual, "plane = \"nat\"\n"), bound: 0.4},
		{title: "gslb, dsr by nftables", answers: l4bed.ByRouter, target: planeVirtual, start: gslbPlane(planeVirtual, "plane = \"dsr\"\nmode = \"nft\"\n"), bound: 0.25},
		{title: "gslb, dsr by tcx", answers: l4bed.ByRouter, target: planeVirtual, start: gslbPlane(planeVirtual, "plane = \"dsr\"\nmode = \"tcx\"\n"), bound: 0.25},
	}
}

func serverAddresses() (all []string) {
	for i := range planeServers {
		all = append(all, l4bed.Server4(i)+":80")
	}
	return all
}

// inBalancer starts a program in the balancer's namespace.
func (b *planeBed) inBalancer(words ...string) (*process, error) {
	words = l4bed.Exec(b.Balancer, words...)
	path, ok := findBinary(words[0])
	if !ok {
		return nil, fmt.Errorf("%s is not installed", words[0])
	}
	return startProcess(b.o.ServerCPU, b.dir, path, words[1:]...)
}

func startHAProxy(b *planeBed) (*process, error) {
	path, ok := findBinary("haproxy")
	if !ok {
		return nil, errors.New("is not installed")
	}
	args, err := haproxyConfig("")(b.dir, l4Place{listen: planeProxied, servers: serverAddresses()})
	if err != nil {
		return nil, err
	}
	return b.inBalancer(append([]string{path}, args...)...)
}

// startNFTables has the kernel do by hand what the plane nat has it do.
func startNFTables(b *planeBed) (*process, error) {
	path, ok := findBinary("nft")
	if !ok {
		return nil, errors.New("nft is not installed")
	}
	var to []string
	for i := range planeServers {
		to = append(to, fmt.Sprintf("%d : %s", i, l4bed.Server4(i)))
	}
	rules := fmt.Sprintf("table ip bench {\n chain in {\n  type nat hook prerouting priority dstnat\n  ip daddr %s tcp dport 80 dnat to numgen inc mod %d map { %s }\n }\n}\n", l4bed.VIP4, planeServers, strings.Join(to, ", "))
	file := filepath.Join(b.dir, "rules.nft")
	if err := os.WriteFile(file, []byte(rules), 0o644); err != nil {
		return nil, err
	}
	p, err := b.inBalancer(path, "-f", file)
	if err != nil {
		return nil, err
	}
	<-p.done
	if !p.cmd.ProcessState.Success() {
		return nil, fmt.Errorf("nft: %s", p.lastWords())
	}
	return nil, nil
}

// open makes the namespaces and starts everything in them.
func (p *l4Plane) open(ctx context.Context, o *options, tools string) (err error) {
	dir, err := os.MkdirTemp(tools, "plane-")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // HAProxy may drop privileges
		return err
	}
	site, err := l4bed.New(planeServers, p.answers)
	if err != nil {
		return err
	}
	p.bed = &planeBed{Site: site, o: o, tools: tools, dir: dir}
	for _, ns := range site.Servers {
		words := l4bed.Exec(ns, filepath.Join(tools, "connload"), "-mode", "short", "-serve", "0.0.0.0:80")
		end, err := startReady(ctx, o.ServerCPU, words[0], words[1:]...)
		if err != nil {
			return err
		}
		p.bed.servers = append(p.bed.servers, end)
	}
	if p.start != nil {
		if err := site.Forward(site.Balancer); err != nil {
			return err
		}
		if p.bed.running, err = p.start(p.bed); err != nil {
			return err
		}
	}
	return p.answersNow(ctx)
}

// answersNow waits until a connection gets through.
func (p *l4Plane) answersNow(ctx context.Context) error {
	for end := time.Now().Add(30 * time.Second); ; {
		err := l4bed.Within(p.bed.Client, func() error {
			conn, err := net.DialTimeout("tcp", p.target, time.Second)
			if err == nil {
				conn.Close()
			}
			return err
		})
		switch {
		case err == nil:
			return nil
		case p.bed.running != nil && p.bed.running.ended():
			return fmt.Errorf("ended while starting: %s", p.bed.running.lastWords())
		case time.Now().After(end) || ctx.Err() != nil:
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (p *l4Plane) close() {
	if p.bed == nil {
		return
	}
	if p.bed.running != nil {
		p.bed.running.stop()
	}
	for _, end := range p.bed.servers {
		_ = end()
	}
	if err := p.bed.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	p.bed = nil
}

// slice measures once.
func (p *l4Plane) slice(ctx context.Context, o *options, tools string) (l4Sample, error) {
	w := &l4Workload{mode: "short", conns: 32}
	words := l4bed.Exec(p.bed.Client, filepath.Join(tools, "connload"))
	r, err := connloadBy(ctx, o.ServerCPU, words, o.duration(), w, p.target, nil)
	if err != nil {
		return l4Sample{}, err
	}
	rate := float64(r.Done) / r.Seconds
	return l4Sample{CPU: 1e6 / rate, Rate: rate}, nil
}

// comparePlanes measures what a connection costs on its way, with everything on one core.
func comparePlanes(ctx context.Context, o *options, dir string, progress io.Writer) (part string, plots map[string]string, err error) {
	if os.Geteuid() != 0 {
		return "", nil, errors.New("network namespaces need root")
	}
	// What is started ends with the thread that started it, and l4bed.Within ends threads.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began, machine := time.Now(), thisMachine()
	all := planes()
	defer func() {
		for _, p := range all {
			p.close()
		}
	}()
	for _, p := range all {
		if err := p.open(ctx, o, dir); err != nil {
			if ctx.Err() != nil {
				return "", nil, ctx.Err()
			}
			p.close()
			p.note = "is left out: " + err.Error()
			fmt.Fprintf(progress, "%s %s\n", p.title, p.note)
		}
	}
	for round := range o.Repeat * o.Rounds {
		for i := range all {
			p := all[(i+round)%len(all)]
			if p.bed == nil {
				continue
			}
			got, err := p.slice(ctx, o, dir)
			if ctx.Err() != nil {
				return "", nil, ctx.Err()
			}
			if err != nil {
				p.close()
				p.note, p.series = "is left out: "+err.Error(), nil
				fmt.Fprintf(progress, "%s %s\n", p.title, p.note)
				continue
			}
			p.series = append(p.series, got)
			fmt.Fprintf(progress, "%-24s %7.0f connections/s, %6.1f µs of the core each\n", p.title, got.Rate, got.CPU)
		}
	}
	machine.loadAfter = loadAverage()
	return planesPage(ctx, o, began, &machine, all, dir), nil, nil
}

// own is what a plane adds to a connection without a balancer, slice by slice.
func (p *l4Plane) own(direct *l4Plane) (all []l4Sample) {
	for i := range min(len(p.series), len(direct.series)) {
		all = append(all, l4Sample{CPU: p.series[i].CPU - direct.series[i].CPU})
	}
	return all
}

func planesPage(ctx context.Context, o *options, began time.Time, m *machine, all []*l4Plane, tools string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## The planes of the L4 tier, on the wire\n\n```sh\n%s\n```\n\n", o.commandLine())
	var found []*contestant
	for _, p := range []*l4Peer{&l4Peers[0], &l4Peers[slices.IndexFunc(l4Peers, func(p l4Peer) bool { return p.name == "haproxy" })]} {
		path, _ := p.path(tools)
		found = append(found, &contestant{title: p.title, version: p.versionOf(ctx, path)})
	}
	b.WriteString(conditions(began, m, found, nil))
	b.WriteString("| way | connections/s | µs of the core/connection | of these its own | × HAProxy's own | middle half | aim |\n|---|--:|--:|--:|--:|--:|---|\n")
	direct, peer := all[0], all[1]
	for _, p := range all {
		if len(p.series) == 0 {
			continue
		}
		rate := l4Figure(p.series, func(s *l4Sample) float64 { return s.Rate }).median
		whole := l4Figure(p.series, l4CPU).median
		own, ratio, middle, aim := "–", "–", "–", ""
		if mine := p.own(direct); p != direct && len(mine) > 0 {
			own = fmt.Sprintf("%.1f", l4Figure(slices.Clone(mine), l4CPU).median)
			if r, ok := l4Ratio(mine, peer.own(direct), l4CPU); ok && p != peer {
				ratio, middle = fmt.Sprintf("%.2f", r.median), fmt.Sprintf("%.2f to %.2f", r.low, r.high)
				if p.bound > 0 {
					aim = fmt.Sprintf("at most %.2f: met", p.bound)
					if r.median > p.bound {
						aim = fmt.Sprintf("at most %.2f: **missed**", p.bound)
					}
				}
			}
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.1f | %s | %s | %s | %s |\n", p.title, rate, whole, own, ratio, middle, aim)
	}
	for _, p := range all {
		if p.note != "" {
			fmt.Fprintf(&b, "\n%s %s.\n", p.title, p.note)
		}
	}
	fmt.Fprintf(&b, `
- A client, a router, the balancer and %d servers are network namespaces, connected by veth pairs (tools/l4bed). All that runs is pinned to core %d, which is busy all the time, and the kernel's work for the packets is done there as well: so one second
  over the connections in it is what all of it costs, whoever does it. Without a balancer the client connects to a server by way of the router.
- *Its own* is the difference to that, slice by slice: the balancer, and two more hops of veth pairs. Where answers go past the balancer (dsr) it has half of the packets.
- A connection is connect, 100 octets there, 200 back, closed by the server; 32 at once. %d slices of %v s for each way, in turn; ratios are taken slice by slice, and are medians.
`, planeServers, o.ServerCPU, o.Repeat*o.Rounds, o.Seconds)
	return b.String()
}
