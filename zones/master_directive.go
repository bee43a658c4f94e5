package zones

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxInclude bounds how deep files may include one another.
const maxInclude = 10

// directive reads an entry that begins with $.
func (f *masterFile) directive() bool {
	fields := f.tokens
	name := strings.ToUpper(string(f.raw(fields[0])))
	args := fields[1:]
	least, most, usage := 1, 1, ""
	switch name {
	case "$TTL":
		usage = "$TTL 300"
	case "$ORIGIN":
		usage = "$ORIGIN abc.com."
	case "$INCLUDE":
		most, usage = 2, "$INCLUDE file, or $INCLUDE file origin"
	case "$GENERATE":
		least, most, usage = 3, len(args), "$GENERATE 1-20 host$ A 192.0.2.$"
	default:
		return f.fail(fields[0].start, `%s is no directive: there are $TTL, $ORIGIN, $INCLUDE and $GENERATE; an owner name that begins with $ is written \$`, f.raw(fields[0]))
	}
	if len(args) < least {
		return f.fail(f.end(), "%s is not whole: it is written as %s", name, usage)
	}
	if len(args) > most {
		return f.fail(args[most].start, "%q is one field too many: it is written as %s", f.raw(args[most]), usage)
	}
	switch name {
	case "$TTL":
		var ttl uint32
		if !f.readTTL(args[0], &ttl) {
			return false
		}
		f.ttl, f.ttlFrom = ttl, ttlDirective
		return true
	case "$ORIGIN":
		origin, ok := f.readOrigin(args[0])
		if ok {
			f.origin = origin
		}
		return ok
	case "$INCLUDE":
		return f.include(args)
	}
	return f.generate(args)
}

// readOrigin reads a name that becomes an origin.
func (f *masterFile) readOrigin(t token) ([]byte, bool) {
	origin, flaw := appendName(nil, f.raw(t), f.origin, t.escaped)
	if flaw == "" && t.quoted {
		flaw = "stands without quotes"
	}
	if flaw != "" {
		return nil, f.fail(t.start, "origin %q %s", f.raw(t), flaw)
	}
	return origin, true
}

// include reads another file in this place. What it says of owner, origin and
// TTL ends with it (RFC 1035, section 5.1).
func (f *masterFile) include(args []token) bool {
	origin := f.origin
	if len(args) > 1 {
		var ok bool
		if origin, ok = f.readOrigin(args[1]); !ok {
			return false
		}
	}
	named, flaw := appendText(nil, f.raw(args[0]), args[0].escaped)
	if flaw != "" || len(named) == 0 {
		return f.fail(args[0].start, "%q is not the name of a file %s", f.raw(args[0]), flaw)
	}
	path := string(named)
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(f.name), path)
	}
	file, err := os.Open(path)
	if err != nil {
		return f.fail(args[0].start, "%v", plain(err, path))
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return f.fail(args[0].start, "%v", plain(err, path))
	case info.IsDir():
		return f.fail(args[0].start, "%s is a directory", path)
	case f.isOpen(info):
		return f.fail(args[0].start, "%s includes itself, by way of %s", path, f.chain())
	case f.depth > maxInclude:
		return f.fail(args[0].start, "%s would be included %d files deep, at most %d: %s", path, f.depth, maxInclude, f.chain())
	}
	sub := f.push(path, info, origin, file)
	sub.ttl, sub.ttlFrom, sub.noTTL = f.ttl, f.ttlFrom, f.noTTL
	sub.run()
	return true
}

// plain says what is wrong with a file, its path in front.
func plain(err error, path string) error {
	if p := new(fs.PathError); errors.As(err, &p) {
		return errors.New(path + ": " + p.Err.Error())
	}
	return err
}

// isOpen tells whether the file is one of those being read.
func (m *master) isOpen(info fs.FileInfo) bool {
	for _, f := range m.files[:m.depth] {
		if f.info != nil && os.SameFile(f.info, info) {
			return true
		}
	}
	return false
}

// chain names the files being read, from the first on.
func (m *master) chain() string {
	var names []string
	for _, f := range m.files[:m.depth] {
		names = append(names, f.name)
	}
	return strings.Join(names, " -> ")
}
