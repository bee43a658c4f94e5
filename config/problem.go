package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Problem is one fault of a configuration, and where it is.
type Problem struct {
	File    string // as given to Load or Parse
	Line    int    // from 1; 0 when the file could not be read
	Column  int    // from 1, in characters
	Key     string // path of the key, "steer[0].rule[1].to"; indexes count from 0
	Message string // the value seen and what would be right
	Hint    string // what was probably meant; may be empty
}

// Error returns "file:line: key: message; hint".
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	b.WriteString(": " + p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Problems are all the faults of a configuration, in the order of their files and lines.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// report collects the problems of a configuration. Of several faults of one key
// only the first is kept: the others mostly follow from it.
type report struct {
	scope    scope
	broken   bool // a file could not be read, or is not TOML: the rest would be guessed at
	at       *layout
	errors   list
	warnings list
}

func newReport(s scope) *report { return &report{scope: s, at: &layout{keys: map[string]place{}}} }

// list is a list of problems, one for each key.
type list struct {
	Problems
	keys map[string]bool // those that have one
}

// bad adds an error.
func (r *report) bad(key, format string, args ...any) {
	r.badHint(key, "", format, args...)
}

func (r *report) badHint(key, hint, format string, args ...any) {
	r.add(&r.errors, key, fmt.Sprintf(format, args...), hint)
}

// warn adds a warning: the configuration works, but hardly as meant.
func (r *report) warn(key, format string, args ...any) {
	r.add(&r.warnings, key, fmt.Sprintf(format, args...), "")
}

func (r *report) add(to *list, key, message, hint string) {
	if !r.at.has(key) && r.errors.keys[parentPath(key)] {
		return // nobody wonders that it is missing in a table that is wrong as a whole
	}
	if to.take(key) {
		p := r.problem(key, message)
		p.Hint = hint
		to.Problems = append(to.Problems, p)
	}
}

// problem places a message.
func (r *report) problem(key, message string) Problem {
	file, line, column := r.at.find(key)
	return Problem{File: file.name, Line: line, Column: column, Key: key, Message: message}
}

// take marks a key as reported; false: it was already.
func (l *list) take(key string) bool {
	if l.keys[key] {
		return false
	}
	if l.keys == nil {
		l.keys = map[string]bool{}
	}
	l.keys[key] = true
	return true
}

// in returns what a room's Validate is given: it adds errors of the table at path.
func (r *report) in(path string) func(key, msg string) {
	return func(key, msg string) { r.bad(joinKey(path, key), "%s", msg) }
}

// faulty tells whether the key or anything in it has an error.
func (r *report) faulty(path string) bool {
	for key := range r.errors.keys {
		if rest, ok := strings.CutPrefix(key, path); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// unread tells whether the name of some [[table]] or [table.NAME] could not be
// read, so that what looks like an unknown name may be one of those.
func (r *report) unread(table string) bool {
	for key := range r.errors.keys {
		rest, ok := strings.CutPrefix(key, table)
		if ok && (rest == "" || rest[0] == '[' && (strings.HasSuffix(rest, "]") || strings.HasSuffix(rest, "].name"))) {
			return true
		}
	}
	return false
}

// line is where the key stands, for messages that point at another place: the
// line, and the file where there are several.
func (r *report) line(key string) string {
	file, line, _ := r.at.find(key)
	if len(r.at.files) == 1 {
		return strconv.Itoa(line)
	}
	return fmt.Sprintf("%d of %s", line, file.name)
}

// absolute makes the name of a file, which the key gives, absolute; empty stays empty.
func (r *report) absolute(key, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	file, _, _ := r.at.find(key)
	return filepath.Join(file.dir, name)
}

func (ps Problems) sort(order func(file string) int) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(order(a.File), order(b.File)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
}
