package upkeep

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
)

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bench is a keeper in a folder of its own.
type bench struct {
	*Keeper
	t      *testing.T
	keys   string
	logs   bytes.Buffer
	caches map[string]*dnssec.Cache // of the zones as they are served
}

func newBench(t *testing.T, dir string, maintain bool) *bench {
	t.Helper()
	b := &bench{t: t, caches: make(map[string]*dnssec.Cache), keys: filepath.Join(dir, "keys")}
	var err error
	b.Keeper, err = New(Options{Keys: b.keys, Maintain: maintain, State: filepath.Join(dir, "dnssec"), Log: slog.New(slog.NewTextHandler(&b.logs, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func zone(name string, change ...func(*dnssec.Config)) Zone {
	var c dnssec.Config
	for _, f := range change {
		f(&c)
	}
	return Zone{Name: name, Config: c.WithDefaults()}
}

func rdata(t *testing.T, text string) []byte {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(buf[dnsname.Len(buf)+10 : n])
}

// sign signs a small zone and gives what came out in wire form.
func sign(t *testing.T, s *dnssec.Signing, now time.Time) (Outcome, []byte) {
	t.Helper()
	name := dnsname.Format(s.Apex)
	var out []byte
	r, err := dnssec.SignZone(*s, now, func(visit func(*dnssec.Name) error) error {
		return visit(&dnssec.Name{Owner: s.Apex, Sets: []dnssec.RRset{
			{Type: dns.TypeSOA, TTL: 300, Data: [][]byte{rdata(t, name+" SOA ns1 host 1 7200 900 1209600 60")}},
			{Type: dns.TypeNS, TTL: 300, Data: [][]byte{rdata(t, name+" NS ns1."+name)}},
		}})
	}, func(s *dnssec.Signed) error {
		out = append(append(out, s.Owner...), byte(s.Type))
		for _, d := range append(slices.Clone(s.Data), s.RRSIG...) {
			out = append(out, d...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return Outcome{Result: r, Took: time.Millisecond}, out
}

// round prepares, signs what is due and commits.
func (b *bench) round(now time.Time, zones ...Zone) (made map[string]int, signed []byte) {
	b.t.Helper()
	r, err := b.Prepare(zones, now)
	if err != nil {
		b.t.Fatal(err)
	}
	made = make(map[string]int)
	outcomes := make(map[string]Outcome)
	for _, z := range zones {
		if !r.Due[z.Name] {
			continue
		}
		s := r.Signing[z.Name]
		if s.Cache == nil && b.caches[z.Name] != nil {
			s.Cache = b.caches[z.Name]
		}
		o, out := sign(b.t, s, now)
		b.caches[z.Name] = o.Cache
		outcomes[z.Name], made[z.Name], signed = o, o.Made, append(signed, out...)
	}
	b.Commit(r, outcomes)
	return made, signed
}

// status is that of the only zone.
func (b *bench) status(now time.Time) Status {
	b.t.Helper()
	all, err := b.Status(now)
	if err != nil || len(all) != 1 {
		b.t.Fatalf("%d zones, %v", len(all), err)
	}
	return all[0]
}

func TestKeysAndSignaturesOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	z := zone("abc.com.")
	b := newBench(t, dir, true)
	made, first := b.round(testTime, z)
	if made["abc.com."] == 0 {
		t.Fatal("no signatures were made")
	}
	if made, _ := b.round(testTime, z); len(made) != 0 {
		t.Errorf("signed again although nothing is due: %v", made)
	}
	count := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if secret := strings.HasSuffix(path, ".private") || strings.HasSuffix(path, ".signatures"); secret && err == nil {
			count++
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %04o", path, info.Mode().Perm())
			}
		}
		return err
	})
	if err != nil || count != 2 {
		t.Errorf("%d files, %v", count, err)
	}
	again := newBench(t, dir, true)
	made, second := again.round(testTime.Add(time.Minute), z)
	if n, ok := made["abc.com."]; !ok || n != 0 {
		t.Errorf("after a restart %d signatures were made", n)
	}
	if !bytes.Equal(first, second) {
		t.Error("after a restart the signatures are others")
	}
	s := again.status(testTime)
	if s.Signatures == 0 || s.Renewal.Before(testTime) || s.Expires.Sub(s.Renewal) < z.Config.Refresh || len(s.Problems) > 0 {
		t.Errorf("status is %+v", s)
	}
}

func TestNodesSignAlike(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	z := zone("abc.com.", func(c *dnssec.Config) { no := false; c.CSK = &no })
	_, first := newBench(t, one, true).round(testTime, z)
	if _, err := newBench(t, two, false).Prepare([]Zone{z}, testTime); err == nil || !strings.Contains(err.Error(), "maintain_keys = false") {
		t.Errorf("without keys: %v", err)
	}
	if err := os.CopyFS(filepath.Join(two, "keys"), os.DirFS(filepath.Join(one, "keys"))); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(two, "keys", "*.private"))
	if err != nil || len(paths) != 2 {
		t.Fatalf("%v, %v", paths, err)
	}
	for _, p := range paths {
		if err := os.Chmod(p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, second := newBench(t, two, false).round(testTime, z); !bytes.Equal(first, second) {
		t.Error("two nodes with the same keys sign differently")
	}
}

// TestBrokenKeyKeepsTheLastState: signatures go on to be renewed with the keys
// that were there, and other zones are not touched.
func TestBrokenKeyKeepsTheLastState(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, dir, true)
	a, o := zone("abc.com."), zone("abc.org.")
	b.round(testTime, a, o)
	files, _ := filepath.Glob(filepath.Join(b.keys, "Kabc.com.*.private"))
	if err := os.WriteFile(files[0], []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := testTime.Add(-time.Hour) // as though it were long ago for the folder's stamp
	if err := os.Chtimes(b.keys, old, old); err != nil {
		t.Fatal(err)
	}
	if !b.Changed(time.Now()) {
		t.Error("that a file has changed is not noticed")
	}
	later := testTime.Add(10 * 24 * time.Hour)
	made, _ := b.round(later, a, o)
	if made["abc.com."] == 0 || made["abc.org."] == 0 {
		t.Errorf("signatures made: %v", made)
	}
	all, _ := b.Status(later)
	if len(all[0].Problems) != 1 || !strings.Contains(all[0].Problems[0], files[0]) || len(all[1].Problems) != 0 {
		t.Errorf("problems are %q and %q", all[0].Problems, all[1].Problems)
	}
	if next := b.Next(later); next.After(later.Add(retryEvery)) {
		t.Errorf("it is looked at again at %v", next)
	}
	if _, err := newBench(t, dir, true).Prepare([]Zone{a, o}, later); err == nil || !strings.Contains(err.Error(), files[0]) {
		t.Errorf("a start with a broken key: %v", err)
	}
}

func TestClockThatWasPutBack(t *testing.T) {
	dir := t.TempDir()
	z := zone("abc.com.")
	b := newBench(t, dir, true)
	b.round(testTime, z)
	for _, keeper := range []*bench{b, newBench(t, dir, true)} {
		if _, err := keeper.Prepare([]Zone{z}, testTime.Add(-30*time.Minute)); err != nil {
			t.Errorf("half an hour earlier: %v", err)
		}
		_, err := keeper.Prepare([]Zone{z}, testTime.Add(-2*time.Hour))
		if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "dnssec", "clock")) {
			t.Errorf("two hours earlier: %v", err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "dnssec", "clock")); err != nil {
		t.Fatal(err)
	}
	if _, err := newBench(t, dir, true).Prepare([]Zone{z}, testTime.Add(-2*time.Hour)); err == nil || !strings.Contains(err.Error(), "was made at") {
		t.Errorf("before the key was made: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dnssec", "clock"), []byte("noon"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{State: filepath.Join(dir, "dnssec")}); err == nil {
		t.Error("a clock file that says nothing is taken")
	}
}

// TestRollInWords follows a CSK from its making to its successor's, as an
// operator sees it.
func TestRollInWords(t *testing.T) {
	b := newBench(t, t.TempDir(), true)
	z := zone("abc.com.", func(c *dnssec.Config) {
		c.MaxZoneTTL, c.DNSKEYTTL, c.DSTTL = time.Minute, time.Minute, time.Minute
		c.Propagation, c.ParentPropagation, c.PublishSafety, c.RetireSafety = time.Second, time.Second, time.Second, time.Second
	})
	now := testTime
	step := func(want ...string) {
		t.Helper()
		b.round(now, z)
		s := b.status(now)
		var got []string
		for _, k := range s.Keys {
			got = append(got, k.State+" | "+k.Next)
		}
		if len(got) != len(want) {
			t.Fatalf("at %v: %q, want %q", now.Sub(testTime), got, want)
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("at %v: %q, want %q", now.Sub(testTime), got[i], want[i])
			}
		}
		if s.Waiting != strings.Contains(strings.Join(got, ""), "waits for its DS") {
			t.Errorf("at %v: waiting is %v: %q", now.Sub(testTime), s.Waiting, got)
		}
	}
	store, apex := b.Store(), []byte("\x03abc\x03com\x00")
	confirm := func() {
		t.Helper()
		changed, err := store.Seen(apex, b.status(now).DS, now)
		if err != nil || len(changed) == 0 {
			t.Fatalf("%v, %v", changed, err)
		}
	}
	step("signs the zone and its keys; its DS is not to be at the parent yet | its DS can go to the parent")
	now = now.Add(2 * time.Minute)
	step("its DS is to be put into the parent now | waits for its DS at the parent")
	confirm()
	step("its DS is at the parent since 2026-03-01 12:02:00 UTC | ")
	if _, err := store.Roll(apex, z.Config.Policy(), dnssec.CSK, now); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Roll(apex, z.Config.Policy(), dnssec.CSK, now); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("a roll during a roll: %v", err)
	}
	step("signs the zone and its keys; its DS is at the parent", "signs the keys; its DS is not to be at the parent yet | begins to sign")
	now = now.Add(2 * time.Minute)
	step("signs the keys; its DS is at the parent", "signs the zone and its keys; its DS is to be put into the parent now | waits")
	confirm()
	now = now.Add(5 * time.Minute)
	step("gone since", "signs the zone and its keys; its DS is at the parent")
	first := b.status(now).Keys[0].Tag()
	if _, err := store.Retire(apex, z.Config.Policy(), first, now); err == nil || !strings.Contains(err.Error(), "has gone") {
		t.Errorf("a key that has gone is retired: %v", err)
	}
	if _, err := store.Find(apex, first+1); err == nil || !strings.Contains(err.Error(), fmt.Sprint(first)) {
		t.Errorf("a key that is not there: %v", err)
	}
	// Retiring the only one rolls it.
	if _, err := store.Retire(apex, z.Config.Policy(), b.status(now).Keys[1].Tag(), now); err != nil {
		t.Fatal(err)
	}
	step("gone since", "signs the zone and its keys", "signs the keys; its DS is not to be at the parent yet")
	now = now.Add(24 * time.Hour)
	step("gone since", "signs the keys", "waits for its DS")
	confirm()
	now = now.Add(90 * 24 * time.Hour)
	step("gone since", "signs the zone and its keys; its DS is at the parent")
	if !strings.Contains(b.logs.String(), "a key that has gone was deleted") {
		t.Error("the log does not tell that a key was deleted")
	}
}

func TestImport(t *testing.T) {
	from, store := dnssec.Folder(t.TempDir()), Store{dnssec.Folder(filepath.Join(t.TempDir(), "keys"))}
	apex, other := []byte("\x03abc\x03com\x00"), []byte("\x03abc\x03org\x00")
	times := dnssec.Timing{Created: testTime, Publish: testTime, Activate: testTime}
	var names []string
	for _, role := range []dnssec.Role{dnssec.KSK, dnssec.ZSK} {
		k, err := from.Generate(apex, dnssec.ED25519, 0, role, times)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.Join(string(from), k.BaseName()+".private"))
	}
	foreign, err := from.Generate(other, dnssec.ED25519, 0, dnssec.CSK, times)
	if err != nil {
		t.Fatal(err)
	}
	// Of a directory nothing is taken that BIND took out of the zone long ago, nor looked at.
	gone := filepath.Join(string(from), "Kabc.com.+005+12345.key")
	text := "; Delete: %s\nabc.com. IN DNSKEY 256 3 5 AwEAAQ==\n"
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(gone, fmt.Sprintf(text, "20200101000000"))
	odd := t.TempDir()
	for name, at := range map[string]string{"Kabc.com.+005+00001.key": "20990101000000", "Kabc.com.+005+00002.key": "20200101000000"} {
		write(filepath.Join(odd, name), fmt.Sprintf(text, at))
	}
	write(filepath.Join(odd, "Kabc.com.+005+00002.state"), "DNSKEYState: omnipresent\n")
	for _, tt := range []struct {
		paths []string
		want  string
	}{
		{[]string{odd}, "00001.key: algorithm 5"},
		{[]string{odd}, "00002.key: algorithm 5"},
		{[]string{gone}, "algorithm 5"},
		{[]string{names[0], filepath.Join(string(from), foreign.BaseName())}, "is a key of abc.org., not of abc.com."},
		{[]string{filepath.Join(string(from), "Knone")}, "no such file"},
		{[]string{t.TempDir()}, "there is no key of abc.com. in it"},
	} {
		if _, _, err := store.Import(apex, tt.paths, testTime); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.paths, err, tt.want)
		}
	}
	if keys, _ := store.Load(apex); len(keys) != 0 {
		t.Errorf("%d keys were taken by a refused import", len(keys))
	}
	for _, paths := range [][]string{{names[0]}, {string(from)}, names} {
		_, left, err := store.Import(apex, paths, testTime)
		if err != nil {
			t.Fatal(err)
		}
		if paths[0] == string(from) && !slices.Equal(left, []string{gone}) {
			t.Errorf("left out: %v", left)
		}
	}
	keys, err := store.Load(apex)
	if err != nil || len(keys) != 2 || keys[0].Timing.Publish != testTime || !keys[0].CanSign() {
		t.Errorf("%v, %v", keys, err)
	}
}

// TestOneAtATime: of many that roll the same key at once one does.
func TestOneAtATime(t *testing.T) {
	store := Store{dnssec.Folder(filepath.Join(t.TempDir(), "keys"))}
	apex, p := []byte("\x03abc\x03com\x00"), dnssec.DefaultPolicy
	if _, err := store.Maintain(apex, p, testTime); err != nil {
		t.Fatal(err)
	}
	keys, err := store.Load(apex)
	if err != nil {
		t.Fatal(err)
	}
	now := testTime.Add(48 * time.Hour)
	if _, err := store.Seen(apex, [][]byte{keys[0].DS(dnssec.SHA256)}, now); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	made := make(chan *dnssec.Key, 8)
	for range cap(made) {
		wg.Go(func() {
			if k, err := store.Roll(apex, p, dnssec.CSK, now); err == nil {
				made <- k
			} else if !strings.Contains(err.Error(), "under way") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(made) != 1 {
		t.Errorf("%d successors were made", len(made))
	}
}

func TestCachePath(t *testing.T) {
	for name, want := range map[string]string{
		"abc.com.": "abc.com.signatures", `a\/b.`: "a%5c%2fb.signatures", ".": ".signatures", "..": "%2e.signatures", "_x-1.abc.com.": "_x-1.abc.com.signatures",
	} {
		if got := cachePath("", name); got != want {
			t.Errorf("%q is kept in %q, want %q", name, got, want)
		}
	}
}

// TestRetireBeforeTheDS: a key that the parent was never seen to name gets its
// successor as any other, and stays beside it until the parent names that one.
func TestRetireBeforeTheDS(t *testing.T) {
	store, apex := Store{dnssec.Folder(t.TempDir())}, []byte("\x03abc\x03com\x00")
	for _, csk := range []bool{true, false} {
		p := dnssec.DefaultPolicy
		if p.CSK = csk; !csk {
			apex = []byte("\x03abc\x03org\x00")
		}
		plan, err := store.Maintain(apex, p, testTime)
		if err != nil {
			t.Fatal(err)
		}
		old := plan.SignKeys[0]
		now := testTime // in the second in which it was made
		if _, err := store.Retire(apex, p, old.Tag(), now); err != nil {
			t.Fatal(err)
		}
		for range 2 { // and no further one
			plan, err = store.Maintain(apex, p, now)
			if err != nil || len(plan.SignKeys) != 2 || len(plan.Problems) > 0 {
				t.Fatalf("csk %v, at %v: %+v, %v", csk, now, plan, err)
			}
			now = now.Add(365 * 24 * time.Hour)
		}
		next := plan.Waiting[0]
		if next.Tag() == old.Tag() {
			t.Fatal("the DS of the key that is to go is waited for")
		}
		if _, err := store.Seen(apex, [][]byte{next.DS(dnssec.SHA256)}, now); err != nil {
			t.Fatal(err)
		}
		plan, err = store.Maintain(apex, p, now.Add(30*24*time.Hour))
		if err != nil || len(plan.SignKeys) != 1 || plan.SignKeys[0].Tag() != next.Tag() {
			t.Errorf("csk %v: %+v, %v", csk, plan, err)
		}
	}
}

// TestLostKeys: keys whose files are gone, or their private halves, are used further
// and no others made, while a node runs; none are made by a start either, but by whoever
// asks for them.
func TestLostKeys(t *testing.T) {
	split := func(c *dnssec.Config) { no := false; c.CSK = &no }
	for what, pattern := range map[string]string{"all": "Kabc.com.*", "one half": "Kabc.com.*.private", "one key": "Kabc.com.*+%05d.*", "the folder": ""} {
		for _, maintain := range []bool{true, false} {
			dir := t.TempDir()
			a, o := zone("abc.com.", split), zone("abc.org.")
			newBench(t, dir, true).round(testTime, a, o)
			b := newBench(t, dir, maintain)
			b.round(testTime, a, o)
			before, _ := b.Status(testTime)
			var lost []string
			switch {
			case pattern == "":
				lost = []string{b.keys}
			case strings.Contains(pattern, "%"):
				pattern := fmt.Sprintf(pattern, before[0].Keys[0].Tag())
				lost, _ = filepath.Glob(filepath.Join(b.keys, pattern))
			default:
				lost, _ = filepath.Glob(filepath.Join(b.keys, pattern))
			}
			away := t.TempDir()
			move := func(back bool) {
				t.Helper()
				for _, path := range lost {
					from, to := path, filepath.Join(away, filepath.Base(path))
					if back {
						from, to = to, from
						os.RemoveAll(to)
					}
					if err := os.Rename(from, to); err != nil {
						t.Fatal(err)
					}
				}
			}
			move(false)
			later := testTime.Add(10 * 24 * time.Hour)
			made, _ := b.round(later, a, o)
			if made["abc.com."] == 0 || made["abc.org."] == 0 {
				t.Errorf("%s, maintain %v: signatures made: %v", what, maintain, made)
			}
			after, _ := b.Status(later)
			if len(after[0].Problems) != 1 || !strings.Contains(after[0].Problems[0], "is not in "+b.keys+" any more") || !strings.Contains(b.logs.String(), "any more") {
				t.Errorf("%s, maintain %v: problems are %q", what, maintain, after[0].Problems)
			}
			if len(after[0].Keys) != 2 || !strings.HasPrefix(after[0].Keys[0].State, "signs") || after[0].Keys[0].Tag() != before[0].Keys[0].Tag() {
				t.Errorf("%s, maintain %v: the keys are %v, were %v", what, maintain, after[0].Keys, before[0].Keys)
			}
			if what == "all" || what == "the folder" {
				if _, err := newBench(t, dir, true).Prepare([]Zone{a}, later); err == nil || !strings.Contains(err.Error(), "gslb keys new abc.com.") {
					t.Errorf("%s: a start without the keys: %v", what, err)
				}
			}
			if entries, _ := filepath.Glob(filepath.Join(b.keys, "Kabc.com.*.key")); len(entries) > 2 || what == "all" && len(entries) > 0 {
				t.Errorf("%s, maintain %v: keys were made: %v", what, maintain, entries)
			}
			if what == "all" && maintain {
				apex := []byte("\x03abc\x03com\x00")
				if _, err := (Store{dnssec.Folder(b.keys)}).Maintain(apex, a.Config.Policy(), later); err != nil {
					t.Fatal(err)
				}
				if _, err := newBench(t, dir, true).Prepare([]Zone{a, o}, later); err != nil {
					t.Errorf("a start with other keys, that somebody made: %v", err)
				}
				continue
			}
			move(true)
			b.round(later.Add(time.Hour), a, o)
			if after, _ = b.Status(later); len(after[0].Problems) != 0 {
				t.Errorf("%s, maintain %v: the files are back, but %q", what, maintain, after[0].Problems)
			}
		}
	}
}
