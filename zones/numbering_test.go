package zones

import (
	"fmt"
	"testing"
	"time"

	"gslb/dnssec"
)

// The serial number of a zone that is signed here only rises while the server runs:
// after updates that come within one second, in a zone without a file, and when it
// is not signed any more.
func TestSerialOnlyRises(t *testing.T) {
	for _, s := range []Serial{IncrementSerial, UnixTimeSerial} {
		now := signTime
		in := Input{
			Others: func(func([]byte) *Zone) ([]*Zone, error) {
				return []*Zone{read(t, "abc.com.", "@ 60 SOA n h 10 2 3 4 5\n@ 60 NS n\nn 60 A 192.0.2.1\n")}, nil
			},
			Signing: map[string]*dnssec.Signing{"abc.com.": {Keys: csk(key(t, "abc.com.", dnssec.ECDSAP256SHA256, dnssec.CSK))}},
			Serials: map[string]Serial{"abc.com.": s},
			Now:     func() time.Time { return now },
		}
		db, err := in.Load(nil)
		if err != nil {
			t.Fatal(err)
		}
		last := db.Zones()[0].Serial
		if s == IncrementSerial && last != 10 || s == UnixTimeSerial && last != uint32(now.Unix()) {
			t.Errorf("%s: begins with %d", s, last)
		}
		rises := func(what string, next *DB, err error, signed bool) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %s: %v", s, what, err)
			}
			z := next.Zones()[0]
			if !newerSerial(z.Serial, last) || z.Signed() != signed {
				t.Errorf("%s: %s: %d after %d, signed: %v", s, what, z.Serial, last, z.Signed())
			}
			db, last = next, z.Serial
		}
		for i := range 3 {
			z := read(t, "abc.com.", fmt.Sprintf("@ 60 SOA n h %d 2 3 4 5\n@ 60 NS n\nn 60 A 192.0.2.%d\n", 11+i/2, 2+i))
			next, err := db.With([]*Zone{z}, nil)
			rises("update", next, err, true)
		}
		next, err := db.Resign(nil)
		rises("unsigned", next, err, false)
		same, err := db.Resign(nil)
		if err != nil || same.Zones()[0].Serial != last {
			t.Errorf("%s: %d again, %d before", s, same.Zones()[0].Serial, last)
		}
		in.Signing = nil
		again, err := in.Load(db)
		rises("loaded again", again, err, false)
		in.Signing = map[string]*dnssec.Signing{"abc.com.": {Keys: csk(key(t, "abc.com.", dnssec.ECDSAP256SHA256, dnssec.CSK))}}
		next, err = in.Load(db)
		rises("signed again", next, err, true)
		in.Numbers = db.Numbers()
		next, err = in.Load(nil)
		rises("after a restart", next, err, true)
		in.Numbers, in.Signing = db.Numbers(), nil
		next, err = in.Load(nil)
		rises("after a restart that leaves it unsigned", next, err, false)
		if db, err = (Input{Others: in.Others}).Load(db); err != nil || db.Zones()[0].Serial != 10 {
			t.Errorf("%s: with the number kept: %v", s, err)
		}
	}
}
