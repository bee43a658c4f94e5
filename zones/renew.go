package zones

import (
	"bytes"
	"encoding/binary"
	"time"

	"gslb/dnsname"
	"gslb/dnssec"
	"gslb/parallel"
)

// due are the names of a zone with signatures that are to be renewed.
type due struct {
	owners [][]byte  // as written
	hashed [][]byte  // owners of NSEC3 records
	next   time.Time // when the first of all others is due; zero: there are none
}

// due looks for signatures to be renewed. ok is false where they are so many that all
// are as soon looked at for signing.
func (z *Zone) due(times dnssec.Times, now time.Time) (d due, ok bool) {
	most, seen := z.names/mostPatched, 0
	var name Name
	for n := range z.live() {
		if seen++; seen%yieldEvery == 0 {
			parallel.Yield()
		}
		isDue := false
		for count, at := z.arena.sets(n); count > 0; count-- {
			var set RRset
			set, _, at = z.arena.set(at)
			isDue = d.look(set, times, now) || isDue
		}
		if !isDue {
			continue
		}
		owner := z.arena.owner(n)
		if name.Set(owner); z.hashedOwner(&name, n) {
			d.hashed = append(d.hashed, owner)
		} else {
			d.owners = append(d.owners, owner)
		}
		if len(d.owners)+len(d.hashed) > most {
			return d, false
		}
	}
	for owner, st := range z.signing.steered {
		if st.due(&d, times, now) {
			d.owners = append(d.owners, []byte(owner))
		}
	}
	return d, true
}

// look tells whether one of an RRset's signatures is to be renewed.
func (d *due) look(set RRset, times dnssec.Times, now time.Time) (isDue bool) {
	if set.Sigs == 0 {
		return false
	}
	for rrsig := range (RRset{Wire: set.RRSIG()}).Data() {
		switch at := times.Renewal(binary.BigEndian.Uint32(rrsig[8:]), now); {
		case !now.Before(at):
			isDue = true
		case d.next.IsZero() || at.Before(d.next):
			d.next = at
		}
	}
	return isDue
}

// due tells whether one of the answers of a steered name is to be signed anew.
func (st *signedSteered) due(d *due, times dnssec.Times, now time.Time) (isDue bool) {
	look := func(set RRset) { isDue = d.look(set, times, now) || isDue }
	for i := range st.sites {
		for _, set := range st.sites[i].all() {
			look(set)
		}
	}
	for _, sets := range st.joined {
		for _, set := range sets {
			look(set)
		}
	}
	for i := range st.denied {
		look(st.denied[i].proof.Set)
	}
	return isDue
}

// renew notes what is signed anew because it is due.
func (w *signedPatch) renew(d *due) {
	w.hashed = d.hashed
	for _, owner := range d.owners {
		key := string(dnsname.AppendLower(nil, owner))
		if _, ok := w.touched[key]; !ok {
			w.touched[key] = bytes.Clone(owner)
		}
	}
}

// renewed gives the owners of NSEC3 records that are due and in the chain still.
func (w *signedPatch) renewed(c *patch) (owners [][]byte) {
	for _, owner := range w.hashed {
		if c.chain.has(owner) {
			owners = append(owners, bytes.Clone(owner))
		}
	}
	return owners
}
