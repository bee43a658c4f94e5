package fleet

import (
	"strings"
	"testing"

	"gslb/health"
	"gslb/history"
)

func TestRelease(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	a := startNode(t, "a", address(etcd), nil)
	b := startNode(t, "b", address(etcd), nil)
	a.await(t, "a first view", func(s *health.States) bool { return !s.Stale })
	for _, tc := range []struct {
		r    health.Release
		want string
	}{
		{health.Release{Generation: "v1", Why: "x"}, `name ""`},
		{health.Release{Name: "www.abc.com.", Generation: "v 1", Why: "x"}, "one word"},
		{health.Release{Name: "www.abc.com.", Why: "x"}, "one word"},
		{health.Release{Name: "www.abc.com.", Generation: "v1", Why: " "}, "why"},
	} {
		if err := a.SetRelease(t.Context(), tc.r); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.r, err, tc.want)
		}
	}
	if err := a.SetRelease(t.Context(), health.Release{Name: "www.abc.com.", Generation: "v1", Who: "lee", Why: "sale"}); err != nil {
		t.Fatal(err)
	}
	poll(t, "the node that ordered it obeys", func() bool { return a.States().Releases["www.abc.com."].Generation != "" }) // it waits for that, but not for ever
	if r := a.States().Releases["www.abc.com."]; r.Generation != "v1" || r.Who != "lee" || r.Since.IsZero() {
		t.Errorf("at the node that ordered: %+v", r)
	}
	b.await(t, "the release", func(s *health.States) bool { return s.Released("www.abc.com.") == "v1" })
	// A vote with another generation is written though its state is the same.
	for _, g := range []string{"v0", "v1"} {
		a.Vote(health.Vote{Site: "kt", State: health.Up, Generation: g})
		b.await(t, "kt with "+g, func(s *health.States) bool { return s.Site("kt").Serves(g) })
	}
	if err := b.ClearRelease(t.Context(), "www.abc.com.", history.Order{Who: "kim", Why: "over"}); err != nil {
		t.Fatal(err)
	}
	a.await(t, "no release", func(s *health.States) bool { return s.Released("www.abc.com.") == "" })
	if err := b.ClearRelease(t.Context(), "www.abc.com.", history.Order{}); err != nil {
		t.Errorf("clear of nothing: %v", err)
	}
}
