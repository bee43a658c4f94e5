package fleet

import (
	"strings"
	"testing"
	"time"

	"gslb/health"
	"gslb/history"
)

// A site whose failback is by hand is drained for all once it was down, and stays
// so, over restarts of nodes too, until somebody takes it back.
func TestFailbackByHand(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	byHand := func(c *Config) { c.Rejoin = map[string]health.Rejoin{"kt": {ByHand: true}} }
	a := startNode(t, "a", address(etcd), byHand)
	b := startNode(t, "b", address(etcd), byHand)
	say := func(st health.State) {
		a.Vote(health.Vote{Site: "kt", State: st, Since: time.Now()})
		a.Vote(health.Vote{Site: "lgu", State: st, Since: time.Now()})
	}
	say(health.Up)
	b.await(t, "kt up", is("kt", health.Up))
	say(health.Down)
	drained := func(s *health.States) bool { return s.Site("kt").Draining && s.Site("kt").Override != nil }
	for _, n := range []*node{a, b} {
		n.await(t, "kt down and drained", func(s *health.States) bool { return drained(s) && s.Site("kt").State == health.Down })
	}
	say(health.Up)
	s := b.await(t, "kt up and drained", func(s *health.States) bool { return drained(s) && s.Site("kt").State == health.Up })
	if o := s.Site("kt").Override; !strings.HasPrefix(o.Who, "gslb on ") || !strings.Contains(o.Why, "by hand") {
		t.Errorf("override %+v", o)
	}
	if st := s.Site("lgu"); st.Draining || st.Override != nil {
		t.Errorf("lgu, whose failback is its own: %+v", st)
	}
	late := startNode(t, "late", address(etcd), byHand)
	late.await(t, "what was before it", func(s *health.States) bool { return drained(s) && s.Site("kt").State == health.Up })
	if _, err := b.ClearOverride(t.Context(), "kt", history.Order{}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node{a, b, late} {
		n.await(t, "kt in service", func(s *health.States) bool { return s.Site("kt").InService() && s.Site("kt").State == health.Up })
	}
}

// Without etcd a node holds the site by itself, and writes it down when etcd is back.
func TestFailbackByHandWithoutEtcd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	etcd := openEtcd(t, dir, "")
	at := address(etcd)
	a := startNode(t, "a", at, func(c *Config) {
		c.Rejoin = map[string]health.Rejoin{"kt": {ByHand: true}}
		c.StaleAfter = 100 * time.Millisecond
	})
	a.Vote(health.Vote{Site: "kt", State: health.Up, Since: time.Now()})
	a.await(t, "kt up", is("kt", health.Up))
	if err := etcd.Close(); err != nil {
		t.Fatal(err)
	}
	a.await(t, "etcd lost", func(s *health.States) bool { return s.Stale })
	a.Vote(health.Vote{Site: "kt", State: health.Down, Since: time.Now()})
	a.await(t, "kt down", func(s *health.States) bool { return s.Site("kt").State == health.Down })
	a.Vote(health.Vote{Site: "kt", State: health.Up, Since: time.Now()})
	a.await(t, "kt held here", func(s *health.States) bool { return s.Site("kt").State == health.Up && s.Site("kt").Draining })
	openEtcd(t, dir, at)
	a.await(t, "kt held in etcd", func(s *health.States) bool { return !s.Stale && s.Site("kt").Draining })
	poll(t, "the order is in etcd", func() bool {
		v, ok, err := a.store.Get(t.Context(), keyOf(kindOverride, "kt"))
		return err == nil && ok && strings.Contains(string(v.Data), "by hand")
	})
}
