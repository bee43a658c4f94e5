package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// binder assigns a decoded TOML tree to Go values by their toml tags. Unlike
// the library's own decoder it goes on after a fault, so that all of them are
// reported, each at its key; refuses numbers as durations; and takes tags to
// the letter, upper and lower case included.
type binder struct{ *report }

// table is a struct that is being filled, with the tables around it.
type table struct {
	fields map[string]reflect.Value
	path   string
	outer  *table
}

func (t *table) names() []string { return slices.Collect(maps.Keys(t.fields)) }

// bind assigns src to dst. Where the value has the wrong type, it reports that
// and leaves dst alone.
func (b binder) bind(dst reflect.Value, src any, path string, outer *table) {
	if dst.Kind() == reflect.Pointer {
		dst.Set(reflect.New(dst.Type().Elem()))
		dst = dst.Elem()
	}
	if text, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		b.bindText(text, dst.Type(), src, path)
		return
	}
	if dst.Type() == reflect.TypeFor[time.Duration]() {
		b.bindDuration(dst, src, path)
		return
	}
	switch dst.Kind() {
	case reflect.Struct:
		b.bindTable(dst, src, path, outer)
	case reflect.Map:
		b.bindMap(dst, src, path, outer)
	case reflect.Slice:
		b.bindList(dst, src, path, outer)
	default:
		b.bindScalar(dst, src, path)
	}
}

func (b binder) bindTable(dst reflect.Value, src any, path string, outer *table) {
	tree, ok := src.(map[string]any)
	if !ok {
		b.wrongTable(src, path)
		return
	}
	t := &table{fields: map[string]reflect.Value{}, path: path, outer: outer}
	t.take(dst)
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		at := joinPath(path, key)
		if field, ok := t.fields[key]; ok {
			b.bind(field, tree[key], at, t)
		} else {
			b.badHint(at, t.hint(key), "unknown key")
			if near := Nearest(key, t.names()); near != "" {
				b.errors.take(joinPath(path, near)) // that it is missing goes without saying
			}
		}
	}
}

// take adds the fields of a struct, with those of structs embedded in it.
func (t *table) take(dst reflect.Value) {
	for i := range dst.NumField() {
		field := dst.Type().Field(i)
		if tag := field.Tag.Get("toml"); tag != "" && tag != "-" {
			t.fields[tag] = dst.Field(i)
		} else if field.Anonymous {
			t.take(dst.Field(i))
		}
	}
}

// wrongTable reports a value that should have been one table.
func (b binder) wrongTable(src any, path string) {
	if _, ok := src.([]map[string]any); ok && !strings.HasSuffix(path, "]") {
		b.bad(path, "there is only one: write [%s], not [[%s]]", path, path)
		return
	}
	b.bad(path, "%s: must be a table", show(src))
}

// hint tells what an unknown key may have been meant to be. A key of a table
// further out has mostly been written below a header by mistake, as TOML has no
// end of a table.
func (t *table) hint(key string) string {
	if near := Nearest(key, t.names()); near != "" {
		return `did you mean "` + near + `"?`
	}
	for o := t.outer; o != nil; o = o.outer {
		if _, ok := o.fields[key]; !ok {
			continue
		}
		if o.path == "" {
			return "it is a table of its own: write [" + key + "]"
		}
		return fmt.Sprintf("it belongs to %s: write it above %s", header(o.path), header(t.path))
	}
	return known(t.names())
}

func (b binder) bindMap(dst reflect.Value, src any, path string, outer *table) {
	tree, ok := src.(map[string]any)
	if !ok {
		if _, tables := src.([]map[string]any); tables {
			b.bad(path, "each one has a name: write [%s.NAME], not [[%s]]", path, path)
			return
		}
		b.bad(path, "%s: must be a table", show(src))
		return
	}
	dst.Set(reflect.MakeMap(dst.Type()))
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		v := reflect.New(dst.Type().Elem()).Elem()
		b.bind(v, tree[key], joinPath(path, key), outer)
		dst.SetMapIndex(reflect.ValueOf(key), v)
	}
}

func (b binder) bindList(dst reflect.Value, src any, path string, outer *table) {
	v := reflect.ValueOf(src)
	if v.Kind() != reflect.Slice {
		switch elem := dst.Type().Elem(); {
		case elem.Kind() == reflect.Struct && v.Kind() == reflect.Map:
			b.bad(path, "there may be several: write [[%s]], not [%s]", headerPath(path), headerPath(path))
		case v.Kind() == reflect.Map:
			b.bad(path, "a table: must be a list")
		default:
			b.bad(path, "%s: must be a list, [%s]", show(src), show(src))
		}
		return
	}
	list := reflect.MakeSlice(dst.Type(), v.Len(), v.Len())
	for i := range v.Len() {
		b.bind(list.Index(i), v.Index(i).Interface(), indexPath(path, i), outer)
	}
	dst.Set(list)
}

// header writes the header of the table at path.
func header(path string) string {
	if strings.HasSuffix(path, "]") {
		return "[[" + headerPath(path) + "]]"
	}
	return "[" + headerPath(path) + "]"
}

// headerPath is path as a table header writes it, without indexes.
func headerPath(path string) string {
	var b strings.Builder
	inIndex := false
	for _, c := range path {
		switch {
		case c == '[':
			inIndex = true
		case c == ']':
			inIndex = false
		case !inIndex:
			b.WriteRune(c)
		}
	}
	return b.String()
}

func (b binder) bindScalar(dst reflect.Value, src any, path string) {
	switch dst.Kind() {
	case reflect.String:
		if s, ok := src.(string); ok {
			dst.SetString(s)
			return
		}
		b.bad(path, "%s: must be text in quotes", show(src))
	case reflect.Bool:
		if v, ok := src.(bool); ok {
			dst.SetBool(v)
			return
		}
		b.bad(path, "%s: must be true or false, without quotes", show(src))
	case reflect.Int, reflect.Int64, reflect.Int32:
		if n, ok := src.(int64); ok && !dst.OverflowInt(n) {
			dst.SetInt(n)
			return
		}
		b.bad(path, "%s: must be a whole number%s", show(src), unquote(src))
	case reflect.Uint32, reflect.Uint16, reflect.Uint64:
		if n, ok := src.(int64); ok && n >= 0 && !dst.OverflowUint(uint64(n)) {
			dst.SetUint(uint64(n))
			return
		}
		b.bad(path, "%s: must be a whole number from 0 to %d%s", show(src), uint64(math.MaxUint64)>>(64-dst.Type().Bits()), unquote(src))
	case reflect.Float64:
		switch n := src.(type) {
		case int64:
			dst.SetFloat(float64(n))
			return
		case float64:
			if !math.IsNaN(n) && !math.IsInf(n, 0) {
				dst.SetFloat(n)
				return
			}
		}
		b.bad(path, "%s: must be a number%s", show(src), unquote(src))
	default: // a Config type uses a kind that this table does not know: a fault of the program
		b.bad(path, "this program cannot read a %s here", dst.Type())
	}
}

// unquote tells how to write a number that stands in quotes, as 4766 does in
// "4766" and "AS4766".
func unquote(src any) string {
	text, ok := src.(string)
	if !ok {
		return ""
	}
	digits := strings.TrimPrefix(strings.ToUpper(text), "AS")
	if _, err := strconv.ParseFloat(digits, 64); err != nil {
		return ""
	}
	return ", " + digits + " without quotes"
}

func (b binder) bindDuration(dst reflect.Value, src any, path string) {
	switch v := src.(type) {
	case int64: // a bare 2 could be seconds or, as the library has it, nanoseconds
		b.bad(path, `%d: must be a duration with its unit, such as "%ds"`, v, v)
	case string:
		d, err := ParseDuration(v)
		if err != nil {
			b.bad(path, `%q: must be a duration such as "500ms", "30s", "5m" or "14d"`, v)
			return
		}
		dst.SetInt(int64(d))
	default:
		b.bad(path, `%s: must be a duration such as "500ms", "30s" or "5m"`, show(src))
	}
}

// ParseDuration reads a duration as the time package does, and weeks and days
// before that: "1w", "1d12h".
func ParseDuration(text string) (time.Duration, error) {
	var days time.Duration
	rest := text
	for _, unit := range []struct {
		letter string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		digits, after, found := strings.Cut(rest, unit.letter)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 14) // the largest is 314 years of weeks, and fits
		if err != nil {
			return 0, err
		}
		days, rest = days+time.Duration(n)*unit.length, after
	}
	if rest == "" && text != "" {
		return days, nil
	}
	d, err := time.ParseDuration(rest)
	if err == nil && days > 0 && (d < 0 || days+d < days) {
		err = errors.New("out of range")
	}
	return days + d, err
}

// numbered is what may be written as a number too.
type numbered interface{ UnmarshalNumber(n int64) error }

// fractional is what may be written as a number with a point too.
type fractional interface{ UnmarshalFraction(x float64) error }

func (b binder) bindText(dst encoding.TextUnmarshaler, typ reflect.Type, src any, path string) {
	if n, isNumber := src.(int64); isNumber {
		if also, ok := dst.(numbered); ok {
			if err := also.UnmarshalNumber(n); err != nil {
				b.bad(path, "%d: %v", n, err)
			}
			return
		}
	}
	if x, isFraction := src.(float64); isFraction {
		if also, ok := dst.(fractional); ok {
			if err := also.UnmarshalFraction(x); err != nil {
				b.bad(path, "%v: %v", x, err)
			}
			return
		}
	}
	text, ok := src.(string)
	if !ok {
		b.bad(path, "%s: must be text in quotes", show(src))
		return
	}
	err := dst.UnmarshalText([]byte(text))
	if err == nil && text == "" {
		err = errors.New("empty")
	}
	switch {
	case err == nil:
	case typ == reflect.TypeFor[netip.Addr]():
		b.bad(path, `%q: must be an IP address such as "192.0.2.1" or "2001:db8::1"`, text)
	case typ == reflect.TypeFor[netip.Prefix]():
		if a, err := netip.ParseAddr(text); err == nil {
			b.bad(path, `%q: must be a network with its length; for this address alone write "%s/%d"`, text, a, a.BitLen())
			return
		}
		b.bad(path, `%q: must be a network such as "192.0.2.0/24" or "2001:db8::/32"`, text)
	default:
		b.bad(path, "%q: %v", text, err)
	}
}

// show writes a value as it stood in the file, or says what it is.
func show(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case time.Time:
		return "a date"
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	}
	return fmt.Sprint(v)
}
