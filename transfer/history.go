package transfer

import (
	"slices"

	"gslb/dnsname"
	"gslb/zones"
)

// change is what makes one version of a zone into the next. The SOA records are
// in before and after, not among the others.
type change struct {
	before, after  zones.RR
	removed, added []zones.RR
}

func (c *change) from() uint32 { return serialOf(c.before.Data) }
func (c *change) to() uint32   { return serialOf(c.after.Data) }

// octets is about what the change takes, in memory and in messages.
func (c *change) octets() (n int) {
	for _, list := range [][]zones.RR{c.removed, c.added} {
		for _, r := range list {
			n += 64 + len(r.Owner) + len(r.Data)
		}
	}
	return n + 256
}

// version is a version of a zone that is served, and how others came to it.
type version struct {
	zone *zones.Zone
	// changes lead to it, the oldest first, each one from where the one before ended.
	changes []*change
}

// leastHistory is how much history is kept of the smallest zone, in octets.
const leastHistory = 64 << 10

// next is the version that follows with another zone in the place of v's. What
// is not newer has no history: there is no way to it (RFC 1995, section 2).
func (v *version) next(z *zones.Zone) *version {
	n := &version{zone: z}
	if v == nil || !v.zone.Loaded() || !z.Loaded() {
		return n
	}
	if v.zone.Serial == z.Serial {
		// Its records may have changed all the same, as when a file is edited
		// without raising the serial number. Then nobody can be told what changed.
		if removed, added := v.zone.Diff(z); len(removed)+len(added) == 0 {
			n.changes = v.changes
		}
		return n
	}
	if !newer(z.Serial, v.zone.Serial) {
		return n
	}
	n.changes = append(append(n.changes, v.changes...), differ(v.zone, z))
	n.trim()
	return n
}

// trim forgets the oldest changes where they would be more to send than the zone.
func (v *version) trim() {
	room := max(leastHistory, v.zone.Bytes())
	for i := len(v.changes) - 1; i >= 0; i-- {
		if room -= v.changes[i].octets(); room < 0 {
			v.changes = v.changes[i+1:]
			return
		}
	}
}

// since gives the changes from a serial number on; nil: they are not known.
func (v *version) since(serial uint32) []*change {
	for i, c := range v.changes {
		if c.from() == serial {
			return v.changes[i:]
		}
	}
	return nil
}

// differ gives what makes one zone into another.
func differ(old, next *zones.Zone) *change {
	c := &change{before: soaOf(old), after: soaOf(next)}
	removed, added := old.Diff(next)
	c.removed, c.added = withoutSOA(removed), withoutSOA(added)
	return c
}

func withoutSOA(list []zones.RR) []zones.RR {
	out := list[:0]
	for _, r := range list {
		if r.Type != typeSOA {
			out = append(out, r)
		}
	}
	return out
}

// soaOf is the SOA record of a zone that is loaded.
func soaOf(z *zones.Zone) (soa zones.RR) {
	for r := range z.SOA().Of(z.Apex()) {
		soa = r
	}
	return soa
}

// current is the version that is served now.
func (z *zone) current() *version {
	now := z.m.host.DB().Zone(z.apex)
	v := z.served.Load()
	if now == nil || v != nil && v.zone == now {
		return v
	}
	z.versions.Lock()
	defer z.versions.Unlock()
	now = z.m.host.DB().Zone(z.apex)
	if v = z.served.Load(); now == nil || v != nil && v.zone == now {
		return v
	}
	v = v.follow(now, z.known(now))
	z.served.Store(v)
	return v
}

// known are the changes that led to what is served, where that is what is kept.
func (z *zone) known(now *zones.Zone) []*change {
	if h := z.history.Load(); h != nil && now == z.raw.Load() {
		return *h
	}
	return nil
}

// follow is next where it may be known what has changed: then nobody has to compare
// the zones.
func (v *version) follow(now *zones.Zone, known []*change) *version {
	if len(known) == 0 || known[len(known)-1].to() != now.Serial {
		return v.next(now)
	}
	n := &version{zone: now, changes: known}
	if v != nil && v.zone.Loaded() {
		i := slices.IndexFunc(known, func(c *change) bool { return c.from() == v.zone.Serial })
		if i < 0 {
			return v.next(now)
		}
		n.changes = slices.Concat(v.changes, known[i:])
	}
	n.trim()
	return n
}

func format(name []byte) string { return dnsname.Format(name) }
