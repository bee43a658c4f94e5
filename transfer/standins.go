package transfer

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"
	"sync/atomic"

	"gslb/zones"
)

// What a transfer has in the place of steered names and of ALIAS records (their
// stand-ins) follows the state of the sites and of other names, not the zone's
// serial number: two secondaries may have the same version of a zone with other
// stand-ins. A difference must remove exactly what is there (RFC 1995, section 4),
// so that it is noted what each one was sent. Whoever's is not known gets the whole
// zone.

// steered gives the steered names of the zone, and the owners of ALIAS records.
func (z *zone) steered(db *zones.DB) iter.Seq[*zones.Steered] {
	return func(yield func(*zones.Steered) bool) {
		for s := range db.Standing() {
			if string(lowered(s.Zone().Apex())) == string(z.apex) && !yield(s) {
				return
			}
		}
	}
}

// standIns are the records that stand for steered names, and for ALIAS records:
// addresses or, where these are not known or not to be told, the record itself.
func (z *zone) standIns(db *zones.DB, zn *zones.Zone) (all []zones.RR) {
	instead := make(map[string]bool)
	if z.set.Load().Steered != SteeredOmit {
		for s := range z.steered(db) {
			for owner, set := range s.Sets(z.m.host.Default(s)) {
				instead[string(owner)] = true
				all = slices.AppendSeq(all, set.Of(owner))
			}
			for owner, set := range s.Proof(z.m.host.Default(s)) {
				all = slices.AppendSeq(all, set.Of(owner))
			}
		}
	}
	for owner, set := range zn.Aliases() {
		if !instead[string(lowered(owner))] {
			all = slices.AppendSeq(all, set.Of(owner))
		}
	}
	return all
}

// view is what a transfer sends: a version, with the stand-ins of one moment.
type view struct {
	*version
	standIns []zones.RR
}

// view is what would be sent now; nil: the zone is not there.
func (z *zone) view() *view {
	for {
		db := z.m.host.DB()
		v := z.current()
		if v == nil || !v.zone.Loaded() || db.Zone(z.apex) == nil { // it may be on its way out
			return nil
		}
		if db.Zone(z.apex) == v.zone { // else another one came meanwhile
			w := &view{v, z.standIns(db, v.zone)}
			if len(w.standIns) > 0 {
				z.past.any.Store(true)
			}
			return w
		}
	}
}

// peerOf tells secondaries apart.
type peerOf struct {
	address netip.Addr
	key     string
}

// sentView is what a peer was sent.
type sentView struct {
	serial   uint32
	standIns []zones.RR
	unclear  bool // it was sent twice, with other stand-ins: there may be two secondaries
}

// Bounds of what is remembered of a zone.
const (
	maxSentPeers = 256
	maxSentViews = 8 // of a peer
)

// outbox notes what the peers of a zone were sent. Its owner guards it, but for any.
type outbox struct {
	any   atomic.Bool           // there were stand-ins, or may have been
	views map[peerOf][]sentView // the newest last
}

// note remembers that a peer is sent a view; changed tells whether that is news.
func (s *outbox) note(p peerOf, w *view) (now sentView, changed bool) {
	now = sentView{serial: w.zone.Serial, standIns: w.standIns}
	for _, o := range s.views[p] {
		if o.serial != now.serial {
			continue
		}
		removed, added := differences(o.standIns, now.standIns)
		if len(removed)+len(added) == 0 {
			return o, false
		}
		now.unclear = true
	}
	s.put(p, now)
	return now, true
}

// put notes what a peer was sent, in the place of what is known of that version.
func (s *outbox) put(p peerOf, now sentView) {
	if s.views == nil {
		s.views = make(map[peerOf][]sentView)
	}
	list, known := s.views[p]
	if !known && len(s.views) >= maxSentPeers {
		for other := range s.views {
			delete(s.views, other)
			break
		}
	}
	list = slices.DeleteFunc(list, func(o sentView) bool { return o.serial == now.serial })
	if list = append(list, now); len(list) > maxSentViews {
		list = list[1:]
	}
	s.views[p] = list
}

// had gives the stand-ins that a peer has with a version; ok is false where they
// are not known.
func (s *outbox) had(p peerOf, serial uint32) (standIns []zones.RR, ok bool) {
	for _, o := range s.views[p] {
		if o.serial == serial {
			return o.standIns, !o.unclear
		}
	}
	return nil, !s.any.Load()
}

// since gives the changes that make what a peer has into the view; nil: they are
// not known.
func (w *view) since(serial uint32, had []zones.RR) []*change {
	all := w.version.since(serial)
	if all == nil {
		return nil
	}
	all = slices.Clone(all)
	for i, c := range all {
		if aliasesApart(w.zone) && hasAlias(c) {
			all[i] = &change{before: c.before, after: c.after, removed: withoutAlias(c.removed), added: withoutAlias(c.added)}
		}
	}
	// What goes is removed first and what comes is added last, so that a name may
	// cease to be steered, or begin to be, at any of the steps in between.
	was, is := w.settleProofs(all, had)
	if removed, added := differences(was, is); len(removed)+len(added) > 0 {
		first := *all[0]
		first.removed = slices.Concat(first.removed, removed)
		all[0] = &first
		last := *all[len(all)-1]
		last.added = slices.Concat(last.added, added)
		all[len(all)-1] = &last
	}
	return all
}

// aliasesApart tells whether the zone's ALIAS records are among the stand-ins. In a
// zone that comes signed they are records as any others.
func aliasesApart(zn *zones.Zone) bool {
	_, _, here := zn.Signing()
	return here || !zn.Signed()
}

func isAlias(r zones.RR) bool { return r.Type == zones.TypeALIAS }

func hasAlias(c *change) bool {
	return slices.ContainsFunc(c.removed, isAlias) || slices.ContainsFunc(c.added, isAlias)
}

func withoutAlias(list []zones.RR) []zones.RR {
	return slices.DeleteFunc(slices.Clone(list), isAlias)
}

// differences gives what makes one list of records into another.
func differences(old, next []zones.RR) (removed, added []zones.RR) {
	return lacking(old, next), lacking(next, old)
}

// lacking gives the records of a that b does not have.
func lacking(a, b []zones.RR) (all []zones.RR) {
	has := make(map[string]bool, len(b))
	for _, r := range b {
		has[recordKey(r)] = true
	}
	for _, r := range a {
		if !has[recordKey(r)] {
			all = append(all, r)
		}
	}
	return all
}

func recordKey(r zones.RR) string {
	b := binary.BigEndian.AppendUint32(lowered(r.Owner), r.TTL)
	return string(append(binary.BigEndian.AppendUint16(b, r.Type), r.Data...))
}
