package main

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// exampleComparison is one of three slices and three servers, one of which steers not.
func exampleComparison() *comparison {
	o := &options{Command: "dns", Servers: []string{"gslb", "nsd"}, Seconds: 2, Repeat: 3, Rounds: 1, Names: 5000, Networks: 1000, LoadCPU: 1, Out: "benchmarks.md",
		args: []string{"dns", "-servers", "gslb,nsd"}}
	at := func(cpu float64) series {
		return series{
			{Rate: 300_000, Loss: 0.00001, P50: 200, P99: 900, CPU: cpu, Busy: 0.9, Generator: 0.5, Memory: 40},
			{Rate: 310_000, Loss: 0, P50: 210, P99: 800, CPU: cpu * 1.5, Busy: 0.95, Generator: 0.6, Memory: 41},
			{Rate: 100_000, Loss: 0, P50: 600, P99: 5000, CPU: cpu * 0.9, Busy: 0.4, Generator: 0.7, Memory: 42},
		}
	}
	return &comparison{
		options: o,
		began:   time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		machine: machine{kernel: "Linux 6.1.0", cpu: "Example CPU <3>", cores: 2, compiler: "go1.26", loadBefore: "3.10 2.00 1.00", loadAfter: "4.00 3.00 2.00"},
		contestants: []*contestant{
			{title: echoTitle, version: "the limit"},
			{title: "gslb", version: "commit 1234567", peer: &gslb},
			{title: "gdnsd", version: "3.8.1", peer: &gdnsd},
			{title: "NSD", version: "4.6.1", peer: &nsd, note: "is an example", faults: map[string]string{"ecs": "cannot steer"}},
		},
		missing:   []string{"CoreDNS"},
		workloads: chosenWorkloads([]string{"ecs", "static"}),
		series: map[string]map[string]series{
			"static": {echoTitle: at(2), "gslb": at(2.5), "gdnsd": at(2.4), "NSD": at(6)},
			"ecs":    {echoTitle: at(2), "gslb": at(2.6), "gdnsd": at(2.2)},
		},
		own: map[string]series{"ecs": at(2.5)},
	}
}

func TestPage(t *testing.T) { golden(t, "page.md", exampleComparison().page()) }

func TestPlot(t *testing.T) {
	golden(t, "cpu.svg", exampleComparison().plot(plottedFigures[0]))
	for name, svg := range exampleComparison().plots() {
		wellFormed(t, name, svg)
	}
}

func wellFormed(t *testing.T, name, svg string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: not well-formed: %v", name, err)
		}
	}
}

// The page of an idle machine has no warning.
func TestPageOfQuietMachine(t *testing.T) {
	c := exampleComparison()
	c.machine.loadBefore = "0.12 0.30 0.40"
	if strings.Contains(c.page(), "provisional") {
		t.Error("warns of other work, with a load of 0.12")
	}
}

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		in   []float64
		want spread
	}{
		{[]float64{3}, spread{3, 3, 3, 3, 3}},
		{[]float64{5, 1}, spread{3, 1, 5, 1, 5}},
		{[]float64{9, 1, 2}, spread{2, 1, 9, 1, 9}},
		{[]float64{4, 1, 3, 2}, spread{2.5, 1, 4, 1, 4}},
		{[]float64{4, 1, 3, 2, 5}, spread{3, 2, 4, 1, 5}},
		{[]float64{8, 7, 6, 5, 4, 3, 2, 1, 0}, spread{4, 2, 6, 0, 8}},
	} {
		if got := spreadOf(slices.Clone(test.in)); got != test.want {
			t.Errorf("%v: %+v, must be %+v", test.in, got, test.want)
		}
	}
}

// Ratios are those of each slice: a machine that halves its speed changes none.
func TestRatioIsPaired(t *testing.T) {
	fast, slow := sample{CPU: 1}, sample{CPU: 2}
	half := series{{CPU: 0.5}, {CPU: 1}, {CPU: 1}}
	r, ok := half.ratio(series{fast, slow, slow})
	if !ok || r.least != 0.5 || r.greatest != 0.5 {
		t.Errorf("%+v, %v, must be 0.5 in every slice", r, ok)
	}
	if _, ok := half.ratio(nil); ok {
		t.Error("a ratio to nothing")
	}
}

// A part replaces the one before and leaves the others alone.
func TestReplacePart(t *testing.T) {
	page := replacePart("", "scale", "one core and two\n")
	page = replacePart(page, "dns", "first run")
	page = replacePart(page, "dns", "second run\n")
	want := pageHead + "\n<!-- bench dns -->\nsecond run\n<!-- /bench dns -->\n\n<!-- bench scale -->\none core and two\n<!-- /bench scale -->\n"
	if page != want {
		t.Errorf("%q\nmust be\n%q", page, want)
	}
}

// The signed zone's chain holds all names in order and closes.
func TestNSECChain(t *testing.T) {
	chain := nsecChain([]string{"b", "ns1", "a"})
	var links []string
	for _, set := range chain {
		links = append(links, set[0].Header().Name+">"+set[0].(*dns.NSEC).NextDomain)
	}
	want := "signed.example.>a.signed.example. a.signed.example.>b.signed.example. b.signed.example.>ns1.signed.example. ns1.signed.example.>signed.example."
	if got := strings.Join(links, " "); got != want {
		t.Errorf("%s, must be %s", got, want)
	}
}

func TestMixedShares(t *testing.T) {
	counts := map[string]int{}
	for line := range strings.Lines(mixedNames(600)) {
		switch {
		case strings.HasPrefix(line, "www"):
			counts["steered"]++
		case strings.HasPrefix(line, "none"):
			counts["missing"]++
		default:
			counts["static"]++
		}
	}
	if counts["static"] != 600 || counts["steered"] != 200 || counts["missing"] != 200 {
		t.Errorf("%v, must be 600 static, 200 steered, 200 missing", counts)
	}
}
