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
// may name. That is told in Problems. Another algorithm, or CSK instead of KSK
// and ZSK, is not rolled to: the keys stay of the kind that they are.
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
	for _, k := range s.keys {
		if s.gone(k) {
			if p.Purge > 0 && reached(k.Timing.Delete.Add(p.Purge), now) {
				s.plan.Remove = append(s.plan.Remove, k)
			}
			s.at(k.Timing.Delete.Add(p.Purge))
		} else {
			s.live = append(s.live, k)
		}
	}
	if s.fits() {
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
// published, and its DS has been at the parent for long enough; or its own DS
// has been gone for so long.
func (s *step) replaced(k *Key) bool {
	if !k.Timing.DSGone.IsZero() && reached(k.Timing.DSGone.Add(s.dsInterval()), s.now) {
		return true
	}
	return slices.ContainsFunc(s.keys, func(o *Key) bool {
		t := o.Timing
		return o != k && o.Role.entry() && !t.DSSeen.IsZero() && t.DSGone.IsZero() && reached(t.DSSeen.Add(s.dsInterval()), s.now) &&
			reached(t.Publish.Add(s.publishInterval()), s.now) && (t.Delete.IsZero() || t.Delete.After(s.now))
	})
}

// relieved says whether a zone key has a successor that signs.
func (s *step) relieved(k *Key) bool {
	return slices.ContainsFunc(s.keys, func(o *Key) bool { return o != k && o.Role.zone() && s.active(o) })
}

// active says whether a key signs by its own times.
func (s *step) active(k *Key) bool {
	t := k.Timing
	return reached(t.Publish, s.now) && reached(t.Activate, s.now) && !reached(t.Inactive, s.now) && !reached(t.Delete, s.now)
}

// gone says whether a key stands in the zone no longer.
func (s *step) gone(k *Key) bool {
	return reached(k.Timing.Delete, s.now) && (!k.Role.entry() || s.replaced(k)) && (!k.Role.zone() || s.relieved(k))
}

// fits says whether the keys are of one kind, and makes the policy go on with
// that kind.
func (s *step) fits() bool {
	for _, k := range append(slices.Clone(s.live), s.public...) {
		if first := s.live; len(first) > 0 && (k.Algorithm != first[0].Algorithm || (k.Role == CSK) != (first[0].Role == CSK)) {
			s.plan.Problems = append(s.plan.Problems, fmt.Errorf("keys %s and %s are of different kinds: no key is made or rolled until one kind is gone", first[0], k))
			return false
		}
	}
	if len(s.live) == 0 {
		return len(s.public) == 0
	}
	first := s.live[0]
	if first.Algorithm != s.Algorithm {
		s.problem(first, fmt.Errorf("the policy wants %s: keys are not rolled to another algorithm, and %s stays", s.Algorithm, first.Algorithm))
		s.Algorithm = first.Algorithm
	}
	if csk := first.Role == CSK; csk != s.CSK {
		s.problem(first, fmt.Errorf("the policy wants %s: keys are not rolled from the one to the other", map[bool]string{true: "a CSK", false: "a KSK and a ZSK"}[s.CSK]))
		s.CSK = csk
	}
	return true
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
		return int(a.tag) - int(b.tag)
	})
	return keys
}

// use fills in what the keys do now.
func (s *step) use() {
	plan := &s.plan
	var resting *Key // the zone key that went inactive last
	plan.Publish = append(plan.Publish, s.public...)
	for _, k := range s.live {
		t := k.Timing
		for _, moment := range []time.Time{t.Publish, t.Activate, t.Inactive, t.Delete, t.SyncPublish, t.SyncDelete} {
			s.at(moment)
		}
		for _, seen := range []time.Time{t.DSSeen, t.DSGone} {
			if !seen.IsZero() {
				s.at(seen.Add(s.dsInterval()))
			}
		}
		if !reached(t.Publish, s.now) {
			continue
		}
		plan.Publish = append(plan.Publish, k)
		if reached(t.Delete, s.now) {
			s.problem(k, fmt.Errorf("it was to go at %s and is kept: nothing has taken its place that caches know, or the successor's DS is not confirmed", t.Delete.Format(time.DateTime)))
		}
		if s.signsKeys(k) {
			plan.SignKeys = append(plan.SignKeys, k)
		}
		if k.Role.zone() && s.active(k) {
			plan.SignZone = append(plan.SignZone, k)
		}
		if k.Role.zone() && reached(t.Activate, s.now) && (resting == nil || t.Inactive.After(resting.Timing.Inactive)) {
			resting = k
		}
		if k.Role.entry() && reached(t.SyncPublish, s.now) && !reached(t.SyncDelete, s.now) {
			plan.CDS = append(plan.CDS, k)
		}
	}
	if len(plan.SignZone) == 0 && resting != nil {
		s.problem(resting, errors.New("it goes on to sign the zone beyond its time: there is no other"))
		plan.SignZone = append(plan.SignZone, resting)
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
