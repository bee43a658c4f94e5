package config

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gslb/zones"
)

// ZoneFiles is one [[zones]]: each file that the pattern names is a zone, called
// as the part of its name that stands for the "*".
type ZoneFiles struct {
	Files  string `toml:"files"`  // such as "zones/*.zone"; absolute once loaded
	DNSSEC string `toml:"dnssec"` // as of a zone, for all of them
}

// maxBadFiles bounds how many files of a directory are told to have bad names.
const maxBadFiles = 5

// addZoneFiles puts the zones of all [[zones]] behind those of [[zone]], in the
// order of the patterns and their names there. A zone that has a [[zone]] of its
// own is left to that. The files are not opened: a million would take a while,
// and reading the zones tells as well.
func (c *Config) addZoneFiles(r *report) {
	c.listed = len(c.Zones)
	if len(c.ZoneFiles) == 0 {
		return
	}
	from := make(map[string]int, c.listed) // where each zone is in c.Zones
	for i, z := range c.Zones {
		from[z.Name] = i
	}
	for i := range c.ZoneFiles {
		key := indexPath("zones", i) + ".files"
		pattern := &c.ZoneFiles[i].Files
		if *pattern == "" {
			r.bad(key, `missing: must be a pattern such as "zones/*.zone", where * stands for the zone's name`)
			continue
		}
		dir, form := filepath.Split(*pattern)
		travels := !filepath.IsAbs(*pattern) && r.inTopology(key)
		c.checkTravels(r, key, *pattern)
		*pattern = r.absolute(key, *pattern)
		if before, after, ok := strings.Cut(form, "*"); !ok || strings.ContainsAny(before+after, "*?[") || strings.ContainsAny(dir, "*?[") {
			r.bad(key, `%q: must have one * in the file's name, which stands for the zone's name, and no other wildcard`, filepath.Join(dir, form))
			continue
		}
		found := c.findZones(r, key, *pattern)
		if travels {
			for _, z := range found {
				c.parts = append(c.parts, z.File)
			}
		}
		for _, z := range found {
			at, there := from[z.Name]
			switch {
			case !there:
				z.DNSSEC = c.ZoneFiles[i].DNSSEC
				from[z.Name] = len(c.Zones)
				c.Zones = append(c.Zones, z)
			case at >= c.listed:
				r.bad(key, "%s and %s are both the zone %s", c.Zones[at].File, z.File, z.Name)
			}
		}
	}
}

// findZones lists the zones of a pattern by name.
func (c *Config) findZones(r *report, key, pattern string) (found []zones.Config) {
	dir, form := filepath.Split(pattern)
	m, bad := newMatcher(form), 0
	var l listing
	err := eachFile(dir, func(e fs.DirEntry) {
		name, file := m.zone(e), e.Name()
		if name == "" || c.leaveOut[dir+file] {
			return
		}
		l.add(file)
		full, err := zones.CanonicalName(name)
		if err == nil {
			found = append(found, zones.Config{Name: full, File: dir + file})
			return
		}
		if bad++; bad <= maxBadFiles {
			r.errors.Problems = append(r.errors.Problems, r.problem(key, fmt.Sprintf("the name of the file %s is not that of a zone: %v", dir+file, err)))
		}
	})
	switch {
	case err != nil:
		r.bad(key, "%s: cannot list the directory: %v", filepath.Clean(dir), err)
	case bad > maxBadFiles:
		r.bad(key, "the names of %d more files are not those of zones", bad-maxBadFiles)
	case bad > 0:
		r.errors.take(key)
	case len(found) == 0:
		r.warn(key, "%s: no file has such a name", pattern)
	}
	slices.SortFunc(found, func(a, b zones.Config) int { return strings.Compare(a.File, b.File) })
	c.listings = append(c.listings, l)
	return found
}

// nameSeed is of the hashes in listings.
var nameSeed = maphash.MakeSeed()

func (l *listing) add(file string) {
	l.files++
	l.sum += maphash.String(nameSeed, file)
}

// eachFile calls f with all that is in a directory, some at a time.
func eachFile(dir string, f func(fs.DirEntry)) error {
	d, err := os.Open(dir)
	for err == nil {
		var some []os.DirEntry
		some, err = d.ReadDir(1024)
		for _, e := range some {
			f(e)
		}
	}
	if d != nil {
		_ = d.Close() // only read
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return withoutPath(err) // the path is in the message already
}
