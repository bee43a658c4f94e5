package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Tables reads the tables of a topology that stands apart, of all its files
// together, without a look at what they say.
func Tables(path string) (map[string]any, error) {
	r, tree := newReport(alone), map[string]any{}
	r.read(tree, path, true)
	if r.broken {
		return nil, r.errors.Problems
	}
	return tree, nil
}

// Changes says, a line each, what is different between the tables of two
// topologies, by table and key: "+ site cn: …" is new, "- …" is gone,
// "~ site kt: capacity: 100 -> 200" is another. Secrets are not shown, only
// which are others, since the lines go to terminals and into logs.
func Changes(before, after map[string]any) []string {
	d, v := differ{}, veil{}
	before, after = v.table(before, false), v.table(after, false)
	for _, key := range union(before, after) {
		a, b := entries(key, before[key]), entries(key, after[key])
		for _, name := range union(a, b) {
			d.compare(name, a[name], b[name])
		}
		d.order(key, before[key], after[key])
	}
	return d.lines
}

type differ struct{ lines []string }

func (d *differ) add(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// entries gives each table of a kind by how people call it.
func entries(kind string, v any) map[string]any {
	out := map[string]any{}
	switch v := v.(type) {
	case nil:
	case []map[string]any:
		for _, table := range v {
			name := kind
			for _, key := range []string{"name", "files"} {
				if s, ok := table[key].(string); ok {
					name = kind + " " + s
					break
				}
			}
			for unique, n := name, 2; ; n++ {
				if _, there := out[unique]; !there {
					out[unique] = table
					break
				}
				unique = name + " (" + strconv.Itoa(n) + ")"
			}
		}
	case map[string]any:
		named := kind == "check" || kind == "dnssec" || kind == "tsig"
		for key, inner := range v {
			if _, isTable := inner.(map[string]any); named && isTable {
				out[kind+" "+key] = inner
			} else {
				out[kind+"."+key] = inner
			}
		}
	default:
		out[kind] = v
	}
	return out
}

// compare tells what is different in one table.
func (d *differ) compare(name string, a, b any) {
	tableA, isA := a.(map[string]any)
	tableB, isB := b.(map[string]any)
	switch {
	case a == nil:
		d.add("+ %s: %s", name, written(b))
	case b == nil:
		d.add("- %s: %s", name, written(a))
	case isA && isB:
		for _, key := range union(tableA, tableB) {
			d.value(name+": "+key, tableA[key], tableB[key])
		}
	default:
		d.value(name, a, b)
	}
}

// value tells what is different in a key; lists of tables element by element.
func (d *differ) value(name string, a, b any) {
	if reflect.DeepEqual(a, b) {
		return
	}
	listA, isA := a.([]map[string]any)
	listB, isB := b.([]map[string]any)
	if !isA && !isB || a != nil && !isA || b != nil && !isB {
		switch {
		case a == nil:
			d.add("~ %s: not set -> %s", name, written(b))
		case b == nil:
			d.add("~ %s: %s -> not set", name, written(a))
		default:
			d.add("~ %s: %s -> %s", name, written(a), written(b))
		}
		return
	}
	// What is alike at the beginning and the end of both says nothing.
	same := func(i, j int) bool { return reflect.DeepEqual(listA[i], listB[j]) }
	head := 0
	for head < min(len(listA), len(listB)) && same(head, head) {
		head++
	}
	endA, endB := len(listA), len(listB)
	for endA > head && endB > head && same(endA-1, endB-1) {
		endA, endB = endA-1, endB-1
	}
	for i := head; i < max(endA, endB); i++ {
		at := fmt.Sprintf("%s %d", name, i+1)
		switch {
		case i >= endA:
			d.add("+ %s: %s", at, written(listB[i]))
		case i >= endB:
			d.add("- %s: %s", at, written(listA[i]))
		default:
			d.compare(at, listA[i], listB[i])
		}
	}
}

// order tells that tables are the same, but stand in another order.
func (d *differ) order(kind string, a, b any) {
	listA, isA := a.([]map[string]any)
	listB, isB := b.([]map[string]any)
	if !isA || !isB || len(listA) != len(listB) || reflect.DeepEqual(listA, listB) {
		return
	}
	names := func(l []map[string]any) (out []string) {
		for _, t := range l {
			out = append(out, fmt.Sprint(t["name"]))
		}
		return out
	}
	x, y := names(listA), names(listB)
	if sameNames := slices.Equal(slices.Sorted(slices.Values(x)), slices.Sorted(slices.Values(y))); sameNames && !slices.Equal(x, y) {
		d.add("~ %s: another order: %s", kind, strings.Join(y, ", "))
	}
}

// written is a value as TOML has it, in a line.
func written(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case hidden:
		return fmt.Sprintf("(secret %d, not shown)", int(v))
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = written(x)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []map[string]any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = written(x)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, joinPath("", key)+" = "+written(v[key]))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	}
	return fmt.Sprint(v)
}

// union lists the keys of both, sorted.
func union(a, b map[string]any) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
