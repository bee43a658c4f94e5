package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sample is one measurement, or the median of several.
type sample struct {
	Rate      float64 // answers per second
	Loss      float64 // share of the queries, 0 to 1
	P50       float64 // latency percentiles in microseconds
	P99       float64
	CPU       float64 // microseconds of the server's CPU time for each answer
	Busy      float64 // share of one core that the server used
	Generator float64 // share of one core that loadgen used
	Memory    float64 // MiB
}

// series are the samples of one server under one workload, one for each slice:
// those of the same index in two series were taken within seconds.
type series []sample

// spread is where figures lie: their median, the quarters of them below and above
// which the others lie, and the extremes.
type spread struct{ median, low, high, least, greatest float64 }

// spreadOf sorts all, which must not be empty.
func spreadOf(all []float64) spread {
	slices.Sort(all)
	n := len(all)
	return spread{(all[(n-1)/2] + all[n/2]) / 2, all[(n-1)/4], all[n-1-(n-1)/4], all[0], all[n-1]}
}

// figure is the spread of one of the figures.
func (s series) figure(of func(*sample) float64) spread {
	all := make([]float64, len(s))
	for i := range s {
		all[i] = of(&s[i])
	}
	return spreadOf(all)
}

// median takes the median of each figure by itself.
func (s series) median() sample {
	of := func(f func(*sample) float64) float64 { return s.figure(f).median }
	return sample{
		of(func(s *sample) float64 { return s.Rate }), of(func(s *sample) float64 { return s.Loss }),
		of(func(s *sample) float64 { return s.P50 }), of(func(s *sample) float64 { return s.P99 }),
		of(cpuPerAnswer), of(func(s *sample) float64 { return s.Busy }),
		of(func(s *sample) float64 { return s.Generator }), of(func(s *sample) float64 { return s.Memory }),
	}
}

func cpuPerAnswer(s *sample) float64 { return s.CPU }

// ratio compares the CPU time for each answer slice by slice, so that a machine
// that changes its speed during the run does so to both. ok is false when one of
// the two has no samples.
func (s series) ratio(to series) (r spread, ok bool) {
	n := min(len(s), len(to))
	if n == 0 {
		return r, false
	}
	all := make([]float64, n)
	for i := range n {
		all[i] = s[i].CPU / to[i].CPU
	}
	return spreadOf(all), true
}

// generated is the part of loadgen's report that counts here.
type generated struct {
	Sent       uint64            `json:"sent"`
	Received   uint64            `json:"received"`
	Lost       uint64            `json:"lost"`
	Loss       float64           `json:"loss"`
	HeldBack   uint64            `json:"held_back"`
	Rate       float64           `json:"rate"`
	Mismatches uint64            `json:"mismatches"`
	Reasons    map[string]uint64 `json:"mismatch_reasons"`
	Latency    struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_us"`
	Errors []string `json:"errors"`

	busy float64 // share of one core that the generator used

	slices int           // measurements that are added up
	cpu    time.Duration // of the server, meanwhile
	own    time.Duration // of this program
	wall   time.Duration // how long it all took
}

// warmUp fills caches and lets connections settle before a measurement.
const warmUp = 100 * time.Millisecond

// pressure is how hard the generator asks.
type pressure struct {
	cpu      int           // core of the generator; -1: any
	length   time.Duration // of a measurement
	sockets  int           // 0: as loadgen likes
	rate     float64       // queries per second; 0: as fast as answers come
	inflight int           // of each socket; 0: as loadgen likes
}

// measure loads the server once. wrong counts the answers that loadgen
// disapproved of, by reason; the server's note may excuse them.
func (s *server) measure(ctx context.Context, p pressure, w *workload, d *dataset, tools string) (got sample, wrong map[string]uint64, err error) {
	warm := p
	warm.length = min(warmUp, p.length)
	if _, err := s.load(ctx, warm, w, d, tools); err != nil {
		return got, nil, err
	}
	before, err := s.clock()
	if err != nil {
		return got, nil, err
	}
	r, err := s.load(ctx, p, w, d, tools)
	if err != nil {
		return got, nil, err
	}
	after, err := s.clock()
	if err != nil {
		return got, nil, err
	}
	perAnswer := float64((after - before).Nanoseconds()) / 1e3 / float64(r.Received)
	return sample{
		Rate: r.Rate, Loss: r.Loss, P50: r.Latency.P50, P99: r.Latency.P99,
		CPU:       perAnswer,
		Busy:      perAnswer * r.Rate / 1e6,
		Generator: r.busy,
		Memory:    float64(s.memory()) / (1 << 20),
	}, r.Reasons, nil
}

// clock is the CPU time that the server has used. When it is pinned, that of its
// core's kernel thread for network packets counts too: under load the kernel moves
// work there that it else does within the server's system calls.
func (s *server) clock() (time.Duration, error) {
	own, err := s.cpuTime()
	return own + softirqTime(s.core), err
}

// load runs the generator. The echo's answers are not judged.
func (s *server) load(ctx context.Context, p pressure, w *workload, d *dataset, tools string) (r generated, err error) {
	args := append([]string{"-server", s.address, "-duration", p.length.String(), "-timeout", "500ms", "-json"}, w.args(d)...)
	if s.judged {
		args = append(args, "-check", "-answers", strconv.Itoa(w.answers), "-authority", strconv.Itoa(w.authority))
	}
	if p.sockets > 0 {
		args = append(args, "-sockets", strconv.Itoa(p.sockets))
	}
	if p.inflight > 0 {
		args = append(args, "-inflight", strconv.Itoa(p.inflight))
	}
	if p.rate > 0 {
		args = append(args, "-rate", strconv.FormatFloat(p.rate, 'f', 0, 64))
	}
	cmd := exec.Command(loadgen(tools), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	if err := startOn(p.cpu, cmd); err != nil {
		return r, fmt.Errorf("starting loadgen: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	failed := cmd.Wait() // 1 also for answers that are wrong: the report says so
	stop()
	if err := ctx.Err(); err != nil {
		return r, err
	}
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		return r, fmt.Errorf("loadgen: %w: %s", failed, strings.TrimSpace(stderr.String()))
	}
	if len(r.Errors) > 0 {
		return r, fmt.Errorf("loadgen: %s", strings.Join(r.Errors, "; "))
	}
	if r.Received == 0 {
		return r, errors.New("no answer at all")
	}
	r.busy = float64(cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()) / float64(time.Since(began))
	return r, nil
}
