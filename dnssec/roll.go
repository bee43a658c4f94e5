package dnssec

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Step says what a zone's keys are to do now, from their times alone:
//
//	ZSK  pre-publication (RFC 6781, section 4.1.1.1; RFC 7583, section 3.2.1):
//	     published | Ipub | signs, predecessor stays | Iret | predecessor gone
//	KSK  double signature (RFC 6781, section 4.1.2; RFC 7583, section 3.3.1):
//	     published, both sign the keys | Ipub | CDS; wait for DS | Iret | predecessor gone
//	CSK  both at once: the zone is signed by the successor after Ipub, the keys
//	     by both until the predecessor is gone
//
// Times that would break the chain of trust, as imported keys may have, are not
// followed: the last key that signs goes on, and so does a key that the parent
// may name. That is told in Problems. Where the policy wants another algorithm,
// or a CSK instead of KSK and ZSK, all are rolled; see kindRoll. A zone that is
// to be unsigned is left by leaves.
func (p Policy) Step(keys []*Key, now time.Time) Plan {
	// Key files tell times to the second.
	s := step{Policy: p, now: now.UTC().Truncate(time.Second), retimed: make(map[*Key]Timing)}
	for _, k := range keys {
		if k.CanSign() {
			s.keys = append(s.keys, k)
		} else if t := k.Timing; !reached(t.Delete, now) && (t.Publish.IsZero() || reached(t.Publish, now)) {
			s.problem(k, errors.New("its private half is not there: it is published and signs nothing"))
			s.public = append(s.public, k)
		}
	}
	over := s.left()
	for _, k := range s.keys {
		if over || s.gone(k) {
			if p.Purge > 0 && reached(later(k.Timing.Delete, k.Timing.Inactive).Add(p.Purge), now) {
				s.plan.Remove = append(s.plan.Remove, k)
			}
			s.at(later(k.Timing.Delete, k.Timing.Inactive).Add(p.Purge))
		} else {
			s.live = append(s.live, k)
		}
	}
	if s.Insecure {
		s.leaves()
	} else if s.arrange() {
		s.rollEntry()
		if !s.CSK {
			s.rollZSK()
		}
	}
	s.use()
	for _, k := range s.keys {
		if t, ok := s.retimed[k]; ok && t != k.Timing {
			s.plan.Retime = append(s.plan.Retime, k.WithTiming(t))
		}
	}
	return s.plan
}

// step is the state of one Step.
type step struct {
	Policy
	now     time.Time
	keys    []*Key // that can sign
	public  []*Key // that cannot
	live    []*Key // keys that have not gone
	retimed map[*Key]Timing
	frozen  bool // no roll is to begin
	target  Kind // of a KindRoll: keys of it sign before they are published
	plan    Plan
}

// timing gives a key's times as this step leaves them.
func (s *step) timing(k *Key) *Timing {
	t, ok := s.retimed[k]
	if !ok {
		t = k.Timing
	}
	return &t
}

func (s *step) retime(k *Key, t *Timing) { s.retimed[k] = *t }

func (s *step) problem(k *Key, err error) {
	s.plan.Problems = append(s.plan.Problems, fmt.Errorf("key %s: %w", k, err))
}

// at notes a moment at which something will change.
func (s *step) at(t time.Time) {
	if t.After(s.now) && (s.plan.Next.IsZero() || t.Before(s.plan.Next)) {
		s.plan.Next = t
	}
}

// replaced says whether no cache can need an entry key: another one is
// published, and its DS has been at the parent for long enough, if only until a
// further one took its place; or its own DS has been gone for so long.
func (s *step) replaced(k *Key) bool {
	gone := k.Timing.DSGone
	if !gone.IsZero() && reached(gone.Add(s.dsInterval()), s.now) {
		return true
	}
	return slices.ContainsFunc(s.keys, func(o *Key) bool {
		t := o.Timing
		if o == k || !o.Role.entry() || t.DSSeen.IsZero() {
			return false
		}
		known := later(t.DSSeen.Add(s.dsInterval()), t.Publish.Add(s.publishInterval()))
		if !t.DSGone.IsZero() {
			return reached(known, t.DSGone) && (k.Timing.DSSeen.IsZero() || !gone.IsZero())
		}
		return reached(known, s.now) && (t.Delete.IsZero() || t.Delete.After(s.now))
	})
}

// relieved says whether a zone key has a successor that signs: one of its kind,
// or of another one when no entry key of its own kind is needed any more.
func (s *step) relieved(k *Key) bool {
	kind := k.Kind()
	over := !slices.ContainsFunc(s.keys, func(o *Key) bool {
		return o.Kind() == kind && o.Role.entry() && reached(o.Timing.Publish, s.now) && !(reached(o.Timing.Delete, s.now) && s.replaced(o))
	})
	return slices.ContainsFunc(s.keys, func(o *Key) bool {
		return o != k && o.Role.zone() && s.active(o) && (o.Kind() == kind || over)
	})
}

// active says whether a key signs by its own times.
func (s *step) active(k *Key) bool {
	t := k.Timing
	return reached(t.Publish, s.now) && reached(t.Activate, s.now) && !reached(t.Inactive, s.now) && !reached(t.Delete, s.now)
}

// out says whether a key that was published stands in the zone no longer.
func (s *step) out(k *Key) bool {
	return reached(k.Timing.Delete, s.now) && (!k.Role.entry() || s.replaced(k)) && (!k.Role.zone() || s.relieved(k))
}

// gone says whether nothing is left to do for a key: it stands in the zone no
// longer, or never did, and does not sign beyond that.
func (s *step) gone(k *Key) bool {
	t := k.Timing
	if reached(t.Delete, s.now) && (t.Publish.IsZero() || !t.Publish.Before(t.Delete)) {
		return true
	}
	return s.out(k) && !(k.Role.zone() && t.Inactive.After(s.now))
}

// byTime gives the live keys of some roles, by a moment of theirs; those for
// which it is not known come last.
func (s *step) byTime(role func(Role) bool, moment func(Timing) time.Time) []*Key {
	var keys []*Key
	for _, k := range s.live {
		if role(k.Role) {
			keys = append(keys, k)
		}
	}
	slices.SortStableFunc(keys, func(a, b *Key) int {
		x, y := moment(a.Timing), moment(b.Timing)
		if x.IsZero() != y.IsZero() {
			return map[bool]int{true: 1, false: -1}[x.IsZero()]
		}
		if c := x.Compare(y); c != 0 {
			return c
		}
		if stays := a.Timing.Inactive.IsZero(); stays != b.Timing.Inactive.IsZero() { // it follows the other, within a second
			return map[bool]int{true: 1, false: -1}[stays]
		}
		return int(a.tag) - int(b.tag)
	})
	return keys
}

// use fills in what the keys do now.
func (s *step) use() {
	plan := &s.plan
	resting := make(map[Kind]*Key) // the zone key that went inactive last
	signs := make(map[Kind]bool)
	var published []Kind
	plan.Publish = append(plan.Publish, s.public...)
	for _, k := range s.live {
		t, kind := k.Timing, k.Kind()
		s.moments(k)
		switch {
		case s.out(k):
			plan.SignZone = append(plan.SignZone, k) // until no cache has its DNSKEY
			continue
		case !reached(t.Publish, s.now):
			if kind == s.target && k.Role.zone() && reached(t.Activate, s.now) && !reached(t.Inactive, s.now) {
				plan.SignZone = append(plan.SignZone, k)
			}
			continue
		}
		plan.Publish, published = append(plan.Publish, k), append(published, kind)
		if reached(t.Delete, s.now) {
			s.problem(k, fmt.Errorf("it was to go at %s and is kept: nothing has taken its place that caches know, or the successor's DS is not confirmed", t.Delete.Format(time.DateTime)))
		}
		if s.signsKeys(k) {
			plan.SignKeys = append(plan.SignKeys, k)
		}
		if k.Role.zone() && s.active(k) {
			plan.SignZone, signs[kind] = append(plan.SignZone, k), true
		}
		if last := resting[kind]; k.Role.zone() && reached(t.Activate, s.now) && (last == nil || t.Inactive.After(last.Timing.Inactive)) {
			resting[kind] = k
		}
		if k.Role.entry() && reached(t.SyncPublish, s.now) && !reached(t.SyncDelete, s.now) {
			plan.CDS = append(plan.CDS, k)
		}
	}
	for _, kind := range published { // RFC 4035, section 2.2
		if k := resting[kind]; !signs[kind] && k != nil {
			s.problem(k, errors.New("it goes on to sign the zone beyond its time: there is no other"))
			plan.SignZone, signs[kind] = append(plan.SignZone, k), true
		}
	}
}

// moments notes when something changes for a key.
func (s *step) moments(k *Key) {
	t := k.Timing
	for _, moment := range []time.Time{t.Publish, t.Activate, t.Inactive, t.Delete, t.SyncPublish, t.SyncDelete} {
		s.at(moment)
	}
	for _, seen := range []time.Time{t.DSSeen, t.DSGone} {
		if !seen.IsZero() {
			s.at(seen.Add(s.dsInterval()))
		}
	}
}

// signsKeys says whether a published key signs the DNSKEY RRset. A CSK does so
// as long as it is published.
func (s *step) signsKeys(k *Key) bool {
	switch k.Role {
	case ZSK:
		return false
	case CSK:
		return true
	}
	if reached(k.Timing.Inactive, s.now) {
		return !s.replaced(k)
	}
	return reached(k.Timing.Activate, s.now)
}
