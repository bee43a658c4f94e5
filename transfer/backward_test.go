package transfer

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"gslb/zones"
)

// zoneWith is the zone of these tests with a serial number, and more records.
func zoneWith(t testing.TB, serial uint32, more string) *zones.Zone {
	t.Helper()
	return testingZone(t, strings.Replace(testZone, "7 3600", fmt.Sprintf("%d 3600", serial), 1)+more)
}

// TestBehind: a file whose serial number secondaries would not follow is told of, by
// the node that runs and by what it leaves on disk alike.
func TestBehind(t *testing.T) {
	sends := Zone{TransferTo: []Allow{{Network: netip.MustParsePrefix("192.0.2.0/24")}}}
	served := zoneWith(t, 10, "")
	db, err := zones.Build([]*zones.Zone{served}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		moves  *Zone
		serial uint32
		more   string
		signed bool
		how    zones.Serial
		want   string
	}{
		{"the same", &sends, 10, "", false, "", ""},
		{"newer", &sends, 11, "new IN A 192.0.2.9\n", false, "", ""},
		{"newer by the most there is", &sends, 10 + 1<<31 - 1, "", false, "", ""},
		{"older", &sends, 9, "", false, "", "zone example.: example.zone: its serial number goes back from 10 to 9: secondary servers would keep the version that they have until it is newer (RFC 1982), such as 11"},
		{"as far ahead as back", &sends, 10 + 1<<31, "", false, "", "goes back from 10 to 2147483658"},
		{"older, round the end", &sends, 4294967290, "", false, "", "goes back from 10 to 4294967290"},
		{"other records", &sends, 10, "new IN A 192.0.2.9\n", false, "", "its records have changed, but its serial number is 10 as before: secondary servers would keep the version that they have until it is newer (RFC 1982), such as 11"},
		{"other records, signed under one number", &sends, 10, "new IN A 192.0.2.9\n", true, zones.KeepSerial, ""},
		{"older, and signing keeps it", &sends, 9, "", true, zones.KeepSerial, "goes back from 10 to 9"},
		{"older, and signing numbers it", &sends, 9, "", true, zones.IncrementSerial, ""},
		{"older, where nothing is signed", &sends, 9, "", false, zones.IncrementSerial, "goes back from 10 to 9"},
		{"a copy of a primary's", &Zone{Primaries: []Peer{{}}}, 9, "", false, "", ""},
	} {
		next := zoneWith(t, c.serial, c.more)
		dir := t.TempDir()
		host := new(living)
		host.db.Store(db)
		m := New(dir, host, slog.New(slog.NewTextHandler(io.Discard, nil)))
		live := m.Had(served.Apex())
		p := pastAt(m.pathOf("example.", "past"))
		if err := p.sending(peerA, &view{version: &version{zone: served, chain: new(chain)}}, false); err != nil {
			t.Fatal(err)
		}
		sent, err := HadOnDisk(dir, "example.")
		if err != nil {
			t.Fatal(err)
		}
		p.leave()
		for from, h := range map[string]Had{"running": live, "on disk": sent} {
			got := h.Behind(next, c.signed, c.how, c.moves)
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("%s, %s: %q, want %q", c.name, from, got, c.want)
			}
		}
	}
	none, err := HadOnDisk(t.TempDir(), "example.")
	if got := none.Behind(zoneWith(t, 1, ""), false, "", &sends); err != nil || got != "" {
		t.Errorf("where nobody has anything: %q, %v", got, err)
	}
}

// TestBehindUpdates: a file in the place of updates has to be newer than they are.
func TestBehindUpdates(t *testing.T) {
	takes := Zone{Update: []Update{{Network: netip.MustParsePrefix("192.0.2.0/24")}}}
	file := zoneWith(t, 10, "")
	updated := zoneWith(t, 12, "new IN A 192.0.2.9\n")
	db, err := zones.Build([]*zones.Zone{updated}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	host := new(living)
	host.db.Store(db)
	m := New(t.TempDir(), host, slog.New(slog.NewTextHandler(io.Discard, nil)))
	j, _, err := openJournal(m.pathOf("example.", "journal"))
	if err == nil {
		err = j.rewrite(file, digest(file), nil)
	}
	if err == nil {
		err = j.append(differ(file, updated))
	}
	if err != nil {
		t.Fatal(err)
	}
	j.close()
	p, err := m.Prepare([]ZoneConfig{{Name: "example.", Zone: takes}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Commit(p)
	live := m.Had(updated.Apex())
	sent, err := HadOnDisk(m.dir, "example.")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		next *zones.Zone
		want string
	}{
		{"the file as it was", file, ""},
		{"another, newer", zoneWith(t, 13, "more IN A 192.0.2.9\n"), ""},
		{"another, not newer", zoneWith(t, 12, ""), "zone example.: example.zone: it differs from the file that updates began with, and its serial number 12 is not newer than 12, which they made: what updates made would stay in force until it is newer (RFC 1982), such as 13"},
		{"another, newer than the file was", zoneWith(t, 11, ""), "its serial number 11 is not newer than 12"},
	} {
		for from, h := range map[string]Had{"running": live, "on disk": sent} {
			if got := h.Behind(c.next, false, "", &takes); got != c.want && (c.want == "" || !strings.Contains(got, c.want)) {
				t.Errorf("%s, %s: %q, want %q", c.name, from, got, c.want)
			}
		}
	}
}
