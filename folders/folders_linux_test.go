package folders

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// next waits for a change.
func next(t *testing.T, w *Watcher) Change {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		c, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !c.None() {
			slices.Sort(c.Paths)
			return c
		}
	}
}

func watch(t *testing.T, dirs ...string) *Watcher {
	t.Helper()
	w, err := New(Times{Settle: 50 * time.Millisecond, Most: 10 * time.Second, Look: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		do(t, w.Close())
		for ok := true; ok; {
			_, ok = <-w.events()
		}
	})
	if fresh, err := w.Set(dirs); !fresh || err != nil {
		t.Fatal(fresh, err)
	}
	if fresh, err := w.Set(dirs); fresh || err != nil {
		t.Errorf("the same folders again: %v, %v", fresh, err)
	}
	return w
}

func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// Each way in which a file changes is told by its path, several at once once.
func TestChanges(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string) error { return os.WriteFile(file(name), []byte("text"), 0o644) }
	do(t, write("edited"), write("renamed"), write("removed"), os.Mkdir(file("folder"), 0o755))
	w := watch(t, dir)
	var before []string // of the row before: a slow machine may tell of it once more
	for _, c := range []struct {
		what string
		do   func() error
		want []string
	}{
		{"written", func() error { return write("edited") }, []string{"edited"}},
		{"written twice, and another", func() error { return errors.Join(write("edited"), write("edited"), write("new")) }, []string{"edited", "new"}},
		{"renamed", func() error { return os.Rename(file("renamed"), file("to")) }, []string{"renamed", "to"}},
		{"removed", func() error { return os.Remove(file("removed")) }, []string{"removed"}},
		{"linked", func() error { return os.Link(file("to"), file("hard")) }, []string{"hard"}},
	} {
		do(t, c.do())
		var want []string
		for _, name := range c.want {
			want = append(want, file(name))
		}
		var got []string // a slow machine may take it for two changes
		for !slices.Equal(got, want) {
			change := next(t, w)
			if change.All {
				t.Fatalf("%s: all", c.what)
			}
			got = append(got, slices.DeleteFunc(change.Paths, func(path string) bool { return slices.Contains(before, path) && !slices.Contains(want, path) })...)
			slices.Sort(got)
			if got = slices.Compact(got); len(got) > len(want) {
				t.Fatalf("%s: %q, want %q", c.what, got, want)
			}
		}
		before = append(before, want...)
	}
}

// A folder that is replaced is found out, as is a link; a folder that is let go of is silent.
func TestFoldersChange(t *testing.T) {
	above := t.TempDir()
	dir, other, link := filepath.Join(above, "dir"), filepath.Join(above, "other"), filepath.Join(above, "link")
	do(t, os.Mkdir(dir, 0o755), os.Mkdir(other, 0o755), os.Symlink(dir, link))
	w := watch(t, dir, link)
	do(t, os.WriteFile(filepath.Join(dir, "a"), nil, 0o644))
	want := []string{filepath.Join(dir, "a"), filepath.Join(link, "a")}
	if c := next(t, w); c.All || !slices.Equal(c.Paths, want) {
		t.Errorf("a folder with two names: %+v, want %q", c, want)
	}
	do(t, os.Remove(link), os.Symlink(other, link))
	if fresh, err := w.Set([]string{dir, link}); !fresh || err != nil {
		t.Errorf("a link leads elsewhere: %v, %v", fresh, err)
	}
	do(t, os.Symlink("a", filepath.Join(dir, "alias")))
	for c := next(t, w); !c.All; c = next(t, w) {
		if slices.Contains(c.Paths, filepath.Join(dir, "alias")) {
			t.Fatal("a link is taken for a file")
		}
	}
	do(t, os.RemoveAll(other))
	for c := next(t, w); !c.All; c = next(t, w) {
	}
	if _, err := w.Set([]string{dir, link}); err == nil {
		t.Error("a folder that is gone is no error")
	}
	do(t, os.WriteFile(filepath.Join(dir, "b"), nil, 0o644))
	for c := next(t, w); !slices.Contains(c.Paths, filepath.Join(dir, "b")); c = next(t, w) {
	}
}

func TestEnd(t *testing.T) {
	w := watch(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for {
		if _, err := w.Next(ctx); errors.Is(err, context.Canceled) {
			break
		}
	}
}
