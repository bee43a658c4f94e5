package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func isConflict(err error) bool { return errors.Is(err, ErrConflict) }

func TestWatch(t *testing.T) {
	t.Parallel()
	s := openTest(t, Config{}, t.TempDir())
	mustPut(t, s, "other/x", "no")
	mustPut(t, s, "w/a", "1")
	views, _ := watchTest(t, s, "w", "w/")
	first := await(t, views, "a=1", has("w/a", "1", false))
	if len(first.KV) != 1 {
		t.Errorf("first view has %v", first.KV)
	}
	rev := mustPut(t, s, "w/b", "2")
	v := await(t, views, "b=2", has("w/b", "2", false))
	if v.Revision != rev || v.Mod["w/b"] != rev {
		t.Errorf("revision %d, mod %v, want %d", v.Revision, v.Mod, rev)
	}
	if len(first.KV) != 1 {
		t.Error("the first view was changed")
	}
	if _, err := s.Delete(t.Context(), "w/a"); err != nil {
		t.Fatal(err)
	}
	await(t, views, "a gone", func(v View) bool { return v.KV["w/a"] == nil })
	if _, err := s.Commit(t.Context(), Commit{Put: map[string][]byte{"w/c": {'3'}, "w/d": {'4'}}}); err != nil {
		t.Fatal(err)
	}
	await(t, views, "c and d at once", func(v View) bool {
		if (v.KV["w/c"] == nil) != (v.KV["w/d"] == nil) {
			t.Error("a transaction was seen in two parts")
		}
		return v.KV["w/c"] != nil
	})
}

func TestWatchName(t *testing.T) {
	s := openTest(t, Config{Endpoints: []string{"http://127.0.0.1:1"}}, t.TempDir())
	for _, name := range []string{"", "../x", "a/b", ".hidden"} {
		if err := s.Watch(t.Context(), name, "w/", func(View) {}); err == nil {
			t.Errorf("name %q: no error", name)
		}
	}
}

// TestEtcdStopsAndReturns: stale when it stops, fresh with what changed when it is back.
func TestEtcdStopsAndReturns(t *testing.T) {
	t.Parallel()
	etcdDir := t.TempDir()
	etcd := openTest(t, Config{}, etcdDir)
	addr := hostPort(etcd)
	s := openTest(t, Config{Endpoints: []string{"http://" + addr}}, t.TempDir())
	mustPut(t, s, "w/a", "1")
	views, _ := watchTest(t, s, "w", "w/")
	await(t, views, "a=1", has("w/a", "1", false))

	start := time.Now()
	if err := etcd.Close(); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	await(t, views, "stale a=1", has("w/a", "1", true))
	t.Logf("etcd stopped in %v, noticed after %v", stopped.Sub(start), time.Since(stopped))
	if st := s.Status(); st.Connected || st.LastError == "" {
		t.Errorf("status %+v", st)
	}

	back := openTest(t, Config{Listen: addr}, etcdDir)
	start = time.Now()
	mustPut(t, back, "w/b", "2")
	v := await(t, views, "fresh a=1 b=2", has("w/b", "2", false))
	if string(v.KV["w/a"]) != "1" {
		t.Errorf("a is lost: %v", v.KV)
	}
	t.Logf("caught up %v after etcd was back", time.Since(start))
	mustPut(t, back, "w/b", "3")
	await(t, views, "b=3", has("w/b", "3", false))
}

// TestCompaction: a watch that was away while its revisions were compacted lists again.
func TestCompaction(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	etcd := openTest(t, Config{}, dir)
	addr := hostPort(etcd)
	s := openTest(t, Config{Endpoints: []string{"http://" + addr}}, t.TempDir())
	mustPut(t, s, "w/a", "0")
	views, _ := watchTest(t, s, "w", "w/")
	await(t, views, "a=0", has("w/a", "0", false))
	if err := etcd.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, views, "stale", has("w/a", "0", true))
	other := openTest(t, Config{}, dir) // on another port: the watch can't follow
	var rev int64
	for i := range 20 {
		rev = mustPut(t, other, "w/a", fmt.Sprint(i))
	}
	if _, err := other.cli.Compact(t.Context(), rev, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, Config{Listen: addr}, dir)
	await(t, views, "a=19", has("w/a", "19", false))
}

// TestFollowCompacted: the watch call itself reports compaction.
func TestFollowCompacted(t *testing.T) {
	t.Parallel()
	s := openTest(t, Config{}, t.TempDir())
	rev := mustPut(t, s, "w/a", "1")
	for range 5 {
		mustPut(t, s, "w/a", "2")
	}
	if _, err := s.cli.Compact(t.Context(), rev+4); err != nil {
		t.Fatal(err)
	}
	w := &watcher{store: s, prefix: "w/", log: quiet(), last: snapshot{cluster: 1, View: View{Revision: rev}}}
	if err := w.follow(t.Context(), s.cli); err == nil {
		t.Error("following compacted revisions: no error")
	}
}

// TestLastKnownGood: a restart without etcd gives the copy, and then etcd's own view.
func TestLastKnownGood(t *testing.T) {
	t.Parallel()
	etcdDir, nodeDir := t.TempDir(), t.TempDir()
	etcd := openTest(t, Config{}, etcdDir)
	addr := hostPort(etcd)
	cfg := Config{Endpoints: []string{"http://" + addr}}
	s := openTest(t, cfg, nodeDir)
	mustPut(t, s, "w/a", "1")
	views, stop := watchTest(t, s, "w", "w/")
	await(t, views, "a=1", has("w/a", "1", false))
	stop()
	for _, c := range []*Store{s, etcd} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}

	again := openTest(t, cfg, nodeDir)
	views, _ = watchTest(t, again, "w", "w/")
	v := await(t, views, "stale copy", has("w/a", "1", true))
	if v.Mod["w/a"] == 0 {
		t.Error("the copy has no mod revisions")
	}
	openTest(t, Config{Listen: addr}, etcdDir)
	await(t, views, "fresh", has("w/a", "1", false))
}

// TestDamagedCopy: a copy that was damaged is refused, and is no obstacle.
func TestDamagedCopy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "last-known-good", "w.json")
	s := openTest(t, Config{}, dir)
	mustPut(t, s, "w/a", "good")
	views, stop := watchTest(t, s, "w", "w/")
	await(t, views, "good", has("w/a", "good", false))
	stop()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	views, stop = watchTest(t, s, "w", "w/")
	await(t, views, "good from etcd", has("w/a", "good", false))
	stop()
	c, err := newCopies(filepath.Dir(path), "w", "/gslb/w/")
	if err != nil {
		t.Fatal(err)
	}
	if snap, err := c.load(); err != nil || string(snap.KV["w/a"]) != "good" {
		t.Errorf("the copy was not written anew: %v %v", snap, err)
	}
}

// TestReplacedCluster: a view of a wiped etcd (another cluster) is taken; an
// older view of the same cluster is not.
func TestReplacedCluster(t *testing.T) {
	t.Parallel()
	first := openTest(t, Config{}, t.TempDir())
	addr := hostPort(first)
	s := openTest(t, Config{Endpoints: []string{"http://" + addr}}, t.TempDir())
	for i := range 5 {
		mustPut(t, s, "w/a", fmt.Sprint("old", i))
	}
	views, _ := watchTest(t, s, "w", "w/")
	v := await(t, views, "old4", has("w/a", "old4", false))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := openTest(t, Config{Listen: addr}, t.TempDir())
	mustPut(t, second, "w/a", "new")
	late := time.After(time.Minute)
	for string(v.KV["w/a"]) != "new" || v.Stale {
		select {
		case v = <-views:
		case <-late:
			t.Fatalf("the new cluster's view was not taken: %v; %v", v, s.Status())
		}
	}
}

func TestAccept(t *testing.T) {
	at := func(cluster uint64, rev int64) snapshot { return snapshot{cluster: cluster, View: View{Revision: rev}} }
	for _, tc := range []struct {
		name       string
		last, snap snapshot
		ok         bool
	}{
		{"first", snapshot{}, at(1, 5), true},
		{"same", at(1, 5), at(1, 5), true},
		{"newer", at(1, 5), at(1, 6), true},
		{"older", at(1, 5), at(1, 4), false},
		{"older of another", at(1, 5), at(2, 1), true},
	} {
		calls := 0
		w := &watcher{
			store: &Store{}, log: quiet(), last: tc.last, fn: func(View) { calls++ },
			copies: &copies{wake: make(chan struct{}, 1)},
		}
		err := w.accept(tc.snap)
		if (err == nil) != tc.ok || (calls == 1) != tc.ok {
			t.Errorf("%s: error %v, %d calls", tc.name, err, calls)
		}
	}
}

func FuzzDecodeCopy(f *testing.F) {
	good, err := encodeCopy(snapshot{cluster: 7, View: View{Revision: 3, KV: map[string][]byte{"a": {1, 2}}}}, "/p/")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":1,"sha256":"","view":{}}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeCopy(data, "/p/")
		if err == nil && (s.cluster == 0 || s.KV == nil || s.Mod == nil || s.Revision < 0) {
			t.Errorf("decoded %+v", s)
		}
	})
}
