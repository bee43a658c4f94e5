package zones

import (
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// maxIterations are the most iterations of NSEC3 with which a zone is served.
// Each would be a hash more for each query; most validators take such a zone
// for unsigned long before (RFC 9276, section 3.2).
const maxIterations = 150

// hasNSEC3 writes the NSEC3 records of a node, as a node of their own that is
// not found by its name, and tells whether there is nothing else there.
func (c *compiler) hasNSEC3(d *draft) bool {
	if !slices.ContainsFunc(c.groups, func(g group) bool { return g.rrtype == dns.TypeNSEC3 }) {
		return false
	}
	owner := lower(slices.Clone(c.text.at(d.name)[:d.len]))
	if d.up != uint32(apex) || owner[0] != hashLen {
		return false // of no use, since it is not at the hash of a name (RFC 5155, section 3)
	}
	n := c.begin(owner)
	rest := c.groups[:0:0]
	for i := range c.groups {
		switch g := &c.groups[i]; {
		case g.rrtype == dns.TypeNSEC3:
			c.set(n, g)
		case g.rrtype != dns.TypeRRSIG || g.covered != dns.TypeNSEC3:
			rest = append(rest, *g)
		}
	}
	c.end(n, forSigning, 1)
	c.nsec3 = append(c.nsec3, n)
	c.groups = rest
	return len(rest) == 0 && d.flags&hasBelow == 0
}

// denial finds out how the zone proves what is not in it, and makes the chain.
func (c *compiler) denial() {
	list, rrtype := c.nsec, dns.TypeNSEC
	if param, _, ok := c.z.arena.find(c.z.top, dns.TypeNSEC3PARAM); ok && len(c.nsec3) > 0 {
		for data := range param.Data() {
			if c.chooseNSEC3(data) {
				list, rrtype = c.usedNSEC3(), dns.TypeNSEC3
				break
			}
		}
	}
	if len(list) == 0 {
		return
	}
	keys := c.z.sorted(list)
	c.z.chain = newChain(keys)
	c.z.denial = withNSEC
	if rrtype == dns.TypeNSEC3 {
		c.z.denial = withNSEC3
	}
	c.links(rrtype)
	c.z.pin()
}

// chooseNSEC3 takes the parameters of an NSEC3PARAM, if it is one to be used.
func (c *compiler) chooseNSEC3(data []byte) bool {
	p, ok := nsec3Params(data)
	if !ok || data[1] != 0 { // RFC 5155, section 4.1.2
		return false
	}
	if p.Iterations > maxIterations {
		c.fail("NSEC3 with %d iterations at %s: at most %d, and 0 is best (RFC 9276)", p.Iterations, c.z.Name, maxIterations)
		return false
	}
	if p.Iterations > 0 {
		c.z.Warnings = append(c.z.Warnings, fmt.Sprintf("zone %s: %s: NSEC3 with %d iterations: each one costs a hash for each query and protects nothing; sign with 0 (RFC 9276)", c.z.Name, c.z.File, p.Iterations))
	}
	c.z.nsec3 = p
	return true
}

// usedNSEC3 are the nodes whose NSEC3 has the zone's parameters.
func (c *compiler) usedNSEC3() []node {
	return slices.DeleteFunc(c.nsec3, func(n node) bool {
		set, _, _ := c.z.arena.find(n, dns.TypeNSEC3)
		p, ok := nsec3Params(set.first())
		return !ok || p.Iterations != c.z.nsec3.Iterations || string(p.Salt) != string(c.z.nsec3.Salt)
	})
}

// links notes for Presigned where the chain of denial is not whole: each record has to name
// the owner of the next one.
func (c *compiler) links(rrtype uint16) {
	z := c.z
	broken, first := 0, ""
	link := func(n, next node) {
		set, _, _ := z.arena.find(n, rrtype)
		if !leadsTo(set.first(), rrtype, z.arena.owner(next)) {
			if broken++; broken == 1 {
				first = dnsname.Format(z.arena.owner(n))
			}
		}
	}
	begin, before := z.chain.pieces()[0].nodes[0], node(0)
	for n := range z.chain.all() {
		if before != 0 {
			link(before, n)
		}
		before = n
	}
	link(before, begin)
	if string(lower(slices.Clone(z.arena.owner(begin)))) != string(z.apex) && rrtype == dns.TypeNSEC {
		broken++
		first = z.Name
	}
	if broken > 0 {
		z.broken = fmt.Sprintf("the chain of %s records is broken in %d places, first at %s: what does not exist there cannot be proven; sign the zone anew",
			dns.Type(rrtype), broken, first)
	}
}

// leadsTo tells whether an NSEC or NSEC3 record names the owner as the next one.
func leadsTo(data []byte, rrtype uint16, owner []byte) bool {
	if rrtype == dns.TypeNSEC {
		n := dnsname.Len(data)
		return n > 0 && sameName(data[:n], owner)
	}
	at := 5 + int(data[4])
	if len(data) < at+1+20 || data[at] != 20 {
		return false
	}
	hash := [20]byte(data[at+1:])
	var label [hashLen]byte
	encodeHash(label[:], &hash)
	return string(label[:]) == string(owner[1:1+hashLen])
}
