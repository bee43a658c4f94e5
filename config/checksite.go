package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"gslb/geo"
	"gslb/zones"
)

// maxBias is twice the greatest distance on earth, in kilometres: anything
// beyond it is not a bias but a slip.
const maxBias = 40000

func (c *Config) checkSites(r *report) {
	seen := names{report: r, what: "site"}
	for i, s := range c.Sites {
		path := indexPath("site", i)
		if seen.add(path+".name", s.Name) && !nameForm.MatchString(s.Name) {
			r.bad(path+".name", "%q: %s", s.Name, nameRule)
		}
		if s.Name == "all" {
			r.bad(path+".name", `"all": stands for every site in targets, so no site can have this name`)
		}
		c.checkCNAME(r, path, s)
		checkAddresses(r, path+".addresses", s.Addresses)
		s.checkNumbers(r, path)
		s.checkReturn(r, path)
		c.checkProbing(r, path, s)
		c.checkVantage(r, path, &s)
	}
}

func (s Site) checkNumbers(r *report, path string) {
	if s.Location != nil && !r.faulty(path+".location") {
		if err := geo.CheckLocation(s.Location); err != nil {
			r.bad(path+".location", "%v", err)
		}
	}
	if s.Capacity < 0 {
		r.bad(path+".capacity", "%v: must be 0 or more, 0 for not stated", s.Capacity)
	}
	if s.Weight <= 0 {
		r.bad(path+".weight", "%v: must be above 0; for a site in reserve set weight 0 in a group, or drain the site", s.Weight)
	}
	if math.Abs(s.Bias) > maxBias {
		r.bad(path+".bias", "%v: must be -%d to %d kilometres", s.Bias, maxBias, maxBias)
	}
}

// checkCNAME looks at what the site is answered with.
func (c *Config) checkCNAME(r *report, path string, s Site) {
	key := path + ".cname"
	if s.CNAME == "" && len(s.Addresses) == 0 {
		r.bad(path, "has neither cname nor addresses: nothing can be answered with it")
		return
	}
	if len(s.CNAME) > 1 && s.CNAME[:2] == "*." {
		r.bad(key, "%q: cannot be a wildcard, it is the name that users are sent to", s.CNAME)
	}
	for i, steered := range c.Steers {
		if steered.Name == s.CNAME && s.CNAME != "" && steered.Answer == AnswerCNAME {
			r.bad(key, "%q: is itself a steered name (line %s) that answers with a CNAME: users would be sent in a circle",
				s.CNAME, r.line(indexPath("steer", i)+".name"))
		}
	}
}

func checkAddresses(r *report, key string, addresses []netip.Addr) {
	for i, a := range addresses {
		at := indexPath(key, i)
		switch {
		case !a.IsValid(): // reported when it was read
		case a.Zone() != "":
			r.bad(at, "%q: must not have a zone: it means nothing to others", a)
		case a.Is4In6():
			r.bad(at, "%q: must be written as IPv4, %q", a, a.Unmap())
		case a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast():
			r.bad(at, "%q: must be an address that users can connect to", a)
		case slices.Contains(addresses[:i], a):
			r.bad(at, "%q: listed twice", a)
		}
	}
}

// checkProbing looks at the site's check and what it probes.
func (c *Config) checkProbing(r *report, path string, s Site) {
	c.checkCheckName(r, path+".check", s.Check)
	if s.Check != "" && len(s.Addresses) == 0 && len(s.CheckAddress) == 0 {
		r.bad(path+".check", "%q: has nothing to probe: set addresses or check_address", s.Check)
	}
	if s.Check == "" && len(s.CheckAddress) > 0 {
		r.bad(path+".check_address", "without a check: set check to the name of a [check.NAME]")
	}
	for i, a := range s.CheckAddress {
		if msg := probeAddressFault(a); msg != "" {
			r.bad(indexPath(path+".check_address", i), "%q: %s", a, msg)
		} else if slices.Contains(s.CheckAddress[:i], a) {
			r.bad(indexPath(path+".check_address", i), "%q: listed twice", a)
		}
	}
}

// probeAddressFault tells what is wrong with host or host:port; "" for nothing.
func probeAddressFault(s string) string {
	if _, err := netip.ParseAddr(s); err == nil {
		return ""
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, "1"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Sprintf("port %q must be a number from 1 to 65535", port)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	if _, err := zones.CanonicalName(host); err != nil {
		return `must be an address or a host, with or without a port, such as "192.0.2.10:443" or "[2001:db8::1]:443"`
	}
	return ""
}

func (c *Config) checkGroups(r *report) {
	seen := names{report: r, what: "group"}
	for i, g := range c.Groups {
		path := indexPath("group", i)
		if seen.add(path+".name", g.Name) && !nameForm.MatchString(g.Name) {
			r.bad(path+".name", "%q: %s", g.Name, nameRule)
		}
		if j := slices.IndexFunc(c.Sites, func(s Site) bool { return s.Name == g.Name }); j >= 0 && g.Name != "" {
			r.bad(path+".name", "%q: already a site on line %s", g.Name, r.line(indexPath("site", j)+".name"))
		}
		if len(g.Members) == 0 {
			r.bad(path+".members", "missing: must list at least one site")
		}
		for j, m := range g.Members {
			key := indexPath(path+".members", j)
			c.checkMember(r, key, m)
			if slices.Contains(g.Members[:j], m) {
				r.bad(key, "%q: listed twice", m)
			}
		}
		g.checkWeights(r, path+".weights")
	}
}

func (c *Config) checkMember(r *report, key, name string) {
	if slices.ContainsFunc(c.Groups, func(g Group) bool { return g.Name == name }) &&
		!slices.ContainsFunc(c.Sites, func(s Site) bool { return s.Name == name }) {
		r.bad(key, "%q: is a group; members must be sites", name)
		return
	}
	c.checkSiteName(r, key, name)
}

func (g Group) checkWeights(r *report, path string) {
	positive := len(g.Weights) < len(g.Members) // those without one have the site's own
	for name, w := range g.Weights {
		key := joinPath(path, name)
		positive = positive || w > 0
		if w < 0 {
			r.bad(key, "%v: must be 0 or more", w)
		}
		if !slices.Contains(g.Members, name) {
			r.badHint(key, didYouMean(name, g.Members), "%q: is not one of the group's members", name)
		}
	}
	if !positive && len(g.Weights) > 0 {
		r.warn(path, "all are 0: each member is only taken when nothing else is available")
	}
}
