package config

import (
	"maps"
	"slices"

	"gslb/transfer"
	"gslb/zones"
)

// Zone is one [[zone]]: what is served, and how it moves between servers.
type Zone struct {
	zones.Config
	transfer.Zone
}

// takeListed gives the other rooms the part of each [[zone]] that is theirs.
func (c *Config) takeListed() {
	c.fileless = make(map[int]bool)
	for i := range c.Listed {
		c.Zones = append(c.Zones, c.Listed[i].Config)
		if !c.Listed[i].HasFile() {
			c.fileless[i] = true
		}
	}
}

// dropListed keeps of each [[zone]] what is needed from now on: of a million, few move.
func (c *Config) dropListed() {
	for i := range c.Listed {
		if move := &c.Listed[i].Zone; move.Moves() {
			m := transfer.ZoneConfig{Name: c.Zones[i].Name, File: c.Zones[i].File, Zone: *move}
			if name := c.Zones[i].DNSSEC; name != "" {
				m.MaxTTL = c.SigningPolicy(name).MaxZoneTTL
			}
			c.Moving = append(c.Moving, m)
		}
	}
	c.Listed = nil
}

// Files lists the zones that are read from master files.
func (c *Config) Files() []zones.Config {
	if len(c.fileless) == 0 {
		return c.Zones
	}
	all := make([]zones.Config, 0, len(c.Zones))
	for i, z := range c.Zones {
		if !c.fileless[i] {
			all = append(all, z)
		}
	}
	return all
}

// checkListed lets the rooms judge the zones, and the keys that they move by.
func (c *Config) checkListed(r *report) {
	first := map[string]string{} // canonical name of a key -> as written
	for _, name := range slices.Sorted(maps.Keys(c.TSIG)) {
		path := joinPath("tsig", name)
		full, err := zones.CanonicalName(name)
		switch {
		case err != nil:
			r.bad(path, "%v", err)
		case first[full] != "":
			r.bad(path, "%q: already a key, as [%s]", name, joinPath("tsig", first[full]))
		default:
			first[full] = name
		}
		c.TSIG[name].Validate(r.in(path))
	}
	known := func(name string) bool {
		full, err := zones.CanonicalName(name)
		return err == nil && first[full] != "" || r.faulty("tsig")
	}
	for i := range c.Listed {
		move, bad := &c.Listed[i].Zone, r.in(indexPath("zone", i))
		c.Zones[i].Validate(func(key, msg string) {
			if key != "file" || move.HasFile() {
				bad(key, msg)
			}
		})
		if move.Catalog == transfer.Producer && c.Zones[i].File != "" {
			bad("file", "a catalog that is produced here is made of its members: it has no file")
		}
		move.Validate(c.Zones[i].Name, known, bad)
	}
	c.checkCatalogs(r)
}

// checkCatalogs sees that members belong to catalogs that are produced here.
func (c *Config) checkCatalogs(r *report) {
	var producers []string
	for i := range c.Listed {
		if c.Listed[i].Catalog == transfer.Producer {
			producers = append(producers, c.Zones[i].Name)
		}
	}
	for i := range c.Listed {
		move := &c.Listed[i].Zone
		if move.MemberOf == "" {
			continue
		}
		full, err := zones.CanonicalName(move.MemberOf)
		key := indexPath("zone", i) + ".member_of"
		switch {
		case err != nil:
			r.bad(key, "%v", err)
		case !slices.Contains(producers, full):
			r.badHint(key, didYouMean(full, producers), `%q: there is no [[zone]] of this name with catalog = "producer"`, move.MemberOf)
		case move.Catalog != "":
			r.bad(key, "a catalog is no member of a catalog")
		default:
			move.MemberOf = full
		}
	}
}
