package zones

import (
	"bytes"
	"encoding/binary"
	"maps"
	"time"

	"github.com/miekg/dns"
)

// numbering is how a zone's next serial number comes about.
type numbering struct {
	Serial
	last  uint32 // that was served
	known bool   // there was one
}

// numberings give that of each zone, by its name.
func (db *DB) numberings() func(name string) numbering {
	serials := db.serials
	if serials == nil {
		serials = make(map[string]Serial)
		for i := range db.cfgs {
			if db.cfgs[i].Serial != "" {
				serials[db.byCfg[i].Name] = db.cfgs[i].Serial
			}
		}
	}
	return func(name string) (n numbering) {
		if n.Serial = serials[name]; n.Serial == IncrementSerial || n.Serial == UnixTimeSerial {
			n.last, n.known = db.numbers[name]
		}
		return n
	}
}

// number notes the serial numbers that are served from now on.
func (db *DB) number(numberings func(string) numbering) {
	next := maps.Clone(db.numbers)
	for _, z := range db.list {
		if !z.Loaded() || z.signing == nil && !has(db.numbers, z.Name) {
			continue
		}
		if s := numberings(z.Name).Serial; s != IncrementSerial && s != UnixTimeSerial {
			continue
		}
		if next == nil {
			next = make(map[string]uint32)
		}
		next[z.Name] = z.Serial
	}
	db.numbers = next
}

// Numbers gives the serial numbers of zones that signing numbers, by Zone.Name, to
// be kept for a later Load of another process. They must not be changed.
func (db *DB) Numbers() map[string]uint32 { return db.numbers }

func has(numbers map[string]uint32, name string) bool {
	_, ok := numbers[name]
	return ok
}

// numbered is the zone, which is not signed here any more, with a serial number
// that is newer than the one it had while it was: else no secondary would take it.
func (z *Zone) numbered(n numbering, now time.Time) (*Zone, error) {
	if !n.known || z.comesSigned() || z.Serial == n.last || newerSerial(z.Serial, n.last) {
		return z, nil
	}
	serial := n.next(z, now, n.last, true)
	next, err := Make(z.Name, z.File, func(yield func(RR) bool) {
		for owner, set := range z.Walk() {
			for r := range set.Of(owner) {
				if r.Type == dns.TypeSOA {
					r.Data = bytes.Clone(r.Data)
					binary.BigEndian.PutUint32(r.Data[len(r.Data)-20:], serial)
				}
				if !yield(r) {
					return
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	next.files = z.files
	return next, nil
}
