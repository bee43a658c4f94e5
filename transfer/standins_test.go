package transfer

import (
	"fmt"
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
