package transfer

import (
	"fmt"
	"slices"

	"gslb/dnsname"
	"gslb/parallel"
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
	chain   *chain // of the versions that changes lead from one to the other
}

// leastHistory is how much history is kept of the smallest zone, in octets.
const leastHistory = 64 << 10

// next is the version that follows with another zone in the place of v's. What
// is not newer has no history: there is no way to it (RFC 1995, section 2).
func (v *version) next(z *zones.Zone) *version {
	n := &version{zone: z, chain: new(chain)}
	if v == nil || !v.zone.Loaded() || !z.Loaded() {
		return n
	}
	if v.zone.Serial == z.Serial {
		// Its records may have changed all the same, as when a file is edited
		// without raising the serial number. Then nobody can be told what changed.
		if removed, added := v.zone.Diff(z); len(removed)+len(added) == 0 {
			n.changes, n.chain = v.changes, v.chain
		}
		return n
	}
	if !newer(z.Serial, v.zone.Serial) {
		return n
	}
	n.changes, n.chain = append(slices.Clone(v.changes), differ(v.zone, z)), v.chain
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
	next := z.following(v, now)
	z.served.Store(next)
	return next
}

// following is the version that follows v, or that is the first since the start.
func (z *zone) following(v *version, now *zones.Zone) *version {
	if !now.Loaded() {
		return v.next(now)
	}
	known, journaled := z.known(now)
	before := v
	if v == nil && !journaled && z.sends() {
		var last uint32
		var ok bool
		var err error
		z.m.recalling.Lock() // zones may be large
		parallel.Background(func() { v, last, ok, err = z.past.recall(now) })
		z.m.recalling.Unlock()
		if err != nil {
			z.m.log.Warn("what secondaries have of a zone is not known any more: they get the whole zone once", "zone", z.name, "error", err)
		}
		if ok {
			z.highest = last
		}
	} else {
		v = v.follow(now, known)
	}
	z.judge(now.Serial, before != nil && before.zone.Loaded() && before.zone.Serial == now.Serial && before.chain != v.chain && z.sends() && !isSignedHere(now))
	return v
}

// judge tells when a serial number goes back, or stays though records have changed,
// which no secondary follows (RFC 1034, section 4.3.5; RFC 1982).
func (z *zone) judge(serial uint32, changed bool) {
	said := ""
	if changed && serial == z.highest {
		said = fmt.Sprintf("zone %s: its records have changed, but its serial number is %d as before: secondary servers keep the version that they have until it is newer", z.name, serial)
		z.m.log.Warn(said)
		z.backward.Store(&said)
		return
	}
	if z.highest == 0 || serial == z.highest || newer(serial, z.highest) {
		z.highest = serial
	} else {
		said = fmt.Sprintf("zone %s: its serial number went back from %d to %d: secondary servers keep the version that they have until it is newer than %[2]d", z.name, z.highest, serial)
		z.m.log.Warn(said)
	}
	z.backward.Store(&said)
}

// sends tells whether anybody may have the zone.
func (z *zone) sends() bool {
	set := z.set.Load()
	return set != nil && len(set.transferTo) > 0
}

// known are the changes that led to what is served, where that is what is kept.
func (z *zone) known(now *zones.Zone) (changes []*change, ok bool) {
	if h := z.history.Load(); h != nil && now == z.raw.Load() {
		return *h, true
	}
	return nil, false
}

// sending notes what a peer is about to be sent.
func (z *zone) sending(to peerOf, v *view) {
	said := ""
	_, journaled := z.known(v.zone)
	if err := z.past.sending(to, v, journaled); err != nil {
		said = fmt.Sprintf("zone %s: it cannot be noted what secondaries have of it, so that they get the whole zone after a restart: %v", z.name, err)
		if old := z.unnoted.Load(); old == nil || *old != said {
			z.m.log.Error(said)
		}
	}
	z.unnoted.Store(&said)
}

// follow is next where it may be known what has changed: then nobody has to compare
// the zones.
func (v *version) follow(now *zones.Zone, known []*change) *version {
	if len(known) == 0 || known[len(known)-1].to() != now.Serial {
		return v.next(now)
	}
	n := &version{zone: now, changes: known, chain: new(chain)}
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
