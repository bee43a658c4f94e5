package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// The most that a configuration may consist of. A file that includes itself by
// a roundabout way meets the bound.
const (
	maxFiles    = 1000
	maxFileSize = 64 << 20
)

// source is one file of a configuration.
type source struct {
	name     string // as in messages
	dir      string // that relative file names in it are relative to
	topology bool   // part of a topology that stands apart from the node file
	at       *positions
	tree     map[string]any // nil after a fault of syntax
}

// layout says where each key of a configuration stands, over all its files.
type layout struct {
	files    []*source
	keys     map[string]place
	texts    []text
	includes []include
}

// place is where a key stands: at an offset of a file.
type place struct {
	file   *source
	offset int
}

// has tells whether some file writes the key at path.
func (l *layout) has(path string) bool {
	_, ok := l.keys[path]
	return ok
}

// find returns the file, line and column of the key at path or, if no file has
// it, of the innermost table around it that one has. The top is that of the first file.
func (l *layout) find(path string) (file *source, line, column int) {
	for ; path != ""; path = parentPath(path) {
		if p, ok := l.keys[path]; ok {
			line, column = p.file.at.lineColumn(p.offset)
			return p.file, line, column
		}
	}
	if len(l.files) == 0 {
		return &source{}, 1, 1
	}
	return l.files[0], 1, 1
}

// order is a file's place among those of the configuration.
func (l *layout) order(name string) int {
	return slices.IndexFunc(l.files, func(s *source) bool { return s.name == name })
}

// read reads a file and those that it includes, and puts their tables together
// with what is in tree. topology tells that it is one that stands apart.
func (r *report) read(tree map[string]any, name string, topology bool) {
	data, err := readFile(name)
	if err != nil {
		r.broken = true
		r.errors.Problems = append(r.errors.Problems, Problem{File: name, Message: fmt.Sprintf("cannot read the configuration: %v", err)})
		return
	}
	r.parse(tree, name, data, filepath.Dir(name), topology)
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	if info.Size() > maxFileSize {
		return nil, fmt.Errorf("has %d bytes, must have at most %d", info.Size(), maxFileSize)
	}
	data, err := os.ReadFile(name)
	return data, withoutPath(err)
}

// parse is read for a text that is at hand.
func (r *report) parse(tree map[string]any, name string, data []byte, dir string, topology bool) {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	r.at.texts = append(r.at.texts, textOf(filepath.Join(dir, filepath.Base(name)), data))
	text := strings.TrimPrefix(string(data), "\ufeff")
	s := &source{name: name, dir: dir, topology: topology, at: scanPositions(text)}
	r.at.files = append(r.at.files, s)
	if s.tree = r.decode(s, text); s.tree == nil {
		r.broken = true
		return
	}
	included := s.tree["include"]
	delete(s.tree, "include")
	if topology {
		r.dropNode(s)
	}
	r.merge(tree, s)
	r.include(tree, s, included)
}

// include reads the files that include of a file names, each a pattern relative
// to it, in the order of their names.
func (r *report) include(tree map[string]any, s *source, included any) {
	if included == nil {
		return
	}
	bad := func(i int, format string, args ...any) {
		key := "include"
		if i >= 0 {
			key = indexPath(key, i)
		}
		line, column := s.at.find(key)
		r.errors.Problems = append(r.errors.Problems, Problem{File: s.name, Line: line, Column: column, Key: key, Message: fmt.Sprintf(format, args...)})
	}
	list, ok := included.([]any)
	if !ok {
		bad(-1, `%s: must be a list of files, such as ["sites.toml", "zones/*.toml"]`, show(included))
		return
	}
	for i, v := range list {
		pattern, ok := v.(string)
		if !ok || pattern == "" {
			bad(i, "%s: must be the name of a file, or a pattern such as \"zones/*.toml\"", show(v))
			continue
		}
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(s.dir, pattern)
		}
		found, err := filepath.Glob(pattern)
		switch {
		case err != nil:
			bad(i, "%q: %v", v, err)
		case len(found) == 0:
			bad(i, "%q: no file has such a name", v)
		}
		slices.Sort(found)
		r.at.includes = append(r.at.includes, include{pattern, found})
		for _, name := range found {
			if len(r.at.files) >= maxFiles {
				bad(i, "%q: a configuration may have at most %d files", v, maxFiles)
				return
			}
			if r.at.order(r.shown(name, s)) >= 0 {
				bad(i, "%q: %s is part of the configuration already", v, name)
				continue
			}
			data, err := readFile(name)
			if err != nil {
				bad(i, "%s: cannot read the file: %v", name, err)
				continue
			}
			r.parse(tree, r.shown(name, s), data, filepath.Dir(name), s.topology)
		}
	}
}

// shown is how an included file is called in messages: like the file that
// includes it.
func (r *report) shown(name string, by *source) string {
	if rel, err := filepath.Rel(by.dir, name); err == nil && !filepath.IsAbs(by.name) {
		return filepath.Join(filepath.Dir(by.name), rel)
	}
	return name
}

// shared are the tables that may stand in several files: what is in them, not
// they themselves, is one thing.
var shared = map[string]bool{"": true, "check": true, "dnssec": true, "tsig": true, "geo": true}

// merge puts the tables of a file behind those of the files before.
func (r *report) merge(tree map[string]any, s *source) {
	shift := map[string]int{} // arrays of tables -> elements in the files before
	var into func(dst, src map[string]any, path string)
	into = func(dst, src map[string]any, path string) {
		for _, key := range slices.Sorted(maps.Keys(src)) {
			at := joinPath(path, key)
			old, there := dst[key]
			if !there {
				dst[key] = src[key]
				if table, ok := src[key].(map[string]any); ok && shared[at] {
					dst[key] = maps.Clone(table) // others' are put in it, which are not in this file
				}
				continue
			}
			oldList, isList := old.([]map[string]any)
			list, isToo := src[key].([]map[string]any)
			if isList && isToo {
				shift[at] = len(oldList)
				dst[key] = append(oldList[:len(oldList):len(oldList)], list...)
				continue
			}
			oldTable, isTable := old.(map[string]any)
			table, isToo := src[key].(map[string]any)
			if isTable && isToo && shared[at] {
				into(oldTable, table, at)
				continue
			}
			line, column := s.at.find(at)
			r.errors.Problems = append(r.errors.Problems, Problem{File: s.name, Line: line, Column: column, Key: at,
				Message: "set a second time, after line " + r.line(at)})
		}
	}
	into(tree, s.tree, "")
	for path, offset := range s.at.offset {
		path = shifted(path, shift)
		if _, ok := r.at.keys[path]; !ok {
			r.at.keys[path] = place{s, offset}
		}
	}
}

// shifted gives a path of one file as it is among all files: the index of an
// array of tables counts those of the files before.
func shifted(path string, shift map[string]int) string {
	if len(shift) == 0 {
		return path
	}
	for array, by := range shift {
		rest, ok := strings.CutPrefix(path, array+"[")
		if !ok {
			continue
		}
		digits, after, _ := strings.Cut(rest, "]")
		n, err := strconv.Atoi(digits)
		if err != nil {
			continue
		}
		return indexPath(array, n+by) + after
	}
	return path
}

// decode parses the TOML of a file. It returns nil after a fault of syntax: the
// library stops at the first, and what follows could only be guessed at.
func (r *report) decode(s *source, text string) map[string]any {
	var tree map[string]any
	_, err := toml.Decode(text, &tree)
	for _, again := range s.at.repeated {
		first, _ := s.at.lineColumn(again.first)
		line, column := s.at.lineColumn(again.second)
		r.errors.Problems = append(r.errors.Problems, Problem{
			File: s.name, Line: line, Column: column, Key: again.path,
			Message: fmt.Sprintf("set a second time, after line %d", first),
		})
	}
	if len(s.at.repeated) > 0 {
		return nil
	}
	if err != nil {
		r.errors.Problems = append(r.errors.Problems, syntaxProblem(s, err))
		return nil
	}
	if tree == nil {
		tree = map[string]any{}
	}
	return tree
}
