package zones

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"gslb/dnssec"
	"gslb/parallel"
)

// Resign gives the DB whose zones are signed as they are to be now: keys, or what
// signing knows, have changed, or signatures are due. Nothing is read from files;
// zones for which nothing has changed are shared, and so is what of the others'
// signatures is still right.
func (db *DB) Resign(signing map[string]*dnssec.Signing) (*DB, error) {
	next := &DB{before: db, cfgs: db.cfgs, byCfg: db.byCfg, list: slices.Clone(db.list), table: db.table.shared(), depths: db.depths, mixed: db.mixed, took: db.took, signing: signing, now: db.now, signed: db.signed, serials: db.serials, numbers: db.numbers}
	return next.complete(nil, db.steeredCfgs, db.sites)
}

// alone is the size, in octets, from which a zone is signed on all processors.
// Smaller ones are signed beside each other.
const alone = 1 << 20

// sign puts in the place of each zone that is to be signed the signed one, and in
// the place of one that is not to be any more the one as it came.
func (db *DB) sign() error {
	if len(db.signing) == 0 && !db.signed && len(db.numbers) == 0 {
		return nil
	}
	now := time.Now
	if db.now != nil {
		now = db.now
	}
	steered := make(map[*Zone][]*Steered)
	for s := range db.Standing() {
		steered[s.zone] = append(steered[s.zone], s)
	}
	numberings := db.numberings()
	next, errs := make([]*Zone, len(db.list)), make([]error, len(db.list))
	parallel.Each(len(db.list), func(i int) {
		switch z, s := db.list[i], db.signing[db.list[i].Name]; {
		case s != nil && z.Loaded():
			settings := *s
			if settings.Cache == nil {
				settings.Cache = db.cacheOf(z)
			}
			if len(z.arena) < alone {
				settings.Workers = 1
			}
			next[i], errs[i] = z.sign(db.signedBefore(z), &settings, numberings(z.Name), steered[z], now())
		case s == nil && z.signing != nil:
			if next[i], errs[i] = z.unsigned(); errs[i] == nil {
				next[i], errs[i] = next[i].numbered(numberings(z.Name), now())
			}
		case s == nil && z.Loaded():
			if n := numberings(z.Name); n.known {
				if next[i], errs[i] = z.numbered(n, now()); next[i] == z {
					next[i] = nil
				}
			}
		}
	})
	put := make(map[*Zone]*Zone)
	db.signed = false
	for i, z := range db.list {
		switch s := db.signing[z.Name]; {
		case s != nil && z.Loaded():
			db.signed = true
			for _, st := range steered[z] {
				if w := st.differ(); w != "" {
					db.warnings = append(db.warnings, w)
				}
			}
		case next[i] != nil:
			for _, st := range steered[z] {
				st.zone = next[i]
			}
		}
		if n := next[i]; errs[i] == nil && n != nil && n != z {
			put[z] = n
			db.set(i, n)
		}
	}
	db.replace(put)
	db.number(numberings)
	db.letGo()
	return errors.Join(errs...)
}

// cacheOf gives the signatures of a zone as it was signed last, whether it is that
// zone still or was read or made anew since; nil: there are none.
func (db *DB) cacheOf(z *Zone) *dnssec.Cache {
	if z.signing == nil {
		z = db.signedBefore(z)
	}
	if z == nil {
		return nil
	}
	return z.signing.result.Cache
}

// signedBefore is the signed zone in whose place another comes; nil: there is none.
func (db *DB) signedBefore(z *Zone) *Zone {
	if z.signing != nil || db.before == nil {
		return nil
	}
	if at, ok := slices.BinarySearchFunc(db.before.list, z, byName); ok && db.before.list[at].signing != nil {
		return db.before.list[at]
	}
	return nil
}

// letGo drops the signatures from before the start of zones that have been signed:
// they have what is still right of them.
func (db *DB) letGo() {
	shared := true
	for _, z := range db.list {
		s := db.signing[z.Name]
		if s == nil || s.Cache == nil || z.signing == nil {
			continue
		}
		if shared {
			db.signing, shared = maps.Clone(db.signing), false
		}
		without := *s
		without.Cache = nil
		db.signing[z.Name] = &without
	}
}

// replace puts zones in the place of others wherever these are known but in the list.
func (db *DB) replace(put map[*Zone]*Zone) {
	if len(put) == 0 {
		return
	}
	db.byCfg = slices.Clone(db.byCfg)
	for i, z := range db.byCfg {
		if next := put[z]; next != nil {
			db.byCfg[i] = next
		}
	}
	for z, next := range put {
		if n, ok := db.added[z]; ok {
			db.added[next] = n
			delete(db.added, z)
		}
	}
}

// WalkOwn is Walk for what the zone has of its own: without what was added, and
// with the serial number that it had, before it was signed here.
func (z *Zone) WalkOwn() iter.Seq2[[]byte, RRset] {
	if z.signing == nil {
		return z.Walk()
	}
	return func(yield func([]byte, RRset) bool) {
		w := zoneSigner{old: z, serial: z.signing.serial}
		w.order(nil)
		for i := range w.sources {
			s, more := &w.sources[i], true
			w.own(s, func(set RRset) {
				set.Sigs = 0
				more = more && yield(s.owner, set)
			})
			if a := z.aliasAt(s.node); a != nil {
				more = more && yield(s.owner, a.set)
			}
			if !more {
				return
			}
		}
	}
}

// unsigned is the zone as it came.
func (z *Zone) unsigned() (*Zone, error) {
	next, err := Make(z.Name, z.File, func(yield func(RR) bool) {
		for owner, set := range z.WalkOwn() {
			for r := range set.Of(owner) {
				if !yield(r) {
					return
				}
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("without its signatures: %w", err)
	}
	next.files = z.files
	return next, nil
}
