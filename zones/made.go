package zones

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"

	"gslb/dnsname"
)

// Make makes a zone of records that do not come from a master file: from a
// transfer, an update, a journal. source stands for the file in messages. All
// faults come as one error.
func Make(name, source string, records iter.Seq[RR]) (*Zone, error) {
	b, err := newBuilder(Config{Name: name, File: source})
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", name, err)
	}
	z := b.zone
	var errs []error
	for r := range records {
		err := r.Check()
		if err == nil {
			err = b.add(record{owner: r.Owner, rrtype: r.Type, class: 1, ttl: r.TTL, data: r.Data, file: source})
		}
		if err != nil && len(errs) < maxFaults {
			errs = append(errs, fmt.Errorf("zone %s: %w", z.Name, err))
		}
	}
	if len(errs) > 0 {
		b.release()
		return nil, errors.Join(errs...)
	}
	for _, e := range b.finish() {
		errs = append(errs, fmt.Errorf("zone %s: %w", z.Name, e))
	}
	sortErrors(errs)
	if len(errs) > 0 {
		return nil, errors.Join(errs[:min(len(errs), maxFaults)]...)
	}
	return z, nil
}

// Absent makes a zone whose records are not known, such as that of a secondary
// server that has not reached its primaries yet, or for too long: all that it is
// asked, it answers with Failed.
func Absent(name, source string) (*Zone, error) {
	apex, err := dnsname.Parse(name)
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", name, err)
	}
	var n Name
	n.Set(apex)
	z := &Zone{File: source, apex: bytes.Clone(n.Wire()), hash: n.hash[0], labels: uint8(n.labels), index: newIndex(0)}
	z.Name = dnsname.Format(z.apex)
	return z, nil
}

// Loaded tells whether the zone's records are known: see Absent.
func (z *Zone) Loaded() bool { return len(z.arena) > 0 }

// Zone gives the zone of that name, in wire form; nil: there is none.
func (db *DB) Zone(apex []byte) *Zone {
	var name Name
	if len(db.list) == 0 || name.Set(apex) != len(apex) {
		return nil
	}
	return db.zoneAt(&name, 0)
}

// With gives the DB in which some zones stand in the place of those of their
// names, or beside the others, and some are gone. The steered names are joined
// with them anew; where that cannot be the error tells why.
func (db *DB) With(put []*Zone, drop []string) (*DB, error) {
	next := &DB{before: db, cfgs: db.cfgs, byCfg: db.byCfg, list: slices.Clone(db.list), table: db.table.shared(), depths: db.depths, mixed: db.mixed, took: db.took, signing: db.signing, now: db.now, signed: db.signed, serials: db.serials, numbers: db.numbers}
	next.list = slices.DeleteFunc(next.list, func(z *Zone) bool { return slices.Contains(drop, z.Name) })
	err := next.put(put, len(next.list) != len(db.list))
	return next.complete(err, db.steeredCfgs, db.sites)
}

// put enters zones into the list, which is not shared with another DB. changed
// tells that the index does not fit the list any more.
func (db *DB) put(all []*Zone, changed bool) error {
	db.mixed = db.mixed || changed || len(all) > 0
	for _, z := range all {
		at, found := slices.BinarySearchFunc(db.list, z, byName)
		if found {
			if changed { // the table is made anew
				db.list[at] = z
			} else {
				db.set(at, z)
			}
			continue
		}
		db.list, changed = slices.Insert(db.list, at, z), true
	}
	if !changed {
		return nil
	}
	db.depths = [2]uint64{}
	return db.enter()
}
