package zones

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/parallel"
)

// finishTails gives the RRsets with names in them what goes with them: the
// addresses of those names, as far as they are in the zone, and the answer in
// wire form.
func (c *compiler) finishTails() {
	for i, w := range c.tails {
		c.tail(w)
		if i%yieldEvery == yieldEvery-1 {
			parallel.Yield()
		}
	}
}

func (c *compiler) tail(w waiting) {
	set, _, _ := c.z.arena.set(w.at)
	r := &c.result
	r.reset()
	r.Signed = false
	var required int
	r.Additional.z = c.z
	r.Additional.refs, required = c.addresses(set, w.n)
	owner := c.z.arena.owner(cmp.Or(w.n, c.z.top))
	switch {
	case w.n == 0: // the SOA of negative answers
		r.Authority = append(r.Authority, Record{owner, set})
	case set.Type == dns.TypeNS && w.n != c.z.top: // RFC 1034, section 4.3.2, step 3b
		r.Authority = append(r.Authority, Record{owner, set})
	default:
		r.Answer = append(r.Answer, Record{nil, set})
	}
	wire := c.encoder.prepare(owner, r)
	if w.n == 0 && set.Sigs > 0 {
		r.Signed = true
		c.z.negSig = c.writeTail(c.encoder.prepare(owner, r), nil, 0)
	}
	if len(r.Answer) > 0 && len(r.Additional.refs) == 0 && bytes.Equal(wire.Body, set.Wire) {
		return // the RRset is the answer
	}
	number := c.writeTail(wire, r.Additional.refs, required)
	if c.signedAmong(r.Additional) {
		r.Signed = true
		at := 4*int(number) + 6
		binary.LittleEndian.PutUint16(c.z.arena[at:], binary.LittleEndian.Uint16(c.z.arena[at:])|moreTail)
		c.writeTail(c.encoder.prepare(owner, r), nil, 0)
	}
	binary.LittleEndian.PutUint32(c.z.arena[w.at+8:], number)
}

// signedAmong tells whether some of the addresses have signatures.
func (c *compiler) signedAmong(a Additional) bool {
	for i := range a.Len() {
		if a.At(i).Set.Sigs > 0 {
			return true
		}
	}
	return false
}

// writeTail writes a tail and gives its number.
func (c *compiler) writeTail(wire Wire, refs []byte, required int) (number uint32) {
	a := c.z.arena
	for len(a)%4 != 0 {
		a = append(a, 0)
	}
	number = uint32(len(a) / 4)
	for _, v := range []int{len(refs) / refSize, required, len(wire.Body), len(wire.pointers) / 2,
		int(wire.Answer), int(wire.Authority), int(wire.Additional)} {
		a = binary.LittleEndian.AppendUint16(a, uint16(v))
	}
	a = append(a, refs...)
	a = append(a, wire.pointers...)
	c.z.arena = append(a, wire.Body...)
	return number
}

// addresses finds the addresses of the names in an RRset, first those that a
// referral needs as glue (RFC 9471, section 2.1). It warns of those that are missing.
func (c *compiler) addresses(set RRset, n node) (refs []byte, required int) {
	off := targetOffset(set.Type)
	if off < 0 {
		return nil, 0
	}
	z, owner := c.z, c.z.arena.owner(n)
	cut := set.Type == dns.TypeNS && n != z.top
	var others []byte
	var target Name
	for data := range set.Data() {
		target.Set(data[off:])
		found, elsewhere := z.addressesOf(&target, cut)
		if isAliasMode(set.Type, data) {
			found = z.serviceOf(found, &target, n, set.Type)
		}
		if cut && isBelow(target.Wire(), owner) {
			if len(found) == 0 {
				z.Warnings = append(z.Warnings, fmt.Sprintf("zone %s: %s: the delegation of %s has no glue for %s",
					z.Name, z.File, dnsname.Format(owner), dnsname.Format(data[off:])))
			}
			refs = join(refs, found)
			continue
		}
		if set.Type == dns.TypeNS && len(found) == 0 && !elsewhere {
			z.missing = append(z.missing, missing{bytes.Clone(target.Wire()), fmt.Sprintf("zone %s: %s: the name server %s of %s has no address in the zone",
				z.Name, z.File, dnsname.Format(data[off:]), dnsname.Format(owner))})
		}
		others = join(others, found)
	}
	const most = refSize * (1<<16 - 1) // more could not be sent
	refs = refs[:min(len(refs), most)]
	required = len(refs) / refSize
	refs = append(refs, others...)
	return refs[:min(len(refs), most)], required
}

// isBelow tells whether a name in lower case is at or below another.
func isBelow(name, top []byte) bool {
	for len(name) > len(top) {
		name = name[1+int(name[0]):]
	}
	return sameName(name, top)
}

// join appends the references that are not there yet.
func join(list, more []byte) []byte {
	for ; len(more) > 0; more = more[refSize:] {
		there := false
		for i := 0; i < len(list) && !there; i += refSize {
			there = string(list[i:i+refSize]) == string(more[:refSize])
		}
		if !there {
			list = append(list, more[:refSize]...)
		}
	}
	return list
}

// addressesOf finds the A and AAAA sets of a name in the zone: authoritative
// ones, or glue as well where it is for a delegation. elsewhere is true where
// it is not for this zone to say whether the name has addresses.
func (z *Zone) addressesOf(name *Name, glue bool) (refs []byte, elsewhere bool) {
	if !z.holds(name) {
		return nil, true
	}
	n := z.find(name, 0)
	if n == 0 {
		return nil, !glue && z.cutAbove(name) != 0
	}
	occluded := z.arena.flags(n)&(isCut|belowCut) != 0
	if occluded && !glue {
		return nil, true
	}
	for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if _, _, ok := z.arena.find(n, rrtype); ok {
			refs = appendRef(refs, n, rrtype)
		}
	}
	return refs, occluded
}

func appendRef(refs []byte, n node, rrtype uint16) []byte {
	return binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint32(refs, uint32(n)), rrtype)
}

// serviceOf adds the SVCB or HTTPS set that a record of another node in alias mode leads
// to (RFC 9460, section 4.1). One with address hints is left out: where the name is
// steered, clients are given hints of their site in place of those.
func (z *Zone) serviceOf(refs []byte, name *Name, of node, rrtype uint16) []byte {
	n := z.find(name, 0)
	if n == 0 || n == of || !z.holds(name) || z.arena.flags(n)&(isCut|belowCut) != 0 {
		return refs
	}
	if set, _, ok := z.arena.find(n, rrtype); ok && !hinted(set) {
		refs = appendRef(refs, n, rrtype)
	}
	return refs
}
