package dnssec

import "time"

// Leaving is how far a zone has come that is to be unsigned (Policy.Insecure).
type Leaving uint8

const (
	Stays      Leaving = iota
	AsksParent         // CDS and CDNSKEY ask the parent to delete its DS (RFC 8078, section 4)
	ForgetsDS          // it has done so; caches may not know
	Left               // the zone is to be served unsigned; nothing is published
)

// The records that ask a parent to delete the DS RRset (RFC 8078, section 4).
var (
	deleteCDS     = []byte{0, 0, 0, 0, 0}
	deleteCDNSKEY = []byte{0, 0, 3, 0, 0}
)

// leaves brings a zone from signed to unsigned: it asks the parent to delete the
// DS, waits until that was seen, and then for all caches. Until then the keys do
// what they did, and no roll begins.
func (s *step) leaves() {
	s.plan.Leaving = Left
	if len(s.live) == 0 {
		return
	}
	var free time.Time // when no cache has a DS
	for _, k := range s.live {
		t := s.timing(k)
		if !reached(t.Publish, s.now) { // nobody has seen it
			t.Publish, t.SyncPublish, t.Inactive, t.Delete = time.Time{}, time.Time{}, s.now, s.now
		} else if k.Role.entry() {
			if t.SyncDelete.IsZero() || t.SyncDelete.After(s.now) {
				t.SyncDelete = s.now
			}
			if t.DSGone.IsZero() {
				s.plan.Leaving = AsksParent
			}
			free = later(free, t.DSGone.Add(s.dsInterval()))
		}
		s.retime(k, t)
	}
	if s.plan.Leaving == AsksParent {
		return
	}
	s.plan.Leaving, s.plan.Leaves = ForgetsDS, free
	if !reached(free, s.now) && !free.IsZero() {
		s.at(free)
		return
	}
	for _, k := range s.live { // after which they have gone
		t := s.timing(k)
		t.Inactive, t.Delete = s.now, s.now
		s.retime(k, t)
	}
}

// left says whether the zone was unsigned after its DS had gone, so that none of
// its keys is needed.
func (s *step) left() bool {
	for _, k := range s.keys {
		t := k.Timing
		if !reached(t.Delete, s.now) || k.Role.entry() && !t.Publish.IsZero() && !(!t.DSGone.IsZero() && reached(t.DSGone.Add(s.dsInterval()), s.now)) {
			return false
		}
	}
	return true
}

// Gone notes that the parent has no DS any more, and gives the keys whose times
// that changes: those that it had named, and those that a zone which is to be
// unsigned may have let it name.
func Gone(keys []*Key, now time.Time) (changed []*Key) {
	for _, k := range keys {
		if t := k.Timing; k.Role.entry() && t.DSGone.IsZero() && (!t.DSSeen.IsZero() || !t.SyncDelete.IsZero()) {
			t.DSGone = now.UTC().Truncate(time.Second)
			changed = append(changed, k.WithTiming(t))
		}
	}
	return changed
}
