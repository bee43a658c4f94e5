package config

import (
	"net/netip"
	"strings"
	"time"

	"gslb/geo"
	"gslb/health"
	"gslb/zones"

	"github.com/miekg/dns"
)

// Expect is one [[expect]]: an answer that a steered name must give.
type Expect struct {
	Name string `toml:"name"` // a steered name
	// Client is who asks: an address, or a network that stands for its first address.
	Client string `toml:"client"`
	// Place is where a client is of whom no more is known, instead of Client.
	Place geo.PlaceConfig `toml:"place"`
	Type  string          `toml:"type"`  // of record; default A
	Down  []string        `toml:"down"`  // sites that are down; all others are up
	Drain []string        `toml:"drain"` // sites that drain
	// RTT are the round-trip times in milliseconds, by site, that a checker beside the client has measured.
	RTT map[string]float64 `toml:"rtt_ms"`
	At  time.Time          `toml:"at"` // when; the draws of weighted picks depend on it
	// What is expected; all that are written must hold.
	Site      string       `toml:"site"`
	Sites     []string     `toml:"sites"` // one of these
	CNAME     string       `toml:"cname"`
	Addresses []netip.Addr `toml:"addresses"` // all of that type, in any order
}

// HasPlace tells whether the client is told by its place.
func (e Expect) HasPlace() bool { return e.Client == "" }

func (e Expect) withDefaults() Expect {
	if e.Type == "" {
		e.Type = "A"
	}
	return e
}

func (c *Config) checkExpects(r *report) {
	steered := map[string]bool{}
	var names []string
	for _, s := range c.Steers {
		steered[s.Name] = true
		names = append(names, s.Name)
	}
	for i, e := range c.Expects {
		path := indexPath("expect", i)
		switch {
		case e.Name == "":
			r.bad(path+".name", "missing: must be a steered name")
		case !steered[e.Name] && !r.unread("steer"):
			r.badHint(path+".name", didYouMean(e.Name, names), "%q: no [[steer]] has this name", e.Name)
		}
		c.checkExpectedClient(r, path, e)
		if t := dns.StringToType[strings.ToUpper(e.Type)]; t == dns.TypeNone {
			r.bad(path+".type", "%q: must be a record type such as A, AAAA or HTTPS", e.Type)
		}
		for key, sites := range map[string][]string{"down": e.Down, "drain": e.Drain, "sites": e.Sites} {
			for j, s := range sites {
				c.checkSiteName(r, indexPath(path+"."+key, j), s)
			}
		}
		if e.Site != "" {
			c.checkSiteName(r, path+".site", e.Site)
		}
		for site := range e.RTT {
			c.checkSiteName(r, path+".rtt_ms."+site, site)
		}
		if err := (&health.Times{RTT: e.RTT}).Fault(); err != nil {
			r.bad(path+".rtt_ms", "%v", err)
		}
		if e.Site == "" && e.Sites == nil && e.CNAME == "" && e.Addresses == nil && !r.faulty(path) {
			r.bad(path, "expects nothing: must have site, sites, cname or addresses")
		}
	}
}

func (c *Config) checkExpectedClient(r *report, path string, e Expect) {
	placed := r.at.has(path + ".place")
	switch {
	case e.Client == "" && !placed:
		r.bad(path+".client", `missing: must be an address such as "203.0.113.7", or there must be a place such as { country = "KR", isp = "KT" }`)
	case e.Client != "" && placed:
		r.bad(path+".place", "stands beside client, whose place the databases say: must be one or the other")
	case placed:
		e.Place.Validate(r.in(path + ".place"))
	default:
		if _, ok := clientAddr(e.Client); !ok {
			r.bad(path+".client", `%q: must be an address such as "203.0.113.7" or a network such as "203.0.113.0/24"`, e.Client)
		}
	}
}

// Addr is the address that stands for Client.
func (e Expect) Addr() netip.Addr { a, _ := clientAddr(e.Client); return a }

func clientAddr(text string) (netip.Addr, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked().Addr(), true
	}
	a, err := netip.ParseAddr(text)
	return a, err == nil && a.Zone() == ""
}

// completeExpects makes domain names canonical.
func (c *Config) completeExpects(r *report) {
	for i := range c.Expects {
		e, path := &c.Expects[i], indexPath("expect", i)
		setDefaults(r, path, e, e.withDefaults())
		for key, name := range map[string]*string{"name": &e.Name, "cname": &e.CNAME} {
			if *name == "" {
				continue
			}
			full, err := zones.CanonicalName(*name)
			if err != nil {
				r.bad(path+"."+key, "%v", err)
				continue
			}
			*name = full
		}
	}
}

// lines are where the tables stand that only a compiled configuration is judged by.
func (c *Config) keepLines(r *report) {
	c.lines = map[string]Problem{}
	keep := func(key string) { c.lines[key] = r.problem(key, "") }
	for i := range c.Expects {
		keep(indexPath("expect", i))
	}
	for i := range c.Sites {
		keep(indexPath("site", i))
	}
	for i, s := range c.Steers {
		path := indexPath("steer", i)
		keep(path)
		for j := range s.Rules {
			keep(indexPath(path+".rule", j))
		}
	}
}

// Fault is what is wrong with the n-th table of a kind ("expect", "site" or "steer"),
// found by those who have more at hand than the configuration.
func (c *Config) Fault(kind string, n int, message string) Problem {
	return c.fault(indexPath(kind, n), message)
}

// RuleFault is the same of a rule of a steered name.
func (c *Config) RuleFault(steer, rule int, message string) Problem {
	return c.fault(indexPath(indexPath("steer", steer)+".rule", rule), message)
}

func (c *Config) fault(key, message string) Problem {
	p := c.lines[key]
	p.Key, p.Message = key, message
	return p
}
