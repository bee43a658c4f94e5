package store

import (
	"context"
	"flag"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gslb/test/bed"
)

// TestMain checks that after all tests no goroutine of this package or of etcd is left.
func TestMain(m *testing.M) {
	flag.Set("test.parallel", "6") // these tests wait more than they work
	os.Exit(bed.NoGoroutineLeft(m))
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// openTest opens a store with an embedded member, closed at the end of the test.
func openTest(t *testing.T, cfg Config, dir string) *Store {
	t.Helper()
	if cfg.Listen == "" && len(cfg.Endpoints) == 0 {
		cfg.Listen = bed.FreeAddress(t) // nobody takes it while the member is away
	}
	s, err := Open(t.Context(), cfg, dir, quiet(), ForTests())
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

// hostPort is where an embedded member serves.
func hostPort(s *Store) string { return strings.TrimPrefix(s.member.endpoint, "http://") }

// watchTest runs a Watch; its views come out of the channel, and stop ends it.
func watchTest(t *testing.T, s *Store, name, prefix string) (views <-chan View, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := make(chan View, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Watch(ctx, name, prefix, func(v View) { c <- v }); err != nil {
			t.Errorf("Watch: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return c, stop
}

// await reads views until one fits.
func await(t *testing.T, views <-chan View, what string, fits func(View) bool) View {
	t.Helper()
	late := time.After(time.Minute)
	var last View
	for {
		select {
		case v := <-views:
			if v.Revision < last.Revision {
				t.Errorf("view went back from revision %d to %d", last.Revision, v.Revision)
			}
			last = v
			if fits(v) {
				return v
			}
		case <-late:
			t.Fatalf("no view with %s; the last one: %+v", what, last)
		}
	}
}

func has(key, val string, stale bool) func(View) bool {
	return func(v View) bool { return string(v.KV[key]) == val && v.Stale == stale }
}

func mustPut(t *testing.T, s *Store, key, val string) int64 {
	t.Helper()
	rev, err := s.Put(t.Context(), key, []byte(val))
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func TestOpenFaults(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	used := t.TempDir()
	openTest(t, Config{}, used)
	file := filepath.Join(t.TempDir(), "file")
	broken := t.TempDir()
	if err := os.MkdirAll(filepath.Join(broken, "etcd/member/snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{file, filepath.Join(broken, "etcd/member/snap/db")} {
		if err := os.WriteFile(p, []byte("not a database"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name string
		cfg  Config
		dir  string
		want []string
	}{
		{"port taken", Config{Listen: taken.Addr().String()}, t.TempDir(), []string{"address already in use", taken.Addr().String(), `change "listen"`}},
		{"directory in use", Config{Listen: "127.0.0.1:0"}, used, []string{used, "in use by another process"}},
		{"directory is a file", Config{Listen: "127.0.0.1:0"}, file, []string{file, "data directory"}},
		{"broken database", Config{Listen: "127.0.0.1:0"}, broken, []string{broken, "can't be opened"}},
		{"bad configuration", Config{Endpoints: []string{"10.0.0.1"}, Prefix: "x"}, t.TempDir(), []string{`endpoints[0]`, `"10.0.0.1"`, `"prefix"`}},
		{"name to listen on", Config{Listen: "example.com:0"}, t.TempDir(), []string{"example.com"}},
		{"missing certificate", Config{Endpoints: []string{"https://127.0.0.1:1"}, CA: "/nonexistent/ca.pem"}, t.TempDir(), []string{"ca", "/nonexistent/ca.pem"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			start := time.Now()
			s, err := Open(t.Context(), tc.cfg, tc.dir, quiet(), ForTests())
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not mention %q", err, w)
				}
			}
			if d := time.Since(start); d > time.Minute {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestOutsideNeedNotBeReachable(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"", "root"} {
		cfg := Config{Endpoints: []string{"http://127.0.0.1:1"}, User: user}
		if user != "" {
			cfg.Password = "x"
		}
		s := openTest(t, cfg, t.TempDir())
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := s.Put(ctx, "a", nil); err == nil {
			t.Error("put without etcd: no error")
		}
		if st := s.Status(); st.Connected {
			t.Errorf("connected: %+v", st)
		}
	}
}

func TestKV(t *testing.T) {
	s := openTest(t, Config{}, t.TempDir())
	ctx := t.Context()
	if _, ok, err := s.Get(ctx, "a"); ok || err != nil {
		t.Fatalf("Get of nothing: %v %v", ok, err)
	}
	rev, err := s.PutIf(ctx, "a", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() (int64, error){
		"PutIf exists":   func() (int64, error) { return s.PutIf(ctx, "a", []byte("2"), 0) },
		"PutIf older":    func() (int64, error) { return s.PutIf(ctx, "a", []byte("2"), rev-1) },
		"DeleteIf older": func() (int64, error) { return s.DeleteIf(ctx, "a", rev-1) },
		"Commit one of 2": func() (int64, error) {
			return s.Commit(ctx, Commit{At: map[string]int64{"a": rev, "b": 7}, Delete: []string{"a"}})
		},
	} {
		if _, err := call(); !isConflict(err) {
			t.Errorf("%s: %v, want ErrConflict", name, err)
		}
	}
	if v, ok, err := s.Get(ctx, "a"); !ok || err != nil || string(v.Data) != "1" || v.ModRevision != rev {
		t.Fatalf("Get: %v %v %v", v, ok, err)
	}
	if rev, err = s.PutIf(ctx, "a", []byte("2"), rev); err != nil {
		t.Fatal(err)
	}
	if _, err = s.DeleteIf(ctx, "a", rev); err != nil {
		t.Fatal(err)
	}
	if _, err = s.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	st := s.Status()
	if !st.Connected || !st.Embedded || st.Revision == 0 || st.LastError != "" || len(st.Endpoints) != 1 {
		t.Errorf("status %+v", st)
	}
}
