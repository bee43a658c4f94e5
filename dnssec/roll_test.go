package dnssec

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gslb/test/bed"
)

const day = 24 * time.Hour

// world is a zone, its parent and all caches, over time.
type world struct {
	policy Policy // as the zone's operator has it
	truth  Policy // TTLs and propagation as they are
	now    time.Time
	keys   []*Key
	plan   Plan

	keySets  []era // the DNSKEY RRset
	zoneSigs []era // signatures of the zone's data
	parent   []era // the DS RRset

	restless bool // the operator changes algorithm and kind now and then
	stages   map[KindStage]int
	log      []string
}

// era is what the servers gave from one time on.
type era struct {
	from    time.Time
	keys    []*Key // in the DNSKEY RRset; signing the data; named by the DS
	signers []*Key // of the DNSKEY RRset
}

func (e era) same(other era) bool {
	return slices.EqualFunc(e.keys, other.keys, sameKey) && slices.EqualFunc(e.signers, other.signers, sameKey)
}

func sameKey(a, b *Key) bool { return a.id == b.id }

func has(keys []*Key, k *Key) bool {
	return slices.ContainsFunc(keys, func(o *Key) bool { return sameKey(o, k) })
}

// add begins an era, unless nothing changed.
func add(eras []era, e era) []era {
	if len(eras) > 0 && eras[len(eras)-1].same(e) {
		return eras
	}
	return append(eras, e)
}

// seen gives the eras of which a cache may have something now: what began, and
// did not end longer ago than servers and caches may keep it.
func seen(eras []era, now time.Time, keep time.Duration) []era {
	for i := len(eras) - 1; i > 0; i-- {
		if eras[i].from.Add(keep).Before(now) {
			return eras[i:]
		}
	}
	return eras
}

// chain checks that every validator, whatever of what was given it has in its
// cache, gets from the DS to the zone's data.
func (w *world) chain() error {
	for _, ds := range seen(w.parent, w.now, w.truth.ParentPropagation+w.truth.DSTTL) {
		if len(ds.keys) == 0 {
			continue // unsigned, for all the parent says
		}
		for _, set := range seen(w.keySets, w.now, w.truth.Propagation+w.truth.DNSKEYTTL) {
			if !slices.ContainsFunc(ds.keys, func(k *Key) bool { return has(set.keys, k) && has(set.signers, k) }) {
				return fmt.Errorf("DS %v of %v: the DNSKEY RRset %v of %v is signed by %v", tags(ds.keys), ds.from, tags(set.keys), set.from, tags(set.signers))
			}
			for _, named := range [][]*Key{ds.keys, set.keys} {
				if alg, ok := complete(named, set.keys, set.signers); !ok {
					return fmt.Errorf("DS %v of %v: the DNSKEY RRset %v of %v has no signature of %v", tags(ds.keys), ds.from, tags(set.keys), set.from, alg)
				}
			}
			for _, data := range seen(w.zoneSigs, w.now, w.truth.Propagation+w.truth.MaxZoneTTL) {
				if !slices.ContainsFunc(data.keys, func(k *Key) bool { return has(set.keys, k) }) {
					return fmt.Errorf("data of %v signed by %v; DNSKEY RRset %v of %v", data.from, tags(data.keys), tags(set.keys), set.from)
				}
				if alg, ok := complete(set.keys, set.keys, data.keys); !ok {
					return fmt.Errorf("data of %v signed by %v, without %v; DNSKEY RRset %v of %v", data.from, tags(data.keys), alg, tags(set.keys), set.from)
				}
			}
		}
	}
	return nil
}

// complete says whether signers have made a signature of each algorithm of named
// keys, with a key that the DNSKEY RRset has: a strict validator wants that of
// all algorithms in the DS and DNSKEY RRsets (RFC 4035, section 2.2).
func complete(named, set, signers []*Key) (Algorithm, bool) {
	for _, k := range named {
		if !slices.ContainsFunc(signers, func(o *Key) bool { return o.Algorithm == k.Algorithm && has(set, o) }) {
			return k.Algorithm, false
		}
	}
	return 0, true
}

func tags(keys []*Key) (all []string) {
	for _, k := range keys {
		all = append(all, fmt.Sprintf("%s%d", k.Role, k.tag))
	}
	return all
}

// step does what the policy wants, as Maintain does on files.
func (w *world) step(t *testing.T) {
	t.Helper()
	for range 10 {
		w.plan = w.policy.Step(w.keys, w.now)
		for _, n := range w.plan.Generate {
			w.make(t, n)
		}
		for _, k := range w.plan.Retime {
			w.put(k)
		}
		if len(w.plan.Generate)+len(w.plan.Retime) == 0 {
			w.keySets = add(w.keySets, era{w.now, w.plan.Publish, w.plan.SignKeys})
			w.zoneSigs = add(w.zoneSigs, era{w.now, w.plan.SignZone, nil})
			w.log = append(w.log, fmt.Sprintf("%s: publish %v, sign keys %v, zone %v, CDS %v, waiting %v", w.now.Format(time.DateTime),
				tags(w.plan.Publish), tags(w.plan.SignKeys), tags(w.plan.SignZone), tags(w.plan.CDS), tags(w.plan.Waiting)))
			return
		}
	}
	t.Fatalf("the keys do not come to rest at %v", w.now)
}

func (w *world) make(t *testing.T, n NewKey) {
	t.Helper()
	for {
		k, err := Generate([]byte{0}, n.Algorithm, 0, n.Role, n.Timing)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(w.keys, func(o *Key) bool { return o.tag == k.tag }) {
			w.keys = append(w.keys, k)
			return
		}
	}
}

func (w *world) put(k *Key) {
	for i := range w.keys {
		if sameKey(w.keys[i], k) {
			w.keys[i] = k
		}
	}
}

// newWorld is a zone that was unsigned until now.
func newWorld(p Policy) *world {
	w := &world{policy: p, truth: p, now: testTime, stages: make(map[KindStage]int)}
	w.parent = []era{{from: testTime.Add(-100 * day)}}
	w.keySets = []era{{from: testTime.Add(-100 * day)}}
	w.zoneSigs = []era{{from: testTime.Add(-100 * day)}}
	return w
}

// run lets time pass, and the operator and chance act: the parent gets what the
// CDS say a while after it is waited for, steps come late, and keys are rolled
// by hand now and then. It ends with the first break of the chain.
func (w *world) run(t *testing.T, rng *rand.Rand, years int, patience time.Duration) error {
	t.Helper()
	between := func(most time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(most) + 1)) }
	end := w.now.Add(time.Duration(years) * 365 * day)
	var submit time.Time
	for steps := 0; w.now.Before(end); steps++ {
		if steps > 20000 {
			t.Fatal("the steps do not end")
		}
		w.step(t)
		if err := w.chain(); err != nil {
			return fmt.Errorf("at %v: %w", w.now, err)
		}
		problems := slices.DeleteFunc(w.plan.Problems, func(err error) bool { return strings.Contains(err.Error(), "when the one that is under way has ended") })
		if len(w.plan.SignKeys) == 0 || len(w.plan.SignZone) == 0 || len(problems) > 0 {
			return fmt.Errorf("at %v: signing with %v and %v; %v", w.now, tags(w.plan.SignKeys), tags(w.plan.SignZone), w.plan.Problems)
		}
		if len(w.plan.Waiting) > 0 && submit.IsZero() && patience >= 0 {
			submit = w.now.Add(between(patience))
		}
		if !submit.IsZero() && !w.now.Before(submit) {
			submit = time.Time{}
			w.parent = add(w.parent, era{w.now, w.plan.CDS, nil})
			var ds [][]byte
			for _, k := range w.plan.CDS {
				ds = append(ds, k.DS(SHA256))
			}
			for _, k := range Seen(w.keys, ds, w.now) {
				w.put(k)
			}
			continue // with a step at the same time
		}
		if w.restless && rng.IntN(25) == 0 {
			w.policy.Algorithm, w.policy.CSK = []Algorithm{ED25519, ECDSAP256SHA256}[rng.IntN(2)], rng.IntN(2) == 0
			continue
		}
		if r := w.plan.Roll; r != nil {
			w.stages[r.Stage]++
		}
		if rng.IntN(40) == 0 {
			role := []Role{KSK, ZSK, CSK}[rng.IntN(3)]
			if n, err := w.policy.Roll(w.keys, role, w.now); err == nil {
				w.make(t, n)
				continue
			}
		}
		next := w.plan.Next
		if next.IsZero() || next.After(w.now.Add(30*day)) {
			next = w.now.Add(between(30 * day))
		} else {
			next = next.Add(between(min(w.policy.PublishSafety, w.policy.RetireSafety)))
		}
		if !submit.IsZero() && submit.Before(next) {
			next = submit
		}
		w.now = next.Truncate(time.Second).Add(time.Second)
	}
	return nil
}

func randomPolicy(rng *rand.Rand) Policy {
	pick := func(least, most time.Duration) time.Duration {
		return (least + time.Duration(rng.Int64N(int64(most-least)))).Truncate(time.Second)
	}
	p := Policy{
		Algorithm: ED25519, CSK: rng.IntN(2) == 0,
		DNSKEYTTL: pick(time.Minute, 2*day), MaxZoneTTL: pick(time.Minute, 4*day), DSTTL: pick(time.Minute, 3*day),
		Propagation: pick(time.Second, 6*time.Hour), ParentPropagation: pick(time.Second, day),
		PublishSafety: pick(time.Minute, day), RetireSafety: pick(time.Minute, day), Purge: 30 * day,
	}
	if rng.IntN(4) > 0 {
		p.KSKLifetime = pick(20*day, 200*day)
	}
	if rng.IntN(4) > 0 {
		p.ZSKLifetime = pick(20*day, 90*day)
	}
	return p
}

// Whatever a validator's cache holds, there is always a chain from the parent's
// DS to the zone's data, over years of rolls, late steps and a slow parent.
func TestNoRollBreaksTheChain(t *testing.T) {
	bed.OneGoroutine(t)
	rolls := 0
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 7))
		p := randomPolicy(rng)
		if err := p.Validate(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		w := newWorld(p)
		if err := w.run(t, rng, 2, 20*day); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(w.log, "\n"))
		}
		rolls += len(w.keys) - 2
	}
	if rolls < 2000 {
		t.Errorf("only %d keys were rolled: the test shows little", rolls)
	}
}

// The check does find breaks: where the world is slower than the policy thinks,
// or the operator changes the DS before it is time.
func TestTheChainCheckFindsBreaks(t *testing.T) {
	base := Policy{
		Algorithm: ED25519, KSKLifetime: 60 * day, ZSKLifetime: 30 * day,
		DNSKEYTTL: time.Hour, MaxZoneTTL: day, DSTTL: day, Propagation: time.Minute, ParentPropagation: time.Hour,
		PublishSafety: time.Minute, RetireSafety: time.Minute,
	}
	csk := base
	csk.CSK = true
	tests := []struct {
		what   string
		policy Policy
		change func(truth *Policy)
		breaks bool
	}{
		{"as the policy says", base, func(*Policy) {}, false},
		{"one key, as the policy says", csk, func(*Policy) {}, false},
		{"DNSKEYs are cached longer", base, func(p *Policy) { p.DNSKEYTTL = 5 * day }, true},
		{"data are cached longer", base, func(p *Policy) { p.MaxZoneTTL = 5 * day }, true},
		{"the DS is cached longer", base, func(p *Policy) { p.DSTTL = 5 * day }, true},
		{"the servers are slow", base, func(p *Policy) { p.Propagation = 5 * day }, true},
		{"the parent is slow", base, func(p *Policy) { p.ParentPropagation = 5 * day }, true},
		{"one key, DNSKEYs are cached longer", csk, func(p *Policy) { p.DNSKEYTTL = 5 * day }, true},
		{"one key, the DS is cached longer", csk, func(p *Policy) { p.DSTTL = 5 * day }, true},
	}
	for _, test := range tests {
		w := newWorld(test.policy)
		test.change(&w.truth)
		err := w.run(t, rand.New(rand.NewPCG(1, 2)), 1, time.Hour)
		if (err != nil) != test.breaks {
			t.Errorf("%s: %v", test.what, err)
		}
	}
}

// A parent that never takes the new DS keeps the old key in service for good.
func TestRollWaitsForTheParent(t *testing.T) {
	for _, csk := range []bool{false, true} {
		p := DefaultPolicy
		p.Algorithm, p.CSK, p.KSKLifetime, p.ZSKLifetime = ED25519, csk, 60*day, 30*day
		w := newWorld(p)
		rng := rand.New(rand.NewPCG(3, 4))
		if err := w.run(t, rng, 1, time.Hour); err != nil {
			t.Fatal(err)
		}
		// Until the next roll has the DS waited for, and then for two years.
		if err := w.run(t, rng, 2, -1); err != nil {
			t.Fatal(err)
		}
		if len(w.plan.Waiting) != 1 || len(w.plan.SignKeys) != 2 {
			t.Errorf("waiting for %v, signing the keys with %v", tags(w.plan.Waiting), tags(w.plan.SignKeys))
		}
		first := w.plan.SignKeys[0]
		if !has(w.parent[len(w.parent)-1].keys, first) {
			t.Error("the key that the parent names does not sign")
		}
		if !has(w.plan.CDS, w.plan.Waiting[0]) || len(w.plan.CDS) != 1 {
			t.Errorf("CDS name %v", tags(w.plan.CDS))
		}
		if err := w.run(t, rng, 1, time.Hour); err != nil { // the parent wakes up
			t.Fatal(err)
		}
		if has(w.plan.Publish, first) {
			t.Error("the old key is still there")
		}
	}
}

// The year of a KSK and a ZSK, event by event.
func TestTimetable(t *testing.T) {
	p := Policy{
		Algorithm: ED25519, KSKLifetime: 100 * day, ZSKLifetime: 30 * day,
		DNSKEYTTL: 2 * time.Hour, MaxZoneTTL: day, DSTTL: 12 * time.Hour, Propagation: time.Hour, ParentPropagation: 3 * time.Hour,
		PublishSafety: time.Hour, RetireSafety: 2 * time.Hour,
	}
	w := newWorld(p)
	after := func(d time.Duration) { w.now = testTime.Add(d) }
	want := func(publish, signKeys, signZone, cds, waiting int, next time.Duration) {
		t.Helper()
		w.step(t)
		got := []int{len(w.plan.Publish), len(w.plan.SignKeys), len(w.plan.SignZone), len(w.plan.CDS), len(w.plan.Waiting)}
		if !slices.Equal(got, []int{publish, signKeys, signZone, cds, waiting}) || w.plan.Next.Sub(testTime) != next {
			t.Errorf("%v: publish, sign keys, sign zone, CDS, waiting: %v; next at %v, wanted %v", w.now.Sub(testTime), got, w.plan.Next.Sub(testTime), next)
		}
	}
	ds := func() {
		for _, k := range Seen(w.keys, [][]byte{w.plan.CDS[0].DS(SHA256)}, w.now) {
			w.put(k)
		}
	}
	const ipub = 4 * time.Hour // 1 + 2 + 1
	after(0)
	want(2, 1, 1, 0, 0, 26*time.Hour) // CDS once no cache has unsigned data: 1 h + 24 h + 1 h
	after(26 * time.Hour)
	want(2, 1, 1, 1, 1, 30*day-ipub)
	ds()
	want(2, 1, 1, 1, 0, 26*time.Hour+17*time.Hour) // 3 h + 12 h + 2 h
	after(30*day - ipub)
	want(3, 1, 1, 1, 0, 30*day) // the successor of the ZSK is published
	after(30 * day)
	first := w.plan.SignZone[0]
	want(3, 1, 1, 1, 0, 30*day+27*time.Hour) // it signs: 1 h + 24 h + 2 h
	if sameKey(w.plan.SignZone[0], first) {
		t.Error("the old ZSK still signs")
	}
	after(30*day + 27*time.Hour)
	want(2, 1, 1, 1, 0, 60*day-ipub)
	w.now = testTime.Add(100*day - ipub)
	w.step(t) // whatever the ZSKs did meanwhile
	if len(w.plan.SignKeys) != 2 || len(w.plan.CDS) != 1 {
		t.Errorf("the KSK's roll begins: signing with %v, CDS %v", tags(w.plan.SignKeys), tags(w.plan.CDS))
	}
	w.now = testTime.Add(100 * day)
	old := w.plan.CDS[0]
	w.step(t)
	if len(w.plan.CDS) != 1 || sameKey(w.plan.CDS[0], old) || len(w.plan.Waiting) != 1 || len(w.plan.SignKeys) != 2 {
		t.Errorf("after Ipub: signing with %v, CDS %v, waiting for %v", tags(w.plan.SignKeys), tags(w.plan.CDS), tags(w.plan.Waiting))
	}
	ds()
	w.now = testTime.Add(100*day + 17*time.Hour - time.Second)
	w.step(t)
	if !has(w.plan.SignKeys, old) {
		t.Error("the old KSK goes while its DS may be cached")
	}
	w.now = testTime.Add(100*day + 17*time.Hour)
	w.step(t)
	if has(w.plan.Publish, old) || len(w.plan.SignKeys) != 1 {
		t.Error("the old KSK stays")
	}
}

// Imported times that would break the zone are not followed.
func TestStepGuardsAgainstBadTimes(t *testing.T) {
	p := DefaultPolicy
	p.Algorithm = ED25519
	past, never := testTime.Add(-day), time.Time{}
	key := func(role Role, timing Timing) *Key {
		k, err := Generate([]byte{0}, ED25519, 0, role, timing)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	long := testTime.Add(-50 * day)
	offline := key(KSK, Timing{Publish: long})
	offline.private = nil
	p256, err := Generate([]byte{0}, ECDSAP256SHA256, 0, CSK, Timing{Publish: long, Activate: long})
	if err != nil {
		t.Fatal(err)
	}
	zsk256, err := Generate([]byte{0}, ECDSAP256SHA256, 0, ZSK, Timing{Publish: long, Activate: long})
	if err != nil {
		t.Fatal(err)
	}
	offline256 := p256.WithTiming(p256.Timing)
	offline256.private = nil
	tests := []struct {
		what     string
		csk      bool
		keys     []*Key
		signKeys int
		signZone int
		problem  string
	}{
		{"no keys", true, nil, 1, 1, ""},
		{"deleted, the only one", true, []*Key{key(CSK, Timing{Publish: long, Activate: long, Delete: past})}, 1, 1, "it was to go"},
		{"inactive, the only one", true, []*Key{key(CSK, Timing{Publish: long, Activate: long, Inactive: past})}, 2, 1, ""}, // with a successor
		{"a successor whose DS nobody saw", true, []*Key{key(CSK, Timing{Publish: long, Activate: long, Inactive: past, Delete: past, DSSeen: long}), key(CSK, Timing{Publish: long.Add(day), Activate: long.Add(day)})}, 2, 1, "not confirmed"},
		{"KSK inactive", false, []*Key{key(KSK, Timing{Publish: long, Activate: long, Inactive: past, DSSeen: long}), key(ZSK, Timing{Publish: long, Activate: long})}, 2, 1, ""}, // with a successor
		{"only for later", true, []*Key{key(CSK, Timing{Publish: testTime.Add(day), Activate: testTime.Add(day)})}, 1, 1, ""},
		{"no times", false, []*Key{key(KSK, Timing{Publish: never}), key(ZSK, Timing{})}, 1, 1, ""},
		{"other kind", false, []*Key{key(CSK, Timing{Publish: long, Activate: long})}, 1, 2, ""},
		{"other algorithm", true, []*Key{p256}, 1, 2, ""},
		{"mixed algorithms", true, []*Key{p256, key(CSK, Timing{Publish: long, Activate: long})}, 2, 2, ""},
		{"mixed algorithms, one for later", true, []*Key{key(CSK, Timing{Publish: long, Activate: long}), p256.WithTiming(Timing{Publish: testTime.Add(day), Activate: testTime.Add(day)})}, 1, 1, "is of another kind than the policy's ED25519 (CSK)"},
		{"a KSK of one algorithm and a ZSK of another", false, []*Key{zsk256, key(KSK, Timing{Publish: long.Add(day), Activate: long})}, 1, 1, "of different kinds"},
		{"a key of another algorithm that is away", true, []*Key{offline256, key(CSK, Timing{Publish: long, Activate: long})}, 1, 1, "of different kinds"},
		{"KSK away", false, []*Key{offline, key(ZSK, Timing{Publish: long, Activate: long})}, 0, 1, "none is made beside it"},
	}
	for _, test := range tests {
		w := newWorld(p)
		w.policy.CSK = test.csk
		w.keys = test.keys
		w.step(t)
		err := errors.Join(w.plan.Problems...)
		if len(w.plan.SignKeys) != test.signKeys || len(w.plan.SignZone) != test.signZone || (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: %s: %v", test.what, w.log[0], err)
		}
	}
}

func TestPolicyIsChecked(t *testing.T) {
	if err := DefaultPolicy.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Policy){
		"algorithm 0":               func(p *Policy) { p.Algorithm = 0 },
		"1024 bits":                 func(p *Policy) { p.Bits = 1024 },
		"negative":                  func(p *Policy) { p.Propagation = -1 },
		"at least a second":         func(p *Policy) { p.DNSKEYTTL = 0 },
		"ZSK's lifetime of 24h0m0s": func(p *Policy) { p.CSK, p.ZSKLifetime = false, day },
		"a lifetime of 24h0m0s":     func(p *Policy) { p.KSKLifetime = day },
		"less than a roll takes":    func(p *Policy) { p.KSKLifetime, p.MaxZoneTTL = 20*day, 30*day },
	} {
		p := DefaultPolicy
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want …%s…", err, want)
		}
	}
}

// The same on files: made, found again, and removed in the end.
func TestMaintain(t *testing.T) {
	folder := Folder(t.TempDir())
	zone := mustName(t, "example.com.")
	p := DefaultPolicy
	p.CSK, p.ZSKLifetime = false, 30*day
	now := testTime.Add(123456789 * time.Nanosecond)
	plan, err := folder.Maintain(zone, p, now)
	if err != nil || len(plan.Publish) != 2 || len(plan.SignKeys) != 1 || len(plan.SignZone) != 1 || len(plan.Problems) > 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	old := plan.SignZone[0]
	for steps := 0; now.Before(testTime.Add(300 * day)); steps++ {
		again, err := folder.Maintain(zone, p, now)
		if err != nil || len(again.Problems) > 0 || steps > 200 {
			t.Fatalf("%d: %+v, %v", steps, again, err)
		}
		if now = again.Next; now.IsZero() {
			t.Fatal("there is no next time")
		}
	}
	keys, err := folder.Load(zone)
	if err != nil || has(keys, old) {
		t.Errorf("the first ZSK is still kept: %v, %v", keys, err)
	}
	if len(keys) < 4 || len(keys) > 7 { // 90 days of gone keys, and those in use
		t.Errorf("%d keys are kept", len(keys))
	}
}
