package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"gslb/geo"
	"gslb/steer"

	"github.com/miekg/dns"
)

const (
	minTTL = time.Second // RFC 1035 allows 0, but then every query comes here
	maxTTL = 24 * time.Hour
)

func (c *Config) checkSteers(r *report) {
	seen := names{report: r, what: "steered name"}
	apexes := make(map[string]bool)
	if len(c.Steers) > 0 {
		for _, z := range c.Zones {
			apexes[z.Name] = true
		}
	}
	steered := make(map[string]bool) // zones
	for i, s := range c.Steers {
		path := indexPath("steer", i)
		if seen.add(path+".name", s.Name) {
			steered[c.checkOwner(r, path, s, apexes)] = true
		}
		if s.Answer == "" {
			r.bad(path+".answer", "missing: must be %q or %q", AnswerCNAME, AnswerAddress)
		}
		oneOf(r, path+".answer", s.Answer, AnswerCNAME, AnswerAddress)
		if s.Hints && s.Answer == AnswerCNAME {
			r.bad(path+".hints", "needs answer = %q: nothing else can stand beside a CNAME; put the records at the sites' own names", AnswerAddress)
		}
		if s.TTL < minTTL || s.TTL > maxTTL {
			r.bad(path+".ttl", "%s: must be 1s to 24h", showDuration(s.TTL))
		} else if s.TTL%time.Second != 0 {
			r.bad(path+".ttl", "%s: must be whole seconds", showDuration(s.TTL))
		}
		switch low := s.TroubleTTL; {
		case low == 0:
		case low < minTTL || low > s.TTL:
			r.bad(path+".trouble_ttl", "%s: must be 1s to the ttl, %s", showDuration(low), showDuration(s.TTL))
		case low%time.Second != 0:
			r.bad(path+".trouble_ttl", "%s: must be whole seconds", showDuration(low))
		}
		c.checkAnswers(r, path, s)
		oneOf(r, path+".release", s.Release, "", releaseHold)
		c.checkRules(r, path, s)
		c.checkTargets(r, path+".last_resort", s, s.LastResort)
	}
	c.warnMoving(r, steered)
}

// checkAnswers looks at whether the sites of a name can be answered together.
func (c *Config) checkAnswers(r *report, path string, s Steer) {
	key := path + ".answers"
	switch {
	case s.Answers < 1 || s.Answers > steer.MaxAnswers:
		r.bad(key, "%d: must be 1 to %d, the sites that one answer gives at most", s.Answers, steer.MaxAnswers)
		return
	case s.Answers == 1:
		return
	case s.Answer == AnswerCNAME:
		r.bad(key, "%d: a name has one CNAME and no more (RFC 1034, section 3.6.2): use answer = %q, or leave answers out", s.Answers, AnswerAddress)
		return
	}
	of := map[netip.Addr]string{}
	for _, site := range c.reached(s) {
		for _, a := range c.Sites[site].Addresses {
			if other, ok := of[a]; ok && other != c.Sites[site].Name {
				r.bad(key, "%d: sites %s and %s have the same address %s, and an answer cannot hold it twice: give each its own, or leave answers out", s.Answers, other, c.Sites[site].Name, a)
				return
			}
			of[a] = c.Sites[site].Name
		}
	}
}

// reached lists the sites that a steered name can choose, as far as its targets can be read.
func (c *Config) reached(s Steer) (all []int) {
	sites, groups := c.SteerSites(), c.members()
	texts, everyone := slices.Clone(s.LastResort), false
	for _, rule := range s.Rules {
		texts = append(texts, rule.To...)
		everyone = everyone || rule.matchesEveryone()
	}
	if !everyone {
		texts = append(texts, implicitTarget)
	}
	for _, text := range texts {
		if t, err := steer.ParseTarget(text, sites, groups); err == nil {
			for _, m := range t.Members {
				all = append(all, m.Site)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// checkOwner looks at where the steered name stands, and gives the apex of its zone;
// apexes are those of all zones.
func (c *Config) checkOwner(r *report, path string, s Steer, apexes map[string]bool) (apex string) {
	key := path + ".name"
	for at, end := 0, false; !end && apex == ""; at, end = dns.NextLabel(s.Name, at) {
		if apexes[s.Name[at:]] {
			apex = s.Name[at:]
		}
	}
	if apex == "" && apexes["."] {
		apex = "."
	}
	switch {
	case r.faulty(key) || r.unread("zone") || r.faulty("zones"): // it is not known where the name belongs
	case apex == "" && len(c.Zones) > 0:
		r.badHint(key, "zones: "+c.someZones(), "%q: is in none of the zones", s.Name)
	case apex == "" && r.scope == alone: // a node says that it needs zones
		r.bad(key, "%q: is in none of the zones: there is no [[zone]]", s.Name)
	case apex == s.Name && s.Answer == AnswerCNAME:
		r.bad(key, `%q: is the apex of its zone, where a CNAME cannot stand beside SOA and NS: use answer = "address"`, s.Name)
	}
	return apex
}

// someZones lists the zones, as many as a person cares to read.
func (c *Config) someZones() string {
	const most = 20
	var known []string
	for _, z := range c.Zones[:min(len(c.Zones), most)] {
		known = append(known, z.Name)
	}
	if more := len(c.Zones) - most; more > 0 {
		known = append(known, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(known, ", ")
}

func (c *Config) checkRules(r *report, path string, s Steer) {
	if len(s.Rules) == 0 && !r.faulty(path+".rule") {
		r.bad(path+".rule", "missing: must have at least one [[steer.rule]]")
		return
	}
	everyone := ""
	for i, rule := range s.Rules {
		at := indexPath(path+".rule", i)
		c.checkMatchers(r, at, rule)
		if len(rule.To) == 0 {
			r.bad(at+".to", `missing: must list the targets in order, such as ["kt", "nearest:all"]`)
		}
		c.checkTargets(r, at+".to", s, rule.To)
		switch {
		case everyone != "":
			r.bad(at, "never reached: the rule on line %s has no matcher, so it matches everyone", r.line(everyone))
		case rule.matchesEveryone() && !r.faulty(at): // a matcher that is wrong is not none
			everyone = at
		case !r.faulty(at):
			if by := coveredBy(s.Rules, i); by != nil {
				r.bad(at, "never matches: %s every client that it could", r.rulesTake(path, by))
			}
		}
	}
	if everyone == "" && !r.faulty(path+".rule") {
		c.checkImplicitRule(r, path, s)
	}
}

// rulesTake names rules by their lines: "the rule on line 3 takes".
func (r *report) rulesTake(path string, rules []int) string {
	var lines []string
	for _, i := range rules {
		lines = append(lines, r.line(indexPath(path+".rule", i)))
	}
	if len(lines) == 1 {
		return "the rule on line " + lines[0] + " takes"
	}
	return "the rules on lines " + strings.Join(lines[:len(lines)-1], ", ") + " and " + lines[len(lines)-1] + " take"
}

// implicitTarget is where clients go that no rule matches (see steer.Compile).
const implicitTarget = "nearest:all"

func (c *Config) checkImplicitRule(r *report, path string, s Steer) {
	r.warn(path, `no rule for everyone else: they go to %q; if that is meant, write it as the last [[steer.rule]]`, implicitTarget)
	if t, err := steer.ParseTarget(implicitTarget, c.SteerSites(), nil); err == nil && !r.unread("site") {
		c.checkMembers(r, path, fmt.Sprintf("no rule for everyone else, so they go to %q", implicitTarget), s, t)
	}
}

func (c *Config) checkMatchers(r *report, path string, rule SteerRule) {
	each := func(matcher string, values []string, fault func(string) error) {
		key := path + "." + matcher
		if values != nil && len(values) == 0 {
			r.bad(key, "empty: would match nobody; leave it out or list what to match")
		}
		for i, v := range values {
			at := indexPath(key, i)
			if strings.TrimSpace(v) != v || v == "" {
				r.bad(at, "%q: must not be empty nor have blanks around it", v)
			} else if err := fault(v); err != nil {
				r.bad(at, "%v", err)
			} else if slices.ContainsFunc(values[:i], func(w string) bool { return strings.EqualFold(v, w) }) {
				r.bad(at, "%q: listed twice", v)
			}
		}
	}
	anything := func(string) error { return nil }
	each("isp", rule.ISP, anything)
	each("city", rule.City, anything)
	each("country", rule.Country, geo.CheckCountry)
	each("continent", rule.Continent, geo.CheckContinent)
	each("subdivision", rule.Subdivision, geo.CheckSubdivision)
	if rule.ASN != nil && len(rule.ASN) == 0 {
		r.bad(path+".asn", "empty: would match nobody; leave it out or list what to match")
	}
	for i, n := range rule.ASN {
		if n == 0 {
			r.bad(indexPath(path+".asn", i), "0: must be 1 or more: number 0 is reserved (RFC 7607)")
		}
	}
	c.checkNetworks(r, path+".network", rule.Network)
}

func (c *Config) checkNetworks(r *report, key string, networks []netip.Prefix) {
	if networks != nil && len(networks) == 0 {
		r.bad(key, "empty: would match nobody; leave it out or list what to match")
	}
	for i, n := range networks {
		at := indexPath(key, i)
		limit := c.DNS.ECSMaxV4
		if n.Addr().Is6() {
			limit = c.DNS.ECSMaxV6
		}
		switch {
		case !n.IsValid(): // reported when it was read
		case n.Addr().Is4In6():
			r.bad(at, "%q: must be written as an IPv4 network", n)
		case n != n.Masked():
			r.bad(at, "%q: has bits set beyond its length; the network is %q", n, n.Masked())
		case slices.Contains(networks[:i], n):
			r.bad(at, "%q: listed twice", n)
		case n.Bits() > limit:
			r.warn(at, "%q: is finer than the /%d that resolvers tell of a client (ecs_max_v%c): clients behind most resolvers cannot be told apart so finely",
				n, limit, map[bool]rune{true: '4', false: '6'}[n.Addr().Is4()])
		}
	}
}

// checkTargets looks at the targets and at whether their sites fit the form of the answer.
func (c *Config) checkTargets(r *report, key string, s Steer, targets []string) {
	sites, groups := c.SteerSites(), c.members()
	for i, text := range targets {
		at := indexPath(key, i)
		if slices.Contains(targets[:i], text) {
			r.bad(at, "%q: listed twice: when it has no site available the first time, it has none the second", text)
			continue
		}
		t, err := steer.ParseTarget(text, sites, groups)
		if err != nil {
			c.badTarget(r, at, text, err)
			continue
		}
		c.checkMembers(r, at, strconv.Quote(text), s, t)
	}
}

func (c *Config) badTarget(r *report, key, text string, err error) {
	var unknown *steer.UnknownError
	if !errors.As(err, &unknown) {
		r.bad(key, "%q: %v", text, err)
		return
	}
	if unknown.What != "pick" && (r.unread("site") || r.unread("group")) && Nearest(unknown.Name, unknown.Known) == "" {
		return // it may be the name of a site that could not be read
	}
	if unknown.Name == text {
		r.badHint(key, didYouMean(unknown.Name, unknown.Known), "%q: no %s has this name", text, unknown.What)
		return
	}
	r.badHint(key, didYouMean(unknown.Name, unknown.Known), "%q: no %s is named %q", text, unknown.What, unknown.Name)
}

// checkMembers reports the sites of a target that lack what the answer or the
// pick needs. Subject is how the message begins.
func (c *Config) checkMembers(r *report, key, subject string, s Steer, t steer.Target) {
	var noCNAME, noAddress, noLocation, noCapacity []string
	for _, m := range t.Members {
		site := c.Sites[m.Site]
		path := indexPath("site", m.Site)
		lacks := func(list *[]string, field string, missing bool) {
			if missing && !r.at.has(path+"."+field) {
				*list = append(*list, site.Name)
			}
		}
		lacks(&noCNAME, "cname", site.CNAME == "")
		lacks(&noAddress, "addresses", len(site.Addresses) == 0)
		lacks(&noLocation, "location", len(site.Location) == 0)
		lacks(&noCapacity, "capacity", site.Capacity == 0)
	}
	many := len(t.Members) > 1
	switch {
	case s.Answer == AnswerCNAME && noCNAME != nil:
		r.bad(key, `%s: %s: answer = "cname" needs a cname of every site it can choose`, subject, without("site", noCNAME, "cname"))
	case s.Answer == AnswerAddress && noAddress != nil:
		r.bad(key, `%s: %s: answer = "address" needs addresses of every site it can choose`, subject, without("site", noAddress, "addresses"))
	case (t.Pick == steer.Nearest || t.Pick == steer.Latency) && noLocation != nil && many:
		r.warn(key, "%s: %s: a site whose distance is not known comes last", subject, without("site", noLocation, "location"))
	case t.Pick == steer.Load && noCapacity != nil && many:
		r.warn(key, "%s: %s: what it has to spare is only known from its balancer's reports", subject, without("site", noCapacity, "capacity"))
	}
}

func without(what string, names []string, field string) string {
	if len(names) > 1 {
		what += "s"
	}
	return fmt.Sprintf("%s %s without %s", what, strings.Join(names, ", "), field)
}

// warnUntargeted warns of groups and sites that no target has.
func (c *Config) warnUntargeted(r *report) {
	sites, groups := c.SteerSites(), c.members()
	reached, named := map[int]bool{}, map[string]bool{}
	use := func(targets []string) {
		for _, text := range targets {
			t, err := steer.ParseTarget(text, sites, groups)
			if err != nil {
				continue
			}
			for _, m := range t.Members {
				reached[m.Site] = true
			}
			_, list, pick := strings.Cut(text, ":")
			if !pick {
				list = text
			}
			for name := range strings.SplitSeq(list, ",") {
				named[strings.TrimSpace(name)] = true
			}
		}
	}
	for _, s := range c.Steers {
		everyone := false
		for _, rule := range s.Rules {
			use(rule.To)
			everyone = everyone || rule.matchesEveryone()
		}
		if !everyone {
			use([]string{implicitTarget})
		}
		use(s.LastResort)
	}
	for i, s := range c.Sites {
		if !reached[i] {
			r.warn(indexPath("site", i), "not used: no [[steer]] can choose site %q", s.Name)
		}
	}
	for i, g := range c.Groups {
		if !named[g.Name] {
			r.warn(indexPath("group", i), "not used: no [[steer]] refers to group %q", g.Name)
		}
	}
}
