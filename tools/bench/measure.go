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
	Rate   float64 // answers per second
	Loss   float64 // share of the queries, 0 to 1
	P50    float64 // latency percentiles in microseconds
	P99    float64
	CPU    float64 // microseconds of the server's CPU time for each answer
	Busy   float64 // share of one core that the server used
	Memory float64 // MiB
}

// series are the samples of one server under one workload.
type series []sample

// figure is the median of one of the figures, with the least and the greatest.
func (s series) figure(of func(*sample) float64) (median, least, greatest float64) {
	all := make([]float64, len(s))
	for i := range s {
		all[i] = of(&s[i])
	}
	slices.Sort(all)
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2, all[0], all[n-1]
}

// median takes the median of each figure by itself.
func (s series) median() sample {
	of := func(f func(*sample) float64) float64 {
		m, _, _ := s.figure(f)
		return m
	}
	return sample{
		of(func(s *sample) float64 { return s.Rate }), of(func(s *sample) float64 { return s.Loss }),
		of(func(s *sample) float64 { return s.P50 }), of(func(s *sample) float64 { return s.P99 }),
		of(func(s *sample) float64 { return s.CPU }), of(func(s *sample) float64 { return s.Busy }),
		of(func(s *sample) float64 { return s.Memory }),
	}
}

// generated is the part of loadgen's report that counts here.
type generated struct {
	Received uint64            `json:"received"`
	Loss     float64           `json:"loss"`
	Rate     float64           `json:"rate"`
	Reasons  map[string]uint64 `json:"mismatch_reasons"`
	Latency  struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_us"`
	Errors []string `json:"errors"`
}

// warmUp fills caches and lets connections settle before a measurement.
const warmUp = 200 * time.Millisecond

// measure loads the server once. wrong counts the answers that loadgen
// disapproved of, by reason; the server's note may excuse them.
func (s *server) measure(ctx context.Context, o *options, w *workload, d *dataset, tools string) (got sample, wrong map[string]uint64, err error) {
	if _, err := s.load(ctx, o, w, d, tools, min(warmUp, o.duration())); err != nil {
		return got, nil, err
	}
	before, _, err := s.usage()
	if err != nil {
		return got, nil, err
	}
	r, err := s.load(ctx, o, w, d, tools, o.duration())
	if err != nil {
		return got, nil, err
	}
	after, memory, err := s.usage()
	if err != nil {
		return got, nil, err
	}
	perAnswer := float64((after - before).Nanoseconds()) / 1e3 / float64(r.Received)
	return sample{
		Rate: r.Rate, Loss: r.Loss, P50: r.Latency.P50, P99: r.Latency.P99,
		CPU:    perAnswer,
		Busy:   perAnswer * r.Rate / 1e6,
		Memory: float64(memory) / (1 << 20),
	}, r.Reasons, nil
}

// load runs the generator. The echo's answers are not judged.
func (s *server) load(ctx context.Context, o *options, w *workload, d *dataset, tools string, length time.Duration) (r generated, err error) {
	args := append([]string{"-server", s.address, "-duration", length.String(), "-timeout", "500ms", "-json"}, w.args(d)...)
	if w.check && s.judged {
		args = append(args, "-check", "-answers", strconv.Itoa(w.answers))
	}
	cmd := exec.Command(loadgen(tools), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := startOn(o.LoadCPU, cmd); err != nil {
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
	return r, nil
}
