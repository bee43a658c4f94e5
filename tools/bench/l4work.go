package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// l4Workload is one way to load a balancer.
type l4Workload struct {
	name, title, about string
	mode               string  // of connload
	conns              int     // at once
	rate               float64 // requests per second; 0: as fast as answers come
	perByte            bool    // CPU is told for each gigabyte, not for each request
	udp                bool
	against            string // peer that the ratio is to
	aim                string
	bound              float64 // of the ratio; 0: none
}

// l4Idle is the number of idle connections: what a hard limit of 20,000
// descriptors, two for each connection, leaves room for.
const l4Idle = 9800

var l4Workloads = []l4Workload{
	{name: "short", title: "A connection for each request", mode: "short", conns: 32, against: "haproxy", bound: 1.05,
		about: "32 at once: connect, 100 octets there, 200 back, closed by the server.", aim: "at most 1.05 of HAProxy"},
	{name: "kept", title: "Requests over connections that stay", mode: "kept", conns: 32, against: "haproxy", bound: 1.05,
		about: "32 connections, each with one request after the other.", aim: "at most 1.05 of HAProxy"},
	{name: "down", title: "Bulk from the servers", mode: "down", conns: 8, perByte: true, against: "haproxy", bound: 0.6,
		about: "Eight connections over which the servers send without end.", aim: "at most 0.6 of HAProxy, 1.0 of HAProxy when it splices"},
	{name: "up", title: "Bulk to the servers", mode: "up", conns: 8, perByte: true, against: "haproxy", bound: 0.6,
		about: "Eight connections over which the clients send without end.", aim: "at most 0.6 of HAProxy, 1.0 of HAProxy when it splices"},
	{name: "udp", title: "Datagrams", mode: "udp", conns: 64, udp: true, against: "nginx", bound: 1 / 1.5,
		about: "64 clients with eight datagrams of 60 octets each outstanding, each sent back by its server: one of these is a pair.", aim: "1.5 times the pairs of nginx stream for the same CPU time: at most 0.67"},
	{name: "latency", title: "Latency at a low rate", mode: "kept", conns: 16, rate: 2000,
		about: "2000 requests per second over 16 connections, begun in time whatever the answers do."},
	{name: "idle", title: "Idle connections", mode: "idle", conns: l4Idle, against: "haproxy", bound: 1,
		about: "9,800 connections, each asked once.", aim: "at most HAProxy's"},
}

func l4WorkloadNames() []string {
	var names []string
	for i := range l4Workloads {
		names = append(names, l4Workloads[i].name)
	}
	return names
}

// l4Sample is one measurement.
type l4Sample struct {
	CPU    float64 // microseconds for each request or datagram, seconds for each GB
	Rate   float64 // requests, or octets, per second
	P50    float64 // microseconds
	P99    float64
	P999   float64
	Memory float64 // octets for each idle connection
	Failed uint64
}

// connected is what connload reports.
type connected struct {
	Done    uint64            `json:"done"`
	Octets  uint64            `json:"octets"`
	Failed  uint64            `json:"failed"`
	Seconds float64           `json:"seconds"`
	Reasons map[string]uint64 `json:"failures"`
	Latency struct {
		P50  float64 `json:"p50"`
		P99  float64 `json:"p99"`
		P999 float64 `json:"p999"`
	} `json:"latency_us"`
}

// connload runs the generator against target, with its servers.
func connload(ctx context.Context, o *options, w *l4Workload, tools, target string, servers []string) (connected, error) {
	return connloadBy(ctx, o.LoadCPU, []string{filepath.Join(tools, "connload")}, o.duration(), w, target, servers)
}

// connloadBy does so by the words that start it, on a core.
func connloadBy(ctx context.Context, cpu int, words []string, length time.Duration, w *l4Workload, target string, servers []string) (r connected, err error) {
	args := append(words[1:len(words):len(words)], "-mode", w.mode, "-conns", strconv.Itoa(w.conns), "-duration", length.String(), "-warm", min(warmUp, length).String(), "-target", target)
	if len(servers) > 0 {
		args = append(args, "-serve", strings.Join(servers, ","))
	}
	if w.rate > 0 {
		args = append(args, "-rate", strconv.FormatFloat(w.rate, 'f', 0, 64))
	}
	cmd := exec.Command(words[0], args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := startOn(cpu, cmd); err != nil {
		return r, fmt.Errorf("starting connload: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	failed := cmd.Wait()
	stop()
	switch {
	case ctx.Err() != nil:
		return r, ctx.Err()
	case failed != nil:
		return r, fmt.Errorf("connload: %w: %s", failed, strings.TrimSpace(stderr.String()))
	}
	if err := json.Unmarshal([]byte(stdout.String()), &r); err != nil {
		return r, fmt.Errorf("connload: %w: %s", err, stdout.String())
	}
	if r.Done == 0 && r.Octets == 0 {
		return r, fmt.Errorf("nothing came through: %v", r.Reasons)
	}
	if w.mode != "udp" && r.Failed > 0 {
		return r, fmt.Errorf("%d failures: %v", r.Failed, r.Reasons)
	}
	return r, nil
}

// measure loads a balancer once; p is nil for the servers by themselves.
func (w *l4Workload) measure(ctx context.Context, o *options, tools, target string, servers []string, p *process) (got l4Sample, err error) {
	clock := func() time.Duration { return 0 }
	var faults []error
	if p != nil {
		clock = func() time.Duration {
			own, err := p.cpuTime()
			faults = append(faults, err)
			return own + softirqTime(p.core)
		}
	}
	if w.mode == "idle" {
		return w.measureIdle(ctx, o, tools, target, servers, p)
	}
	before := clock()
	r, err := connload(ctx, o, w, tools, target, servers)
	after := clock()
	if err := errors.Join(append(faults, err)...); err != nil {
		return got, err
	}
	// The warm-up is work as well, and as hard: its share of the time is taken off.
	share := r.Seconds / (r.Seconds + min(warmUp, o.duration()).Seconds())
	cpu := float64((after - before).Nanoseconds()) / 1e3 * share
	got = l4Sample{P50: r.Latency.P50, P99: r.Latency.P99, P999: r.Latency.P999, Failed: r.Failed}
	if w.perByte {
		got.CPU, got.Rate = cpu/1e6/(float64(r.Octets)/1e9), float64(r.Octets)/r.Seconds
	} else {
		got.CPU, got.Rate = cpu/float64(r.Done), float64(r.Done)/r.Seconds
	}
	return got, nil
}

// measureIdle opens connections and looks at what the balancer's memory grew by.
func (w *l4Workload) measureIdle(ctx context.Context, o *options, tools, target string, servers []string, p *process) (got l4Sample, err error) {
	if p == nil {
		return got, errors.New("there is no balancer to look at")
	}
	behind, err := startReady(ctx, o.LoadCPU, filepath.Join(tools, "connload"), "-mode", w.mode, "-conns", strconv.Itoa(w.conns), "-serve", strings.Join(servers, ","))
	if err != nil {
		return got, err
	}
	before := p.memory()
	clients, err := startReady(ctx, o.LoadCPU, filepath.Join(tools, "connload"), "-mode", w.mode, "-conns", strconv.Itoa(w.conns), "-target", target)
	if err != nil {
		return got, errors.Join(err, behind())
	}
	time.Sleep(500 * time.Millisecond) // what the last requests took is given back
	after := p.memory()
	return l4Sample{Memory: float64(after-before) / float64(w.conns)}, errors.Join(clients(), behind())
}

// startReady starts a program that says when it is ready and ends with its input:
// the function that it returns ends it.
func startReady(ctx context.Context, cpu int, path string, args ...string) (end func() error, err error) {
	cmd := exec.Command(path, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := startOn(cpu, cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	end = func() error {
		_ = stdin.Close()
		err := cmd.Wait()
		stop()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", path, err, strings.TrimSpace(stderr.String()))
		}
		return nil
	}
	var ready [1]byte
	if _, err := stdout.Read(ready[:]); err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}
