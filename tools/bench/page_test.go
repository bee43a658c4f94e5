package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// exampleComparison is one of two repetitions and three servers, one of which steers not.
func exampleComparison() *comparison {
	o := &options{Servers: []string{"gslb", "nsd"}, Workloads: []string{"static", "ecs"}, Seconds: 2, Repeat: 3, Names: 5000, Networks: 1000, LoadCPU: 1}
	at := func(cpu float64) series {
		return series{
			{Rate: 300_000, Loss: 0.00001, P50: 200, P99: 900, CPU: cpu, Busy: 0.9, Memory: 40},
			{Rate: 310_000, Loss: 0, P50: 210, P99: 800, CPU: cpu * 1.5, Busy: 0.95, Memory: 41},
			{Rate: 100_000, Loss: 0, P50: 600, P99: 5000, CPU: cpu * 0.9, Busy: 0.4, Memory: 42},
		}
	}
	return &comparison{
		options: o,
		began:   time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		machine: machine{kernel: "Linux 6.1.0", cpu: "Example CPU <3>", cores: 2, compiler: "go1.26", loadBefore: "3.10 2.00 1.00", loadAfter: "4.00 3.00 2.00"},
		contestants: []*contestant{
			{title: "echo", version: "the limit"},
			{title: "gslb", version: "commit 1234567", peer: &gslb},
			{title: "NSD", version: "4.6.1", peer: &nsd, note: "is an example", faults: map[string]string{"ecs": "cannot steer"}},
		},
		missing:   []string{"CoreDNS"},
		workloads: chosenWorkloads(o),
		series: map[string]map[string]series{
			"static": {"echo": at(2), "gslb": at(2.5), "NSD": at(6)},
			"ecs":    {"echo": at(2), "gslb": at(2.6)},
		},
	}
}

func TestPage(t *testing.T) { golden(t, "page.md", exampleComparison().page("benchmarks/cpu.svg")) }

func TestPlot(t *testing.T) {
	svg := exampleComparison().plot()
	golden(t, "cpu.svg", svg)
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}

// The page of an idle machine has no warning.
func TestPageOfQuietMachine(t *testing.T) {
	c := exampleComparison()
	c.machine.loadBefore = "0.12 0.30 0.40"
	if strings.Contains(c.page("x.svg"), "provisional") {
		t.Error("warns of other work, with a load of 0.12")
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		in                      []float64
		median, least, greatest float64
	}{
		{[]float64{3}, 3, 3, 3},
		{[]float64{5, 1}, 3, 1, 5},
		{[]float64{9, 1, 2}, 2, 1, 9},
		{[]float64{4, 1, 3, 2}, 2.5, 1, 4},
	} {
		var s series
		for _, v := range test.in {
			s = append(s, sample{CPU: v})
		}
		median, least, greatest := s.figure(func(s *sample) float64 { return s.CPU })
		if median != test.median || least != test.least || greatest != test.greatest {
			t.Errorf("%v: %v of %v to %v, must be %v of %v to %v", test.in, median, least, greatest, test.median, test.least, test.greatest)
		}
	}
}

func TestMixedShares(t *testing.T) {
	counts := map[string]int{}
	for line := range strings.Lines(mixedNames(600)) {
		switch {
		case strings.HasPrefix(line, "host"):
			counts["static"]++
		case strings.HasPrefix(line, "www"):
			counts["steered"]++
		case strings.HasPrefix(line, "none"):
			counts["missing"]++
		default:
			t.Errorf("line %q", line)
		}
	}
	if counts["static"] != 600 || counts["steered"] != 200 || counts["missing"] != 200 {
		t.Errorf("%v, must be 600 static, 200 steered, 200 missing", counts)
	}
}
