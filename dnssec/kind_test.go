package dnssec

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gslb/test/bed"
)

// Whatever a strict validator's cache holds, it finds a signature of each
// algorithm that the DS or DNSKEY RRset has, while algorithms and kinds are
// changed, back too, in the middle of other rolls.
func TestNoRollOfAlgorithmBreaksTheChain(t *testing.T) {
	bed.OneGoroutine(t)
	stages := make(map[KindStage]int)
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 11))
		w := newWorld(randomPolicy(rng))
		w.restless = true
		if err := w.run(t, rng, 2, 20*day); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(w.log, "\n"))
		}
		for stage, n := range w.stages {
			stages[stage] += n
		}
	}
	for stage := AddSignatures; stage <= RemoveSignatures; stage++ {
		if stages[stage] < 100 {
			t.Errorf("stage %d was seen %d times: the test shows little", stage, stages[stage])
		}
	}
}

// The roll from ECDSA P-256 to Ed25519, stage by stage, of a CSK, of KSK and ZSK,
// and from the one to the other.
func TestTimetableOfAnAlgorithm(t *testing.T) {
	for _, csk := range []struct{ before, after bool }{{true, true}, {false, false}, {true, false}, {false, true}} {
		p := DefaultPolicy // an hour for the DNSKEY, a day for data and DS
		p.CSK, p.Purge = csk.before, 0
		w := newWorld(p)
		w.step(t)
		seen := func() {
			for _, k := range Seen(w.keys, [][]byte{w.plan.CDS[0].DS(SHA256)}, w.now) {
				w.put(k)
			}
		}
		w.now = w.plan.Next
		w.step(t)
		seen()
		w.now = w.now.Add(100 * day)
		w.step(t)
		old := len(w.plan.Publish)
		oldEntry := w.plan.CDS[0]
		w.policy.Algorithm, w.policy.CSK = ED25519, csk.after
		fresh := map[bool]int{true: 1, false: 2}[csk.after]
		want := func(stage KindStage, publish, signKeys, signZone int, until time.Duration) {
			t.Helper()
			w.step(t)
			r := w.plan.Roll
			got := []int{len(w.plan.Publish), len(w.plan.SignKeys), len(w.plan.SignZone), len(w.plan.CDS)}
			if r == nil || r.Stage != stage || !slices.Equal(got, []int{publish, signKeys, signZone, 1}) || until != 0 && r.Until.Sub(w.now) != until || len(w.plan.Problems) > 0 {
				t.Fatalf("%v: roll %+v at %v; publish, sign keys, sign zone, CDS: %v; %v\n%s", csk, r, w.now, got, w.plan.Problems, strings.Join(w.log, "\n"))
			}
		}
		next := func() { w.now = w.plan.Roll.Until }
		want(AddSignatures, old, 1, 2, 25*time.Hour+5*time.Minute) // 24 h + 5 min + 1 h
		if _, err := w.policy.Roll(w.keys, oldEntry.Role, w.now); err == nil || !strings.Contains(err.Error(), "the roll from ECDSAP256SHA256") {
			t.Errorf("a roll beside that of the algorithm: %v", err)
		}
		next()
		want(AddKeys, old+fresh, 2, 2, 2*time.Hour+5*time.Minute)
		if !has(w.plan.CDS, oldEntry) {
			t.Error("the CDS names the new key before caches know it")
		}
		next()
		want(SwapDS, old+fresh, 2, 2, 0)
		if has(w.plan.CDS, oldEntry) || len(w.plan.Waiting) != 1 || w.plan.Waiting[0].Algorithm != ED25519 {
			t.Errorf("CDS %v, waiting for %v", tags(w.plan.CDS), tags(w.plan.Waiting))
		}
		w.now = w.now.Add(50 * day)
		seen()
		want(RemoveDS, old+fresh, 2, 2, 26*time.Hour) // 24 h + 1 h + 1 h
		next()
		want(RemoveSignatures, fresh, 1, 2, 2*time.Hour+5*time.Minute)
		next()
		w.step(t)
		if w.plan.Roll != nil || len(w.plan.Publish) != fresh || len(w.plan.SignZone) != 1 || w.plan.SignZone[0].Algorithm != ED25519 {
			t.Errorf("after the roll: %+v\n%s", w.plan.Roll, strings.Join(w.log, "\n"))
		}
	}
}

// A change of mind takes the roll back while nothing but signatures is seen of it.
func TestRollOfAlgorithmIsTakenBack(t *testing.T) {
	w := newWorld(DefaultPolicy)
	w.step(t)
	w.now = w.plan.Next
	w.step(t)
	w.policy.Algorithm = ED25519
	w.step(t)
	if w.plan.Roll == nil || len(w.plan.SignZone) != 2 {
		t.Fatalf("no roll: %+v", w.plan)
	}
	w.policy.Algorithm = ECDSAP256SHA256
	w.now = w.now.Add(time.Hour)
	w.step(t)
	if w.plan.Roll != nil || len(w.plan.SignZone) != 1 || len(w.plan.Publish) != 1 || w.plan.Publish[0].Algorithm != ECDSAP256SHA256 || len(w.plan.Problems) > 0 {
		t.Errorf("not taken back:\n%s\n%v", strings.Join(w.log, "\n"), w.plan.Problems)
	}
	w.policy.Algorithm = ED25519
	w.step(t)
	w.now = w.plan.Roll.Until
	w.policy.Algorithm = ECDSAP256SHA256
	w.step(t)
	if w.plan.Roll == nil || len(w.plan.Publish) != 2 {
		t.Errorf("a roll with published keys was given up:\n%s", strings.Join(w.log, "\n"))
	}
}

// A key of BIND's that signs all since there is no other does so until the roll to
// a KSK and a ZSK has made it needless, whose files are beside it from the beginning.
func TestRollOfAKeyWithoutARole(t *testing.T) {
	folder, zone := Folder(t.TempDir()), mustName(t, "example.com.")
	k, err := Generate(zone, ECDSAP256SHA256, 0, CSK, Timing{Created: testTime, Publish: testTime, Activate: testTime})
	if err != nil {
		t.Fatal(err)
	}
	k.told = false
	if err := folder.Save(k); err != nil {
		t.Fatal(err)
	}
	p := DefaultPolicy
	p.CSK = false
	for _, now := range []time.Time{testTime, testTime.Add(time.Minute)} {
		plan, err := folder.Maintain(zone, p, now)
		if err != nil {
			t.Fatal(err)
		}
		if plan.Roll == nil || plan.Roll.Stage != AddSignatures || len(plan.Publish) != 1 || !has(plan.Publish, k) || !has(plan.SignKeys, k) || !has(plan.SignZone, k) {
			t.Errorf("at %v: %+v", now, plan)
		}
	}
}
