package zones

import (
	"bytes"
	"fmt"
	"iter"
	"slices"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// RR is one resource record of class IN outside of any zone: on its way into
// one, out of one, or between two versions of one.
type RR struct {
	Owner []byte // wire form, not compressed, letters as written
	Type  uint16
	TTL   uint32 // seconds
	Data  []byte // wire form, names in it not compressed
}

// Check tells what keeps the record from standing in a zone: a name that is
// none, a type for questions and messages only, a TTL past RFC 2181, section 8,
// or data that are not of their type.
func (r RR) Check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s %s %s", dnsname.Format(r.Owner), dns.Type(r.Type), fmt.Sprintf(format, args...))
	}
	switch {
	case dnsname.Len(r.Owner) != len(r.Owner):
		return fmt.Errorf("%x is not a domain name", r.Owner)
	case r.Type == 0 || r.Type == dns.TypeOPT || r.Type >= 128 && r.Type <= 255: // RFC 6895, section 3.1
		return fail("is a type for questions or messages only")
	case r.TTL > 1<<31-1:
		return fail("has TTL %d: at most 2147483647", r.TTL)
	case len(r.Data) > 1<<16-1:
		return fail("has data of %d octets: at most 65535", len(r.Data))
	}
	if err := checkData(r.Type, r.Data); err != nil {
		return fail("%v", err)
	}
	return nil
}

// Same tells whether two records are one but for their TTL (RFC 2136, section
// 1.1.1): names have no case.
func (r RR) Same(o RR) bool {
	return r.Type == o.Type && sameName(r.Owner, o.Owner) && sameData(r.Type, r.Data, o.Data)
}

// Of gives the records of an RRset under an owner name.
func (s RRset) Of(owner []byte) iter.Seq[RR] {
	return func(yield func(RR) bool) {
		for w := s.Wire; len(w) > 0; {
			ttl := RRset{Wire: w}.TTL() // those of RRSIG records differ
			data, rest := nextData(w)
			if !yield(RR{owner, s.Type, ttl, data}) {
				return
			}
			w = rest
		}
	}
}

// NameSpan tells where uncompressed names stand in data of a type: behind how
// many octets, and how many of them one after another. Count 0: data of the type
// hold none that a message may compress (RFC 1035, section 4.1.4; RFC 3597,
// section 4).
func NameSpan(rrtype uint16) (before, count int) {
	shape := dataShapes[rrtype]
	return shape.before, shape.names
}

// Walk gives the RRsets of the zone with their owner names: those of the apex
// first, and those of a name together, its RRSIG records last, together.
func (z *Zone) Walk() iter.Seq2[[]byte, RRset] {
	return func(yield func([]byte, RRset) bool) {
		if !z.Loaded() {
			return
		}
		aliases := z.aliases
		for n := range z.live() {
			owner := z.arena.owner(n)
			ok := z.arena.each(n, func(set RRset) bool { return yield(owner, set) })
			if ok && len(aliases) > 0 && aliases[0].node == n {
				ok = yield(owner, aliases[0].set)
				aliases = aliases[1:]
			}
			if !ok {
				return
			}
		}
	}
}

// Aliases gives the owners of the zone's ALIAS records with them, but for those of a
// zone that comes signed, which are records as any others.
func (z *Zone) Aliases() iter.Seq2[[]byte, RRset] {
	return func(yield func([]byte, RRset) bool) {
		for _, a := range z.aliases {
			if !yield(z.arena.owner(a.node), a.set) {
				return
			}
		}
	}
}

// each gives the RRsets of a node, its RRSIG records as one; false: yield wanted no more.
func (a arena) each(n node, yield func(RRset) bool) bool {
	count, at := a.sets(n)
	var sigs RRset
	for range count {
		var set RRset
		set, _, at = a.set(at)
		sigs.Count, sigs.Wire = sigs.Count+set.Sigs, append(sigs.Wire, set.RRSIG()...)
		if !yield(set) {
			return false
		}
	}
	sigs.Type = dns.TypeRRSIG
	return sigs.Count == 0 || yield(sigs)
}

// Sets gives the RRsets that a name owns.
func (z *Zone) Sets(owner []byte) iter.Seq[RRset] {
	return func(yield func(RRset) bool) {
		n := z.named(owner)
		if n == 0 {
			return
		}
		if !z.arena.each(n, yield) {
			return
		}
		if a := z.aliasAt(n); a != nil {
			yield(a.set)
		}
	}
}

// Set gives the RRset of a type that a name owns.
func (z *Zone) Set(owner []byte, rrtype uint16) (set RRset, ok bool) {
	z.Sets(owner)(func(s RRset) bool {
		if ok = s.Type == rrtype; ok {
			set = s
		}
		return !ok
	})
	return set, ok
}

// named is the node of a name; 0: there is none.
func (z *Zone) named(owner []byte) node {
	var name Name
	if !z.Loaded() || name.Set(owner) != len(owner) || !z.holds(&name) {
		return 0
	}
	n := z.find(&name, 0)
	if n == 0 && z.denial == withNSEC3 && name.labels == int(z.labels)+1 {
		// The owner of an NSEC3 is no name that is found by queries.
		if at := z.cover(name.appendKey(nil, 0, int(z.labels))); z.arena.is(at, name.Wire()) {
			return at
		}
	}
	return n
}

// Owner gives a name as the zone writes it, whatever its letters are in owner
// (RFC 4343); nil: it is not there.
func (z *Zone) Owner(owner []byte) []byte {
	if n := z.named(owner); n != 0 {
		return z.arena.owner(n)
	}
	return nil
}

// Holds tells whether a name in wire form is at or below the zone's apex.
func (z *Zone) Holds(owner []byte) bool {
	var name Name
	return name.Set(owner) == len(owner) && z.holds(&name)
}

// SOA is the zone's start of authority.
func (z *Zone) SOA() RRset {
	set, _ := z.Set(z.apex, dns.TypeSOA)
	return set
}

// Diff gives what makes z, which is an older version or not loaded, into next.
// The SOA records are among them.
func (z *Zone) Diff(next *Zone) (removed, added []RR) {
	if owners, ok := next.editedSince(z); ok {
		return z.diffAt(next, owners)
	}
	return z.diff(next)
}

// diff is Diff that looks at all names.
func (z *Zone) diff(next *Zone) (removed, added []RR) {
	for owner, set := range z.Walk() {
		now, _ := next.Set(owner, set.Type)
		if !bytes.Equal(set.Wire, now.Wire) {
			removed = missingFrom(removed, now, set, owner)
		}
	}
	for owner, set := range next.Walk() {
		was, _ := z.Set(owner, set.Type)
		if !bytes.Equal(set.Wire, was.Wire) {
			added = missingFrom(added, was, set, owner)
		}
	}
	return removed, added
}

// missingFrom appends the records of an RRset that another does not have.
func missingFrom(list []RR, other, set RRset, owner []byte) []RR {
	there := make(map[string]bool, other.Count)
	if other.Count > 0 && other.TTL() == set.TTL() {
		for data := range other.Data() {
			there[dataKey(other.Type, data)] = true
		}
	}
	for r := range set.Of(owner) {
		if !there[dataKey(r.Type, r.Data)] {
			list = append(list, r)
		}
	}
	return list
}

// Sets gives the records of a steered name for a site, or for those that are answered together, as they
// are sent: a CNAME, or the addresses, each with its RRSIG records if the zone is signed. There are none for
// a site that the name never chooses.
func (s *Steered) Sets(chosen []int32) iter.Seq2[[]byte, RRset] {
	return func(yield func([]byte, RRset) bool) {
		if len(chosen) == 0 || uint(chosen[0]) >= uint(len(s.sites)) {
			return
		}
		sets := s.sites[chosen[0]]
		if len(chosen) > 1 {
			sets.a, sets.aaaa = s.Join(dns.TypeA, chosen), s.Join(dns.TypeAAAA, chosen)
		}
		for _, set := range []RRset{sets.cname, sets.a, sets.aaaa} {
			if !yieldSigned(s.owner, set, yield) {
				return
			}
		}
	}
}

// yieldSigned gives an RRset, if it is there, and its RRSIG records as one.
func yieldSigned(owner []byte, set RRset, yield func([]byte, RRset) bool) bool {
	if set.Count > 0 && !yield(owner, set) {
		return false
	}
	return set.Sigs == 0 || yield(owner, set.signatures())
}

// Proof gives the NSEC or NSEC3 record that is right where Sets for the same sites is
// all that a steered name of a signed zone has, with its RRSIG records. There is none
// where the zone's own record is right.
func (s *Steered) Proof(chosen []int32) iter.Seq2[[]byte, RRset] {
	return func(yield func([]byte, RRset) bool) {
		var has []uint16
		for _, set := range s.Sets(chosen) {
			has = append(has, set.Type)
		}
		for _, d := range s.denied {
			if serviceIndex(d.rrtype) < 0 && len(has) > 0 && !slices.Contains(has, d.rrtype) {
				yieldSigned(d.proof.Owner, d.proof.Set, yield)
				return
			}
		}
	}
}
