package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"gslb/health/probe"
	"gslb/zones"
)

// complete puts names into canonical form, fills in defaults and makes paths
// absolute. The rooms judge their tables as they are written, since a default
// that follows from a wrong value would only be wrong once more.
func (c *Config) complete(r *report) {
	c.completeNames(r)
	setDefaults(r, "node", &c.Node, c.Node.withDefaults(c.hasFrontends(r)))
	c.checkRooms(r)
	c.Checks = probe.Resolve(c.Checks, func(check, key, msg string) { r.bad(joinPath("check", check)+"."+key, "%s", msg) })
	c.completeDefaults(r)
	if c.BGP.Used() && !r.at.has("node.shutdown_wait") {
		c.Node.ShutdownWait = time.Second
	}
	c.completePaths(r)
	c.dropListed()
	c.addZoneFiles(r)
	for i := range c.Frontends {
		if f := &c.Frontends[i]; f.Site == "" {
			f.Site = c.siteOf(f.Listen)
		}
	}
}

// completeNames makes domain names absolute and lower case.
func (c *Config) completeNames(r *report) {
	canonical := func(name *string, key string) {
		if *name == "" {
			return // whoever needs it says so
		}
		full, err := zones.CanonicalName(*name)
		if err != nil {
			r.bad(key, "%v", err)
			return
		}
		*name = full
	}
	for i := range c.Zones {
		canonical(&c.Zones[i].Name, indexPath("zone", i)+".name")
	}
	for i := range c.Sites {
		canonical(&c.Sites[i].CNAME, indexPath("site", i)+".cname")
	}
	for i := range c.Steers {
		canonical(&c.Steers[i].Name, indexPath("steer", i)+".name")
	}
}

func (c *Config) completeDefaults(r *report) {
	if r.at.has("etcd.embedded") && !c.Etcd.Embedded && len(c.Etcd.Endpoints) == 0 {
		r.bad("etcd.embedded", "false: needs the endpoints of an outside cluster instead")
	}
	setDefaults(r, "dns", &c.DNS, c.DNS.WithDefaults())
	setDefaults(r, "etcd", &c.Etcd, c.Etcd.WithDefaults())
	setDefaults(r, "geo", &c.Geo, c.Geo.WithDefaults())
	setDefaults(r, "history", &c.History, c.History.WithDefaults())
	setDefaults(r, "breaker", &c.Breaker, c.Breaker.WithDefaults())
	setDefaults(r, "drain", &c.Drain, c.Drain.WithDefaults())
	setDefaults(r, "api", &c.API, c.API.WithDefaults())
	setDefaults(r, "bgp", &c.BGP, c.BGP.WithDefaults())
	for i, s := range c.Sites {
		setDefaults(r, indexPath("site", i), &c.Sites[i], s.withDefaults())
	}
	for name, policy := range c.DNSSEC {
		v := policy
		setDefaults(r, joinPath("dnssec", name), &v, policy.WithDefaults())
		c.DNSSEC[name] = v
	}
	for name, check := range c.Checks {
		v := check
		setDefaults(r, joinPath("check", name), &v, check.WithDefaults())
		c.Checks[name] = v
	}
	c.completeExpects(r)
	for i, s := range c.Steers {
		setDefaults(r, indexPath("steer", i), &c.Steers[i], s.withDefaults())
	}
	for i, f := range c.Frontends {
		if f.Site == "" && !r.inTopology(indexPath("frontend", i)) {
			f.Site = c.Node.Site
		}
		setDefaults(r, indexPath("frontend", i), &c.Frontends[i], f.WithDefaults())
	}
}

// setDefaults replaces the table at path by its copy with defaults. A zero that
// the file writes out would be replaced in silence, so it is an error.
func setDefaults[T any](r *report, path string, dst *T, full T) {
	refuseZeros(r, path, reflect.ValueOf(dst).Elem(), reflect.ValueOf(&full).Elem())
	*dst = full
}

func refuseZeros(r *report, path string, written, full reflect.Value) {
	for i := range written.NumField() {
		tag := written.Type().Field(i).Tag.Get("toml")
		key := joinPath(path, tag)
		w, f := written.Field(i), full.Field(i)
		if tag == "" || !r.at.has(key) {
			continue
		}
		switch {
		case w.Kind() == reflect.Slice && w.Len() == f.Len() && w.Type().Elem().Kind() == reflect.Struct:
			for j := range w.Len() {
				refuseZeros(r, indexPath(key, j), w.Index(j), f.Index(j))
			}
		case isEmpty(w) && !isEmpty(f):
			r.bad(key, "%s: leave it out to get the default, %s", showValue(w), showValue(f))
		}
	}
}

// hasFrontends tells whether the node's own file has a [[frontend]].
func (c *Config) hasFrontends(r *report) bool {
	for i := range c.Frontends {
		if !r.inTopology(indexPath("frontend", i)) {
			return true
		}
	}
	return false
}

func isEmpty(v reflect.Value) bool {
	return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
}

// showValue writes a Go value as TOML would.
func showValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case string:
		return fmt.Sprintf("%q", x)
	case time.Duration:
		return showDuration(x)
	case []string:
		return showList(x)
	}
	return fmt.Sprint(v.Interface())
}

func showList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// showDuration drops the zero units that Duration.String adds: "5m", not "5m0s".
// From two days on whole ones are written as such.
func showDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// siteOf returns the site that has the address of one of the listens, if only
// one has: whoever takes the connections to a site's address serves that site.
func (c *Config) siteOf(listens []string) string {
	found := ""
	for _, l := range listens {
		e, ok := parseEndpoint(l)
		if !ok || !e.addr.IsValid() || e.addr.IsUnspecified() {
			continue
		}
		for _, s := range c.Sites {
			for _, a := range s.Addresses {
				if a != e.addr {
					continue
				}
				if found != "" && found != s.Name {
					return ""
				}
				found = s.Name
			}
		}
	}
	return found
}
