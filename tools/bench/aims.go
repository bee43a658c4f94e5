package main

import (
	"fmt"
	"strings"
)

// aim is a bound for gslb's CPU time for each answer, as a multiple of something
// measured beside it.
type aim struct {
	workload string
	against  string // title of a server; "": gslb's own answers to workload.beside
	most     float64
}

// aims are what gslb is meant to reach.
var aims = []aim{
	{"static", gdnsd.title, 1.05},
	{"static", knot.title, 0.75},
	{"ecs", gdnsd.title, 1},
	{"ecs", knot.title, 0.65},
	{"ecs", "", 1.1},
	{"ecs6", gdnsd.title, 1},
	{"ecs6", knot.title, 0.65},
	{"ecs6", "", 1.1},
	{"nxdomain", "", 1.05},
	{"static-do", "", 1.11}, // 0.9 of the rate
	{"nxdomain-do", "", 1.3},
	{"tcp", gdnsd.title, 1},
	{"tcp-new", gdnsd.title, 1},
}

// standing tells which aims are met.
func (c *comparison) standing() string {
	var b strings.Builder
	b.WriteString("### How gslb stands\n\nCPU time for each answer as a multiple of another's: the median over the slices, and the range that the middle half of them lies in.\n\n")
	b.WriteString("| workload | beside | aim | measured | middle half | |\n|---|---|--:|--:|--:|---|\n")
	for _, a := range aims {
		w := workloadNamed(a.workload)
		if !c.has(a.workload) {
			continue
		}
		beside, base := a.against, c.series[a.workload][a.against]
		if a.against == "" {
			beside, base = "gslb's own: "+workloadNamed(w.beside).title, c.own[a.workload]
		}
		fmt.Fprintf(&b, "| %s | %s | ≤ %.2f | ", w.title, beside, a.most)
		r, ok := c.series[a.workload][gslb.title].ratio(base)
		switch {
		case !ok:
			b.WriteString("– | – | not measured |\n")
		case r.median <= a.most:
			fmt.Fprintf(&b, "%.2f | %.2f to %.2f | met |\n", r.median, r.low, r.high)
		default:
			fmt.Fprintf(&b, "%.2f | %.2f to %.2f | **not met** |\n", r.median, r.low, r.high)
		}
	}
	return b.String() + "\n"
}

// has tells whether the workload was asked for.
func (c *comparison) has(name string) bool {
	for i := range c.workloads {
		if c.workloads[i].name == name {
			return true
		}
	}
	return false
}
