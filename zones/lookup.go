package zones

import (
	"github.com/miekg/dns"
)

// Lookup finds what the DB says of a name and type (RFC 1034, section 4.3.2)
// and fills r. Both may be used again after r is no longer needed. signed is the
// DO bit: whether the records of DNSSEC are wanted too (RFC 4035, section 3.1).
func (db *DB) Lookup(name *Name, qtype uint16, signed bool, r *Result) {
	r.reset()
	r.name, r.Signed = name, signed
	db.follow(nil, name, qtype, r)
}

// follow looks up a name and the chain of aliases that begins at it. owner is
// the name as it is to be sent, nil for the name that was asked for.
func (db *DB) follow(owner []byte, name *Name, qtype uint16, r *Result) {
	for {
		chained := len(r.Answer) > 0
		over := db.over.find(name, 0)
		if over != nil && r.tailored(over, owner, qtype, chained) {
			return
		}
		z := db.zone(name, qtype)
		if z == nil {
			return // refused, or the chain leaves what is served here
		}
		if !chained {
			r.Zone, r.Asked, r.Authoritative = z, z, true
		}
		if !z.Loaded() {
			r.fail()
			return
		}
		n := z.find(name, 0)
		wild := -1 // how many labels the closest encloser is without, where a wildcard stands for the name
		switch {
		case n != 0:
			if f := z.arena.flags(n); f&(isCut|belowCut) != 0 && (f&belowCut != 0 || qtype != dns.TypeDS) {
				r.refer(z, name, z.cutAbove(name), chained)
				return
			}
		case over == nil:
			ce, overCE, k := db.encloser(z, name)
			var f uint8
			if ce != 0 {
				f = z.arena.flags(ce)
			}
			if f&isCut != 0 {
				r.refer(z, name, ce, chained)
				return
			}
			if f&hasDNAME != 0 {
				var ok bool
				if owner, ok = r.substitute(z, ce, owner, name); !ok {
					return
				}
				name = &r.next
				if qtype == dns.TypeCNAME || qtype == dns.TypeANY || !r.hop() {
					return
				}
				continue
			}
			if f&hasWild != 0 {
				n = z.wild(name, k)
			}
			if overCE != nil && overCE.wild {
				over = db.over.wildOf(name, k)
			}
			if n == 0 && over == nil {
				r.negative(z, NXDomain)
				if r.Signed {
					r.denyName(z, name, k)
				}
				return
			}
			wild = k
			if over != nil && r.tailored(over, owner, qtype, chained) {
				if r.Signed && (!chained || over.steered.fixed) {
					r.denyCloser(z, name, k)
				}
				return
			}
		}
		set, tail, ok := z.pick(n, qtype, over != nil && over.steered != nil)
		if !ok {
			if over != nil && r.oneOf(over, owner, qtype, chained) {
				if wild >= 0 && r.Signed && (!chained || over.steered.fixed) {
					r.denyCloser(z, name, wild)
				}
				return
			}
			r.negative(z, NoData)
			if r.Signed {
				r.denyTypeOr(z, name, n, wild)
			}
			return
		}
		if r.has(owner, name, set) {
			return // a loop of aliases
		}
		r.Outcome = Answer
		r.Answer = append(r.Answer, Record{Owner: owner, Set: set})
		if r.Wire.Body = nil; !chained {
			r.wire(z, n, set, tail)
		}
		if wild >= 0 && r.Signed {
			r.denyCloser(z, name, wild)
		}
		if set.Type != dns.TypeCNAME || qtype == dns.TypeCNAME || qtype == dns.TypeANY {
			r.Additional.z = z
			r.Additional.refs, _ = z.arena.refs(tail)
			return
		}
		owner = set.first()
		r.next.Set(owner)
		name = &r.next
		if !r.hop() {
			return
		}
	}
}

// tailored ends the look-up where the answer depends on the client. Only the
// first CNAME of an answer is tailored (RFC 7871, section 7.2.1): a chain of
// aliases ends before a second one.
func (r *Result) tailored(o *overName, owner []byte, qtype uint16, chained bool) bool {
	s := o.steered
	if s == nil {
		return false
	}
	if !chained {
		r.Steered = s
	}
	if !s.Tailored(qtype) {
		return false
	}
	return r.choose(s, owner, qtype, chained)
}

// choose leaves a look-up where the site is to be chosen, unless all have the same.
func (r *Result) choose(s *Steered, owner []byte, qtype uint16, chained bool) bool {
	if s.fixed {
		return r.flat(s, owner, qtype, chained)
	}
	if !chained {
		r.Outcome, r.Zone, r.Asked, r.Authoritative = Tailored, s.zone, s.zone, true
	}
	return true
}

// oneOf ends the look-up of ANY or RRSIG at a steered name of a signed zone that has
// nothing of its own: the name's proofs say that there are addresses and signatures, so
// one RRset of what the client gets is the answer (RFC 8482, section 4.1).
func (r *Result) oneOf(o *overName, owner []byte, qtype uint16, chained bool) bool {
	if s := o.steered; s != nil && s.zone.Signed() && (qtype == dns.TypeANY || qtype == dns.TypeRRSIG) {
		return r.choose(s, owner, qtype, chained)
	}
	return false
}

// Tailor fills r, which Lookup left at Tailored, with the answer for the chosen site.
func (db *DB) Tailor(r *Result, qtype uint16, site int) {
	s := r.Steered
	r.Answer, r.Additional, r.Required = r.answer[:0], Additional{}, 0 // Authority: that there is no such name but for the wildcard
	r.Wire, r.nsynth, r.hops = Wire{}, 0, 0
	set := s.of(qtype, site)
	if set.Count == 0 {
		s.noData(r, qtype)
		return
	}
	r.Outcome = Answer
	r.Answer = append(r.Answer, Record{Set: set})
	if set.Type == dns.TypeCNAME && qtype != dns.TypeCNAME && qtype != dns.TypeANY {
		r.next.Set(set.first())
		db.follow(set.first(), &r.next, qtype, r)
	}
}

// zone gives the zone to ask about a name: the one with the longest apex, but
// for DS the parent's side of a cut (RFC 4035, section 3.1.4.1).
func (db *DB) zone(name *Name, qtype uint16) *Zone {
	var atApex *Zone
	for depth := name.labels; depth >= 0; depth-- {
		if db.depths[depth>>6&1]&(1<<(depth&63)) == 0 {
			continue
		}
		z := db.zoneAt(name, name.labels-depth)
		switch {
		case z == nil:
		case qtype == dns.TypeDS && depth == name.labels:
			atApex = z
		case atApex != nil && !z.parents(name):
			return atApex // the parent is another server's
		default:
			return z
		}
	}
	return atApex
}

// zoneAt gives the zone whose apex is a name without its first k labels, or nil.
func (db *DB) zoneAt(name *Name, k int) *Zone {
	h := name.hash[k]
	for z, i := db.table.first(h); z != nil; z, i = db.table.after(h, i) {
		if z.is(name.from(k)) {
			return z
		}
	}
	return nil
}

// parents tells whether the name is a zone cut of z itself, not one below
// something that z delegates away.
func (z *Zone) parents(name *Name) bool {
	cut := z.cutAbove(name)
	return cut == 0 || cut == z.find(name, 0)
}

// encloser finds the closest encloser (RFC 4592, section 3.3.1) of a name that
// does not exist, going down from the apex, and how many labels it is without;
// or the delegation that is met on that way.
func (db *DB) encloser(z *Zone, name *Name) (n node, over *overName, k int) {
	k = name.labels - int(z.labels)
	n, over = z.top, db.over.find(name, k)
	for i := k - 1; i > 0; i-- {
		below, overBelow := z.find(name, i), db.over.find(name, i)
		if below == 0 && overBelow == nil {
			break
		}
		n, over, k = below, overBelow, i
		if n != 0 && z.arena.flags(n)&isCut != 0 {
			break
		}
	}
	return n, over, k
}

// pick gives the RRset of a node that answers a type. n is 0 for a name that
// exists for the sake of steered ones only.
func (z *Zone) pick(n node, qtype uint16, steered bool) (set RRset, tail uint32, ok bool) {
	if n != 0 && z.arena.flags(n)&hasCNAME != 0 && qtype != dns.TypeRRSIG {
		if qtype == dns.TypeNSEC { // beside a CNAME: RFC 4035, section 2.5
			if set, tail, ok = z.arena.find(n, qtype); ok {
				return set, tail, true
			}
		}
		return z.arena.find(n, dns.TypeCNAME)
	}
	if n != 0 && qtype == dns.TypeRRSIG {
		return z.arena.signatures(n)
	}
	if qtype == dns.TypeANY {
		switch {
		case n != 0 && z.Signed(): // one that can be validated (RFC 8482, section 4.1)
			return z.arena.smallest(n)
		case z.Signed():
			return RRset{}, 0, false
		case n != 0:
			count, _ := z.arena.sets(n)
			steered = steered || count > 0
		}
		return hinfo, 0, steered
	}
	if n == 0 {
		return RRset{}, 0, false
	}
	return z.arena.find(n, qtype)
}
