package geo

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// watched runs a Watcher over one or more files in a bubble of fake time.
type watched struct {
	*testing.T
	dir     string
	cfg     Config
	watcher *Watcher
	log     bytes.Buffer
	got     []*DB // handed over
}

// inBubble starts a Watcher for copies of the given databases and calls steps.
func inBubble(t *testing.T, databases map[string]string, opened bool, steps func(w *watched)) {
	dir := t.TempDir()
	w := &watched{dir: dir, cfg: Config{Reload: time.Second}}
	for _, name := range []string{"a.mmdb", "b.mmdb"} {
		if from, ok := databases[name]; ok {
			replace(t, filepath.Join(dir, name), from)
			w.cfg.Databases = append(w.cfg.Databases, filepath.Join(dir, name))
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w.T = t
		var db *DB
		if opened {
			db = mustOpen(t, w.cfg)
		}
		w.watcher = NewWatcher(w.cfg, db, slog.New(slog.NewTextHandler(&w.log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.watcher.Run(ctx, func(db *DB) { w.got = append(w.got, db) }) }()
		synctest.Wait()
		steps(w)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func (w *watched) path(name string) string { return filepath.Join(w.dir, name) }

// wait lets the Watcher look once more.
func (w *watched) wait() {
	time.Sleep(w.cfg.Reload)
	synctest.Wait()
}

// expect checks how many DBs were handed over so far, what the last one says of
// the country of 203.0.113.1, and what fault is shown.
func (w *watched) expect(handed int, country, fault string) {
	w.Helper()
	if len(w.got) != handed {
		w.Fatalf("%d databases handed over, want %d\n%s", len(w.got), handed, &w.log)
	}
	if handed > 0 {
		if p, _ := w.got[handed-1].Lookup(netip.MustParseAddr("203.0.113.1")); p.Country != country {
			w.Errorf("country %q, want %q", p.Country, country)
		}
	}
	s := w.watcher.Status()
	if fault == "" != (s.Fault == "") || !strings.Contains(s.Fault, fault) || s.Since.IsZero() != (fault == "") {
		w.Errorf("status %+v, want fault %q", s, fault)
	}
}

func countryDatabase(t *testing.T, code string) string {
	return made(t, t.TempDir(), "GeoIP2-Country", map[string]mmdbtype.DataType{"203.0.113.0/24": inCountry(code)})
}

func TestWatchReplacedFiles(t *testing.T) {
	kr, us := countryDatabase(t, "KR"), countryDatabase(t, "US")
	inBubble(t, map[string]string{"a.mmdb": kr}, true, func(w *watched) {
		w.expect(0, "", "")
		w.wait()
		w.expect(0, "", "") // nothing has changed

		replace(t, w.path("a.mmdb"), us)
		w.wait()
		w.expect(1, "US", "")
		if s := w.watcher.Status(); !s.Reloaded.Equal(time.Now()) {
			t.Errorf("status %+v at %v", s, time.Now())
		}

		if err := os.Truncate(w.path("a.mmdb"), 100); err != nil { // in place
			t.Fatal(err)
		}
		w.wait()
		w.expect(1, "US", "a.mmdb: ")
		since := w.watcher.Status().Since
		w.wait()
		w.wait()
		w.expect(1, "US", "a.mmdb: ")
		if got := w.watcher.Status().Since; got != since {
			t.Errorf("since %v, then %v", since, got)
		}
		if n := strings.Count(w.log.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d errors logged, want 1:\n%s", n, &w.log)
		}

		if err := os.WriteFile(w.path("a.mmdb"), []byte("not a database"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.wait()
		w.expect(1, "US", "invalid MaxMind DB file")

		replace(t, w.path("a.mmdb"), kr)
		w.wait()
		w.expect(2, "KR", "")
	})
}

func TestWatchMissingFile(t *testing.T) {
	kr, us := countryDatabase(t, "KR"), countryDatabase(t, "US")
	inBubble(t, map[string]string{"a.mmdb": kr}, true, func(w *watched) {
		if err := os.Rename(w.path("a.mmdb"), w.path("gone")); err != nil {
			t.Fatal(err)
		}
		w.wait()
		w.expect(0, "", "a.mmdb: no such file or directory")
		if err := os.Rename(w.path("gone"), w.path("a.mmdb")); err != nil {
			t.Fatal(err)
		}
		w.wait()
		w.expect(0, "", "") // it is the one in use: nothing to hand over
		replace(t, w.path("a.mmdb"), us)
		w.wait()
		w.expect(1, "US", "")
	})
}

// A set is taken over whole or not at all, and what has not changed is not read again.
func TestWatchSet(t *testing.T) {
	kr, us := countryDatabase(t, "KR"), countryDatabase(t, "US")
	inBubble(t, map[string]string{"a.mmdb": kr, "b.mmdb": demoDatabase("demo-isp.mmdb")}, true, func(w *watched) {
		replace(t, w.path("a.mmdb"), us)
		if err := os.WriteFile(w.path("b.mmdb"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w.wait()
		w.expect(0, "", "b.mmdb: file is empty")
		replace(t, w.path("b.mmdb"), demoDatabase("demo-isp.mmdb"))
		w.wait()
		w.expect(1, "US", "")
		replace(t, w.path("a.mmdb"), kr)
		w.wait()
		w.expect(2, "KR", "")
		if w.got[0].sources[1] != w.got[1].sources[1] {
			t.Error("b.mmdb was read again")
		}
		if w.got[0].sources[0] == w.got[1].sources[0] {
			t.Error("a.mmdb was not read again")
		}
	})
}

// A link that is turned to another file is a change, as updaters do it.
func TestWatchLink(t *testing.T) {
	kr, us := countryDatabase(t, "KR"), countryDatabase(t, "US")
	inBubble(t, map[string]string{"a.mmdb": kr}, true, func(w *watched) {
		link := w.path("link")
		if err := os.Symlink(us, link); err != nil {
			t.Skip(err)
		}
		if err := os.Rename(link, w.path("a.mmdb")); err != nil {
			t.Fatal(err)
		}
		w.wait()
		w.expect(1, "US", "")
	})
}

// Without a DB in use the first look opens what is there.
func TestWatchFromNothing(t *testing.T) {
	inBubble(t, map[string]string{"a.mmdb": countryDatabase(t, "KR")}, false, func(w *watched) {
		w.expect(1, "KR", "")
		w.wait()
		w.expect(1, "KR", "")
	})
}

// A replacement between Open and Run is not missed.
func TestWatchSeesWhatChangedBefore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.mmdb")
	replace(t, path, countryDatabase(t, "KR"))
	cfg := Config{Databases: []string{path}}
	db := mustOpen(t, cfg)
	replace(t, path, countryDatabase(t, "US"))
	ctx, cancel := context.WithCancel(t.Context())
	handed := 0
	w := NewWatcher(cfg, db, slog.New(slog.DiscardHandler))
	if err := w.Run(ctx, func(*DB) { handed++; cancel() }); err != nil || handed != 1 {
		t.Errorf("%d handed over, %v", handed, err)
	}
}

func TestWatchFunction(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.mmdb")
	kr, us := countryDatabase(t, "KR"), countryDatabase(t, "US")
	replace(t, path, kr)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		handed := 0
		go func() {
			time.Sleep(7 * time.Second) // past the first look at the default interval
			replace(t, path, us)
		}()
		if err := Watch(ctx, Config{Databases: []string{path}}, slog.New(slog.DiscardHandler), func(*DB) { handed++ }); err != nil || handed != 1 {
			t.Errorf("%d handed over, %v", handed, err)
		}
	})
}
