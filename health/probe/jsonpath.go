package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// jsonPath leads to one value in a JSON document: keys with dots between them and
// indexes in brackets, from 0; "checks[0].state". A key that has other characters
// than letters, digits, '_' and '-' stands in brackets and quotes, as in JSON:
// `["a.b"].c`. The empty path is the whole document. It is a small part of RFC
// 9535, which lets "$." stand in front.
type jsonPath []step

// step is a key or, with index 0 or more, an index.
type step struct {
	key   string
	index int // -1: a key
}

var errPath = errors.New(`must be keys and indexes such as checks[0].state, or ["a.b"].c for keys with other characters`)

func parseJSONPath(s string) (jsonPath, error) {
	rest := s
	if after, ok := strings.CutPrefix(rest, "$"); ok {
		rest = after
		if rest != "" && rest[0] != '.' && rest[0] != '[' {
			return nil, fmt.Errorf("%q: %w", s, errPath)
		}
		rest = strings.TrimPrefix(rest, ".")
		if after != "" && rest == "" {
			return nil, fmt.Errorf("%q: %w", s, errPath)
		}
	}
	var path jsonPath
	for rest != "" {
		one, after, ok := cutStep(rest, len(path) == 0)
		if !ok {
			return nil, fmt.Errorf("%q: %w", s, errPath)
		}
		path, rest = append(path, one), after
	}
	return path, nil
}

// cutStep takes the first step off a path. The dot before a key is left out at
// the begin of the path.
func cutStep(s string, first bool) (step, string, bool) {
	if s[0] == '[' {
		return cutBracket(s)
	}
	if !first {
		if s[0] != '.' {
			return step{}, "", false
		}
		s = s[1:]
	}
	n := 0
	for n < len(s) && (s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' || s[n] >= '0' && s[n] <= '9' || s[n] == '_' || s[n] == '-' || s[n] >= 0x80) {
		n++
	}
	return step{key: s[:n], index: -1}, s[n:], n > 0
}

// cutBracket takes [0] or ["key"] off a path.
func cutBracket(s string) (step, string, bool) {
	if strings.HasPrefix(s, `["`) {
		d := json.NewDecoder(strings.NewReader(s[1:]))
		var key string
		if d.Decode(&key) != nil {
			return step{}, "", false
		}
		rest, ok := strings.CutPrefix(s[1+d.InputOffset():], "]")
		return step{key: key, index: -1}, rest, ok
	}
	digits, rest, ok := strings.Cut(s[1:], "]")
	n, err := strconv.ParseUint(digits, 10, 31)
	return step{index: int(n)}, rest, ok && err == nil
}

// find returns the value that the path leads to in a decoded document.
func (p jsonPath) find(v any) (any, error) {
	for i, s := range p {
		if s.index < 0 {
			object, ok := v.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%s is %s, not an object", p[:i], jsonKind(v))
			}
			if v, ok = object[s.key]; !ok {
				return nil, fmt.Errorf("there is no %s", p[:i+1])
			}
			continue
		}
		list, ok := v.([]any)
		if !ok {
			return nil, fmt.Errorf("%s is %s, not a list", p[:i], jsonKind(v))
		}
		if s.index >= len(list) {
			return nil, fmt.Errorf("there is no %s, the list has %d", p[:i+1], len(list))
		}
		v = list[s.index]
	}
	return v, nil
}

// String is the path as it is written.
func (p jsonPath) String() string {
	if len(p) == 0 {
		return "the document"
	}
	var b strings.Builder
	for i, s := range p {
		plain, rest, ok := step{}, "", false
		if s.key != "" {
			plain, rest, ok = cutStep(s.key, true)
		}
		switch {
		case s.index >= 0:
			fmt.Fprintf(&b, "[%d]", s.index)
		case !ok || rest != "" || plain.key != s.key:
			quoted, _ := json.Marshal(s.key) // of a string
			fmt.Fprintf(&b, "[%s]", quoted)
		case i > 0:
			b.WriteString("." + s.key)
		default:
			b.WriteString(s.key)
		}
	}
	return b.String()
}

// decodeJSON decodes one document, numbers as they are written.
func decodeJSON(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it ends too early")
		}
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows behind the document")
	}
	return v, nil
}

func jsonKind(v any) string {
	switch v.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "text"
	case nil:
		return "null"
	}
	return "a number or truth value"
}
