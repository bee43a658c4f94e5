package zones

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"gslb/dnssec"
	"gslb/parallel"
)

// DB is all that is served: an immutable value. The zero DB serves nothing and
// refuses every name.
type DB struct {
	cfgs  []Config
	byCfg []*Zone // of each in cfgs
	list  []*Zone // by name
	// mixed: some of list do not come from byCfg.
	mixed bool
	table zoneTable // of list
	// depths has bit n set when some zone's apex has n labels, so that a
	// look-up tries only those suffixes of a name.
	depths  [2]uint64
	steered []*Steered
	aliases []*Steered // the owners of ALIAS records: those of steered targets first, by Index
	over    overlay
	// What the steered names were made of, for With.
	steeredCfgs []SteeredConfig
	sites       []Site
	warnings    []string      // of steered names
	added       map[*Zone]int // names that exist for being steered alone
	took        time.Duration

	signing map[string]*dnssec.Signing // as Input has it
	now     func() time.Time           // likewise
	signed  bool                       // some zones are signed here
	before  *DB                        // that it takes the place of, while it is made; or nil

	serials map[string]Serial // as Input has it
	// numbers are the last serial numbers of zones that have been signed here and do
	// not keep theirs, by name: what is served later must be newer (RFC 1982).
	numbers map[string]uint32
}

// Build joins zones with the steered names that stand in them.
func Build(zs []*Zone, steered []SteeredConfig, sites []Site) (*DB, error) {
	db := &DB{list: slices.Clone(zs)}
	slices.SortStableFunc(db.list, byName)
	err := db.enter()
	return db.complete(err, steered, sites)
}

func byName(a, b *Zone) int { return strings.Compare(a.Name, b.Name) }

// enter makes the index of the zones, of which each must be there once.
func (db *DB) enter() error {
	var errs []error
	db.table = newZoneTable(len(db.list))
	for i, z := range db.list {
		if i > 0 && z.Name == db.list[i-1].Name {
			errs = append(errs, fmt.Errorf("zone %s is declared twice", z.Name))
			continue
		}
		db.table.put(z)
		db.depths[z.labels>>6&1] |= 1 << (z.labels & 63)
	}
	return errors.Join(errs...)
}

// set puts a zone in the place of that of the same name. The list and the table must
// not be shared with another DB, but for the table's pages.
func (db *DB) set(at int, z *Zone) {
	db.table.replace(db.list[at], z)
	db.list[at] = z
}

// complete adds the steered names to a DB that has its zones.
func (db *DB) complete(err error, steered []SteeredConfig, sites []Site) (*DB, error) {
	defer func() { db.before = nil }()
	errs := []error{err}
	db.steeredCfgs, db.sites = steered, sites
	for i, c := range steered {
		errs = append(errs, db.steer(c, sites))
		if i%yieldEvery == yieldEvery-1 {
			parallel.Yield()
		}
	}
	errs = append(errs, db.flatten())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := db.sign(); err != nil {
		return nil, err
	}
	return db, nil
}

// Zones lists the zones by name.
func (db *DB) Zones() []*Zone { return db.list }

// AsRead lists the zones that stand in files, as they were read, whatever is served
// in the place of some.
func (db *DB) AsRead() []*Zone { return db.byCfg }

// Steered lists the steered names in the order they were declared.
func (db *DB) Steered() []*Steered { return db.steered }

// Names counts the names of a zone that own records or are steered.
func (db *DB) Names(z *Zone) int { return z.names + db.added[z] }

// LoadTime is how long it took to load the zones, those that could be shared included.
func (db *DB) LoadTime() time.Duration { return db.took }

// owns tells whether a name owns records of the zone.
func (z *Zone) owns(name *Name) bool {
	n := z.find(name, 0)
	if n == 0 {
		return false
	}
	own := z.aliasAt(n) != nil
	z.arena.each(n, func(set RRset) bool {
		own = own || set.Type != dns.TypeRRSIG && !z.ofSigning(n, set.Type)
		return !own
	})
	return own
}

// Warnings are all the zones' faults that do not keep them from being served.
func (db *DB) Warnings() []string {
	all := slices.Clone(db.warnings)
	for _, z := range db.list {
		all = append(all, z.Warnings...)
		for _, m := range z.missing {
			if !db.steers(m.name) {
				all = append(all, m.warning)
			}
		}
	}
	slices.Sort(all)
	return all
}

// NewWarnings are those of steered names and aliases that an earlier DB did not have.
func (db *DB) NewWarnings(prev *DB) []string {
	return slices.DeleteFunc(slices.Clone(db.warnings), func(w string) bool { return slices.Contains(prev.warnings, w) })
}

// steers tells whether a name is a steered one.
func (db *DB) steers(wire []byte) bool {
	var name Name
	name.Set(wire)
	o := db.over.find(&name, 0)
	return o != nil && o.steered != nil
}
