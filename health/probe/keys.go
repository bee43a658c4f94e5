package probe

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Keys of the configuration that several types have.
var (
	scheduleKeys = []string{"interval", "jitter", "timeout", "rise", "fall", "slow"} // of all that probe
	tlsKeys      = []string{"host", "skip_verify", "ca", "expiry_warning"}
	httpKeys     = []string{"port", "source", "method", "path", "host", "headers", "body", "status", "body_match", "header_match", "json", "generation", "redirects", "http_version"}
)

// has tells whether checks of this kind have the key.
func (k kind) has(key string) bool {
	switch {
	case key == "type" || slices.Contains(k.keys, key):
		return true
	case k.composite:
		return false
	case k.passive: // nothing is asked, so nothing takes time or has to be asked again
		return key == "interval"
	}
	return slices.Contains(scheduleKeys, key)
}

// validateKeys reports keys that are set, and that the type does not have.
func (c Config) validateKeys(k kind, bad func(key, msg string)) {
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("toml")
		if key == "-" || k.has(key) {
			continue
		}
		if f := v.Field(i); f.IsZero() || (f.Kind() == reflect.Slice || f.Kind() == reflect.Map) && f.Len() == 0 {
			continue
		}
		bad(key, fmt.Sprintf("is only for %s, and this check is of type %q", ownersOf(key), c.Type))
	}
}

// ownersOf lists the types that have a key.
func ownersOf(key string) string {
	var names []string
	for _, k := range kinds {
		if k.has(key) {
			names = append(names, k.name)
		}
	}
	if len(names) > 8 {
		return "checks that probe"
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
