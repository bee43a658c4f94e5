package zones

import (
	"bytes"
	"weak"

	"gslb/dnsname"
)

// edited is what a zone that has been patched remembers of that: the names of which
// it has other records than the zone that it was made of, so that nobody has to
// compare the two.
type edited struct {
	of     weak.Pointer[Zone]
	owners [][]byte // wire form, lower case
	before *edited  // of that zone
	depth  int      // how many there are
}

// mostEdits is how many patches are remembered, one behind the other.
const mostEdits = 64

// edit notes changes of a zone for the next one.
func (z *Zone) edit(changes []Changed) *edited {
	owners := make([][]byte, len(changes))
	for i := range changes {
		owners[i] = dnsname.AppendLower(nil, changes[i].Owner)
	}
	return z.editAt(owners)
}

func (z *Zone) editAt(owners [][]byte) *edited {
	e := &edited{of: weak.Make(z), owners: owners, depth: 1}
	if b := z.edited; b != nil && b.depth < mostEdits {
		e.before, e.depth = b, b.depth+1
	}
	return e
}

// editedSince gives the names that may have other records in the zone than in an
// older version of it, each once; ok is false where that is not known.
func (z *Zone) editedSince(old *Zone) (owners [][]byte, ok bool) { return z.since(weak.Make(old)) }

func (z *Zone) since(old weak.Pointer[Zone]) (owners [][]byte, ok bool) {
	seen := make(map[string]bool)
	for e := z.edited; e != nil; e = e.before {
		for _, owner := range e.owners {
			if !seen[string(owner)] {
				seen[string(owner)] = true
				owners = append(owners, owner)
			}
		}
		if e.of == old {
			return owners, true
		}
	}
	return nil, false
}

// diffAt is Diff at some names, the only ones that differ.
func (z *Zone) diffAt(next *Zone, owners [][]byte) (removed, added []RR) {
	for _, owner := range owners {
		for set := range z.Sets(owner) {
			if now, _ := next.Set(owner, set.Type); !bytes.Equal(set.Wire, now.Wire) {
				removed = missingFrom(removed, now, set, z.Owner(owner))
			}
		}
		for set := range next.Sets(owner) {
			if was, _ := z.Set(owner, set.Type); !bytes.Equal(set.Wire, was.Wire) {
				added = missingFrom(added, was, set, next.Owner(owner))
			}
		}
	}
	return removed, added
}
