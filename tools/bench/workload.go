package main

import (
	"fmt"
	"strings"
)

// workload is one kind of load: what loadgen asks, and which servers can be asked.
type workload struct {
	name    string
	title   string
	about   string
	steered bool // needs a steered name
	ecs     bool // the client is in the EDNS Client Subnet (RFC 7871)
	tcp     bool
	check   bool // loadgen can judge every answer: all have the same rcode
	answers int  // records that each answer has at least, with check
	args    func(d *dataset) []string
}

// workloads in the order of the page.
var workloads = []workload{
	{
		name: "static", title: "Static names", check: true, answers: 1,
		about: "A records of all names of the zone in turn, over UDP.",
		args:  func(d *dataset) []string { return []string{"-names", d.staticNames} },
	},
	{
		name: "source", title: "A steered name, by source address", steered: true, check: true, answers: 1,
		about: "One steered name, without a client subnet: the client is the source address.",
		args:  func(*dataset) []string { return []string{"-name", steeredName} },
	},
	{
		name: "ecs", title: "A steered name, by random client subnet", steered: true, ecs: true, check: true, answers: 1,
		about: "One steered name, with a random IPv4 /24 as client subnet in each query.",
		args:  func(*dataset) []string { return []string{"-name", steeredName, "-ecs", "random4"} },
	},
	{
		name: "nxdomain", title: "Random names that do not exist", check: true,
		about: "Twelve random characters below the static zone: NXDOMAIN, with the SOA record.",
		args:  func(*dataset) []string { return []string{"-names", "random-nx", "-name", staticZone} },
	},
	{
		name: "mix", title: "A mix", steered: true, ecs: true,
		about: "Of ten queries six for static names, two for the steered name, two for names that do not exist; a random client subnet in each.",
		args:  func(d *dataset) []string { return []string{"-names", d.mixedNames, "-ecs", "random4"} },
	},
	{
		name: "tcp", title: "Static names over TCP", tcp: true, check: true, answers: 1,
		about: "The static names over two connections, pipelined.",
		args:  func(d *dataset) []string { return []string{"-names", d.staticNames, "-tcp"} },
	},
}

func workloadNames() []string {
	names := make([]string, len(workloads))
	for i := range workloads {
		names[i] = workloads[i].name
	}
	return names
}

// chosenWorkloads are those of o, in the order of the page.
func chosenWorkloads(o *options) []workload {
	var chosen []workload
	for _, w := range workloads {
		for _, name := range o.Workloads {
			if name == w.name {
				chosen = append(chosen, w)
			}
		}
	}
	return chosen
}

// possible says why a server with these abilities cannot take the workload; "" if it can.
func (w *workload) possible(can abilities) string {
	switch {
	case w.steered && !can.steer:
		return "cannot steer"
	case w.ecs && !can.ecs:
		return "steers by source address only"
	}
	return ""
}

// mixedNames writes the names of the mix, so that each ten lines have its shares.
func mixedNames(names int) string {
	var b strings.Builder
	for i := range names / 6 {
		for j := range 6 {
			fmt.Fprintf(&b, "%s A\n", staticName(i*6+j))
			switch j {
			case 1, 4:
				fmt.Fprintf(&b, "%s A\n", steeredName)
			case 2, 5:
				fmt.Fprintf(&b, "none%07d.%s A\n", (i*2+j/5)*7919%10_000_000, staticZone)
			}
		}
	}
	return b.String()
}
