package zones

import (
	"slices"
	"strings"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
)

// inOrder puts things into the canonical order of their names, so that a name comes
// before those below it.
func inOrder[T any](list []T, owner func(*T) []byte) {
	slices.SortFunc(list, func(a, b T) int { return dnssec.Compare(owner(&a), owner(&b)) })
}

// plan is what is known of changes before they are made.
type plan struct {
	*Patcher
	z *Zone
	// beneath is how many nodes that change stand right below a node, by its hash, and
	// have none below them; turned are the nodes that become delegations, or cease to
	// be, above others.
	beneath map[uint64]int
	turned  []uint64
	moved   map[uint64]struct{} // names, by hash, of whose addresses others must know
}

func (p *Patcher) plan(z *Zone) *plan {
	return &plan{Patcher: p, z: z, beneath: make(map[uint64]int), moved: make(map[uint64]struct{})}
}

// takes tells whether a change can be made by Patch.
func (p *plan) takes(c *Changed) bool {
	var name Name
	z := p.z
	if name.Set(c.Owner) != len(c.Owner) || !z.holds(&name) || z.speaksOf(c.Owner) {
		return false
	}
	n := z.find(&name, 0)
	top := n == z.top
	if top && string(z.arena.owner(n)) != string(c.Owner) || !p.stands(c, top) {
		return false
	}
	above := n
	for k := 1; above == 0; k++ {
		above = z.find(&name, k)
	}
	if z.arena.flags(above)&(hasDNAME|belowDNAME) != 0 {
		return false
	}
	cut := !top && slices.ContainsFunc(c.Records, func(r RR) bool { return r.Type == dns.TypeNS })
	if n == 0 {
		p.addresses(&name, n, c)
		return true
	}
	switch kids := p.kids[name.hash[0]]; {
	case kids == 0 && !top:
		p.beneath[name.hash[1]]++
	case cut != (z.arena.flags(n)&isCut != 0):
		p.turned = append(p.turned, name.hash[0])
	}
	p.addresses(&name, n, c)
	return true
}

// speaksOf tells whether a warning, which may be gone after a change, is of a name.
func (z *Zone) speaksOf(owner []byte) bool {
	if len(z.Warnings)+len(z.missing) == 0 {
		return false
	}
	text := strings.ToLower(dnsname.Format(owner))
	about := func(w string) bool { return strings.Contains(strings.ToLower(w), text) }
	if z.is(lower(slices.Clone(owner))) { // its name is in all of them
		return false
	}
	return slices.ContainsFunc(z.Warnings, about) || slices.ContainsFunc(z.missing, func(m missing) bool { return about(m.warning) })
}

// stands tells whether the records can stand at a name, as far as Make would look.
func (p *plan) stands(c *Changed, top bool) bool {
	soas, ns, size := 0, 0, 0
	for i, r := range c.Records {
		switch r.Type {
		case dns.TypeDNAME, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM, TypeALIAS:
			return false
		case dns.TypeSOA:
			soas++
		case dns.TypeNS:
			ns++
		case dns.TypeCNAME:
			if len(c.Records) > 1 {
				return false
			}
		}
		if size += recordHead + len(r.Data); r.Check() != nil || size > fitsAnywhere || i >= 1<<16-1 || i > 0 && r.Type == c.Records[i-1].Type && r.TTL != c.Records[i-1].TTL {
			return false
		}
	}
	if top {
		return soas == 1 && ns > 0 && (len(p.z.missing) == 0 || p.sameServers(c))
	}
	return soas == 0 && (ns == 0 || !dnsname.IsWild(c.Owner))
}

// sameServers tells whether the name servers of the zone stay the same.
func (p *plan) sameServers(c *Changed) bool {
	set, _, _ := p.z.arena.find(p.z.top, dns.TypeNS)
	return string(set.Wire) == string(c.set(dns.TypeNS).Wire)
}

// set gives the records of a type as an RRset.
func (c *Changed) set(rrtype uint16) (set RRset) {
	for _, r := range c.Records {
		if r.Type == rrtype {
			set.Type, set.Count = rrtype, set.Count+1
			set.Wire = appendRecord(set.Wire, r.Type, r.TTL, r.Data)
		}
	}
	return set
}

// addresses notes a name whose addresses go with records of others, and change, or
// begin or cease to be glue.
func (p *plan) addresses(name *Name, n node, c *Changed) {
	if !p.isTarget(name) {
		return
	}
	moves := n != 0 && (p.z.arena.flags(n)&isCut != 0) != (n != p.z.top && c.set(dns.TypeNS).Count > 0)
	for _, t := range addressTypes {
		var was RRset
		if n != 0 {
			was, _, _ = p.z.arena.find(n, t)
		}
		moves = moves || string(was.Wire) != string(c.set(t).Wire)
	}
	if moves {
		p.moved[name.hash[0]] = struct{}{}
	}
}

func (p *Patcher) isTarget(name *Name) bool {
	_, ok := p.targets[name.hash[0]]
	return ok
}

// whole tells whether what is below the names that become delegations, or cease to
// be, changes with them; and whether nobody is to be told that a server has no
// address or has one again.
func (p *plan) whole(changes []Changed) bool {
	for _, h := range p.turned {
		if p.kids[h] != p.beneath[h] {
			return false
		}
	}
	var name Name
	if len(p.turned) > 0 { // what is below begins or ceases to be glue
		for i := range changes {
			if name.Set(changes[i].Owner); p.isTarget(&name) {
				p.moved[name.hash[0]] = struct{}{}
			}
		}
	}
	if len(p.moved) == 0 {
		return true
	}
	for _, m := range p.z.missing {
		name.Set(m.name)
		if _, ok := p.moved[name.hash[0]]; ok {
			return false
		}
	}
	return true
}

// again has written anew what goes with records whose targets have other addresses
// now; ok is false where Make would have something to say about these.
func (p *plan) again(c *patch) (ok bool) {
	if len(p.moved) == 0 {
		return true
	}
	var list []node
	for n := range c.z.written() { // those that this patch has written have theirs
		if c.z.arena.leads(n, p.moved) && c.z.alive(n) {
			list = append(list, n)
		}
	}
	for _, n := range list {
		if c.chain == nil && c.z.speaksOf(c.z.arena.owner(n)) {
			return false
		}
		c.refer(n, p.moved)
	}
	return true
}

// leads tells whether there are targets in records of a node that are among some.
func (a arena) leads(n node, moved map[uint64]struct{}) bool {
	count, at := a.sets(n)
	for range count {
		var set RRset
		if set, _, at = a.set(at); set.leads(moved) {
			return true
		}
	}
	return false
}

func (s RRset) leads(moved map[uint64]struct{}) bool {
	off := targetOffset(s.Type)
	if off < 0 || len(moved) == 0 {
		return false
	}
	var name Name
	for data := range s.Data() {
		name.Set(data[off:])
		if _, ok := moved[name.hash[0]]; ok {
			return true
		}
	}
	return false
}
