package fleet

import (
	"testing"
	"time"

	"gslb/health"
)

// TestReports: written when something changed, at a bounded rate.
func TestReports(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	a := startNode(t, "a", address(etcd), nil)
	b := startNode(t, "b", address(etcd), nil)
	r := health.Report{Site: "kt", Healthy: 2, Total: 2, Load: 10, Capacity: 1000}
	a.Report(r)
	b.await(t, "kt up by report", is("kt", health.Up))
	key := "fleet/reports/kt/a"
	rev := func() int64 {
		v, _, err := etcd.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return v.ModRevision
	}
	before := rev()
	for range 50 { // a small change of load is not worth a write
		r.Load += 0.1
		a.Report(r)
	}
	start := time.Now()
	r.Healthy = 0
	a.Report(r)
	b.await(t, "kt down by report", is("kt", health.Down))
	t.Logf("from Report on one node to changed on the other: %v", time.Since(start))
	if v, _, err := etcd.Get(t.Context(), key); err != nil || v.ModRevision <= before {
		t.Errorf("revision %d after %d, %v", v.ModRevision, before, err)
	}
	r.Healthy = 2
	for i := range 300 { // wild changes: bounded
		r.Load = float64(i%2) * 500
		r.Connections++
		a.Report(r)
	}
	b.await(t, "kt up again", is("kt", health.Up))
	a.Report(health.Report{Site: "mars"})
	a.SetTopology(Topology{Sites: []string{"lgu"}})
	poll(t, "the report is withdrawn with its site", func() bool { _, ok, _ := etcd.Get(t.Context(), key); return !ok })
}

// TestRepair: a vote that somebody removed is written again.
func TestRepair(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	a := startNode(t, "a", address(etcd), nil)
	b := startNode(t, "b", address(etcd), nil)
	a.Vote(vote("kt", health.Down))
	b.await(t, "kt down", is("kt", health.Down))
	rev, err := etcd.Delete(t.Context(), "fleet/votes/kt/a")
	if err != nil {
		t.Fatal(err)
	}
	poll(t, "the vote is there again", func() bool {
		v, ok, err := etcd.Get(t.Context(), "fleet/votes/kt/a")
		return err == nil && ok && v.ModRevision > rev
	})
}

// TestVoteBeforeSite: a vote that comes before the topology knows the site counts later.
func TestVoteBeforeSite(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	a := startNode(t, "a", address(etcd), nil)
	a.Vote(vote("cn", health.Down))
	a.await(t, "a first view", func(s *health.States) bool { return !s.Stale })
	a.SetTopology(Topology{Sites: []string{"kt", "cn"}})
	s := a.await(t, "cn down", is("cn", health.Down))
	if _, ok := s.Sites["lgu"]; ok {
		t.Error("lgu is still there")
	}
	poll(t, "the vote is in etcd", func() bool { _, ok, _ := etcd.Get(t.Context(), "fleet/votes/cn/a"); return ok })
}

func TestReportGap(t *testing.T) {
	base := health.Report{Healthy: 2, Total: 2, Load: 100, Capacity: 1000, Connections: 1000, Servers: []health.Server{{Address: "a", State: health.Up}}}
	for _, tc := range []struct {
		name    string
		pressed bool
		edit    func(*health.Report)
		want    time.Duration
	}{
		{"nothing", false, func(r *health.Report) {}, renewGap},
		{"nothing, pressed", true, func(r *health.Report) {}, pressGap},
		{"load a little", false, func(r *health.Report) { r.Load = 119 }, renewGap},
		{"load", false, func(r *health.Report) { r.Load = 121 }, loadGap},
		{"connections a little", false, func(r *health.Report) { r.Connections = 1019 }, renewGap},
		{"connections", false, func(r *health.Report) { r.Connections = 1500 }, loadGap},
		{"healthy", false, func(r *health.Report) { r.Healthy = 1 }, changeGap},
		{"generation", false, func(r *health.Report) { r.Generation = "7" }, changeGap},
		{"server isolated", false, func(r *health.Report) { r.Servers = []health.Server{{Address: "a", State: health.Down}} }, changeGap},
		{"server's connections", false, func(r *health.Report) {
			r.Servers = []health.Server{{Address: "a", State: health.Up, Connections: 9, Detail: "x"}}
		}, renewGap},
	} {
		r := base
		tc.edit(&r)
		if got := reportGap(base, r, tc.pressed); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
