package config

import (
	"strconv"
	"strings"
)

// maxDepth bounds recursion into arrays and inline tables.
const maxDepth = 1000

// scanner walks a TOML text (TOML 1.1: inline tables may span lines).
type scanner struct {
	positions
	at     int            // offset of the next byte
	tables map[string]int // arrays of tables by path: the elements so far
	values map[string]int // offset of every key that was given a value
	opened map[string]int // offset of every [table]
	again  bool           // within a [table] that has been there before
}

// segment is one name of a dotted key.
type segment struct {
	name   string
	offset int
}

// document reads key/value lines and table headers up to the end or to the
// first thing that is not TOML.
func (s *scanner) document() {
	table := ""
	for {
		s.space(true)
		if s.at >= len(s.text) {
			return
		}
		ok := false
		if s.peek() == '[' {
			table, ok = s.header()
		} else {
			ok = s.pair(table, 0)
		}
		if !ok {
			return
		}
	}
}

// header reads [a.b] or [[a.b]] and returns the path of the table it opens. A
// name in the middle that is an array of tables means its last element.
func (s *scanner) header() (path string, ok bool) {
	s.at++
	array := s.accept('[')
	segments, ok := s.key()
	if !ok || !s.accept(']') || array && !s.accept(']') {
		return "", false
	}
	for i, seg := range segments {
		path = joinPath(path, seg.name)
		s.record(path, seg.offset)
		last := i == len(segments)-1
		n, isArray := s.tables[path]
		switch {
		case last && !array && !isArray:
			s.again = s.open(path, seg.offset)
		case last && array:
			s.again = false
			s.tables[path] = n + 1
			path = indexPath(path, n)
			s.record(path, seg.offset)
		case isArray:
			path = indexPath(path, n-1)
		}
	}
	return path, true
}

// pair reads key = value in the table at path.
func (s *scanner) pair(path string, depth int) bool {
	segments, ok := s.key()
	if !ok || !s.accept('=') {
		return false
	}
	for i, seg := range segments {
		path = joinPath(path, seg.name)
		first, repeated := s.values[path] // a value stands where a table would be
		if i == len(segments)-1 && !repeated {
			first, repeated = s.offset[path]
		}
		if repeated && !s.again {
			s.repeated = append(s.repeated, repeat{path, first, seg.offset})
		}
		s.record(path, seg.offset)
	}
	s.values[path] = segments[len(segments)-1].offset
	return s.value(path, depth)
}

// open notes a [table]; true: it was opened before.
func (s *scanner) open(path string, offset int) (again bool) {
	first, again := s.opened[path]
	if again {
		s.repeated = append(s.repeated, repeat{path, first, offset})
	} else {
		s.opened[path] = offset
	}
	return again
}

func (s *scanner) record(path string, offset int) {
	if _, ok := s.offset[path]; !ok {
		s.offset[path] = offset
	}
}

// key reads a dotted key and the blanks around it.
func (s *scanner) key() (segments []segment, ok bool) {
	for {
		s.space(false)
		seg := segment{offset: s.at}
		switch s.peek() {
		case '"', '\'':
			if seg.name, ok = s.quoted(); !ok {
				return nil, false
			}
		default:
			end := strings.IndexAny(s.text[s.at:], " \t\r\n.=[]{}#\"',")
			if end <= 0 {
				return nil, false
			}
			seg.name = s.text[s.at : s.at+end]
			s.at += end
		}
		segments = append(segments, seg)
		if !s.accept('.') {
			return segments, true
		}
	}
}

// value reads the value of the key at path and records what is inside it.
func (s *scanner) value(path string, depth int) bool {
	s.space(false)
	if depth > maxDepth || s.at >= len(s.text) {
		return false
	}
	switch s.peek() {
	case '[':
		return s.array(path, depth)
	case '{':
		return s.inlineTable(path, depth)
	case '"', '\'':
		return s.skipString()
	}
	end := strings.IndexAny(s.text[s.at:], ",]}#\r\n")
	if end < 0 {
		end = len(s.text) - s.at
	}
	s.at += end
	return end > 0
}

func (s *scanner) array(path string, depth int) bool {
	s.at++
	for i := 0; ; i++ {
		s.space(true)
		if s.accept(']') {
			return true
		}
		element := indexPath(path, i)
		s.record(element, s.at)
		if !s.value(element, depth+1) {
			return false
		}
		s.space(true)
		if !s.accept(',') {
			return s.accept(']')
		}
	}
}

func (s *scanner) inlineTable(path string, depth int) bool {
	s.at++
	for {
		s.space(true)
		if s.accept('}') {
			return true
		}
		if !s.pair(path, depth+1) {
			return false
		}
		s.space(true)
		if !s.accept(',') {
			return s.accept('}')
		}
	}
}

// space skips blanks and, if told so, line ends and comments.
func (s *scanner) space(lines bool) {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == ' ' || c == '\t':
			s.at++
		case lines && (c == '\n' || c == '\r'):
			s.at++
		case lines && c == '#':
			end := strings.IndexByte(s.text[s.at:], '\n')
			if end < 0 {
				end = len(s.text) - s.at
			}
			s.at += end
		default:
			return
		}
	}
}

func (s *scanner) peek() byte {
	if s.at >= len(s.text) {
		return 0
	}
	return s.text[s.at]
}

// accept skips blanks and then c, if that is what comes.
func (s *scanner) accept(c byte) bool {
	s.space(false)
	if s.at >= len(s.text) || s.text[s.at] != c {
		return false
	}
	s.at++
	return true
}

// skipString skips a string of any of the four kinds.
func (s *scanner) skipString() bool {
	quote := s.text[s.at]
	long := strings.Repeat(string(quote), 3)
	if !strings.HasPrefix(s.text[s.at:], long) {
		_, ok := s.quoted()
		return ok
	}
	for s.at += 3; s.at < len(s.text); s.at++ {
		switch {
		case quote == '"' && s.text[s.at] == '\\':
			s.at++
		case strings.HasPrefix(s.text[s.at:], long):
			s.at += 3
			// One or two quotes before the closing three belong to the text.
			for n := 0; n < 2 && s.peek() == quote; n++ {
				s.at++
			}
			return true
		}
	}
	return false
}

// quoted reads a one-line string, as keys are.
func (s *scanner) quoted() (text string, ok bool) {
	quote := s.text[s.at]
	start := s.at + 1
	for i := start; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '\n':
			return "", false
		case quote == '"' && c == '\\':
			i++
		case c == quote:
			s.at = i + 1
			text = s.text[start:i]
			if quote == '"' {
				return unescape(text)
			}
			return text, true
		}
	}
	return "", false
}

// unescape resolves the escapes of a basic string (TOML 1.1).
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", false
		}
		if j := strings.IndexByte(`btnfre"\`, s[i]); j >= 0 {
			b.WriteByte("\b\t\n\f\r\x1b\"\\"[j])
			continue
		}
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[i]]
		if digits == 0 || i+digits >= len(s) {
			return "", false
		}
		r, err := strconv.ParseUint(s[i+1:i+1+digits], 16, 32)
		if err != nil {
			return "", false
		}
		b.WriteRune(rune(r)) // what is no character becomes U+FFFD; the library refuses it
		i += digits
	}
	return b.String(), true
}
