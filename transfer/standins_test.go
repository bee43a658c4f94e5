package transfer

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"gslb/zones"
)

// A peer's difference holds the stand-ins that changed for it; where it is not
// known what it has, there is none.
func TestStandInsInDifferences(t *testing.T) {
	rr := func(owner string, last byte) zones.RR {
		return zones.RR{Owner: append([]byte{byte(len(owner))}, owner+"\x07example\x00"...), Type: 1, TTL: 30, Data: []byte{192, 0, 2, last}}
	}
	all, changes := versions(t, 3)
	v := &version{zone: all[len(all)-1], changes: changes}
	first := changes[0].from()
	at := func(z *zones.Zone, list ...zones.RR) *view { return &view{&version{zone: z}, list} }
	a := peerOf{netip.MustParseAddr("192.0.2.1"), "k."}
	b := peerOf{netip.MustParseAddr("192.0.2.2"), "k."}
	var o outbox
	if had, ok := o.had(a, first); !ok || had != nil {
		t.Error("without stand-ins everything is known")
	}
	o.any.Store(true)
	if _, ok := o.had(a, first); ok {
		t.Error("what was sent before is not known")
	}
	o.note(a, at(all[0], rr("w", 1), rr("x", 1)))
	had, ok := o.had(a, first)
	if _, other := o.had(b, first); !ok || other || len(had) != 2 {
		t.Fatalf("%v %v", had, ok)
	}
	now := &view{v, []zones.RR{rr("w", 1), rr("x", 2), rr("y", 3)}}
	got := now.since(first, had)
	if len(got) != len(changes) {
		t.Fatalf("%d changes, want %d", len(got), len(changes))
	}
	last := len(got) - 1
	extra := func(list, without []zones.RR) string { return fmt.Sprint(list[len(without):]) }
	if r, want := extra(got[0].removed, changes[0].removed), fmt.Sprint([]zones.RR{rr("x", 1)}); r != want {
		t.Errorf("removed %s, want %s", r, want)
	}
	if r, want := extra(got[last].added, changes[last].added), fmt.Sprint([]zones.RR{rr("x", 2), rr("y", 3)}); r != want {
		t.Errorf("added %s, want %s", r, want)
	}
	if slices.ContainsFunc(changes[last].added, func(r zones.RR) bool { return r.Same(rr("y", 3)) }) {
		t.Error("the zone's own history was changed")
	}
	if _, changed := o.note(a, at(all[0], rr("w", 1), rr("x", 1))); changed {
		t.Error("the same is news")
	}
	if _, ok := o.had(a, first); !ok {
		t.Error("the same was sent twice")
	}
	o.note(a, at(all[0], rr("w", 2), rr("x", 1)))
	if _, ok := o.had(a, first); ok {
		t.Error("which of two it has is not known")
	}
	for i := range 2 * maxSentPeers {
		o.note(peerOf{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), ""}, at(all[0]))
	}
	if len(o.views) > maxSentPeers {
		t.Errorf("%d peers are remembered", len(o.views))
	}
}

// Whatever stood for a steered name's proof in what a peer has, and whatever does now,
// the difference leads from the one to the other: also where the proof changed on the
// way, and where the name began or ceased to be steered.
func TestProofsInDifferences(t *testing.T) {
	soa := func(serial int) string {
		return fmt.Sprintf("example. 300 IN SOA ns1.example. host.example. %d 3600 600 86400 60", serial)
	}
	proof := func(next, types string) []string { return []string{"w.example. 60 IN NSEC " + next + " " + types} }
	list := func(texts ...string) (all []zones.RR) {
		for _, text := range texts {
			all = append(all, testRR(t, text))
		}
		return all
	}
	zoneOf := func(serial int, records ...string) *zones.Zone {
		z, err := zones.Make("example.", "", slices.Values(list(append(records, soa(serial), "example. 300 IN NS ns1.example.")...)))
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	sent := func(w *view) map[string]bool { // as outgoing.whole does
		has := make(map[string]bool)
		proven := proofOwners(w.standIns)
		for owner, set := range w.zone.Walk() {
			for r := range set.Of(owner) {
				if !isProof(r) || !proven[string(lowered(owner))] {
					has[recordKey(r)] = true
				}
			}
		}
		for _, r := range w.standIns {
			has[recordKey(r)] = true
		}
		return has
	}
	bases := [][]string{
		proof("x.example.", "A AAAA RRSIG NSEC"),
		append(proof("y.example.", "A AAAA RRSIG NSEC"), "v.example. 300 IN A 192.0.2.1"),
		append(proof("x.example.", "A AAAA RRSIG NSEC"), "v.example. 300 IN A 192.0.2.2"),
		nil,
	}
	stands := [][]string{nil, append(proof("x.example.", "A RRSIG NSEC"), "w.example. 30 IN A 192.0.2.3"), append(proof("y.example.", "AAAA RRSIG NSEC"), "w.example. 30 IN AAAA 2001:db8::3")}
	for i := range 4 * 4 * 4 * 3 * 3 {
		var z [3]*zones.Zone
		var v *version
		for n, at := range []int{i % 4, i / 4 % 4, i / 16 % 4} {
			z[n] = zoneOf(n+1, bases[at]...)
			v = v.next(z[n])
		}
		had, now := list(stands[i/64%3]...), list(stands[i/192]...)
		before, after := sent(&view{&version{zone: z[0]}, had}), sent(&view{v, now})
		kept := fmt.Sprint(v.changes)
		w := &view{v, now}
		for _, c := range w.since(1, had) {
			for _, r := range append(slices.Clip(c.removed), c.before) {
				if !before[recordKey(r)] {
					t.Fatalf("case %d: %v is removed and not there", i, r)
				}
				delete(before, recordKey(r))
			}
			for _, r := range append(slices.Clip(c.added), c.after) {
				before[recordKey(r)] = true
			}
		}
		if !maps.Equal(before, after) {
			t.Errorf("case %d: the difference leads to %d records that are not the %d", i, len(before), len(after))
		}
		if fmt.Sprint(v.changes) != kept {
			t.Errorf("case %d: the zone's own history was changed", i)
		}
	}
}
