package config

import (
	"encoding"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// tables returns the keys of every table of the configuration, by header as
// the reference writes it ("[dns]", "[[steer.rule]]", "[check.NAME]").
func tables() map[string][]string {
	all := map[string][]string{}
	var walk func(typ reflect.Type, header, path string)
	walk = func(typ reflect.Type, header, path string) {
		for i := range typ.NumField() {
			tag := typ.Field(i).Tag.Get("toml")
			if typ.Field(i).Anonymous && tag == "" {
				walk(typ.Field(i).Type, header, path)
			}
			if tag == "" || tag == "-" {
				continue
			}
			inner, name := typ.Field(i).Type, strings.TrimPrefix(path+"."+tag, ".")
			switch {
			case inner.Kind() == reflect.Struct && strings.HasPrefix(inner.PkgPath(), "gslb/"):
				walk(inner, "["+name+"]", name)
			case inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct && strings.HasPrefix(inner.Elem().PkgPath(), "gslb/") &&
				!reflect.PointerTo(inner.Elem()).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()): // else it is written as text
				walk(inner.Elem(), "[["+name+"]]", name)
			case inner.Kind() == reflect.Map && inner.Elem().Kind() == reflect.Struct:
				walk(inner.Elem(), "["+name+".NAME]", name+".NAME")
			default:
				all[header] = append(all[header], tag)
				continue
			}
			if header != "" && inner.Kind() == reflect.Struct { // written in a line as often as not
				all[header] = append(all[header], tag)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "", "")
	return all
}

// TestReference sees that docs/configuration.md has each table, each of its
// keys as a row there, and no key that does not exist.
func TestReference(t *testing.T) {
	data, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	documented, headers := map[string][]string{}, []string(nil)
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			headers = nil // of "`[a.b]` and `[a.c]`" both
			for i, part := range strings.Split(line, "`") {
				if i%2 == 1 {
					headers = append(headers, part)
				}
			}
		}
		if rest, ok := strings.CutPrefix(line, "| `"); ok {
			key, _, _ := strings.Cut(rest, "`")
			for _, header := range headers {
				documented[header] = append(documented[header], key)
			}
		}
	}
	for header, keys := range tables() {
		for _, key := range keys {
			if !slices.Contains(documented[header], key) {
				t.Errorf("%s: %q is not documented", header, key)
			}
		}
		for _, key := range documented[header] {
			if !slices.Contains(keys, key) {
				t.Errorf("%s: %q is documented, but not a key", header, key)
			}
		}
	}
}
