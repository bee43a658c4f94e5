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

// patchSigned gives the signed zone of z, as sign does, by patching the one before;
// nil: it has to be made anew.
func (z *Zone) patchSigned(before *Zone, s *dnssec.Signing, inputs [32]byte, serial numbering, steered []*Steered, now time.Time) *Zone {
	if before == nil || z.signing != nil || before.signing.inputs != inputs || before.broken != "" ||
		before.names < leastPatched || len(z.aliases)+len(before.aliases) > 0 {
		return nil
	}
	begin := time.Now()
	owners, ok := z.since(before.signing.of)
	if !ok {
		owners, ok = before.differences(z)
	}
	if !ok || mostPatched*len(owners) > before.names || !z.sameApex(before, serial, now) {
		return nil
	}
	p := before.signing.patcher
	if p == nil {
		p = new(Patcher)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := p.zone != before
	if fresh {
		p.learn(before)
	}
	w := signedPatch{raw: z, before: before, names: make(map[string]*Steered), touched: make(map[string][]byte)}
	for _, st := range steered {
		w.names[string(st.owner)] = st
	}
	if !w.touch(p, owners, s) || p.full(before, 2048*(len(w.touched)+2), len(w.touched)) {
		return nil
	}
	result, err := w.make(p, fresh, s, serial.next(z, now, serial.last, serial.known), now)
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
	if next := last.Next; !next.IsZero() && (result.Next.IsZero() || next.Before(result.Next)) {
		result.Next = next
	}
	n.signing = &signing{inputs: inputs, result: result, took: time.Since(begin), serial: z.Serial, keys: z.ownKeys(), steered: w.steered, of: weak.Make(z), patcher: p}
	n.edited = before.editAt(w.written)
	p.zone = n
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
// signed than in the one that was signed; ok is false where they are too many.
func (z *Zone) differences(next *Zone) (owners [][]byte, ok bool) {
	most := z.names / mostPatched
	note := func(owner []byte) bool {
		if len(owners) == 0 || !sameName(owners[len(owners)-1], owner) {
			owners = append(owners, dnsname.AppendLower(nil, owner))
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
