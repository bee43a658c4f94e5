package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gslb/health"
	"gslb/store"
)

// TestMain checks that after all tests no goroutine is left.
func TestMain(m *testing.M) {
	flag.Set("test.parallel", "8") // these tests wait more than they work
	before := runtime.NumGoroutine()
	code := m.Run()
	if code == 0 && !settles(before) {
		buf := make([]byte, 1<<20)
		os.Stderr.Write(buf[:runtime.Stack(buf, true)])
		code = 1
	}
	os.Exit(code)
}

// settles waits until at most limit goroutines, and a few of the runtime's own, are left.
func settles(limit int) bool {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if runtime.NumGoroutine() <= limit+2 {
			return true
		}
	}
	return false
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// openEtcd runs an embedded etcd; listen may be empty for any port.
func openEtcd(t *testing.T, dir, listen string) *store.Store {
	t.Helper()
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	return openStore(t, store.Config{Listen: listen}, dir)
}

func openStore(t *testing.T, cfg store.Config, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), cfg, dir, quiet(), store.ForTests())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func address(s *store.Store) string {
	return strings.TrimPrefix(s.Status().Endpoints[0], "http://")
}

// node is a running Fleet with its own client.
type node struct {
	*Fleet
	store  *store.Store
	states chan *health.States
	stop   func() // ends Run; may be called again
	kill   func() // as a crash: the connection goes first, so that the lease stays
}

func startNode(t *testing.T, name, etcd string, edit func(*Config)) *node {
	t.Helper()
	return startNodeIn(t, t.TempDir(), name, etcd, edit)
}

func startNodeIn(t *testing.T, dir, name, etcd string, edit func(*Config)) *node {
	t.Helper()
	cfg := Config{Node: name, Roles: []string{"dns"}, Version: "test", Sites: []string{"kt", "lgu"}, TTL: 2 * time.Second, Grace: 10 * time.Millisecond, Settle: time.Millisecond}
	if edit != nil {
		edit(&cfg)
	}
	n := &node{states: make(chan *health.States, 10000)}
	n.store = openStore(t, store.Config{Endpoints: []string{"http://" + etcd}}, dir)
	n.Fleet = New(cfg, n.store, quiet())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx, func(s *health.States) { n.states <- s }) }()
	end := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	n.stop = end
	n.kill = func() { n.store.Close(); end() }
	t.Cleanup(end)
	return n
}

// await waits for a change that fits.
func (n *node) await(t *testing.T, what string, fits func(*health.States) bool) *health.States {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		select {
		case s := <-n.states:
			if fits(s) {
				return s
			}
		case <-late:
			t.Fatalf("%s: no change to %s; States: %+v; store: %+v", n.cfg.Node, what, n.States(), n.store.Status())
		}
	}
}

// poll waits until a condition holds.
func poll(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func is(site string, st health.State) func(*health.States) bool {
	return func(s *health.States) bool { return s.Site(site).State == st && !s.Stale }
}

func votes(site string, n int) func(*health.States) bool {
	return func(s *health.States) bool { return len(s.Site(site).Votes) == n && !s.Stale }
}

func vote(site string, st health.State) health.Vote {
	return health.Vote{Site: site, State: st, Detail: "seen"}
}

// TestTwoNodes: each sees the other's votes; the death of one is no vote, its
// good-bye too.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	addr := address(openEtcd(t, t.TempDir(), ""))
	a := startNode(t, "a", addr, nil)
	b := startNode(t, "b", addr, nil)
	first := a.await(t, "the first view", func(s *health.States) bool { return !s.Stale })
	if len(first.Sites) != 2 || first.Site("kt").State != health.Unknown {
		t.Errorf("first states %+v", first)
	}
	b.await(t, "the first view", func(s *health.States) bool { return !s.Stale })

	start := time.Now()
	a.Vote(vote("kt", health.Down))
	s := b.await(t, "kt down", is("kt", health.Down))
	t.Logf("from Vote on one node to changed on the other: %v", time.Since(start))
	if v := s.Site("kt").Votes; len(v) != 1 || v[0].Vantage != "a" || v[0].Detail != "seen" || v[0].Since.IsZero() {
		t.Errorf("votes %+v", v)
	}
	b.Vote(vote("kt", health.Up))
	b.Vote(vote("lgu", health.Up))
	for _, n := range []*node{a, b} {
		n.await(t, "kt degraded by two votes", func(s *health.States) bool {
			return s.Site("kt").State == health.Degraded && s.Site("lgu").State == health.Up
		})
		poll(t, "both nodes are seen", func() bool { return len(n.Nodes()) == 2 })
	}
	if n := b.Nodes()[0]; n.Name != "a" || n.Version != "test" || len(n.Roles) != 1 || n.Since.IsZero() {
		t.Errorf("node %+v", n)
	}
	a.Serving(7)
	poll(t, "a serves revision 7", func() bool { return b.Nodes()[0].Revision == 7 })

	b.kill()
	a.await(t, "b's vote gone with its lease", is("kt", health.Down))
	poll(t, "b is gone", func() bool { return len(a.Nodes()) == 1 })
	c := startNode(t, "c", addr, nil)
	c.await(t, "a's vote", is("kt", health.Down))
	a.stop()
	c.await(t, "a's vote gone at once", is("kt", health.Unknown))
}

// TestEtcdRestart: stale states are kept, and then it catches up.
func TestEtcdRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	etcd := openEtcd(t, dir, "")
	addr := address(etcd)
	a := startNode(t, "a", addr, nil)
	b := startNode(t, "b", addr, nil)
	a.Vote(vote("kt", health.Down))
	b.Vote(vote("kt", health.Down))
	a.await(t, "two votes", votes("kt", 2))
	if err := etcd.Close(); err != nil {
		t.Fatal(err)
	}
	s := a.await(t, "stale", func(s *health.States) bool { return s.Stale })
	if s.Site("kt").State != health.Down || len(s.Site("kt").Votes) != 2 {
		t.Errorf("stale states lost something: %+v", s.Site("kt"))
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := a.SetOverride(short, health.Override{Site: "kt", Kind: health.ForceUp, Why: "test"}); err == nil {
		t.Error("override without etcd: no error")
	}
	a.Vote(vote("lgu", health.Up)) // this node's own eyes still count
	a.await(t, "own vote while stale", func(s *health.States) bool { return s.Stale && s.Site("lgu").State == health.Up })
	b.Vote(vote("kt", health.Up))
	openEtcd(t, dir, addr)
	a.await(t, "b's vote for up", func(s *health.States) bool { return s.Site("kt").State == health.Degraded && !s.Stale })
	b.await(t, "a's vote on lgu", is("lgu", health.Up))
}

// TestStaleAfter: without etcd for long, this node's own evidence takes over,
// and overrides stay.
func TestStaleAfter(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	addr := address(etcd)
	a := startNode(t, "a", addr, func(c *Config) { c.StaleAfter = 500 * time.Millisecond; c.Sites = append(c.Sites, "cn", "us") })
	b := startNode(t, "b", addr, func(c *Config) { c.Sites = append(c.Sites, "cn", "us") })
	c := startNode(t, "c", addr, func(c *Config) { c.Sites = append(c.Sites, "cn", "us") })
	for _, n := range []*node{b, c} {
		n.Vote(vote("kt", health.Down))
		n.Vote(vote("lgu", health.Down))
	}
	a.Vote(vote("kt", health.Up))
	if err := a.SetOverride(t.Context(), health.Override{Site: "cn", Kind: health.Drain, Why: "test"}); err != nil {
		t.Fatal(err)
	}
	a.await(t, "kt and lgu down", func(s *health.States) bool {
		return s.Site("kt").State == health.Down && len(s.Site("kt").Votes) == 3 && len(s.Site("lgu").Votes) == 2 && s.Site("cn").Draining
	})
	if err := etcd.Close(); err != nil {
		t.Fatal(err)
	}
	s := a.await(t, "kt up by its own vote", func(s *health.States) bool { return s.Stale && s.Site("kt").State == health.Up })
	if s.Site("lgu").State != health.Down {
		t.Errorf("lgu, of which this node knows nothing, is %v", s.Site("lgu").State)
	}
	if !s.Site("cn").Draining {
		t.Error("the override was forgotten")
	}
}

// TestRestartWithoutEtcd: the last-known-good copy serves; a damaged one is
// refused, and then own votes count.
func TestRestartWithoutEtcd(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	addr := address(etcd)
	dir := t.TempDir()
	b := startNode(t, "b", addr, nil)
	b.Vote(vote("kt", health.Down))
	a := startNodeIn(t, dir, "a", addr, nil)
	if err := a.SetOverride(t.Context(), health.Override{Site: "lgu", Kind: health.Drain, Why: "test"}); err != nil {
		t.Fatal(err)
	}
	a.await(t, "kt down", func(s *health.States) bool { return s.Site("kt").State == health.Down && s.Site("lgu").Draining })
	a.kill()
	if err := etcd.Close(); err != nil {
		t.Fatal(err)
	}
	a = startNodeIn(t, dir, "a", addr, nil)
	s := a.await(t, "the copy", func(s *health.States) bool { return s.Stale })
	if s.Site("kt").State != health.Down || !s.Site("lgu").Draining || s.Revision == 0 {
		t.Errorf("states from the copy: %+v", s)
	}
	a.kill()

	path := filepath.Join(dir, "last-known-good", "fleet.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(data, []byte(`"revision":`), []byte(`"revision":1`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	a = startNodeIn(t, dir, "a", addr, nil)
	a.Vote(vote("lgu", health.Down))
	s = a.await(t, "its own vote", func(s *health.States) bool { return s.Site("lgu").State == health.Down })
	if !s.Stale || s.Site("kt").State != health.Unknown || s.Revision != 0 {
		t.Errorf("states without a copy: %+v", s)
	}
}

// TestGarbage: bad values are left out and named.
func TestGarbage(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	a := startNode(t, "a", address(etcd), nil)
	bad := map[string]string{
		"fleet/votes/kt/x":      `{"vantage":"x","site":"kt","state":"dow`,
		"fleet/votes/kt/y":      `{"vantage":"y","site":"kt","state":"sideways"}`,
		"fleet/votes/kt/z":      `{"vantage":"other","site":"kt","state":"down"}`,
		"fleet/reports/kt/x":    `{"site":"kt","node":"x","load":-1}`,
		"fleet/overrides/lgu":   `{"site":"lgu","kind":"explode"}`,
		"fleet/overrides/gone":  `{"site":"gone","kind":"drain","why":"x"}`,
		"fleet/nodes/n":         `[]`,
		"fleet/misc/x":          `{}`,
		"fleet/votes/kt":        `{}`,
		"fleet/votes/%zz/x":     `{}`,
		"fleet/votes//x":        `{}`,
		"fleet/votes/kt/\xff\n": "\x00",
	}
	for key, val := range bad {
		if _, err := etcd.Put(t.Context(), key, []byte(val)); err != nil {
			t.Fatal(err)
		}
	}
	good, _ := json.Marshal(health.Vote{Site: "kt", Vantage: "w", State: health.Down})
	if _, err := etcd.Put(t.Context(), "fleet/votes/kt/w", good); err != nil {
		t.Fatal(err)
	}
	s := a.await(t, "the good vote", is("kt", health.Down))
	if n := len(s.Site("kt").Votes); n != 1 {
		t.Errorf("%d votes, want 1", n)
	}
	got := map[string]Problem{}
	for _, p := range a.Problems() {
		got[p.Key] = p
		if p.Message == "" || p.Since.IsZero() {
			t.Errorf("problem %+v", p)
		}
	}
	for key := range bad {
		if _, ok := got[key]; !ok {
			t.Errorf("no problem for %q", key)
		}
	}
	if len(got) != len(bad) {
		t.Errorf("%d problems, want %d: %v", len(got), len(bad), got)
	}
	if _, err := etcd.Put(t.Context(), "fleet/votes/kt/x", good); err != nil {
		t.Fatal(err)
	}
	for key := range bad {
		if _, err := etcd.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	poll(t, "no problems", func() bool { return len(a.Problems()) == 0 })
}

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
		{health.Override{Site: "kt", Kind: "pause", Why: "x"}, `kind "pause": must be drain, up or down`},
		{health.Override{Site: "kt", Kind: health.Drain, Why: " "}, `why "": must say why`},
		{health.Override{Site: "kt", Kind: health.Drain, Why: "x", Until: time.Now().Add(-time.Minute)}, `must be in the future`},
	} {
		if err := a.SetOverride(ctx, tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", tc.o, err, tc.want)
		}
	}
	if err := a.ClearOverride(ctx, "mars"); err == nil || !strings.Contains(err.Error(), "kt, lgu") {
		t.Errorf("clear of an unknown site: %v", err)
	}
	if err := a.ClearOverride(ctx, "kt"); err != nil {
		t.Errorf("clear of nothing: %v", err)
	}

	if err := a.SetOverride(ctx, health.Override{Site: "kt", Kind: health.Drain, Who: "kim", Why: "new disks"}); err != nil {
		t.Fatal(err)
	}
	if !a.States().Site("kt").Draining {
		t.Error("SetOverride returned before this node obeyed")
	}
	s := b.await(t, "kt draining", func(s *health.States) bool { return s.Site("kt").Draining })
	if o := s.Site("kt").Override; o == nil || o.Who != "kim" || o.Why != "new disks" || o.Since.IsZero() {
		t.Errorf("override %+v", o)
	}
	if err := b.ClearOverride(ctx, "kt"); err != nil {
		t.Fatal(err)
	}
	if b.States().Site("kt").Override != nil {
		t.Error("ClearOverride returned before this node obeyed")
	}
	a.await(t, "kt not draining", func(s *health.States) bool { return !s.Site("kt").Draining })

	if err := b.SetOverride(ctx, health.Override{Site: "kt", Kind: health.ForceDown, Why: "test", Until: time.Now().Add(700 * time.Millisecond)}); err != nil {
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
	if err := a.ClearOverride(ctx, "gone"); err != nil {
		t.Error(err)
	}
}

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
	a.SetSites([]string{"lgu"}, nil, 0)
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
	a.SetSites([]string{"kt", "cn"}, nil, 0)
	s := a.await(t, "cn down", is("cn", health.Down))
	if _, ok := s.Sites["lgu"]; ok {
		t.Error("lgu is still there")
	}
	poll(t, "the vote is in etcd", func() bool { _, ok, _ := etcd.Get(t.Context(), "fleet/votes/cn/a"); return ok })
}

// TestReconnectBreaker: when etcd comes back with votes that would take every
// site out, they wait for the settling time.
func TestReconnectBreaker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	etcd := openEtcd(t, dir, "")
	addr := address(etcd)
	a := startNode(t, "a", addr, func(c *Config) { c.Settle = 1500 * time.Millisecond })
	a.await(t, "a first view", func(s *health.States) bool { return !s.Stale })
	if err := etcd.Close(); err != nil {
		t.Fatal(err)
	}
	a.await(t, "stale", func(s *health.States) bool { return s.Stale })
	side := openEtcd(t, dir, "") // on another port: a cannot see it
	for _, site := range []string{"kt", "lgu"} {
		raw, _ := json.Marshal(health.Vote{Site: site, Vantage: "x", State: health.Down})
		if _, err := side.Put(t.Context(), keyOf(kindVote, site, "x"), raw); err != nil {
			t.Fatal(err)
		}
	}
	if err := side.Close(); err != nil {
		t.Fatal(err)
	}
	openEtcd(t, dir, addr)
	s := a.await(t, "fresh", func(s *health.States) bool { return !s.Stale })
	for _, site := range []string{"kt", "lgu"} {
		if st := s.Site(site); st.State != health.Unknown || !strings.HasPrefix(st.Why, "held") {
			t.Errorf("%s is not held: %v, %s", site, st.State, st.Why)
		}
	}
	a.await(t, "both down after settling", func(s *health.States) bool {
		return s.Site("kt").State == health.Down && s.Site("lgu").State == health.Down
	})
}

func TestBreaker(t *testing.T) {
	states := func(list string) *health.States { // one letter per site: u d ? and F forced down
		s := &health.States{Sites: map[string]health.Status{}}
		for i, c := range list {
			st := health.Status{State: map[rune]health.State{'u': health.Up, 'd': health.Down, '?': health.Unknown, 'F': health.Down}[c]}
			if c == 'F' {
				st.Override = &health.Override{Kind: health.ForceDown}
			}
			s.Sites[fmt.Sprint(i)] = st
		}
		return s
	}
	for _, tc := range []struct{ before, after, held string }{
		{"uuuu", "uuuu", ""},
		{"uuuu", "dddd", "0123"},
		{"u", "d", "0"},
		{"uu", "ud", ""},
		{"uuuu", "uudd", ""},
		{"uuuu", "uddd", "123"},
		{"uddd", "dddd", "0"},
		{"uudd", "dudd", ""},
		{"????", "dddu", "012"},
		{"uuuu", "FFFF", ""},
		{"uuuu", "FFFd", "3"},
		{"dddd", "uuuu", ""},
	} {
		before := states(tc.before)
		got, held := breaker(before, states(tc.after))
		if s := strings.Join(held, ""); s != tc.held {
			t.Errorf("%s -> %s: held %q, want %q", tc.before, tc.after, s, tc.held)
		}
		for _, name := range held {
			if got.Sites[name].State != before.Sites[name].State {
				t.Errorf("%s -> %s: site %s is %v", tc.before, tc.after, name, got.Sites[name].State)
			}
		}
	}
	if got, held := breaker(nil, states("d")); len(held) > 0 || got == nil {
		t.Error("nothing before: must be let through")
	}
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

func FuzzParse(f *testing.F) {
	f.Add("fleet/votes/kt/a", []byte(`{"vantage":"a","site":"kt","state":"down","since":"2025-01-01T00:00:00Z"}`))
	f.Add("fleet/reports/kt/a", []byte(`{"site":"kt","node":"a","healthy":1,"total":2,"load":1e300}`))
	f.Add("fleet/overrides/k%2Ft", []byte(`{"site":"k/t","kind":"drain"}`))
	f.Add("fleet/nodes/a", []byte(`{"name":"a","roles":null}`))
	f.Add("fleet/x", []byte(`{`))
	f.Add("", []byte(nil))
	f.Fuzz(func(t *testing.T, key string, raw []byte) {
		p := parse(key, raw)
		said := 0
		for _, b := range []bool{p.err != nil, p.vote != nil, p.report != nil, p.override != nil, p.node != nil} {
			if b {
				said++
			}
		}
		if said != 1 {
			t.Errorf("%q: says %d things", key, said)
		}
	})
}

func TestKeys(t *testing.T) {
	for _, names := range [][]string{{"kt", "ns1.seoul"}, {"a/b", "%2F"}, {"서울", " "}} {
		kind, got, err := splitKey(keyOf(kindVote, names[0], names[1]))
		if err != nil || kind != kindVote || len(got) != 2 || got[0] != names[0] || got[1] != names[1] {
			t.Errorf("%q came back as %s %q %v", names, kind, got, err)
		}
	}
}
