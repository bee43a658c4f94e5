package zones

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gslb/dnssec"
)

// TestEditsReuseSignatures: a zone that is read or made anew, and one that is signed
// with what was kept over a restart, gets signatures for what has changed and for
// nothing else; and what was kept is not held on to.
func TestEditsReuseSignatures(t *testing.T) {
	text := func(serial int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "$TTL 300\n@ SOA ns h %d 7200 900 1209600 60\n NS ns\nns A 192.0.2.53\n", serial)
		for i := range 200 {
			fmt.Fprintf(&b, "h%d A 192.0.2.1\n", i)
		}
		for i := range serial {
			fmt.Fprintf(&b, "new%d A 192.0.2.2\n", i)
		}
		return b.String()
	}
	few := func(what string, db *DB) *DB {
		t.Helper()
		r, _, ok := db.Zones()[0].Signing()
		if !ok || r.Made > 8 || r.Reused < 400 {
			t.Errorf("%s: %d signatures made, %d used again", what, r.Made, r.Reused)
		}
		for name, s := range db.signing {
			if s.Cache != nil {
				t.Errorf("%s: the signatures of zone %s from before are held on to", what, name)
			}
		}
		return db
	}
	s := &dnssec.Signing{Keys: csk(key(t, "abc.com.", dnssec.ECDSAP256SHA256, dnssec.CSK))}
	db := signedDB(t, text(1), s, nil)
	first, _, _ := db.Zones()[0].Signing()
	for i := 2; i < 4; i++ {
		var err error
		if db, err = db.With([]*Zone{read(t, "abc.com.", text(i))}, nil); err != nil {
			t.Fatal(err)
		}
		few(fmt.Sprintf("update %d", i), db)
	}
	kept := *s
	kept.Cache = first.Cache
	again := few("restart", signedDB(t, text(2), &kept, nil))
	if kept.Cache == nil {
		t.Error("what was given is changed")
	}
	again, err := again.With([]*Zone{read(t, "abc.com.", text(3))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	few("update after a restart", again)

	dir := t.TempDir()
	in := Input{Zones: []Config{{Name: "abc.com.", File: dir + "/abc.com.zone"}}, Signing: map[string]*dnssec.Signing{"abc.com.": s}, Now: func() time.Time { return signTime }}
	var loaded *DB
	for i := 1; i < 4; i++ {
		if err := os.WriteFile(in.Zones[0].File, []byte(text(i)), 0o600); err != nil {
			t.Fatal(err)
		}
		if loaded, err = in.Load(loaded); err != nil {
			t.Fatal(err)
		}
		if i > 1 {
			few(fmt.Sprintf("edit %d", i), loaded)
		}
	}
}
