package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"gslb/balancer"
	"gslb/steer"
)

// nameForm is what sites, groups, checks, frontends and nodes may be called:
// such a name can be written in a target ("nearest:a,b"), be part of an etcd
// key and a label of a metric.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

const nameRule = "must be 1 to 63 letters, digits, '-', '_' and '.', a letter or digit first"

// check looks at config's own tables and at what ties all of them together.
func (c *Config) check(r *report) {
	if r.scope != alone {
		c.checkNode(r)
	}
	c.checkZones(r)
	c.checkChecks(r)
	c.checkSites(r)
	c.checkGroups(r)
	c.checkAudiences(r)
	c.checkMeasured(r)
	c.checkSteers(r)
	c.checkExpects(r)
	c.checkFrontends(r)
	c.checkRoutes(r)
	c.checkAnnounced(r)
	c.checkListens(r)
	c.checkFiles(r)
	c.checkUnused(r)
	c.checkPolicies(r)
}

// checkPolicies compiles what is found right, so that nothing that steer
// refuses comes through.
func (c *Config) checkPolicies(r *report) {
	if len(r.errors.Problems) > 0 {
		return
	}
	policies, err := c.Policies()
	if err != nil {
		r.bad("steer", "%v", err)
	}
	sites := c.SteerSites()
	for i := range policies {
		if _, err := steer.Compile(&policies[i], sites); err != nil {
			r.bad(indexPath("steer", i), "%v", err)
		}
	}
}

// checkRooms lets each room judge its own table.
func (c *Config) checkRooms(r *report) {
	if r.at.has("dns") {
		c.DNS.Validate(r.in("dns"))
		if len(c.DNS.ProxyFrom) > 0 && (len(c.DNS.QUIC.Listen) > 0 || c.DNS.HTTPS.HTTP3) {
			r.warn("dns.proxy_from", "does not hold for QUIC (dns.quic, dns.https.http3): the PROXY protocol says nothing of it, and a front end's QUIC connection counts as its own")
		}
	}
	c.Etcd.Validate(r.in("etcd"))
	c.Geo.Validate(r.in("geo"))
	c.API.Validate(r.in("api"))
	c.BGP.Validate(r.in("bgp"))
	c.History.Validate(r.in("history"))
	c.Breaker.Validate(r.in("breaker"))
	c.Drain.Validate(r.in("drain"))
	c.checkChecker(r)
	c.checkListed(r)
	for _, name := range slices.Sorted(maps.Keys(c.DNSSEC)) {
		path := joinPath("dnssec", name)
		if !nameForm.MatchString(name) {
			r.bad(path, "%q: %s", name, nameRule)
		}
		c.DNSSEC[name].Validate(r.in(path))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Checks)) {
		path := joinPath("check", name)
		if !nameForm.MatchString(name) {
			r.bad(path, "%q: %s", name, nameRule)
		}
		c.Checks[name].Validate(r.in(path))
	}
	for i, f := range c.Frontends {
		f.Validate(r.in(indexPath("frontend", i)))
	}
}

func (c *Config) checkNode(r *report) {
	n := c.Node
	if !nameForm.MatchString(n.Name) {
		if r.at.has("node.name") {
			r.bad("node.name", "%q: %s", n.Name, nameRule)
		} else {
			r.bad("node.name", "missing, and the host name %q cannot stand for it: %s", n.Name, nameRule)
		}
	}
	c.checkTopologyWord(r)
	oneOf(r, "node.log_level", n.LogLevel, "debug", "info", "warn", "error")
	oneOf(r, "node.log_format", n.LogFormat, "text", "json")
	for i, role := range n.Roles {
		key := indexPath("node.roles", i)
		oneOf(r, key, role, RoleDNS, RoleChecker, RoleBalancer)
		if slices.Contains(n.Roles[:i], role) {
			r.bad(key, "%q: listed twice", role)
		}
	}
	switch {
	case n.Site == "" || r.scope == nodeOnly:
	case r.scope == both:
		if !slices.ContainsFunc(c.Sites, func(s Site) bool { return s.Name == n.Site }) {
			r.warn("node.site", "%q: no [[site]] of the topology has this name", n.Site)
		}
	default:
		c.checkSiteName(r, "node.site", n.Site)
	}
	c.checkRoles(r)
}

// checkRoles reports roles without anything to do, and the reverse.
func (c *Config) checkRoles(r *report) {
	if r.errors.keys["node.roles"] {
		return // they could not be read
	}
	if n := slices.Index(c.Node.Roles, RoleDNS); n >= 0 {
		if !r.at.has("dns") {
			r.bad("dns", `missing: the role "dns" needs [dns] with listen = ["0.0.0.0:53", "[::]:53"]`)
		}
		if r.scope == whole && len(c.Zones) == 0 && !r.at.has("zone") && !r.at.has("zones") {
			r.bad("zone", `missing: the role "dns" needs at least one [[zone]] to serve`)
		}
	}
	if n := slices.Index(c.Node.Roles, RoleBalancer); n >= 0 && len(c.Frontends) == 0 && !r.at.has("frontend") && r.scope == whole {
		r.bad(indexPath("node.roles", n), `"balancer": needs at least one [[frontend]]`)
	} else if n < 0 && c.hasFrontends(r) {
		r.warn("frontend", `not used: the node does not have the role "balancer"`)
	}
	if r.scope != whole {
		return
	}
	if n := slices.Index(c.Node.Roles, RoleChecker); n >= 0 && r.at.has("node.roles") &&
		!slices.ContainsFunc(c.Sites, func(s Site) bool { return s.Check != "" }) {
		r.warn(indexPath("node.roles", n), `"checker": has nothing to do, no [[site]] has a check`)
	}
}

func oneOf(r *report, key, value string, known ...string) {
	if !slices.Contains(known, value) {
		hint := ""
		if near := Nearest(value, known); near != "" {
			hint = didYouMean(value, known)
		}
		r.badHint(key, hint, "%q: must be one of %s", value, orList(known))
	}
}

// orList writes "a", "b" or "c".
func orList(words []string) string {
	text := ""
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			text += " or "
		default:
			text += ", "
		}
		text += fmt.Sprintf("%q", w)
	}
	return text
}

// names remembers where names were first used, to report the second use.
type names struct {
	*report
	what  string            // a word for people
	first map[string]string // name -> key
}

// add tells whether the name is new; an empty one is reported as missing.
func (n *names) add(key, name string) bool {
	if name == "" {
		n.bad(key, "missing: must be set")
		return false
	}
	if first, ok := n.first[name]; ok {
		n.bad(key, "%q: already a %s on line %s", name, n.what, n.line(first))
		return false
	}
	if n.first == nil {
		n.first = map[string]string{}
	}
	n.first[name] = key
	return true
}

func (c *Config) checkZones(r *report) {
	seen := names{report: r, what: "zone"}
	for i, z := range c.Zones[:c.listed] {
		path := indexPath("zone", i)
		seen.add(path+".name", z.Name)
		c.checkPolicyName(r, path+".dnssec", z.DNSSEC)
	}
	for i, z := range c.ZoneFiles {
		c.checkPolicyName(r, indexPath("zones", i)+".dnssec", z.DNSSEC)
	}
}

func (c *Config) checkFrontends(r *report) {
	seen := names{report: r, what: "frontend"}
	for i, f := range c.Frontends {
		path := indexPath("frontend", i)
		if seen.add(path+".name", f.Name) && !nameForm.MatchString(f.Name) {
			r.bad(path+".name", "%q: %s", f.Name, nameRule)
		}
		if f.Execs() && r.scope != alone && !c.Node.AllowExec && c.Node.HasRole(RoleBalancer) {
			r.bad(path, "a hook with exec would run a program on this node: if that is to be, set allow_exec = true in [node]")
		}
		c.checkFrontendSite(r, i)
		if r.scope == nodeOnly {
			continue // its check and site are in the topology
		}
		c.checkCheckName(r, path+".check", f.Check)
		switch {
		case r.inTopology(path) && f.Site == "":
		case r.at.has(path + ".site"):
			c.checkSiteName(r, path+".site", f.Site)
		case f.Site == "" && c.Node.HasRole(RoleBalancer):
			r.warn(path, "belongs to no site, so its load and health are not reported: set site here or in [node]")
		}
	}
}

// checkRoutes looks at what frontends need of each other.
func (c *Config) checkRoutes(r *report) {
	if r.scope == nodeOnly || r.unread("frontend") {
		return // the others are in the topology, or could not be read
	}
	balancer.ValidateRoutes(c.Frontends, func(i int, key, msg string) { r.in(indexPath("frontend", i))(key, msg) })
}

func (c *Config) checkSiteName(r *report, key, name string) {
	all := make([]string, len(c.Sites))
	for i, s := range c.Sites {
		all[i] = s.Name
	}
	if slices.Contains(all, name) || r.unread("site") && Nearest(name, all) == "" {
		return // in the second case it may be a site that could not be read
	}
	r.badHint(key, didYouMean(name, all), "%q: no [[site]] has this name", name)
}

// checkCheckName reports a reference to a check that is not there; "" refers to none.
func (c *Config) checkCheckName(r *report, key, name string) {
	all := slices.Collect(maps.Keys(c.Checks))
	if slices.Contains(all, name) || !r.at.has(key) || r.unread("check") && Nearest(name, all) == "" {
		return
	}
	r.badHint(key, didYouMean(name, all), "%q: there is no [check.%s]", name, name)
}

// checkUnused warns of what nothing refers to: mostly a reference is missing.
func (c *Config) checkUnused(r *report) {
	used := map[string]bool{}
	for _, s := range c.Sites {
		used[s.Check] = true
	}
	for _, f := range c.Frontends {
		used[f.Check] = true
	}
	signs := map[string]bool{}
	for _, z := range c.Zones {
		signs[z.DNSSEC] = true
	}
	for _, z := range c.ZoneFiles {
		signs[z.DNSSEC] = true
	}
	for _, check := range c.Checks {
		for _, part := range check.Of {
			used[part] = true
		}
	}
	for name := range c.DNSSEC {
		if !signs[name] {
			r.warn(joinPath("dnssec", name), "not used: no zone is signed by it")
		} else {
			c.warnCompact(r, name)
		}
	}
	for name := range c.Checks {
		if !used[name] {
			r.warn(joinPath("check", name), "not used: no site, frontend or other check refers to it")
		}
	}
	if len(c.Steers) == 0 || len(r.errors.Problems) > 0 {
		return // after an error it is not known what the targets are
	}
	c.warnUntargeted(r)
}
