package config

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// positions says where in a TOML text each key stands, by its path:
// "node.name", "steer[0].rule[1].to[0]", `check."my check".port`. Indexes count
// from 0; a name that is not a bare key is quoted.
//
// The TOML library keeps no positions of decoded values and counts no elements
// of arrays of tables, hence this scanner beside it. It trusts the text to be
// valid and stops without a word at what it does not understand, since the
// library reports that better.
type positions struct {
	text   string
	offset map[string]int // of the key's last name, or of the array element
	// repeated are keys that were given a second value, with the offset of the
	// second. The library lets one case slip through: "a.b = 1" and then "a = 2".
	repeated []repeat
}

type repeat struct {
	path          string
	first, second int // offsets
}

// scanPositions indexes the text.
func scanPositions(text string) *positions {
	s := &scanner{
		positions: positions{text: text, offset: map[string]int{}},
		tables:    map[string]int{},
		values:    map[string]int{},
		opened:    map[string]int{},
	}
	s.document()
	return &s.positions
}

// find returns line and column, from 1, of the key at path or, if the text does
// not have it, of the innermost table around that it has. The top of the file
// is line 1, column 1.
func (p *positions) find(path string) (line, column int) {
	for ; path != ""; path = parentPath(path) {
		if off, ok := p.offset[path]; ok {
			return p.lineColumn(off)
		}
	}
	return 1, 1
}

// lineColumn counts columns in characters, as editors do.
func (p *positions) lineColumn(off int) (line, column int) {
	off = max(0, min(off, len(p.text)))
	before := p.text[:off]
	start := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1
}

// lineText returns a line, counted from 1.
func (p *positions) lineText(line int) string {
	lines := strings.Split(p.text, "\n")
	return lines[min(max(line, 1), len(lines))-1]
}

// joinPath returns the path of a key in the table at path.
func joinPath(path, name string) string {
	if !isBareKey(name) {
		name = strconv.Quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func indexPath(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// joinKey appends a key path that a room gave, relative to its table.
func joinKey(path, key string) string {
	switch {
	case path == "":
		return key
	case key == "", key[0] == '[':
		return path + key
	}
	return path + "." + key
}

// parentPath cuts the last name or index off path.
func parentPath(path string) string {
	cut, quoted := 0, false
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '.' || c == '['):
			cut = i
		}
	}
	return path[:cut]
}

func isBareKey(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return name != ""
}
