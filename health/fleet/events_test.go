package fleet

import (
	"strings"
	"testing"

	"gslb/health"
	"gslb/history"
)

// TestEvents: of three nodes one writes each change of a site's state, and each
// order is there with who and why.
func TestEvents(t *testing.T) {
	t.Parallel()
	addr := address(openEtcd(t, t.TempDir(), ""))
	a, b, c := startNode(t, "a", addr, nil), startNode(t, "b", addr, nil), startNode(t, "c", addr, nil)
	all := []*node{a, b, c}
	for _, n := range all {
		poll(t, "all are seen", func() bool { return len(n.Nodes()) == 3 })
	}
	for _, state := range []health.State{health.Up, health.Down} {
		for _, n := range all {
			n.Vote(vote("kt", state))
		}
		for _, n := range all {
			n.await(t, "all votes", func(s *health.States) bool { return s.Site("kt").State == state && len(s.Site("kt").Votes) == 3 })
		}
	}
	if err := b.SetOverride(t.Context(), health.Override{Site: "lgu", Kind: health.ForceDown, Who: "lee", Why: "fibre cut"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ClearOverride(t.Context(), "lgu", history.Order{Who: "kim", Why: "mended"}); err != nil {
		t.Fatal(err)
	}
	log := history.NewLog(a.store)
	count := map[string]int{}
	poll(t, "an event of each kind", func() bool {
		events, err := log.List(t.Context(), history.Filter{})
		clear(count)
		for _, e := range events {
			switch {
			case e.Kind == history.KindHealth && e.Site == "kt" && strings.HasPrefix(e.Text, "down, was "),
				e.Kind == history.KindOverride && e.Who == "lee" && e.Why == "fibre cut",
				e.Kind == history.KindRelease && e.Who == "kim" && e.Why == "mended":
				count[e.Kind]++
			case e.Site == "lgu" && e.Kind == history.KindHealth:
				t.Errorf("an order is told as a change of health: %+v", e)
			}
		}
		return err == nil && len(count) == 3
	})
	for kind, n := range count {
		if n != 1 {
			t.Errorf("%d events of kind %s, want one", n, kind)
		}
	}
}

// TestWindowEvents: the beginning and the end of a window of maintenance are told, and no
// order is taken for one.
func TestWindowEvents(t *testing.T) {
	plain := health.Status{State: health.Up, Why: "1 of 1 vantage point says up"}
	window1 := health.Status{State: health.Up, Draining: true, Why: "in maintenance until 2026-03-01T06:00:00Z (patches); 1 of 1 vantage point says up"}
	drained := health.Status{State: health.Up, Draining: true, Why: "draining by lee (x); in maintenance", Override: &health.Override{Kind: health.Drain}}
	for _, test := range []struct {
		before, after health.Status
		want          string
	}{
		{plain, plain, ""},
		{plain, window1, "in maintenance until 2026-03-01T06:00:00Z (patches)"},
		{window1, window1, ""},
		{window1, plain, "maintenance is over"},
		{plain, drained, ""},
		{drained, plain, ""},
		{window1, drained, ""},
	} {
		if got := window(test.before, test.after); got != test.want {
			t.Errorf("from %q to %q: told %q, want %q", test.before.Why, test.after.Why, got, test.want)
		}
	}
}
