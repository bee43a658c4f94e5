package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
)

// DB is a set of databases and overrides, opened. It never changes.
type DB struct {
	sources   []*source
	overrides overrides
	declared  []Override // what overrides was made of
	holes     *both
}

// Open reads all databases of a valid Config into memory and checks them whole:
// the search tree, and each record that it leads to. The error joins one for each bad
// file (errors.Join), which names the file and what is wrong with it.
//
// A Config without databases is fine: then only the overrides say anything.
func Open(cfg Config) (*DB, error) { return open(cfg, nil) }

// Reopen is Open for a Config that replaces db's. It takes over what db, which
// may be nil, has read from files that are still the same. It returns db itself
// if all is as it was: files, their order and overrides.
func (db *DB) Reopen(cfg Config) (*DB, error) { return open(cfg, db) }

// open takes over from an earlier DB what it read from files that are still the same.
func open(cfg Config, earlier *DB) (*DB, error) {
	db := &DB{declared: cfg.Overrides}
	var faults []error
	for _, path := range cfg.Databases {
		s := earlier.unchanged(path)
		if s == nil {
			var err error
			if s, err = openSource(path); err != nil {
				faults = append(faults, fmt.Errorf("geo database %s: %w", path, err))
				continue
			}
		}
		db.sources = append(db.sources, s)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if earlier != nil && slices.Equal(db.sources, earlier.sources) && reflect.DeepEqual(db.declared, earlier.declared) {
		return earlier, nil
	}
	db.overrides, db.holes = newOverrides(cfg.Overrides), holes()
	return db, nil
}

// newDB gives one that knows nothing.
func newDB() *DB { return &DB{overrides: newOverrides(nil), holes: holes()} }

func (db *DB) unchanged(path string) *source {
	if db == nil {
		return nil
	}
	for _, s := range db.sources {
		if s.Path != path {
			continue
		}
		if now, err := stampOf(path); err == nil && now == s.stamp {
			return s
		}
	}
	return nil
}

// Sources describes the databases in the order of the Config.
func (db *DB) Sources() []Source {
	if db == nil {
		return nil
	}
	list := make([]Source, len(db.sources))
	for i, s := range db.sources {
		list[i] = s.Source
	}
	return list
}

// Lookup returns what all sources, joined, say about an address, and the widest
// network around it in which each of them (databases, misses included, and
// overrides) says the same. The network is of the address's own family, that of
// an IPv4-mapped address is IPv4. An invalid address has no Place and no network.
//
// Fields come from the longest override, then from the first database that has
// them; a database that contradicts what is known by then about where (continent,
// country, subdivision or city) or about who (ASN or ISP) adds nothing there.
func (db *DB) Lookup(a netip.Addr) (Place, netip.Prefix) {
	if !a.IsValid() {
		return Place{}, netip.Prefix{}
	}
	a = a.Unmap()
	k, before := keyOf(a), uint8(0)
	v4 := a.Is4()
	if !v4 {
		if inner, n, ok := embedded(k); ok {
			k, before, v4 = key4(inner), n, true
		}
	}
	if db == nil {
		db = newDB()
	}
	width := db.holes.family(v4).find(k).bits
	var p Place
	consult := func(b *both, places *places) {
		lf := b.family(v4).find(k)
		width = max(width, lf.bits)
		p = p.fill(places.at(lf.value))
	}
	consult(db.overrides.both, db.overrides.places)
	for _, s := range db.sources {
		consult(&s.both, s.places)
	}
	return p, prefixOf(a, before+width)
}

func (b *both) family(v4 bool) *stream {
	if v4 {
		return &b.v4
	}
	return &b.v6
}
