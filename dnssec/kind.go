package dnssec

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Kind is what the keys of a zone have in common: their algorithm, and whether
// one signs all. A zone goes from one kind to another by a KindRoll.
type Kind struct {
	Algorithm Algorithm
	CSK       bool
}

// String gives the kind for people, such as "ED25519 (CSK)".
func (k Kind) String() string {
	if k.CSK {
		return k.Algorithm.String() + " (CSK)"
	}
	return k.Algorithm.String() + " (KSK and ZSK)"
}

// Kind is the kind that the key is of.
func (k *Key) Kind() Kind { return Kind{k.Algorithm, k.Role == CSK} }

func (p Policy) kind() Kind { return Kind{p.Algorithm, p.CSK} }

// KindRoll is how far a roll to keys of another kind has come.
type KindRoll struct {
	From, To Kind
	Stage    KindStage
	Until    time.Time // when the next stage begins; zero: when the parent has the DS
}

// KindStage is a stage of a KindRoll; see kindRoll.
type KindStage uint8

const (
	AddSignatures    KindStage = iota // the new keys sign, beside the old ones
	AddKeys                           // they are published
	SwapDS                            // their DS is to take the place of the old one
	RemoveDS                          // caches forget the old DS
	RemoveSignatures                  // the old keys are no longer published, and sign until caches know
)

// kindRoll brings a zone from keys of one kind to those of another, by the
// conservative way (RFC 6781, section 4.1.4), since a validator may want
// signatures of each algorithm that it finds in the DNSKEY RRset, whatever it
// has in its cache (RFC 4035, section 2.2; RFC 6840, section 5.11):
//
//	stage             data signed by  DNSKEY    DS   until
//	AddSignatures     old, new        old       old  no cache has data without the new signatures
//	AddKeys           old, new        old, new  old  each cache with the keys has the new ones
//	SwapDS            old, new        old, new  old  the new DS was seen at the parent
//	RemoveDS          old, new        old, new  new  no cache has the old DS
//	RemoveSignatures  old, new        new       new  no cache has the old keys
//
// The DNSKEY RRset is signed by the keys in it. No other roll begins meanwhile.
// One that has published keys is brought to its end even if the policy changes
// again: the parent may know them.
func (s *step) kindRoll(from, to Kind) {
	if from == s.kind() && s.takeBack(to) {
		return
	}
	entry := s.arrive(to)
	if entry == nil {
		return // keys were to be made: this is asked again
	}
	s.leave(from, entry)
	t := s.timing(entry)
	roll := &KindRoll{From: from, To: to}
	s.plan.Roll, s.target = roll, to
	switch {
	case !reached(t.Publish, s.now):
		roll.Until = t.Publish
	case !reached(t.SyncPublish, s.now):
		roll.Stage, roll.Until = AddKeys, t.SyncPublish
	case !s.swapped(from, t):
		roll.Stage = SwapDS
		s.plan.Waiting = append(s.plan.Waiting, entry)
	default:
		roll.Stage = RemoveSignatures
		for _, k := range s.of(from) {
			if !s.out(k) {
				roll.Stage = RemoveDS
			}
		}
		for _, k := range s.of(from) {
			if end := s.timing(k); roll.Stage == RemoveDS {
				roll.Until = later(roll.Until, end.Delete)
			} else {
				roll.Until = later(roll.Until, end.Inactive)
			}
		}
	}
}

// swapped says whether the parent's DS names a key, of the times t, and none of
// another kind.
func (s *step) swapped(from Kind, t *Timing) bool {
	return !t.DSSeen.IsZero() && t.DSGone.IsZero() &&
		!slices.ContainsFunc(s.of(from), func(k *Key) bool { return !k.Timing.DSSeen.IsZero() && k.Timing.DSGone.IsZero() })
}

// signatureInterval is from the first signature of a new algorithm until no
// cache has data without one.
func (p Policy) signatureInterval() time.Duration {
	return p.Propagation + p.MaxZoneTTL + p.PublishSafety
}

// forgetInterval is from when a DNSKEY was taken out of the zone until no cache
// has it.
func (p Policy) forgetInterval() time.Duration { return p.Propagation + p.DNSKEYTTL + p.RetireSafety }

// takeBack ends a roll of which nothing but signatures has been seen.
func (s *step) takeBack(to Kind) bool {
	begun := false
	for _, k := range s.of(to) {
		if reached(k.Timing.Publish, s.now) {
			return false
		}
		begun = begun || k.Role.zone() && reached(k.Timing.Activate, s.now)
	}
	for _, k := range s.of(to) {
		if !begun {
			s.problem(k, fmt.Errorf("it is of another kind than the policy's %s, and is not used", s.kind()))
			continue
		}
		t := s.timing(k)
		t.Publish, t.SyncPublish = time.Time{}, time.Time{}
		t.Inactive, t.Delete = s.now, s.now
		s.retime(k, t)
	}
	return true
}

// arrive gives the keys of the new kind their times and the one of them that
// the parent is to name; nil where a key of them is to be made first.
func (s *step) arrive(to Kind) (entry *Key) {
	var ready time.Time // when the last of those that sign the zone is published
	keys, signs := s.of(to), false
	for _, k := range keys {
		if !k.Role.zone() {
			continue
		}
		signs = true
		t := s.timing(k)
		if t.Activate.IsZero() {
			t.Activate = s.now
		}
		if least := t.Activate.Add(s.signatureInterval()); t.Publish.Before(least) && !reached(t.Publish, s.now) {
			t.Publish = least
		}
		ready = later(ready, t.Publish)
		s.retime(k, t)
	}
	if !signs {
		ready = s.now.Add(s.signatureInterval())
	}
	for _, k := range keys {
		t := s.timing(k)
		t.Inactive, t.Delete, t.SyncDelete = time.Time{}, time.Time{}, time.Time{}
		if k.Role.entry() {
			if entry = k; t.Publish.Before(ready) && !reached(t.Publish, s.now) {
				t.Publish = ready
			}
			if t.Activate.IsZero() {
				t.Activate = t.Publish
			}
			if least := t.Publish.Add(s.publishInterval()); t.SyncPublish.Before(least) && !reached(t.SyncPublish, s.now) {
				t.SyncPublish = least
			}
		}
		s.retime(k, t)
	}
	if entry != nil && signs {
		return entry
	}
	s.make(to, ready, entry == nil, !signs)
	return nil
}

// make has the keys of a kind made that are lacking, to be published at ready.
func (s *step) make(kind Kind, ready time.Time, entry, zone bool) {
	t := Timing{Created: s.now, Publish: ready, Activate: s.now}
	s.Algorithm = kind.Algorithm
	if zone && !kind.CSK {
		s.generate(ZSK, t)
	}
	if entry {
		t.SyncPublish = ready.Add(s.publishInterval())
		if kind.CSK {
			s.generate(CSK, t)
			return
		}
		t.Activate = ready
		s.generate(KSK, t)
	}
}

// leave gives the keys of the old kind the times at which they go, once the DS
// of the successor has taken the place of theirs.
func (s *step) leave(from Kind, entry *Key) {
	successor := s.timing(entry)
	var free time.Time              // when no cache has a DS that names old keys; zero: the parent does
	if s.swapped(from, successor) { // a DS RRset of both algorithms would ask for both
		free = successor.DSSeen
		for _, k := range s.of(from) {
			free = later(free, k.Timing.DSGone)
		}
		free = later(free.Add(s.dsInterval()), successor.Publish.Add(s.publishInterval()))
	}
	for _, k := range s.of(from) {
		t := s.timing(k)
		if !reached(t.Publish, s.now) { // nobody has seen it
			t.Publish, t.SyncPublish, t.Inactive, t.Delete = time.Time{}, time.Time{}, s.now, s.now
			s.retime(k, t)
			continue
		}
		if k.Role.entry() && (t.SyncDelete.IsZero() || t.SyncDelete.After(successor.SyncPublish)) {
			t.SyncDelete = successor.SyncPublish
		}
		if !s.out(k) {
			t.Delete, t.Inactive = free, time.Time{}
		}
		if !t.Delete.IsZero() && t.Inactive.IsZero() {
			if t.Inactive = t.Delete; k.Role.zone() {
				t.Inactive = t.Delete.Add(s.forgetInterval())
			}
		}
		s.retime(k, t)
	}
}

// of gives the live keys of a kind.
func (s *step) of(kind Kind) []*Key {
	return slices.DeleteFunc(slices.Clone(s.live), func(k *Key) bool { return k.Kind() != kind })
}

// kinds lists the kinds of the keys that have not gone, by when the first of each
// was published. Of two at the same time the policy's is the later one.
func (s *step) kinds() []Kind {
	first := make(map[Kind]time.Time)
	var kinds []Kind
	for _, k := range append(slices.Clone(s.live), s.public...) {
		kind, at := k.Kind(), k.Timing.Publish
		if at.IsZero() {
			at = s.now.Add(1 << 62) // who knows
		}
		if begin, ok := first[kind]; !ok {
			first[kind], kinds = at, append(kinds, kind)
		} else if at.Before(begin) {
			first[kind] = at
		}
	}
	slices.SortStableFunc(kinds, func(a, b Kind) int {
		if c := first[a].Compare(first[b]); c != 0 {
			return c
		}
		return map[bool]int{true: 1}[a == s.kind()] - map[bool]int{true: 1}[b == s.kind()]
	})
	return kinds
}

// arrange sees to it that the keys become of the kind that the policy wants, and
// says whether they are all of one kind that is to be rolled as usual.
func (s *step) arrange() bool {
	kinds := s.kinds()
	switch {
	case len(kinds) == 0 || len(kinds) == 1 && kinds[0] == s.kind():
		return len(s.live) > 0 || len(s.public) == 0
	case len(kinds) == 1:
		return s.depart(kinds[0])
	case len(kinds) == 2 && len(s.public) == 0 && s.whole(kinds[0]):
		s.kindRoll(kinds[0], kinds[1])
		return false
	}
	s.plan.Problems = append(s.plan.Problems, fmt.Errorf("the keys are of different kinds, %v: no key is made or rolled until one kind, or two of which all are there, are left", kinds))
	return false
}

// depart begins the roll from a kind to that of the policy, unless something is
// still under way: then that is brought to its end.
func (s *step) depart(from Kind) bool {
	want := s.kind()
	s.Algorithm, s.CSK, s.frozen = from.Algorithm, from.CSK, true
	var err error
	switch {
	case len(s.live) == 0:
		return false
	case len(s.public) > 0:
		err = errors.New("its roll begins when the private halves of all keys are there")
	case !s.rests():
		err = errors.New("its roll begins when the one that is under way has ended")
	default:
		s.make(want, s.now.Add(s.signatureInterval()), true, true)
		return false
	}
	s.problem(s.live[0], fmt.Errorf("the policy wants %s: %w", want, err))
	return true
}

// rests says whether no roll is under way among keys of one kind.
func (s *step) rests() bool {
	entries, signers := 0, 0
	for _, k := range s.live {
		if !reached(k.Timing.Publish, s.now) {
			return false
		}
		if k.Role.entry() {
			entries++
		}
		if k.Role.zone() {
			signers++
		}
	}
	return entries == 1 && signers == 1
}

// whole says whether the keys of a kind can sign a zone, or need not any more.
func (s *step) whole(kind Kind) bool {
	entry, zone := false, false
	for _, k := range s.of(kind) {
		entry = entry || k.Role.entry() || s.out(k)
		zone = zone || k.Role.zone()
	}
	return entry && zone
}
