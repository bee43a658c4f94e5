package transfer

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/miekg/dns"

	"gslb/zones"
)

// The NSEC or NSEC3 record of a steered name lists the types that any client could
// get. Where the records that stand for the name in a transfer are of fewer types, a
// server that has these alone would deny what its own proof says is there, and whoever
// validates would take that for forged (RFC 4035, section 5.4). So a stand-in takes the
// place of that record too, and a difference knows which of the two the peer has.

// isProof tells whether a record is an NSEC or NSEC3 record, or the signature of one.
func isProof(r zones.RR) bool {
	t := r.Type
	if t == dns.TypeRRSIG && len(r.Data) > 1 {
		t = binary.BigEndian.Uint16(r.Data)
	}
	return t == dns.TypeNSEC || t == dns.TypeNSEC3
}

// proofOwners are the names whose proofs are among stand-ins, in lower case.
func proofOwners(standIns []zones.RR) map[string]bool {
	var owners map[string]bool
	for _, r := range standIns {
		if isProof(r) {
			if owners == nil {
				owners = make(map[string]bool)
			}
			owners[string(lowered(r.Owner))] = true
		}
	}
	return owners
}

// withoutProofs gives the records but for the proofs of some names.
func withoutProofs(list []zones.RR, owners map[string]bool) []zones.RR {
	return slices.DeleteFunc(slices.Clone(list), func(r zones.RR) bool { return isProof(r) && owners[string(lowered(r.Owner))] })
}

// settleProofs takes the proofs of names out of changes, which lead to the view, where
// the peer has a stand-in in their place, or is to get one. The lists that it gives are
// had and the view's own stand-ins, with the zone's own proofs where there is no such.
func (w *view) settleProofs(all []*change, had []zones.RR) (was, is []zones.RR) {
	before, now := proofOwners(had), proofOwners(w.standIns)
	was, is = had, w.standIns
	if len(before)+len(now) == 0 {
		return was, is
	}
	owners := maps.Clone(before)
	if owners == nil {
		owners = make(map[string]bool)
	}
	maps.Copy(owners, now)
	own := make(map[string]zones.RR) // the zone's proofs of these names, at the end,
	for owner := range owners {
		for set := range w.zone.Sets([]byte(owner)) {
			for r := range set.Of(w.zone.Owner([]byte(owner))) {
				if isProof(r) {
					own[recordKey(r)] = r
				}
			}
		}
	}
	is = append(slices.Clip(is), lackingOwners(own, now)...)
	for i := len(all) - 1; i >= 0; i-- { // and, going back, at the beginning
		c := *all[i]
		for _, r := range c.added {
			delete(own, recordKey(r))
		}
		for _, r := range c.removed {
			if isProof(r) && owners[string(lowered(r.Owner))] {
				own[recordKey(r)] = r
			}
		}
		c.removed, c.added = withoutProofs(c.removed, owners), withoutProofs(c.added, owners)
		all[i] = &c
	}
	return append(slices.Clip(was), lackingOwners(own, before)...), is
}

// lackingOwners gives the records that are not of some names, in a certain order.
func lackingOwners(records map[string]zones.RR, owners map[string]bool) (list []zones.RR) {
	for _, k := range slices.Sorted(maps.Keys(records)) {
		if r := records[k]; !owners[string(lowered(r.Owner))] {
			list = append(list, r)
		}
	}
	return list
}
