package config

import (
	"maps"
	"slices"
	"strings"
)

// veil hides what people must not see of a configuration when it is shown: each
// secret becomes a number, the same for the same secret, so that one can still see
// whether it is another.
type veil map[string]hidden

// hidden stands for a secret.
type hidden int

// table is the table without its secrets. headers: it has those of an HTTP request.
func (v veil) table(t map[string]any, headers bool) map[string]any {
	if t == nil {
		return nil
	}
	out := make(map[string]any, len(t))
	for _, key := range slices.Sorted(maps.Keys(t)) {
		out[key] = v.value(key, t[key], headers)
	}
	return out
}

func (v veil) value(key string, x any, headers bool) any {
	switch x := x.(type) {
	case string:
		if !isSecret(key, headers) {
			return x
		}
		n, known := v[x]
		if !known {
			n = hidden(len(v) + 1)
			v[x] = n
		}
		return n
	case map[string]any:
		return v.table(x, key == "headers")
	case []map[string]any:
		out := make([]map[string]any, len(x))
		for i := range x {
			out[i] = v.table(x[i], false)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = v.value(key, x[i], headers)
		}
		return out
	}
	return x
}

// isSecret tells whether the text of a key is a secret: of [tsig.NAME], of the calls
// of a frontend, and of headers that show who asks.
func isSecret(key string, header bool) bool {
	if !header {
		return key == "secret" || key == "password"
	}
	key = strings.ToLower(key)
	return slices.ContainsFunc([]string{"auth", "cookie", "token", "key", "secret", "password"}, func(part string) bool { return strings.Contains(key, part) })
}
