package zones

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"
	"weak"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
)

// A zone that was signed here, and of which few names have changed since, is patched:
// those names are signed, and those whose record of denial leads elsewhere now; all
// else stays where it is.

const (
	// leastPatched is how many names a signed zone has, at least, that is patched:
	// smaller ones are as soon signed anew, and need no room for changes.
	leastPatched = 200
	// mostPatched is the part of the names that may have changed.
	mostPatched = 20
)

// patchSigned gives the signed zone of z, as sign does, by patching the one before, or
// z itself where signatures of it are due; nil: it has to be made anew.
func (z *Zone) patchSigned(before *Zone, s *dnssec.Signing, inputs [32]byte, serial numbering, steered []*Steered, now time.Time) *Zone {
	if z.signing != nil {
		before = z
	}
	if before == nil || before.signing.inputs != inputs || !before.patchable() || len(z.aliases) > 0 {
		return nil
	}
	begin := time.Now()
	var owners [][]byte
	var stale due
	ok := true
	if next := before.signing.result.Next; !next.IsZero() && !now.Before(next) {
		stale, ok = before.due(s.Times, now)
	} else {
		stale.next = next
	}
	if ok && z != before {
		if owners, ok = z.since(before.signing.of); !ok {
			owners, ok = before.differences(z)
		}
		ok = ok && z.sameApex(before, serial, now)
	}
	if !ok || mostPatched*(len(owners)+len(stale.owners)+len(stale.hashed)) > before.names {
		return nil
	}
	p := before.signing.patcher
	p.mu.Lock()
	defer p.mu.Unlock()
	p.know(before)
	w := signedPatch{raw: z, before: before, names: make(map[string]*Steered), touched: make(map[string][]byte)}
	for _, st := range steered {
		w.names[string(st.owner)] = st
	}
	if !w.touch(p, owners, s) {
		return nil
	}
	w.renew(&stale)
	if p.full(before, 2048*(len(w.touched)+len(stale.hashed)+2), len(w.touched)) {
		return nil
	}
	result, err := w.make(p, s, serial.next(z, now, serial.last, serial.known), now)
	if err != nil {
		p.zone = nil // what it knows is not that of any zone
		return nil   // and making it anew will tell
	}
	n := w.z
	for _, st := range steered {
		st.take(n, w.steered[string(st.owner)])
	}
	last := &before.signing.result
	result.Names += last.Names
	result.Reused = max(result.Reused, last.Made+last.Reused-result.Made) // those that stay, about
	if next := stale.next; !next.IsZero() && (result.Next.IsZero() || next.Before(result.Next)) {
		result.Next = next
	}
	n.signing = &signing{inputs: inputs, result: result, took: time.Since(begin), serial: z.OwnSerial(), keys: z.ownKeys(), steered: w.steered, of: weak.Make(z), patcher: p, compact: before.signing.compact}
	if z.signing != nil {
		n.signing.of = z.signing.of
	}
	n.edited = before.editAt(w.written)
	p.zone, p.own = n, true
	return n
}

// sameApex tells whether there is nothing new at the apex that all records of denial
// or the keys go by.
func (z *Zone) sameApex(before *Zone, serial numbering, now time.Time) bool {
	ttl := func(z *Zone) uint32 {
		soa, _, _ := z.arena.find(z.top, dns.TypeSOA)
		d := soa.first()
		return min(soa.TTL(), binary.BigEndian.Uint32(d[len(d)-4:]))
	}
	if ttl(z) != ttl(before) {
		return false
	}
	if _, _, ok := z.arena.find(z.top, dns.TypeNSEC3PARAM); ok {
		return false
	}
	return slices.EqualFunc(z.ownKeys(), before.signing.keys, func(a, b RRset) bool { return a.Type == b.Type && bytes.Equal(a.Wire, b.Wire) })
}

// differences gives the names that have other records in the zone as it is to be
// signed than in the one that was signed, each once; ok is false where they are too many.
func (z *Zone) differences(next *Zone) (owners [][]byte, ok bool) {
	most := z.names / mostPatched
	noted := make(map[string]bool)
	note := func(owner []byte) bool {
		if lower := dnsname.AppendLower(nil, owner); !noted[string(lower)] {
			noted[string(lower)], owners = true, append(owners, lower)
		}
		return len(owners) <= most
	}
	var name Name
	same := func(set RRset, other *Zone, n node) bool {
		was, _, _ := other.arena.find(n, set.Type)
		return string(set.Wire) == string(was.Wire)
	}
	for n := range z.live() {
		owner := z.arena.owner(n)
		name.Set(owner)
		if z.hashedOwner(&name, n) {
			continue
		}
		to, differs := next.find(&name, 0), false
		for count, at := z.arena.sets(n); count > 0 && !differs; count-- {
			var set RRset
			set, _, at = z.arena.set(at)
			differs = !z.ofSigning(n, set.Type) && (to == 0 || !same(set, next, to))
		}
		if differs && !note(owner) {
			return nil, false
		}
	}
	for n := range next.live() {
		owner := next.arena.owner(n)
		name.Set(owner)
		was, differs := z.find(&name, 0), false
		for count, at := next.arena.sets(n); count > 0 && !differs; count-- {
			var set RRset
			set, _, at = next.arena.set(at)
			differs = !(n == next.top && z.ofSigning(z.top, set.Type)) && (was == 0 || !same(set, z, was))
		}
		if differs && !note(owner) {
			return nil, false
		}
	}
	return owners, true
}
