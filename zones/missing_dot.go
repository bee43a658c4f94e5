package zones

import (
	"bytes"
	"fmt"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// twice is a record whose target ends in the zone's name twice, such as
// www.abc.com.abc.com., which a name without a dot at its end becomes.
type twice struct {
	n      node
	record uint32
	rrtype uint16
	target []byte // in lower case
}

// targetAt is where the data of a type have a name that is to be found; negative: none.
func targetAt(rrtype uint16) int {
	switch rrtype {
	case dns.TypeCNAME, dns.TypeDNAME, dns.TypeNS, dns.TypePTR:
		return 0
	case dns.TypeMX:
		return 2
	case dns.TypeSRV:
		return 6
	}
	return -1
}

// lookTwice notes the records of an RRset whose dots may be missing.
func (c *compiler) lookTwice(n node, g *group) {
	off, zone := targetAt(g.rrtype), c.z.apex
	if off < 0 || len(zone) == 1 {
		return
	}
	for _, record := range g.records {
		data := c.data(record)
		if len(data) < off+2*len(zone)-1 {
			continue
		}
		double := append(bytes.Clone(zone[:len(zone)-1]), zone...)
		if target := dnsname.AppendLower(nil, data[off:]); isBelow(target, double) {
			c.doubled = append(c.doubled, twice{n, record, g.rrtype, target})
		}
	}
}

// missingDots warns of such targets that are not there.
func (c *compiler) missingDots() {
	var name Name
	for _, t := range c.doubled {
		if name.Set(t.target); c.z.find(&name, 0) != 0 {
			continue
		}
		file, line := c.from(t.record)
		c.z.Warnings = append(c.z.Warnings, fmt.Sprintf("zone %s: %s: %s %s: its target %s ends in the zone's name twice and is not there: is a dot missing at its end?",
			c.z.Name, at(file, line), dnsname.Format(c.z.arena.owner(t.n)), dns.Type(t.rrtype), dnsname.Format(t.target)))
	}
}
