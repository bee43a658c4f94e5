package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gslb/store"
)

func newStore(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), store.Config{Embedded: true, Listen: "127.0.0.1:0"}, t.TempDir(), slog.New(slog.DiscardHandler), store.ForTests())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func bundle(text string) Bundle {
	return Bundle{{"topology.toml", []byte(text)}, {"a/abc.zone", []byte("@ SOA\n")}}
}

var who = Order{Who: "lee", Why: "a reason"}

// noise does not compress.
func noise(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func TestBook(t *testing.T) {
	ctx := t.Context()
	st := newStore(t)
	log := NewLog(st)
	book := NewBook(st, log)
	must := func(h Head, err error) Head {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	large := bundle(noise(3 << 20)) // of several parts
	h1 := must(book.Apply(ctx, bundle("one"), who, 0, First{}, Head{}))
	h2 := must(book.Apply(ctx, large, who, 1, First{}, Head{}))
	if h1.Stable.Number != 1 || h2.Stable.Number != 2 || h2.Stable.Base != 1 || h2.Serial <= h1.Serial {
		t.Errorf("heads %+v and %+v", h1, h2)
	}
	if got, err := book.Content(ctx, h2.Stable); err != nil || got.Sum() != large.Sum() || !bytes.Equal(got[0].Data, large[0].Data) {
		t.Errorf("content of several parts: %v", err)
	}

	t.Run("another base is refused", func(t *testing.T) {
		_, err := book.Apply(ctx, bundle("late"), who, 1, First{}, Head{})
		if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "revision 2") {
			t.Errorf("%v", err)
		}
	})
	t.Run("of two at one moment one is refused", func(t *testing.T) {
		h, mod, err := book.Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		must(book.Apply(ctx, bundle("quicker"), who, 2, First{}, Head{}))
		if _, err = book.next(ctx, h, mod, Head{}, Revision{Order: who, Sum: h.Stable.Sum}, First{}, nil, Event{}); !errors.Is(err, ErrConflict) {
			t.Errorf("%v", err)
		}
	})
	t.Run("rollback is a new revision", func(t *testing.T) {
		h := must(book.Rollback(ctx, 1, who, 3, Head{}))
		if h.Stable.Number != 4 || h.Stable.From != 1 || h.Stable.Sum != h1.Stable.Sum {
			t.Errorf("%+v", h.Stable)
		}
		if _, err := book.Rollback(ctx, 77, who, -1, Head{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("to one that is not there: %v", err)
		}
	})
	t.Run("canary", func(t *testing.T) {
		h := must(book.Apply(ctx, bundle("canary"), who, 4, First{Nodes: []string{"ns2", "ns1"}}, Head{}))
		if h.For("ns1").Number != 5 || h.For("ns3").Number != 4 {
			t.Errorf("%+v", h)
		}
		if _, err := book.Apply(ctx, bundle("another"), who, 5, First{}, Head{}); !errors.Is(err, ErrConflict) {
			t.Errorf("apply beside a canary: %v", err)
		}
		if h = must(book.Drop(ctx, who, 5, Head{})); h.For("ns1").Number != 4 {
			t.Errorf("dropped: %+v", h)
		}
		must(book.Apply(ctx, bundle("canary"), who, 5, First{Nodes: []string{"ns1"}}, Head{}))
		if h = must(book.Promote(ctx, who, 6, Head{})); h.For("ns3").Number != 6 || h.Canary != nil {
			t.Errorf("promoted: %+v", h)
		}
	})
	t.Run("numbers rise over a restored etcd", func(t *testing.T) {
		h := must(book.Apply(ctx, bundle("after"), who, -1, First{}, Head{Serial: 1000, Newest: 50}))
		if h.Newest != 51 || h.Serial != 1001 {
			t.Errorf("%+v", h)
		}
	})
	t.Run("each order is an event", func(t *testing.T) {
		var kinds []string
		events, err := log.List(ctx, Filter{})
		for _, e := range events {
			kinds = append(kinds, e.Kind)
			if e.Who != "lee" || e.Why != "a reason" || e.Revision == 0 {
				t.Errorf("%+v", e)
			}
		}
		if want := "apply promote canary rollback canary rollback apply apply apply"; err != nil || strings.Join(kinds, " ") != want {
			t.Errorf("%v %v, want %s", kinds, err, want)
		}
	})
	t.Run("old ones go, with their contents", func(t *testing.T) {
		book.now = func() time.Time { return time.Now().Add(time.Hour) }
		if err := book.Tidy(ctx, Config{Revisions: 2}); err != nil {
			t.Fatal(err)
		}
		all, err := book.List(ctx, 0)
		if err != nil || len(all) != 2 || all[0].Number != 51 || all[1].Number != 6 {
			t.Errorf("%+v %v", all, err)
		}
		if _, err := book.Content(ctx, h2.Stable); !errors.Is(err, ErrNotFound) {
			t.Errorf("content of one that is gone: %v", err)
		}
		if n, err := st.Count(ctx, contentRoot); err != nil || n != 4 {
			t.Errorf("%d keys of contents left, %v: want two of one part each", n, err)
		}
		if _, err := book.Content(ctx, all[1]); err != nil {
			t.Errorf("content of one that stays: %v", err)
		}
	})
}

func TestDamagedContent(t *testing.T) {
	ctx := t.Context()
	st := newStore(t)
	book := NewBook(st, NewLog(st))
	h, err := book.Apply(ctx, bundle("one"), who, 0, First{}, Head{})
	if err != nil {
		t.Fatal(err)
	}
	packed, err := bundle("two").Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(ctx, partKey(h.Stable.Sum, 0), packed); err != nil {
		t.Fatal(err)
	}
	if _, err := book.Content(ctx, h.Stable); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("%v", err)
	}
}

func TestStepsBack(t *testing.T) {
	at := func(serial, number int64, sum string) Head {
		return Head{Serial: serial, Newest: number, Stable: Revision{Number: number, Sum: sum}}
	}
	for _, x := range []struct {
		name    string
		h, seen Head
		back    bool
	}{
		{"the first", at(1, 1, "a"), Head{}, false},
		{"newer", at(3, 3, "b"), at(2, 2, "a"), false},
		{"the same", at(2, 2, "a"), at(2, 2, "a"), false},
		{"another of the same serial", at(2, 2, "b"), at(2, 2, "a"), true},
		{"older", at(1, 1, "a"), at(2, 2, "b"), true},
		{"nothing any more", Head{}, at(2, 2, "b"), true},
	} {
		if got := x.h.StepsBack(x.seen); (got != "") != x.back {
			t.Errorf("%s: %q", x.name, got)
		}
	}
}

func TestEvents(t *testing.T) {
	ctx := t.Context()
	st := newStore(t)
	log := NewLog(st)
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	log.now = func() time.Time { return begin.Add(2000 * time.Second) }
	var all []Event
	for i := range 1200 {
		all = append(all, Event{At: begin.Add(time.Duration(i) * time.Second), Kind: KindHealth, Site: []string{"kt", "lgu"}[i%2], Text: fmt.Sprint(i)})
	}
	all = append(all, Event{At: begin.Add(time.Hour), Kind: KindApply, Text: strings.Repeat("x", 10_000)})
	if err := log.Add(ctx, all...); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name  string
		f     Filter
		count int
		first string
	}{
		{"all", Filter{Limit: 5000}, 1201, ""},
		{"newest of a site", Filter{Site: "kt", Limit: 3}, 3, "1198"},
		{"since", Filter{Since: begin.Add(1190 * time.Second), Kind: KindHealth}, 10, "1199"},
		{"kind", Filter{Kind: KindApply}, 1, ""},
	} {
		got, err := log.List(ctx, x.f)
		if err != nil || len(got) != x.count || x.first != "" && got[0].Text != x.first {
			t.Errorf("%s: %d, %v: %+v", x.name, len(got), err, got[:min(2, len(got))])
		}
	}
	// Those of balancers are among the others by time, and bounded by themselves.
	for i := range 40 {
		if err := log.Add(ctx, Event{At: begin.Add(1100*time.Second + time.Duration(i)*time.Minute), Kind: KindBalancer, Site: "cn", Text: fmt.Sprint("isolated ", i)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct {
		f           Filter
		count       int
		first, last string
	}{
		{Filter{Kind: KindBalancer}, 40, "isolated 39", "isolated 0"},
		{Filter{Site: "cn", Limit: 3}, 3, "isolated 39", "isolated 37"},
		{Filter{Since: begin.Add(1190 * time.Second)}, 49, "", "1190"},
	} {
		if got, err := log.List(ctx, x.f); err != nil || len(got) != x.count || x.first != "" && got[0].Text != x.first || got[x.count-1].Text != x.last {
			t.Errorf("%+v: %d, %v: %+v", x.f, len(got), err, got)
		}
	}
	if err := log.trim(ctx, balancerRoot, Config{Events: 25, EventsFor: 24 * time.Hour}, log.now()); err != nil {
		t.Fatal(err)
	}
	if n, err := st.Count(ctx, balancerRoot); err != nil || n != 25 {
		t.Errorf("of balancers: %d left, %v", n, err)
	}
	if got, _ := log.List(ctx, Filter{Kind: KindApply}); len(got) != 1 || len(got[0].Text) > maxEventText+10 {
		t.Errorf("a long text is kept whole: %d", len(got[0].Text))
	}
	if err := log.trim(ctx, eventRoot, Config{Events: 100, EventsFor: 24 * time.Hour}, log.now()); err != nil {
		t.Fatal(err)
	}
	if n, err := st.Count(ctx, eventRoot); err != nil || n != 100 {
		t.Errorf("by number: %d left, %v", n, err)
	}
	if err := log.trim(ctx, eventRoot, Config{Events: 100, EventsFor: time.Hour}, begin.Add(time.Hour+1190*time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := st.Count(ctx, eventRoot); err != nil || n != 11 {
		t.Errorf("by age: %d left, %v", n, err)
	}
}

// TestDisk: what was saved is read; what is damaged is refused; the head that was
// seen outlives damaged files.
func TestDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "topology")
	d, err := OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s, b, err := d.Load(); err != nil || s.Serving.Number != 0 || b != nil {
		t.Errorf("nothing saved: %v %v %v", s, b, err)
	}
	b := bundle("one")
	r := Revision{Number: 7, Sum: b.Sum()}
	if err := d.Save(Saved{Seen: Head{Serial: 9, Newest: 7, Stable: r}, Serving: r}, b); err != nil {
		t.Fatal(err)
	}
	s, got, err := d.Load()
	if err != nil || s.Serving.Number != 7 || s.Seen.Serial != 9 || got.Sum() != b.Sum() {
		t.Errorf("%+v %v", s, err)
	}
	file, err := d.Place(r, b)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "one" {
		t.Errorf("%q %v", data, err)
	}
	d.Keep(Revision{Number: 8})
	if _, err := os.Stat(file); err == nil {
		t.Error("files of another revision are kept")
	}
	raw, err := os.ReadFile(d.path())
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-20] ^= 1
	if err := os.WriteFile(d.path(), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, b, err := d.Load(); err == nil || b != nil || s.Seen.Serial != 9 {
		t.Errorf("damaged: %+v %v %v", s, b, err)
	}
}

func TestBundleIsBounded(t *testing.T) {
	if _, err := bundle(noise(MaxPacked + 1000)).Pack(); err == nil || !strings.Contains(err.Error(), "when compressed") {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"../x", "/etc/x", "a/../../x", "", "a//b", `a\b`} {
		if _, err := (Bundle{{"t.toml", nil}, {name, nil}}).Pack(); err == nil {
			t.Errorf("a file named %q is taken", name)
		}
	}
	dir := t.TempDir()
	large := filepath.Join(dir, "large.zone")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, MaxBytes+1); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadBundle(dir, []string{large}); err == nil || !strings.Contains(err.Error(), "large.zone: with it the topology has more than 32 MiB") {
		t.Errorf("%v", err)
	}
}

// What Unpack takes can be packed again, and is the same.
func FuzzUnpack(f *testing.F) {
	packed, err := bundle("one").Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Unpack(data)
		if err != nil {
			return
		}
		again, err := b.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if c, err := Unpack(again); err != nil || c.Sum() != b.Sum() {
			t.Errorf("%v", err)
		}
	})
}
