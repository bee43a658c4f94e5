package dnssec

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"gslb/dnsname"
)

// rollZSK sees to it that there is a ZSK, and a successor in time.
func (s *step) rollZSK() {
	keys := s.byTime(func(r Role) bool { return r == ZSK }, func(t Timing) time.Time { return t.Activate })
	if len(keys) == 0 {
		s.generate(ZSK, Timing{Created: s.now, Publish: s.now, Activate: s.now})
		return
	}
	current, next := s.current(keys, func(t Timing) time.Time { return t.Activate })
	if current == nil {
		s.begin(keys[0], Timing{Publish: s.now, Activate: s.now})
		return
	}
	if next == nil {
		if end := s.end(current, s.ZSKLifetime); !s.frozen && s.due(end) {
			s.generate(ZSK, Timing{Created: s.now, Publish: s.now, Activate: later(end, s.now.Add(s.publishInterval()))})
		}
	} else {
		s.ready(next, s.end(current, s.ZSKLifetime))
		s.hand(current, s.timing(next).Activate)
	}
	for _, old := range keys {
		if old != current && reached(old.Timing.Activate, s.now) && !reached(old.Timing.Inactive, s.now) {
			s.hand(old, later(current.Timing.Activate, current.Timing.Publish.Add(s.publishInterval())))
		}
	}
}

// rollEntry sees to it that there is a key for the parent to name, and a
// successor in time.
func (s *step) rollEntry() {
	role := KSK
	if s.CSK {
		role = CSK
	}
	keys := s.byTime(Role.entry, func(t Timing) time.Time { return t.Publish })
	if len(keys) == 0 && len(s.public) > 0 {
		s.problem(s.public[0], fmt.Errorf("no other %s is there, and none is made beside it", role))
		return
	}
	if len(keys) == 0 {
		s.generate(role, Timing{Created: s.now, Publish: s.now, Activate: s.now, SyncPublish: s.now.Add(s.firstInterval())})
		return
	}
	current, next := s.current(keys, func(t Timing) time.Time { return t.Publish })
	if current == nil {
		s.begin(keys[0], Timing{Publish: s.now, Activate: s.now, SyncPublish: s.now.Add(s.firstInterval())})
		return
	}
	t := s.timing(current)
	if t.SyncPublish.IsZero() {
		t.SyncPublish = later(s.now, t.Publish.Add(s.publishInterval()))
	}
	if t.Activate.IsZero() {
		t.Activate = later(s.now, t.Publish.Add(s.publishInterval()))
	}
	t.SyncDelete = time.Time{} // it may have been to leave
	s.retime(current, t)
	for _, old := range keys {
		if done := reached(old.Timing.Delete, s.now) && s.replaced(old); old != current && reached(old.Timing.Publish, s.now) && !done {
			s.release(old, t)
		}
	}
	switch {
	case t.DSSeen.IsZero() || !t.DSGone.IsZero():
		if reached(t.SyncPublish, s.now) {
			s.plan.Waiting = append(s.plan.Waiting, current)
		}
		// Its time is over all the same: the parent may name the successor at once.
		if next == nil && !s.frozen && reached(t.Inactive, s.now) {
			s.generate(role, s.entryTiming(role, t.Inactive))
		}
	case next == nil && !s.frozen:
		if end := s.end(current, s.KSKLifetime); s.due(end) {
			s.generate(role, s.entryTiming(role, end))
		}
	}
}

// entryTiming is that of a successor of a KSK or CSK, whose time ends at end.
func (s *step) entryTiming(role Role, end time.Time) Timing {
	ready := s.now.Add(s.publishInterval())
	t := Timing{Created: s.now, Publish: s.now, Activate: s.now, SyncPublish: ready}
	if role == CSK {
		t.Activate = later(end, ready)
	}
	return t
}

// release lets an entry key go once its successor's DS has replaced its own
// everywhere. A CSK stops signing the zone before that.
func (s *step) release(old *Key, successor *Timing) {
	t := s.timing(old)
	if t.SyncDelete.IsZero() || t.SyncDelete.After(successor.SyncPublish) {
		t.SyncDelete = successor.SyncPublish
	}
	if old.Role == CSK && (t.Inactive.IsZero() || t.Inactive.Before(successor.Activate)) {
		t.Inactive = successor.Activate
	}
	if !successor.DSSeen.IsZero() && successor.DSGone.IsZero() {
		free := later(successor.DSSeen.Add(s.dsInterval()), successor.Publish.Add(s.publishInterval()))
		if old.Role == CSK {
			free = later(free, t.Inactive.Add(s.retireInterval()))
		} else if t.Inactive.IsZero() {
			t.Inactive = free
		}
		t.Delete = later(t.Delete, free)
	}
	s.retime(old, t)
}

// hand lets a ZSK sign until at, when another one does, and go when no cache
// has its signatures any more.
func (s *step) hand(old *Key, at time.Time) {
	t := s.timing(old)
	if t.Inactive.Before(at) {
		t.Inactive = at
	}
	t.Delete = later(t.Delete, t.Inactive.Add(s.retireInterval()))
	s.retime(old, t)
}

// ready gives a key that waits the times it lacks; its predecessor's time ends
// at end.
func (s *step) ready(next *Key, end time.Time) {
	t := s.timing(next)
	if t.Publish.IsZero() {
		t.Publish = s.now
	}
	if least := t.Publish.Add(s.publishInterval()); t.Activate.Before(least) {
		t.Activate = later(least, end)
	}
	s.retime(next, t)
}

// begin puts a key to use that is the first.
func (s *step) begin(k *Key, times Timing) {
	t := s.timing(k)
	t.Publish, t.Activate, t.Inactive, t.Delete = times.Publish, times.Activate, time.Time{}, time.Time{}
	if t.SyncPublish.IsZero() {
		t.SyncPublish = times.SyncPublish
	}
	s.retime(k, t)
}

// current gives the last key whose moment has come and the first whose moment
// has not; nil if there is none.
func (s *step) current(keys []*Key, moment func(Timing) time.Time) (current, next *Key) {
	for _, k := range keys {
		if reached(moment(k.Timing), s.now) {
			current = k
		} else if next == nil {
			next = k
		}
	}
	return current, next
}

// end is when a key's time is over; zero for never.
func (s *step) end(k *Key, lifetime time.Duration) time.Time {
	t := s.timing(k)
	switch {
	case !t.Inactive.IsZero():
		return t.Inactive
	case lifetime > 0:
		return t.Activate.Add(lifetime)
	}
	return time.Time{}
}

// due says whether a successor is to be published now for a key whose time ends
// at end.
func (s *step) due(end time.Time) bool {
	if end.IsZero() {
		return false
	}
	start := end.Add(-s.publishInterval())
	s.at(start)
	return reached(start, s.now)
}

func (s *step) generate(role Role, t Timing) {
	s.plan.Generate = append(s.plan.Generate, NewKey{Algorithm: s.Algorithm, Bits: s.Bits, Role: role, Timing: t})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Roll gives the successor for a roll that an operator wants now: with its
// times the same steps follow as in one by schedule. It refuses while a roll is
// under way.
func (p Policy) Roll(keys []*Key, role Role, now time.Time) (NewKey, error) {
	now = now.UTC().Truncate(time.Second)
	plan := p.Step(keys, now)
	if len(plan.Generate)+len(plan.Retime) > 0 {
		return NewKey{}, errors.New("the keys are about to change: try again")
	}
	if r := plan.Roll; r != nil {
		return NewKey{}, fmt.Errorf("the roll from %s to %s is under way", r.From, r.To)
	}
	var same []*Key
	for _, k := range plan.Publish {
		if k.Role == role && k.CanSign() {
			same = append(same, k)
		}
	}
	if len(same) == 0 {
		return NewKey{}, fmt.Errorf("there is no %s to be rolled", role)
	}
	for _, k := range keys {
		if k.Role == role && !slices.Contains(same, k) && k.Timing.Publish.After(now) {
			return NewKey{}, fmt.Errorf("key %s is to be published at %s: a roll is under way", k, k.Timing.Publish.Format(time.DateTime))
		}
	}
	if len(same) > 1 {
		return NewKey{}, fmt.Errorf("%d keys of role %s are published: a roll is under way", len(same), role)
	}
	if role.entry() && same[0].Timing.DSSeen.IsZero() {
		return NewKey{}, fmt.Errorf("key %s: its DS is not confirmed at the parent", same[0])
	}
	s := step{Policy: p, now: now}
	ready := now.Add(p.publishInterval())
	timing := Timing{Created: now, Publish: now, Activate: ready}
	if role.entry() {
		timing = s.entryTiming(role, ready)
	}
	return NewKey{Algorithm: same[0].Algorithm, Bits: p.Bits, Role: role, Timing: timing}, nil
}

// Seen notes what the parent's DS RRset names, as a look-up of all its servers
// found it, and gives the keys whose times that changes. An empty RRset changes
// nothing: a zone that is to be unsigned says so otherwise.
func Seen(keys []*Key, ds [][]byte, now time.Time) []*Key {
	now = now.UTC().Truncate(time.Second)
	var changed []*Key
	for _, k := range keys {
		t := k.Timing
		switch named := k.NamedBy(ds); {
		case !k.Role.entry() || len(ds) == 0:
		case named && (t.DSSeen.IsZero() || !t.DSGone.IsZero()):
			t.DSSeen, t.DSGone = now, time.Time{}
		case !named && !t.DSSeen.IsZero() && t.DSGone.IsZero():
			t.DSGone = now
		}
		if t != k.Timing {
			changed = append(changed, k.WithTiming(t))
		}
	}
	return changed
}

// Maintain does what the policy wants with the zone's keys in the folder and
// says how they are then to be used. Where several nodes share keys, one of
// them does this, and the others ask Policy.Step.
func (f Folder) Maintain(zone []byte, p Policy, now time.Time) (Plan, error) {
	keys, err := f.Load(zone)
	if err != nil {
		return Plan{}, err
	}
	plan, _, err := f.MaintainKeys(zone, keys, p, now)
	return plan, err
}

// MaintainKeys is Maintain for keys that were loaded just now, and gives those
// that there are then.
func (f Folder) MaintainKeys(zone []byte, keys []*Key, p Policy, now time.Time) (Plan, []*Key, error) {
	keys = slices.Clone(keys)
	find := func(k *Key) int { return slices.IndexFunc(keys, func(o *Key) bool { return o.id == k.id }) }
	for range 10 {
		plan := p.Step(keys, now)
		if len(plan.Generate)+len(plan.Retime)+len(plan.Remove) == 0 {
			return plan, keys, nil
		}
		if len(plan.Generate) > 0 {
			if again, err := f.tellRoles(keys); err != nil {
				return Plan{}, nil, err
			} else if again {
				continue
			}
		}
		for _, n := range plan.Generate {
			k, err := f.generate(zone, keys, n)
			if err != nil {
				return Plan{}, nil, err
			}
			keys = append(keys, k)
		}
		for _, k := range plan.Retime {
			if err := f.Save(k); err != nil {
				return Plan{}, nil, err
			}
			keys[find(k)] = k
		}
		for _, k := range plan.Remove {
			if err := f.Remove(k); err != nil {
				return Plan{}, nil, err
			}
			at := find(k)
			keys = slices.Delete(keys, at, at+1)
		}
		sortKeys(keys)
	}
	return Plan{}, nil, fmt.Errorf("%s: the keys of %s do not come to rest", f, dnsname.Format(zone))
}

// tellRoles has it in the files what keys were taken for whose role these do not
// tell, and says whether there were any. A key that signs all since there is no other
// would not be taken for that any more beside one that is made.
func (f Folder) tellRoles(keys []*Key) (any bool, err error) {
	for i, k := range keys {
		if k.told || !k.CanSign() {
			continue
		}
		told := *k
		told.told, any = true, true
		if err := f.Save(&told); err != nil {
			return false, err
		}
		keys[i] = &told
	}
	return any, nil
}
