package balancer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gslb/clienthello"
)

// RouteConfig is one [[frontend.route]]: TLS connections that go to the servers of
// another frontend, by what their ClientHello says. Nothing is decrypted.
type RouteConfig struct {
	// ServerNames are exact names, or "*.example.com" for all below example.com; empty: any, and none.
	ServerNames []string `toml:"server_names"`
	// Protocols are ALPN protocols, of which the client must offer one; empty: any.
	Protocols []string `toml:"protocols"`
	To        string   `toml:"to"` // a frontend of the same site, which may do without listen
}

// What NotTLS may be.
const (
	NotTLSOwn   = "own"
	NotTLSReset = "reset"
)

// routes finds the frontend of a ClientHello. It never changes.
//
// The most specific name decides: the exact one, then the longest wildcard, then no
// name. Of routes with the same name the first one counts whose protocols the client has.
type routes struct {
	names     map[string][]route // exact
	wildcards map[string][]route // by the name behind "*."
	any       []route
}

type route struct {
	protocols []string
	to        *frontend
}

// routesOf makes the routes of cfg; nil if it has none.
func routesOf(cfg *Config, frontends map[string]*frontend) *routes {
	if len(cfg.Routes) == 0 {
		return nil
	}
	r := &routes{names: map[string][]route{}, wildcards: map[string][]route{}}
	for _, c := range cfg.Routes {
		one := route{slices.Clone(c.Protocols), frontends[c.To]}
		if len(c.ServerNames) == 0 {
			r.any = append(r.any, one)
		}
		for _, name := range c.ServerNames {
			to := r.names
			if rest, wild := strings.CutPrefix(name, "*."); wild {
				name, to = rest, r.wildcards
			}
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			to[name] = append(to[name], one)
		}
	}
	return r
}

// find returns where a ClientHello goes; nil: no route says.
func (r *routes) find(h clienthello.Hello, name string) *frontend {
	if to := firstOf(r.names[name], h); to != nil {
		return to
	}
	for rest := name; len(r.wildcards) > 0; {
		var found bool
		if _, rest, found = strings.Cut(rest, "."); !found {
			break
		}
		if to := firstOf(r.wildcards[rest], h); to != nil {
			return to
		}
	}
	return firstOf(r.any, h)
}

func firstOf(all []route, h clienthello.Hello) *frontend {
	for _, one := range all {
		if len(one.protocols) == 0 {
			return one.to
		}
		for p := range h.Protocols() {
			if slices.Contains(one.protocols, string(p)) {
				return one.to
			}
		}
	}
	return nil
}

// serverName is the name of a ClientHello as routes and people have it.
func serverName(h clienthello.Hello) string {
	return strings.ToLower(strings.TrimSuffix(string(h.Name()), "."))
}

// route sends the connection on to the frontend that its ClientHello asks for. It
// reports false, and blames, where there is none for it.
func (c *connection) route(e *entrance, h clienthello.Hello, err error) bool {
	f := c.front
	if err != nil {
		if e.notTLS == NotTLSReset || !e.servers {
			c.blame(endNotTLS)
			return false
		}
		return true
	}
	c.name = serverName(h)
	to := e.routes.find(h, c.name)
	switch {
	case to == nil && e.servers:
		return true
	case to == nil:
		c.blame(endNoRoute)
		return false
	}
	seat, admitted := to.admit(c.from)
	if !admitted {
		c.blame(endDenied)
		return false
	}
	if !to.gate.try(true, nil) {
		seat.leave()
		to.counters.queueFull.Add(1)
		to.counters.refused.Add(1)
		c.blame(endFull)
		return false
	}
	f.counters.routed.Add(1)
	to.counters.accepted.Add(1)
	c.through, c.inner, c.front = f, seat, to
	return true
}

// labelled is a host name, with or without "*." before it.
var labelled = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?$`)

func (c Config) validateRoutes(bad func(key, msg string)) {
	switch c.NotTLS {
	case "", NotTLSOwn, NotTLSReset:
	default:
		bad("not_tls", fmt.Sprintf("%q: must be %q (this frontend's own servers take it) or %q", c.NotTLS, NotTLSOwn, NotTLSReset))
	}
	if c.NotTLS != "" && len(c.Routes) == 0 {
		bad("not_tls", "needs a [[frontend.route]]: without one nobody looks whether it is TLS")
	}
	if c.NotTLS == NotTLSOwn && len(c.Servers) == 0 {
		bad("not_tls", fmt.Sprintf("%q: needs a [[frontend.server]]", c.NotTLS))
	}
	if len(c.Routes) > 0 && (c.inKernel() || c.Protocol == UDP) {
		bad("route", fmt.Sprintf("is for plane %q and protocol %q alone", PlaneProxy, TCP))
	}
	type key struct{ name, protocols string }
	seen := map[key]string{}
	for i, r := range c.Routes {
		at := fmt.Sprintf("route[%d]", i)
		if r.To == "" {
			bad(at+".to", "must name the frontend whose servers take these connections")
		}
		if len(r.ServerNames) == 0 && len(r.Protocols) == 0 {
			bad(at, "needs server_names, protocols or both; what no route takes goes to the frontend's own servers")
		}
		for j, name := range r.ServerNames {
			where := fmt.Sprintf("%s.server_names[%d]", at, j)
			if len(name) > 254 || !labelled.MatchString(name) {
				bad(where, fmt.Sprintf(`%q: must be a host name, such as "www.example.com" or "*.example.com"; of names in other scripts the xn-- form`, name))
			}
			k := key{strings.ToLower(strings.TrimSuffix(name, ".")), strings.Join(r.Protocols, " ")}
			if first, twice := seen[k]; twice {
				bad(where, fmt.Sprintf("%q: stands already in %s", name, first))
			}
			seen[k] = where
		}
		for j, p := range r.Protocols {
			if p == "" || len(p) > 255 {
				bad(fmt.Sprintf("%s.protocols[%d]", at, j), fmt.Sprintf(`%q: must be an ALPN protocol, such as "h2" or "http/1.1"`, p))
			}
		}
	}
}

// ValidateRoutes checks what frontends need of each other: where their routes go, and
// that each listens or is gone to. bad gets the index of the frontend, the key in it, and what would be right.
func ValidateRoutes(cfgs []Config, bad func(i int, key, msg string)) {
	named, goneTo := map[string]*Config{}, map[string]bool{}
	var names []string
	for i := range cfgs {
		named[cfgs[i].Name] = &cfgs[i]
		names = append(names, cfgs[i].Name)
	}
	for i, c := range cfgs {
		for j, r := range c.Routes {
			goneTo[r.To] = true
			key := fmt.Sprintf("route[%d].to", j)
			to := named[r.To]
			switch {
			case r.To == "": // said by Validate
			case to == nil:
				bad(i, key, fmt.Sprintf("%q: there is no frontend of that name; there are %s", r.To, strings.Join(names, ", ")))
			case len(to.Routes) > 0:
				bad(i, key, fmt.Sprintf("%q: has routes itself; a route goes to a frontend that has servers and no routes", r.To))
			case to.inKernel() || to.Protocol == UDP:
				bad(i, key, fmt.Sprintf("%q: must be of plane %q and protocol %q", r.To, PlaneProxy, TCP))
			case to.Site != c.Site && to.Site != "" && c.Site != "":
				bad(i, key, fmt.Sprintf("%q: is of site %q, and this frontend of site %q", r.To, to.Site, c.Site))
			case to.WithDefaults().Engine != c.WithDefaults().Engine:
				bad(i, key, fmt.Sprintf("%q: has engine %q, and this frontend %q: a connection stays with the engine that took it", r.To, to.WithDefaults().Engine, c.WithDefaults().Engine))
			}
		}
	}
	for i, c := range cfgs {
		if len(c.Listen) == 0 && !goneTo[c.Name] {
			bad(i, "listen", `must name at least one address, such as ["192.0.2.10:443"], as no route of another frontend goes to this one`)
		}
	}
}
