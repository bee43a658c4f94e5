package fleet

import (
	"fmt"
	"net/url"
	"strings"
)

// root is the part of the store that belongs to this package.
const root = "fleet/"

// The kinds of keys.
const (
	kindVote     = "votes"
	kindReport   = "reports"
	kindNode     = "nodes"
	kindOverride = "overrides"
	kindRelease  = "releases"
	kindAllow    = "allow"
	kindAnswers  = "answers"
	kindTimes    = "times"
)

// subjects is how many names follow each kind.
var subjects = map[string]int{kindVote: 2, kindReport: 2, kindNode: 2, kindOverride: 1, kindRelease: 1, kindAllow: 1, kindAnswers: 2, kindTimes: 1}

// keyOf builds a key. Names may hold anything, a slash too.
func keyOf(kind string, names ...string) string {
	key := root + kind
	for _, n := range names {
		key += "/" + url.PathEscape(n)
	}
	return key
}

// splitKey is keyOf's inverse.
func splitKey(key string) (kind string, names []string, err error) {
	rest, ok := strings.CutPrefix(key, root)
	if !ok {
		return "", nil, fmt.Errorf("must begin with %q", root)
	}
	parts := strings.Split(rest, "/")
	kind, names = parts[0], parts[1:]
	want, ok := subjects[kind]
	if !ok {
		return "", nil, fmt.Errorf("kind %q: must be votes, reports, nodes, answers, times, overrides, releases or allow", kind)
	}
	if len(names) != want {
		return "", nil, fmt.Errorf("has %d names after %q, must have %d", len(names), kind, want)
	}
	for i, n := range names {
		if names[i], err = url.PathUnescape(n); err != nil {
			return "", nil, err
		}
		if names[i] == "" {
			return "", nil, fmt.Errorf("name %d after %q is empty", i+1, kind)
		}
	}
	return kind, names, nil
}

// siteOf is the site of which a vote or a report speaks; "": the key is neither's.
func siteOf(key string) string {
	kind, names, err := splitKey(key)
	if err != nil || kind != kindVote && kind != kindReport {
		return ""
	}
	return names[0]
}
