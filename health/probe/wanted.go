package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"regexp/syntax"
	"slices"

	"gslb/health"
)

// wanted is what an HTTP response has to look like.
type wanted struct {
	status  statuses
	body    *regexp.Regexp // nil: anything
	headers []match        // by header
	json    []match        // by path
	// of the content generation: a header, or a path where byPath
	header string
	path   jsonPath
	byPath bool
}

// match is something with a name that a pattern has to match.
type match struct {
	name    string
	path    jsonPath // of json alone
	pattern *regexp.Regexp
}

func newWanted(c Config) (wanted, error) {
	w := wanted{status: sortedStatuses(c.Status)}
	var errs []error
	compile := func(key, pattern string) *regexp.Regexp {
		re, err := regexp.Compile(pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		return re
	}
	if c.BodyMatch != "" {
		w.body = compile("body_match", c.BodyMatch)
	}
	for _, name := range slices.Sorted(maps.Keys(c.HeaderMatch)) {
		w.headers = append(w.headers, match{name: name, pattern: compile("header_match", c.HeaderMatch[name])})
	}
	for _, name := range slices.Sorted(maps.Keys(c.JSON)) {
		path, err := parseJSONPath(name)
		errs = append(errs, err)
		w.json = append(w.json, match{name: name, path: path, pattern: compile("json", c.JSON[name])})
	}
	w.header = c.Generation.Header
	if c.Generation.JSON != "" {
		path, err := parseJSONPath(c.Generation.JSON)
		w.path, w.byPath = path, true
		errs = append(errs, err)
	}
	return w, errors.Join(errs...)
}

// judge says what is wrong with a response. What is read of its body is bounded.
func (w *wanted) judge(a *attempt, at hop, r *http.Response, bounded *io.LimitedReader, seen *Seen) error {
	if !w.status.has(r.StatusCode) {
		return fmt.Errorf("http %d from %s%s, want %s", r.StatusCode, a.address, at.path, w.status)
	}
	for _, m := range w.headers {
		values := r.Header.Values(m.name)
		if !slices.ContainsFunc(values, m.pattern.MatchString) {
			return fmt.Errorf("header %s from %s%s: %s does not match %q", m.name, a.address, at.path, valuesText(values), m.pattern)
		}
	}
	if w.header != "" {
		seen.Generation = health.Generation(r.Header.Get(w.header))
	}
	a.phase = reading
	if w.body == nil && w.json == nil && !w.byPath {
		if _, err := io.Copy(io.Discard, r.Body); err != nil && bounded.N > 0 {
			return a.fault(err)
		}
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil && bounded.N > 0 {
		return a.fault(err)
	}
	if w.body != nil && !w.body.Match(body) {
		return fmt.Errorf("body from %s%s: %s does not match %q", a.address, at.path, excerpt(body), w.body)
	}
	if err := w.judgeJSON(body, bounded.N <= 0); err != nil {
		return fmt.Errorf("body from %s%s: %w", a.address, at.path, err)
	}
	if w.byPath && bounded.N > 0 { // that there is none is no failure
		if root, err := decodeJSON(body); err == nil {
			if v, err := w.path.find(root); err == nil {
				seen.Generation = health.Generation(jsonText(v))
			}
		}
	}
	return nil
}

func (w *wanted) judgeJSON(body []byte, cut bool) error {
	if w.json == nil {
		return nil
	}
	if cut {
		return fmt.Errorf("is longer than %d KiB: too long to be read as JSON", maxRead>>10)
	}
	root, err := decodeJSON(body)
	if err != nil {
		return fmt.Errorf("%s is no JSON: %w", excerpt(body), err)
	}
	for _, m := range w.json {
		value, err := m.path.find(root)
		if err != nil {
			return fmt.Errorf("json %s: %w", m.name, err)
		}
		if text := jsonText(value); !m.pattern.MatchString(text) {
			return fmt.Errorf("json %s: %s does not match %q", m.name, excerpt([]byte(text)), m.pattern)
		}
	}
	return nil
}

// jsonText is a value as patterns see it: text without its quotes, all else as in JSON.
func jsonText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	out, err := json.Marshal(v)
	if err != nil { // it came from a decoder
		return ""
	}
	return string(out)
}

func valuesText(values []string) string {
	if len(values) == 0 {
		return "is not there, so it"
	}
	return excerpt([]byte(values[0]))
}

// patternFault is what is wrong with a pattern, without the pattern.
func patternFault(err error) string {
	var s *syntax.Error
	if errors.As(err, &s) {
		return s.Code.String()
	}
	return err.Error()
}
