package transfer

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"gslb/zones"
)

const testZone = `$TTL 300
@ IN SOA ns h 7 3600 600 86400 60
@ IN NS ns
ns IN A 192.0.2.1
www IN A 192.0.2.2
www IN A 192.0.2.3
alias IN CNAME www
txt IN TXT "a"
`

func testingZone(t testing.TB, text string) *zones.Zone {
	t.Helper()
	z, err := zones.Read(zones.Config{Name: "example.", File: "example.zone"}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func zoneLines(z *zones.Zone) (all []string) {
	for owner, set := range z.Walk() {
		for r := range set.Of(owner) {
			all = append(all, fmt.Sprintf("%s %d %s %x", format(r.Owner), r.TTL, dns.Type(r.Type), r.Data))
		}
	}
	slices.Sort(all)
	return all
}

// versions makes some versions of a zone, with the changes between them.
func versions(t testing.TB, n int) (all []*zones.Zone, changes []*change) {
	t.Helper()
	all = append(all, testingZone(t, testZone))
	for i := range n {
		text := strings.Replace(testZone, "7 3600", fmt.Sprintf("%d 3600", 8+i), 1)
		all = append(all, testingZone(t, text+fmt.Sprintf("new%d IN A 192.0.2.9\nwww IN A 192.0.2.%d\n", i, 10+i)))
		changes = append(changes, differ(all[i], all[i+1]))
	}
	return all, changes
}

// TestJournal: what was appended is there after the journal is opened again, at
// each place where a crash may have cut it.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zones", "example.journal")
	j, c, err := openJournal(path)
	if err != nil || c.records != nil {
		t.Fatalf("a new journal: %v, %v", c, err)
	}
	all, changes := versions(t, 4)
	source := sha256.Sum256([]byte("file"))
	if !j.full() {
		t.Error("a journal without a file can be appended to")
	}
	if err := j.rewrite(all[1], source, changes[:1]); err != nil {
		t.Fatal(err)
	}
	ends := []int64{j.size}
	for _, c := range changes[1:] {
		if err := j.append(c); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, j.size)
	}
	j.close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := ends[0]; cut <= int64(len(whole)); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		want := 0
		for want+1 < len(ends) && ends[want+1] <= cut {
			want++
		}
		j, c, err := openJournal(path)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		z, err := c.zone("example.", path)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if !slices.Equal(zoneLines(z), zoneLines(all[1+want])) || c.source != source || len(c.changes) != 1+want {
			t.Fatalf("cut at %d: serial %d, %d changes; want serial %d", cut, z.Serial, len(c.changes), all[1+want].Serial)
		}
		if (c.lost != "") != (cut != ends[want]) {
			t.Errorf("cut at %d: lost %q", cut, c.lost)
		}
		if want < len(changes)-1 { // it can be gone on with
			if err := j.append(changes[1+want]); err != nil {
				t.Fatal(err)
			}
			j.close()
			if j, c, err = openJournal(path); err != nil || len(c.changes) != 2+want || c.lost != "" {
				t.Fatalf("cut at %d and gone on: %v, %v", cut, c, err)
			}
		}
		j.close()
	}
	whole[len(whole)-3] ^= 1
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if j, c, err = openJournal(path); err != nil || !strings.Contains(c.lost, "checksum") || len(c.changes) != 3 {
		t.Errorf("a damaged entry: %v, %v", c, err)
	}
	j.close()
	if kept, err := os.ReadFile(path + ".damaged"); err != nil || !bytes.Equal(kept, whole[ends[len(ends)-2]:]) {
		t.Errorf("what was damaged is not kept: %v", err)
	}
	if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err = openJournal(path); err == nil {
		t.Error("something else is taken for a journal")
	}
}

// FuzzJournal: whatever a journal says, reading it ends, and what it gives can be
// made a zone of or is refused.
func FuzzJournal(f *testing.F) {
	all, changes := versions(f, 2)
	snapshot, err := snapshotEntry(all[0], sha256.Sum256(nil))
	if err != nil {
		f.Fatal(err)
	}
	seed := append([]byte(journalMagic), snapshot...)
	for _, c := range changes {
		seed = append(seed, changeEntry(c)...)
	}
	f.Add(seed)
	f.Add([]byte(journalMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &content{}
		good, _, lost, err := readEntries(bufio.NewReader(bytes.NewReader(b)), int64(len(b)), journalMagic, c.take)
		if err != nil {
			return
		}
		if good > int64(len(b)) || (good < int64(len(b))) != (lost != "") {
			t.Fatalf("%d of %d octets are good, lost %q", good, len(b), lost)
		}
		if c.records != nil {
			_, _ = c.zone("example.", "fuzz")
		}
		// The payload alone, so that checksums do not keep the fuzzer out.
		if len(b) > 0 {
			_ = new(content).take(b)
		}
	})
}

// TestJournalOfNoUse: a journal of which nothing can be used is kept beside a new one,
// and does not keep the other zones from being served; one of another version stays.
func TestJournalOfNoUse(t *testing.T) {
	soa := testRR(t, "example. 300 IN SOA ns.example. h.example. 7 3600 600 86400 60")
	b := append(make([]byte, entryHead), kindSnapshot)
	b = append(b, make([]byte, sha256.Size)...)
	for _, r := range []zones.RR{soa, testRR(t, "example. 300 IN NS ns.example."), testRR(t, "www.example. 300 IN A 192.0.2.1"), testRR(t, "www.example. 300 IN CNAME ns.example.")} {
		b = appendRecord(b, r)
	}
	for what, c := range map[string]struct {
		text string
		lost string // "": the configuration is refused
	}{
		"empty":                   {"", "head is damaged"},
		"cut in its head":         {journalMagic[:5], "head is damaged"},
		"another head":            {"GSLB" + journalMagic[4:] + string(entry(b)), "head is damaged"},
		"a zone that can't be":    {journalMagic + string(entry(b)), "CNAME"},
		"of a version to come":    {"gslb zone 2\n", ""},
		"of two digits' versions": {"gslb zone 22\n", ""},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "example.journal")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		m := New(dir, new(living), slog.New(slog.DiscardHandler))
		p, err := m.Prepare([]ZoneConfig{secondaryOf("example.", "192.0.2.1")}, nil)
		if c.lost == "" {
			if err == nil || !strings.Contains(err.Error(), path+": it is of another version") {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, z := range p.fresh {
			if z.said.Load() == nil {
				t.Errorf("%s: nothing is said", what)
				continue
			}
			if z.raw.Load() != nil || !strings.Contains(*z.said.Load(), path+".damaged: all of it: ") || !strings.Contains(*z.said.Load(), c.lost) {
				t.Errorf("%s: %v, said %s", what, z.raw.Load(), *z.said.Load())
			}
			if err := z.journal.rewrite(testingZone(t, testZone), z.source, nil); err != nil {
				t.Errorf("%s: begun anew: %v", what, err)
			}
		}
		p.Release()
		// The next start tells of it too, until somebody has seen to it.
		for _, want := range []string{"earlier start", ""} {
			if p, err = New(dir, new(living), slog.New(slog.DiscardHandler)).Prepare([]ZoneConfig{secondaryOf("example.", "192.0.2.1")}, nil); err != nil {
				t.Fatal(err)
			}
			if got := p.fresh[0].lost; !strings.Contains(got, want) || want == "" && got != "" {
				t.Errorf("%s: the next start says %q, want %q", what, got, want)
			}
			p.Release()
			if want != "" {
				if kept, err := os.ReadFile(path + ".damaged"); err != nil || string(kept) != c.text {
					t.Errorf("%s: it is not kept: %v", what, err)
				}
				os.Remove(path + ".damaged")
			}
		}
	}
}
