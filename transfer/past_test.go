package transfer

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gslb/zones"
)

func pastAt(path string) *past { return &past{path: path} }

// chained makes versions that follow each other.
func chained(all []*zones.Zone) (list []*version) {
	var v *version
	for _, z := range all {
		v = v.next(z)
		list = append(list, v)
	}
	return list
}

// leads sees that changes make one zone into another.
func leads(t testing.TB, from *zones.Zone, changes []*change, to *zones.Zone) {
	t.Helper()
	e := newEdit(from)
	for _, c := range changes {
		if err := e.apply(c); err != nil {
			t.Fatal(err)
		}
	}
	z, err := e.build("example.", "", new(zones.Patcher))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(zoneLines(z), zoneLines(to)) {
		t.Fatalf("serial %d with its changes is\n%s\nwant\n%s", from.Serial, strings.Join(zoneLines(z), "\n"), strings.Join(zoneLines(to), "\n"))
	}
}

var peerA, peerB = peerOf{netip.MustParseAddr("192.0.2.1"), "k."}, peerOf{netip.MustParseAddr("2001:db8::1"), ""}

// TestPast: after a restart the changes from each version that was sent are known,
// also where the zone has changed meanwhile; from others, and where the serial
// number says otherwise than the records, they are not.
func TestPast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zones", "example.past")
	all, _ := versions(t, 5)
	list := chained(all)
	p := pastAt(path)
	if v, _, known, err := p.recall(all[0]); err != nil || known || len(v.changes) > 0 {
		t.Fatalf("at first: %v, %v, %v", v, known, err)
	}
	for _, i := range []int{1, 1, 2, 4} { // 0 and 3 were never sent
		if err := p.sending(peerA, &view{version: list[i]}, false); err != nil {
			t.Fatal(err)
		}
	}
	p.leave()
	recall := func(now *zones.Zone) (*version, uint32, *past) {
		t.Helper()
		p := pastAt(path)
		v, last, known, err := p.recall(now)
		if err != nil || !known || v.zone != now {
			t.Fatalf("%v, %v", known, err)
		}
		return v, last, p
	}
	for _, i := range []int{4, 5} {
		v, last, p := recall(all[i])
		for from := range i {
			leads(t, all[from], v.since(all[from].Serial), all[i])
		}
		if last != all[4].Serial || p.any.Load() {
			t.Errorf("last %d, any %v", last, p.any.Load())
		}
		if _, ok := p.had(peerB, all[2].Serial); !ok {
			t.Error("it is not known that there were no stand-ins")
		}
		p.leave()
	}
	if v, last, p := recall(all[2]); len(v.changes) > 0 || last != all[4].Serial {
		t.Errorf("an older file: %d changes, last %d", len(v.changes), last)
	} else {
		p.leave()
	}
	other := testingZone(t, strings.Replace(testZone, "7 3600", fmt.Sprintf("%d 3600", all[4].Serial), 1))
	if v, _, p := recall(other); len(v.changes) > 0 {
		t.Error("another file of the same number has a history")
	} else if err := p.sending(peerA, &view{version: v}, false); err != nil {
		t.Error(err)
	} else {
		p.leave()
	}
	v, _, p := recall(all[5])
	if len(v.changes) != 1 {
		t.Errorf("%d changes from the other file on", len(v.changes))
	}
	leads(t, other, v.since(other.Serial), all[5])
	// It is gone on with, and what was bridged is kept.
	if err := p.sending(peerA, &view{version: v}, false); err != nil {
		t.Fatal(err)
	}
	p.leave()
	v, _, p = recall(all[5])
	leads(t, other, v.since(other.Serial), all[5])
	p.leave()
}

// TestPastCut: wherever a crash cuts the file, what it says is true.
func TestPastCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "example.past")
	all, _ := versions(t, 3)
	list := chained(all)
	p := pastAt(path)
	var ends []int64
	base := 0
	standIn := zones.RR{Owner: []byte("\x01w\x07example\x00"), Type: 1, TTL: 30, Data: []byte{192, 0, 2, 1}}
	p.any.Store(true)
	for _, v := range list {
		if err := p.sending(peerA, &view{v, []zones.RR{standIn}}, false); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, p.file.size)
		base = int(p.file.base)
	}
	p.leave()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := base; cut <= len(whole); cut += 7 { // before that it is written whole or not at all
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		p := pastAt(path)
		now := list[len(list)-1].zone
		v, _, _, _ := p.recall(now)
		for i, z := range all {
			if int64(cut) < ends[i] {
				continue
			}
			changes := v.since(z.Serial)
			if len(changes) == 0 && z != now {
				t.Fatalf("cut at %d of %v: nothing is known from serial %d", cut, ends, z.Serial)
			}
			leads(t, z, changes, now)
			if had, ok := p.had(peerA, z.Serial); !ok || len(had) != 1 || !had[0].Same(standIn) {
				t.Fatalf("cut at %d of %v: what stood in serial %d: %v, %v", cut, ends, z.Serial, had, ok)
			}
		}
		if _, ok := p.had(peerB, now.Serial); ok && int64(cut) >= ends[0] {
			t.Fatalf("cut at %d: what another has is taken for known", cut)
		}
		if cut%5 != 0 { // each write takes its time
			p.leave()
			continue
		}
		if err := p.sending(peerB, &view{v, nil}, false); err != nil {
			t.Fatal(err)
		}
		p.leave()
		p = pastAt(path)
		if v, _, known, err := p.recall(now); err != nil || !known || v.since(all[0].Serial) == nil && int64(cut) > ends[0] {
			t.Fatalf("cut at %d and gone on: %v, %v", cut, known, err)
		}
		p.leave()
	}
}

// TestPastStandIns: what each peer has is known after a restart, also of zones
// whose versions a journal has; the file is bounded, and lists are kept once.
func TestPastStandIns(t *testing.T) {
	for _, journaled := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "example.past")
		all, _ := versions(t, 1)
		list := chained(all)
		standIns := func(last int) (list []zones.RR) {
			for i := range 100 {
				list = append(list, zones.RR{Owner: []byte("\x01w\x07example\x00"), Type: 65400, TTL: 30, Data: append(make([]byte, 250), byte(i), byte(last))})
			}
			return list
		}
		p := pastAt(path)
		p.any.Store(true)
		send := func(to peerOf, v *version, last int) {
			t.Helper()
			if err := p.sending(to, &view{v, standIns(last)}, journaled); err != nil {
				t.Fatal(err)
			}
		}
		send(peerA, list[0], 1)
		send(peerA, list[1], 2)
		send(peerB, list[1], 2)
		size := p.file.size
		for range 3 {
			send(peerB, list[1], 2)
		}
		if p.file.size != size {
			t.Errorf("what is known was written again: %d octets, then %d", size, p.file.size)
		}
		if len(p.lists) != 2 {
			t.Errorf("%d lists of stand-ins, want 2", len(p.lists))
		}
		send(peerB, list[1], 3) // it asked for all of it again
		check := func() {
			t.Helper()
			for _, want := range []struct {
				peer   peerOf
				serial uint32
				last   int
				ok     bool
			}{{peerA, all[0].Serial, 1, true}, {peerA, all[1].Serial, 2, true}, {peerB, all[1].Serial, 0, false}, {peerB, all[0].Serial, 0, false}} {
				had, ok := p.had(want.peer, want.serial)
				if ok != want.ok || ok && len(lacking(had, standIns(want.last))) > 0 {
					t.Errorf("journaled %v: %v with serial %d: %v, %v", journaled, want.peer, want.serial, had, ok)
				}
			}
		}
		check()
		p.leave()
		p = pastAt(path)
		check()
		// Sites go down and come back many times.
		for i := range 60 {
			send(peerB, list[i%2], i)
		}
		if most := int64(compactAt * 3); p.file.size > most {
			t.Errorf("the file has %d octets", p.file.size)
		}
		if len(p.lists) > maxLists+1 {
			t.Errorf("%d lists are kept", len(p.lists))
		}
		check()
		p.leave()
		p = pastAt(path)
		check()
		p.leave()
	}
}

// A file that cannot be written any more is gone: it would not tell of what was sent.
func TestPastThatCannotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "example.past")
	all, _ := versions(t, 2)
	list := chained(all)
	p := pastAt(path)
	if err := p.sending(peerA, &view{version: list[0]}, false); err != nil {
		t.Fatal(err)
	}
	p.file.f.Close()
	if err := p.sending(peerA, &view{version: list[1]}, false); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is there")
	}
	if err := p.sending(peerA, &view{version: list[2]}, false); err != nil {
		t.Fatal(err)
	}
	p.leave()
	p = pastAt(path)
	v, _, _, err := p.recall(all[2])
	if err != nil {
		t.Fatal(err)
	}
	leads(t, all[0], v.since(all[0].Serial), all[2])
}

// A file of something else is said to be, and begun anew.
func TestPastOfSomethingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "example.past")
	if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, _ := versions(t, 1)
	p := pastAt(path)
	v, _, known, err := p.recall(all[0])
	if err == nil || known || !strings.Contains(err.Error(), path) {
		t.Errorf("%v, %v", known, err)
	}
	if _, ok := p.had(peerA, all[0].Serial); ok {
		t.Error("what was sent before is taken for known")
	}
	if err := p.sending(peerA, &view{version: v}, false); err != nil {
		t.Error(err)
	}
}

// FuzzPast: whatever the file says, reading it ends, and what is made of it leads
// to the zone that is served.
func FuzzPast(f *testing.F) {
	all, _ := versions(f, 2)
	list := chained(all)
	path := filepath.Join(f.TempDir(), "example.past")
	p := pastAt(path)
	p.any.Store(true)
	for _, v := range list[:2] {
		if err := p.sending(peerA, &view{v, []zones.RR{testRR(f, "w.example. 30 IN A 192.0.2.1")}}, false); err != nil {
			f.Fatal(err)
		}
	}
	p.leave()
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed[len(pastMagic):])
	f.Fuzz(func(t *testing.T, b []byte) {
		// The entries' checksums are put right, so that they do not keep the fuzzer out.
		file := []byte(pastMagic)
		for rest := b; len(rest) > entryHead; {
			n := min(int(rest[2])<<8|int(rest[3]), len(rest)-entryHead)
			file = append(file, entry(slices.Clone(rest[:entryHead+n]))...)
			rest = rest[entryHead+n:]
		}
		c := &pastContent{}
		if _, _, _, err := readEntries(bufio.NewReader(bytes.NewReader(file)), int64(len(file)), pastMagic, c.take); err != nil {
			t.Fatal(err)
		}
		for _, z := range all {
			_ = c.difference(z)
		}
	})
}
