package fleet

import (
	"strings"
	"testing"
	"time"

	"gslb/health"
	"gslb/history"
)

func TestOverride(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	a := startNode(t, "a", address(etcd), nil)
	b := startNode(t, "b", address(etcd), nil)
	ctx := t.Context()
	a.await(t, "a first view", func(s *health.States) bool { return !s.Stale })
	for _, tc := range []struct {
		o    health.Override
		want string
	}{
		{health.Override{Site: "mars", Kind: health.Drain, Why: "x"}, `site "mars" is not known: must be one of kt, lgu`},
		{health.Override{Site: "kt", Kind: "pause", Why: "x"}, `kind "pause": must be drain, up, down or share`},
		{health.Override{Site: "kt", Kind: health.Share, Share: 1.5, Why: "x"}, `share 1.5: must be 0 to 1`},
		{health.Override{Site: "kt", Kind: health.Share, Over: -time.Second, Why: "x"}, `over -1s: must be 0s to`},
		{health.Override{Site: "kt", Kind: health.Drain, Why: " "}, `why "": must say why`},
		{health.Override{Site: "kt", Kind: health.Drain, Why: "x", Until: time.Now().Add(-time.Minute)}, `must be in the future`},
	} {
		if err := a.SetOverride(ctx, tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", tc.o, err, tc.want)
		}
	}
	if _, err := a.ClearOverride(ctx, "mars", history.Order{}); err == nil || !strings.Contains(err.Error(), "kt, lgu") {
		t.Errorf("clear of an unknown site: %v", err)
	}
	if _, err := a.ClearOverride(ctx, "kt", history.Order{}); err != nil {
		t.Errorf("clear of nothing: %v", err)
	}

	begun := time.Now()
	if err := a.SetOverride(ctx, health.Override{Site: "kt", Kind: health.Drain, Who: "kim", Why: "new disks"}); err != nil {
		t.Fatal(err)
	}
	if !a.States().Site("kt").Draining && time.Since(begun) < seenWait {
		t.Error("SetOverride returned before this node obeyed")
	}
	s := b.await(t, "kt draining", func(s *health.States) bool { return s.Site("kt").Draining })
	if o := s.Site("kt").Override; o == nil || o.Who != "kim" || o.Why != "new disks" || o.Since.IsZero() {
		t.Errorf("override %+v", o)
	}
	begun = time.Now()
	if _, err := b.ClearOverride(ctx, "kt", history.Order{}); err != nil {
		t.Fatal(err)
	}
	if b.States().Site("kt").Override != nil && time.Since(begun) < seenWait {
		t.Error("ClearOverride returned before this node obeyed")
	}
	a.await(t, "kt not draining", func(s *health.States) bool { return !s.Site("kt").Draining })

	if err := b.SetOverride(ctx, health.Override{Site: "kt", Kind: health.ForceDown, Why: "test", Until: time.Now().Add(4 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node{a, b} {
		n.await(t, "kt forced down", is("kt", health.Down))
		n.await(t, "kt's override expired", func(s *health.States) bool {
			return s.Site("kt").State == health.Unknown && s.Site("kt").Override == nil
		})
	}
	poll(t, "the expired key is removed", func() bool {
		_, ok, err := etcd.Get(ctx, "fleet/overrides/kt")
		return !ok && err == nil
	})
	// One for a site that the topology no longer has can be cleared too.
	if _, err := etcd.Put(ctx, "fleet/overrides/gone", []byte(`{"site":"gone","kind":"drain"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.ClearOverride(ctx, "gone", history.Order{}); err != nil {
		t.Error(err)
	}
}
