package zones

import (
	"errors"
	"slices"
	"time"

	"gslb/dnsname"
	"gslb/dnssec"
	"gslb/parallel"
	"gslb/stamp"
)

// Input is what a DB is made from.
type Input struct {
	Zones []Config
	// Others, which may be nil, gives zones that do not stand in the files, or
	// stand there otherwise: it is shown the zones read (nil: there is none of that
	// name) and gives those that are to take their place or to stand beside them.
	Others  func(read func(apex []byte) *Zone) ([]*Zone, error)
	Steered []SteeredConfig
	Sites   []Site
	// Signing says how zones are signed here, by Zone.Name; all others are served
	// as they come. Apex is filled in. Where Cache is nil, that of the zone's last
	// signing is used. It is not held on to.
	Signing map[string]*dnssec.Signing
	// Serials says what becomes of serial numbers, by Zone.Name; where there is none
	// for a zone, its Config does, and else they are kept.
	Serials map[string]Serial
	// Numbers are the serial numbers that zones were served with last, by Zone.Name,
	// where there is no earlier DB that knows of it (see DB.Numbers).
	Numbers map[string]uint32
	// Look says of which zones that were read before the files are looked at, and read
	// again if they have changed; nil: of all.
	Look func(Config) bool
	// Now tells the time of signing, also for what is made of the DB later; nil is
	// time.Now.
	Now func() time.Time
}

// Load reads the zones and builds the DB. All faults come as one error. Those
// zones are taken from an earlier DB, which may be nil, whose files, the included
// ones too, are still the ones that it read; those that are signed here are signed
// anew only if records, steered names or keys have changed, or something is due.
func (in Input) Load(prev *DB) (*DB, error) {
	begin := time.Now()
	if prev == nil {
		prev = new(DB)
	}
	db := &DB{before: prev, cfgs: slices.Clone(in.Zones), byCfg: prev.unchanged(in.Zones, in.Look), signing: in.Signing, now: in.Now, signed: prev.signed, serials: in.Serials, numbers: prev.numbers}
	if db.numbers == nil {
		db.numbers = in.Numbers
	}
	var changed []Config
	for i, z := range db.byCfg {
		if z == nil {
			changed = append(changed, in.Zones[i])
		}
	}
	read, errs := readAll(changed)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for i, z := range db.byCfg {
		if z == nil {
			db.byCfg[i], read = read[0], read[1:]
		}
	}
	err := db.arrange(prev)
	if err == nil && in.Others != nil {
		var given []*Zone
		if given, err = in.Others(db.Zone); err == nil {
			err = db.put(given, false)
		}
	}
	db.took = time.Since(begin)
	return db.complete(err, in.Steered, in.Sites)
}

// Load reads the zones and builds the DB. All faults come as one error.
func Load(cfgs []Config, steered []SteeredConfig, sites []Site) (*DB, error) {
	return Reload(nil, cfgs, steered, sites)
}

// Reload is Load that takes those zones from an earlier DB whose files, the
// included ones too, are still the ones that it read. prev may be nil.
func Reload(prev *DB, cfgs []Config, steered []SteeredConfig, sites []Site) (*DB, error) {
	return ReloadBeside(prev, cfgs, nil, steered, sites)
}

// ReloadBeside is Reload with Input.Others.
func ReloadBeside(prev *DB, cfgs []Config, others func(read func(apex []byte) *Zone) ([]*Zone, error), steered []SteeredConfig, sites []Site) (*DB, error) {
	return Input{Zones: cfgs, Others: others, Steered: steered, Sites: sites}.Load(prev)
}

// unchanged gives the zones of cfgs that need not be read again, nil for others.
func (db *DB) unchanged(cfgs []Config, look func(Config) bool) []*Zone {
	same := make([]*Zone, len(cfgs))
	parallel.Each(len(cfgs), func(i int) {
		if z := db.zoneOf(cfgs, i); z != nil && (look != nil && !look(cfgs[i]) || z.Current()) {
			same[i] = z
		}
	})
	return same
}

// zoneOf gives the zone that was read for cfgs[i] before, or nil.
func (db *DB) zoneOf(cfgs []Config, i int) *Zone {
	if i < len(db.cfgs) && db.cfgs[i] == cfgs[i] {
		return db.byCfg[i]
	}
	if len(db.list) == 0 {
		return nil
	}
	owner, err := dnsname.Parse(cfgs[i].Name)
	if err != nil {
		return nil
	}
	var name Name
	name.Set(owner)
	if z := db.zoneAt(&name, 0); z != nil && z.File == cfgs[i].File {
		return z
	}
	return nil
}

// Current tells whether all files that the zone was read from are still the same.
func (z *Zone) Current() bool {
	for _, f := range z.files {
		if now, err := stamp.At(f.path); err != nil || now != f.Stamp {
			return false
		}
	}
	return len(z.files) > 0
}

// arrange fills in the list of zones and its index. Where the zones have the
// same names as in an earlier DB the index is shared with it.
func (db *DB) arrange(prev *DB) error {
	if !prev.mixed && len(prev.list) == len(db.byCfg) && slices.EqualFunc(db.cfgs, prev.cfgs, func(a, b Config) bool { return a.Name == b.Name }) {
		db.list, db.table, db.depths = slices.Clone(prev.list), prev.table.shared(), prev.depths
		for i, z := range db.byCfg {
			if z != prev.byCfg[i] {
				at, _ := slices.BinarySearchFunc(db.list, z, byName)
				db.set(at, z)
			}
		}
		return nil
	}
	db.list = slices.Clone(db.byCfg)
	slices.SortFunc(db.list, byName)
	return db.enter()
}
