package config

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// text is a file that a configuration was made of, by what stood in it.
type text struct {
	path string
	sum  [sha256.Size]byte
}

func textOf(path string, data []byte) text { return text{path, sha256.Sum256(data)} }

// include is a pattern of "include", and the files that it meant.
type include struct {
	pattern string
	found   []string
}

// Reload is Load of a file that was loaded before, as prev, which may be nil. While
// all texts and the lists of files that [[zones]] and "include" match are the same,
// nothing is parsed again: of a hundred thousand zones in one file that takes as
// long as reading them. Whether their files are there is not looked at then:
// whoever reads zones looks at each of them, and tells; Load tells it with the line.
func Reload(path string, prev *Config) (*Config, error) {
	if prev != nil && prev.loaded != nil && prev.path == path {
		if c := prev.loaded.again(); c != nil {
			return c, nil
		}
	}
	return Load(path)
}

// again is the configuration as it was loaded, if a look at the files that it
// names finds no change and no fault; nil: it must be parsed again, be it for the messages.
func (c *Config) again() *Config {
	if !c.isCurrent() {
		return nil
	}
	good := true
	bad := func(string, string) { good = false }
	look := func(_, _, path string) { good = good && unreadable(path) == nil }
	for _, key := range c.TSIG {
		key.Validate(bad)
	}
	for _, check := range c.Checks {
		look("", "", check.CA)
	}
	c.eachNamed(look)
	if !good || notDirectory(c.Node.DataDir) || notDirectory(c.Node.Keys) {
		return nil
	}
	next := *c
	next.Zones = slices.Clip(c.Zones)
	next.loaded = c
	return &next
}

// isCurrent tells whether the configuration's texts, and which zones have files, are
// still the same.
func (c *Config) isCurrent() bool {
	for _, t := range c.texts {
		if data, err := readFile(t.path); err != nil || textOf(t.path, data) != t {
			return false
		}
	}
	for _, i := range c.includes {
		found, err := filepath.Glob(i.pattern)
		if slices.Sort(found); err != nil || !slices.Equal(found, i.found) {
			return false
		}
	}
	for i := range c.ZoneFiles {
		if l, err := listingOf(c.ZoneFiles[i].Files); err != nil || l != c.listings[i] || l.files == 0 {
			return false
		}
	}
	return true
}

// Relist is the configuration as it was loaded, with the zones that the folders of
// [[zones]] have now, but for the files to be left out. Nothing else is read.
func (c *Config) Relist(leaveOut map[string]bool) (*Config, error) {
	if c.loaded == nil {
		return nil, errors.New("the zones of a configuration that is made of two files are not listed by themselves")
	}
	pristine := *c.loaded
	pristine.Zones = slices.Clip(c.loaded.Zones[:c.loaded.listed])
	pristine.ZoneFiles = slices.Clone(c.loaded.ZoneFiles)
	pristine.parts, pristine.listings = slices.Clip(c.loaded.parts), nil
	pristine.leaveOut = leaveOut
	r := newReport(whole)
	pristine.addZoneFiles(r)
	pristine.leaveOut = nil
	if len(r.errors.Problems) > 0 {
		return nil, r.errors.Problems
	}
	next := pristine
	next.Zones = slices.Clip(pristine.Zones)
	next.loaded = &pristine
	return &next, nil
}

// Lists tells whether [[zones]] make a zone of a file of that name.
func (c *Config) Lists(path string) bool {
	dir, file := filepath.Split(path)
	for i := range c.ZoneFiles {
		in, form := filepath.Split(c.ZoneFiles[i].Files)
		if filepath.Clean(in) == filepath.Clean(dir) && newMatcher(form).part(file) != "" {
			return true
		}
	}
	return false
}

// Folders lists the folders of [[zones]].
func (c *Config) Folders() (all []string) {
	for i := range c.ZoneFiles {
		all = append(all, filepath.Dir(c.ZoneFiles[i].Files))
	}
	return all
}

// listing tells one set of files that a pattern matches from another.
type listing struct {
	files int
	sum   uint64 // of the hashes of their names, in any order
}

func listingOf(pattern string) (l listing, err error) {
	dir, form := filepath.Split(pattern)
	m := newMatcher(form)
	err = eachFile(dir, func(e fs.DirEntry) {
		if m.zone(e) != "" {
			l.add(e.Name())
		}
	})
	return l, err
}

// matcher tells which files of a directory a pattern of [[zones]] means.
type matcher struct{ before, after string }

func newMatcher(form string) matcher {
	before, after, _ := strings.Cut(form, "*")
	return matcher{before, after}
}

// zone is the part of a file's name that is the zone's; empty: the file is not meant.
func (m matcher) zone(e fs.DirEntry) string {
	if e.IsDir() {
		return ""
	}
	return m.part(e.Name())
}

// part is zone for a file's name.
func (m matcher) part(file string) string {
	name, ok := strings.CutPrefix(file, m.before)
	if ok {
		name, ok = strings.CutSuffix(name, m.after)
	}
	if !ok || file[0] == '.' {
		return ""
	}
	return name
}
