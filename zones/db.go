package zones

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// DB is all that is served: an immutable value. The zero DB serves nothing and
// refuses every name.
type DB struct {
	zones map[string]*Zone // by apex key
	// depths has bit n set when some zone's apex has n labels, so that a
	// look-up tries only those suffixes of a name.
	depths  [2]uint64
	list    []*Zone
	steered []*Steered
}

// Load reads the zones and builds the DB. All faults come as one error.
func Load(cfgs []Config, steered []SteeredConfig, sites []Site) (*DB, error) {
	zs, errs := readAll(cfgs)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return Build(zs, steered, sites)
}

// Build joins zones that were just read with the steered names that stand in
// them. It takes the zones over: they belong to this DB alone afterwards.
func Build(zs []*Zone, steered []SteeredConfig, sites []Site) (*DB, error) {
	db := &DB{zones: make(map[string]*Zone, len(zs)), list: slices.Clone(zs)}
	slices.SortFunc(db.list, func(a, b *Zone) int { return strings.Compare(a.Name, b.Name) })
	var errs []error
	for _, z := range zs {
		if db.zones[z.apex] != nil {
			errs = append(errs, fmt.Errorf("zone %s is declared twice", z.Name))
		}
		db.zones[z.apex] = z
		db.depths[z.labels>>6] |= 1 << (z.labels & 63)
	}
	for _, c := range steered {
		owner, err := ParseName(c.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		z := db.zoneAt(key(owner))
		if z == nil {
			errs = append(errs, fmt.Errorf("steered name %s is in none of the zones served here", c.Name))
			continue
		}
		s, err := z.steer(c, sites)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.Index = len(db.steered)
		db.steered = append(db.steered, s)
	}
	for _, z := range zs {
		z.checkBelowDNAME(&errs)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for _, z := range zs {
		db.addExtra(z)
	}
	return db, nil
}

// Zones lists the zones by name.
func (db *DB) Zones() []*Zone { return db.list }

// Steered lists the steered names in the order they were declared.
func (db *DB) Steered() []*Steered { return db.steered }

// Warnings are all the zones' faults that do not keep them from being served.
func (db *DB) Warnings() []string {
	var all []string
	for _, z := range db.list {
		all = append(all, z.Warnings...)
	}
	return all
}

// zoneAt finds the zone that k belongs to: the one with the longest apex.
func (db *DB) zoneAt(k string) *Zone {
	for ; k != ""; k = parent(k) {
		if z := db.zones[k]; z != nil {
			return z
		}
	}
	return nil
}

// addExtra links the RRsets that hold names with those names' addresses, as
// far as they are served here and do not depend on the client.
func (db *DB) addExtra(z *Zone) {
	for k, n := range z.nodes {
		for _, set := range n.sets {
			off := targetOffset(set.Type)
			if off < 0 {
				continue
			}
			isCut := set.Type == dns.TypeNS && n.cut == n
			var required, others []Record
			for _, d := range set.Rdata {
				target := key(d[off:])
				found, glue := db.addresses(z, target, isCut)
				if isCut && isSub(target, k) {
					if len(found) == 0 {
						z.Warnings = append(z.Warnings, fmt.Sprintf("zone %s: %s: the delegation of %s has no glue for %s",
							z.Name, z.File, FormatName(n.owner), FormatName(d[off:])))
					}
					required = add(required, found) // RFC 9471, section 2.1
					continue
				}
				if set.Type == dns.TypeNS && len(found) == 0 && isSub(target, z.apex) && !glue {
					z.Warnings = append(z.Warnings, fmt.Sprintf("zone %s: %s: the name server %s of %s has no address in the zone",
						z.Name, z.File, FormatName(d[off:]), FormatName(n.owner)))
				}
				others = add(others, found)
			}
			set.extra, set.required = append(required, others...), len(required)
		}
	}
	slices.Sort(z.Warnings)
}

// add appends the records that are not there yet.
func add(list, more []Record) []Record {
	for _, r := range more {
		if !slices.ContainsFunc(list, func(o Record) bool { return o.Set == r.Set }) {
			list = append(list, r)
		}
	}
	return list
}

// addresses finds the A and AAAA sets of a name: authoritative ones of any
// zone served here, or glue of z when it is for a delegation. elsewhere is true
// where this server cannot say whether the name has addresses.
func (db *DB) addresses(z *Zone, k string, glue bool) (found []Record, elsewhere bool) {
	at := db.zoneAt(k)
	if glue && isSub(k, z.apex) {
		at = z
	}
	if at == nil {
		return nil, true
	}
	n := at.nodes[k]
	if n == nil || n.steered != nil {
		return nil, n != nil
	}
	if n.cut != nil && !glue {
		return nil, true
	}
	for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if s := n.set(t); s != nil {
			found = append(found, Record{Owner: s.Owner, Set: s})
		}
	}
	return found, n.cut != nil
}
