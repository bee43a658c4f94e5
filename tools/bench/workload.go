package main

import (
	"fmt"
	"slices"
	"strings"
)

// workload is one kind of load: what loadgen asks, and which servers can be asked.
type workload struct {
	name      string
	title     string
	about     string
	needs     abilities
	tcp       bool
	answers   int    // records that each positive answer has at least
	authority int    // records that the authority section of each answer has at least
	lenient   bool   // the client subnet need not come back: most servers leave it out where they do not steer
	beside    string // a workload whose answers by gslb are measured right before it, for their ratio; "": none
	args      func(d *dataset) []string
}

// workloads in the order of the page.
var workloads = []workload{
	{
		name: "static", title: "Static names", needs: abilities{static: true}, answers: 1,
		about: "A records of the zone's names in turn, over UDP.",
		args:  func(d *dataset) []string { return []string{"-names", d.staticNames} },
	},
	{
		name: "source", title: "A steered name, by source address", needs: abilities{steer: true}, answers: 1,
		about: "One steered name, without a client subnet: the client is the source address.",
		args:  func(*dataset) []string { return []string{"-name", steeredName} },
	},
	{
		name: "ecs", title: "A steered name, by real IPv4 client subnet", needs: abilities{steer: true, ecs: true}, answers: 1, beside: "static",
		about: "One steered name, with a client subnet in each query: a random /24 of a random network that the database knows.",
		args:  func(d *dataset) []string { return []string{"-name", steeredName, "-ecs", "@" + d.subnets4} },
	},
	{
		name: "ecs6", title: "A steered name, by real IPv6 client subnet", needs: abilities{steer: true, ecs: true}, answers: 1, beside: "static",
		about: "The same with a random /56 of a random IPv6 network that the database knows.",
		args:  func(d *dataset) []string { return []string{"-name", steeredName, "-ecs", "@" + d.subnets6} },
	},
	{
		name: "operator", title: "A steered name, by operator", needs: abilities{operator: true, ecs: true}, answers: 1,
		about: "A name steered by autonomous system, from a second database, with a random /24 of a random network that this database knows.",
		args:  func(d *dataset) []string { return []string{"-name", operatorName, "-ecs", "@" + d.operatorSubnets} },
	},
	{
		name: "nxdomain", title: "Random names that do not exist", needs: abilities{static: true}, authority: 1, beside: "static",
		about: "Twelve random characters below the static zone: NXDOMAIN, with the SOA record.",
		args:  func(*dataset) []string { return []string{"-names", "random-nx", "-name", staticZone} },
	},
	{
		name: "mix", title: "A mix", needs: abilities{static: true, steer: true, ecs: true}, answers: 1, lenient: true,
		about: "Of ten queries six for static names, two for the steered name, two for names that do not exist; a client subnet in each.",
		args:  func(d *dataset) []string { return []string{"-names", d.mixedNames, "-ecs", "@" + d.subnets4} },
	},
	{
		name: "static-size", title: "Static names, as large as signed ones", needs: abilities{signed: true}, answers: 1,
		about: "TXT records, unsigned, with DO set: the answers have as many octets as those of the next one.",
		args:  func(d *dataset) []string { return []string{"-names", d.paddedNames, "-do"} },
	},
	{
		name: "static-do", title: "Signed static names", needs: abilities{signed: true}, answers: 2, beside: "static-size",
		about: "As static names, with DO set, from the signed zone: an address with its signature.",
		args:  func(d *dataset) []string { return []string{"-names", d.signedNames, "-do"} },
	},
	{
		name: "nxdomain-do", title: "Random names that do not exist, signed", needs: abilities{signed: true}, authority: 4, beside: "static",
		about: "As random names, with DO set, from the signed zone: SOA and NSEC records with their signatures.",
		args:  func(*dataset) []string { return []string{"-names", "random-nx", "-name", signedZone, "-do"} },
	},
	{
		name: "tcp", title: "Static names over TCP", needs: abilities{static: true}, tcp: true, answers: 1,
		about: "The static names over two connections that stay, pipelined.",
		args:  func(d *dataset) []string { return []string{"-names", d.staticNames, "-tcp"} },
	},
	{
		name: "tcp-new", title: "Static names over new TCP connections", needs: abilities{static: true}, tcp: true, answers: 1,
		about: "A connection for each query, 16 at a time: made, asked, answered, closed by the client.",
		args: func(d *dataset) []string {
			return []string{"-names", d.staticNames, "-tcp", "-per-connection", "1", "-sockets", "16", "-inflight", "1"}
		},
	},
}

func workloadNames() []string {
	names := make([]string, len(workloads))
	for i := range workloads {
		names[i] = workloads[i].name
	}
	return names
}

// workloadNamed is one of the table above.
func workloadNamed(name string) *workload {
	return &workloads[slices.IndexFunc(workloads, func(w workload) bool { return w.name == name })]
}

// chosenWorkloads are those of the names, in the order of the page.
func chosenWorkloads(names []string) []workload {
	var chosen []workload
	for _, w := range workloads {
		if slices.Contains(names, w.name) {
			chosen = append(chosen, w)
		}
	}
	return chosen
}

// needsOf is what some of the workloads need.
func needsOf(list []workload) abilities {
	var all abilities
	for _, w := range list {
		all.static = all.static || w.needs.static
		all.steer = all.steer || w.needs.steer
		all.ecs = all.ecs || w.needs.ecs
		all.operator = all.operator || w.needs.operator
		all.signed = all.signed || w.needs.signed
	}
	return all
}

// possible says why a server with these abilities cannot take the workload; "" if it can.
func (w *workload) possible(can abilities) string {
	switch {
	case w.needs.signed && !can.signed:
		return "serves no signed zones"
	case w.needs.operator && !can.operator:
		return "cannot steer by operator"
	case w.needs.steer && !can.steer:
		return "cannot steer"
	case w.needs.ecs && !can.ecs:
		return "steers by source address only"
	case w.needs.static && !can.static:
		return "is there for steering"
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
				fmt.Fprintf(&b, "none%07d.%s A NXDOMAIN\n", (i*2+j/5)*7919%10_000_000, staticZone)
			}
		}
	}
	return b.String()
}
