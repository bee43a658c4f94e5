package differential

import (
	"fmt"
	"strings"
)

// comparison is the four answers to one question, and the part of them that is
// looked at.
type comparison struct {
	zones   []*zone
	pair    pair
	way     way
	odd     *odd      // instead of pair and way, for a message written by hand
	answers []*answer // in the order of newPeers
	whole   *answer   // gslb's over TCP
	part    string
}

func (c *comparison) gslb() *answer { return c.answers[0] }

// got is what a server has in the part.
func (c *comparison) got(peer int) string { return c.answers[peer].parts[c.part] }

// against tells whether gslb differs from what at least two of the others agree
// on, and whether all three do. A server whose answer was cut short has no say
// on what it lacks; one that has another response code than gslb, which is a
// difference by itself, has none on the parts that follow from it.
func (c *comparison) against() (majority, all bool) {
	votes := map[string]int{}
	for i := range c.answers[1:] {
		if v, ok := c.vote(i + 1); ok {
			votes[v]++
		}
	}
	mine, ok := c.vote(0)
	if !ok {
		return false, false
	}
	for v, n := range votes {
		if n >= 2 && v != mine {
			return true, n == len(c.answers)-1
		}
	}
	return false, false
}

// vote is what a server has in the part, if that counts.
func (c *comparison) vote(peer int) (v string, ok bool) {
	a := c.answers[peer]
	if c.part != "response" && c.part != "rcode" && a.parts["rcode"] != c.gslb().parts["rcode"] {
		return "", false
	}
	v, ok = a.parts[c.part]
	return v, ok
}

// majority is what at least two of the others agree on.
func (c *comparison) majority() string {
	for i := 1; i < len(c.answers); i++ {
		for j := i + 1; j < len(c.answers); j++ {
			if v, ok := c.vote(i); ok {
				if w, ok := c.vote(j); ok && v == w {
					return v
				}
			}
		}
	}
	return ""
}

// explained finds the difference of the list that applies, or "".
func (c *comparison) explained() string {
	for _, d := range differences {
		for _, part := range d.parts {
			if part == c.part && d.applies(c) {
				return d.id
			}
		}
	}
	return ""
}

// report is the comparison for people.
func (c *comparison) report(peers []*peer) string {
	var b strings.Builder
	if c.odd != nil {
		fmt.Fprintf(&b, "%s: %s differs\n  message %x over %s\n", c.odd.what, c.part, c.odd.message, c.odd.network)
	} else {
		fmt.Fprintf(&b, "zone %s: %s differs\n  %s\n", c.pair.zone.origin, c.part, c.way.dig(c.pair, peers[0].address))
	}
	for i, p := range peers {
		fmt.Fprintf(&b, "  %-5s %s\n", p.name+":", c.answers[i].short())
	}
	return b.String()
}
