package fleet

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gslb/health"
	"gslb/store"
	"gslb/test/bed"
)

// TestMain checks that after all tests no goroutine is left.
func TestMain(m *testing.M) {
	flag.Set("test.parallel", "6") // these tests wait more than they work
	os.Exit(bed.NoGoroutineLeft(m))
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// openEtcd runs an embedded etcd; listen may be empty for any port, which nobody takes while it is away.
func openEtcd(t *testing.T, dir, listen string) *store.Store {
	t.Helper()
	if listen == "" {
		listen = bed.FreeAddress(t)
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

// brief is for leases that a test waits to run out; those of others outlive a machine that stands still.
func brief(c *Config) { c.TTL = 2 * time.Second }

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
	cfg := Config{Node: name, Roles: []string{"dns"}, Version: "test", Topology: Topology{Sites: []string{"kt", "lgu"}}, TTL: 30 * time.Second, Grace: 10 * time.Millisecond, Settle: time.Millisecond}
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
	late := time.After(time.Minute)
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
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
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
	b := startNode(t, "b", addr, brief)
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
	a.Serving(7, 0, "")
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

// TestNamesakes: two processes with one name tell of each other, and write no
// more for it; the trace of a process that crashed is no namesake.
func TestNamesakes(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	addr := address(etcd)
	crashed := startNode(t, "ns1", addr, brief)
	poll(t, "it is seen", func() bool { return len(crashed.Nodes()) == 1 })
	crashed.kill()
	a := startNode(t, "ns1", addr, brief)
	poll(t, "the crashed one's record is gone", func() bool { return slices.Equal(a.instances(), []string{a.self.Instance}) })
	if p := a.Problems(); len(p) != 0 {
		t.Errorf("problems after a restart: %+v", p)
	}
	b := startNode(t, "ns1", addr, brief)
	for _, n := range []*node{a, b} {
		n.Vote(vote("kt", health.Up))
		poll(t, "the namesake is told", func() bool {
			p := n.Problems()
			return len(p) == 1 && strings.Contains(p[0].Message, "another process also calls itself ns1 (started ")
		})
		if nodes := n.Nodes(); len(nodes) != 1 || nodes[0].Instance != b.self.Instance {
			t.Errorf("nodes %+v, want the one that started last", nodes)
		}
	}
	// What each has to write once may still be under way; after it, none writes.
	writes := int64(-1)
	for range 10 { // a machine that stands still lets leases run out, too
		before, err := etcd.Put(t.Context(), "probe", []byte("1"))
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second) // one TTL in which they could fight
		after, err := etcd.Put(t.Context(), "probe", []byte("2"))
		if err != nil {
			t.Fatal(err)
		}
		if writes = after - before - 1; writes == 0 {
			break
		}
	}
	if writes != 0 {
		t.Errorf("%d writes by two processes with one name, want none", writes)
	}
	b.stop()
	poll(t, "the problem is over", func() bool { return len(a.Problems()) == 0 })
	poll(t, "the vote is there again", func() bool {
		_, ok, err := etcd.Get(t.Context(), "fleet/votes/kt/ns1")
		return err == nil && ok
	})
}

// instances are the processes that etcd knows by this node's name.
func (n *node) instances() (found []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key := range n.view.KV {
		if kind, names, err := splitKey(key); err == nil && kind == kindNode && names[0] == n.cfg.Node {
			found = append(found, names[1])
		}
	}
	return found
}
