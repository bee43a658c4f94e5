package main

import (
	"cmp"
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"gslb/balancer"
	"gslb/config"
	"gslb/geo"
	"gslb/health"
	"gslb/steady"
)

const (
	// leavingEvery is how often this node looks at sites that are to get no new users.
	leavingEvery = time.Second
	// givenFor is how long a site counts as given after it was.
	givenFor = 3 * time.Second
	// givenRenew is when the fleet is told anew of a site that goes on to be given.
	givenRenew = 10 * time.Second
	// mostAddresses bounds those that a checker tells of itself.
	mostAddresses = 32
)

// leavingSites are those that are to get no new users, sorted.
func leavingSites(states *health.States) []string {
	var out []string
	for name, st := range states.Sites {
		if st.Leaving() {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// given is what this node's DNS server has answered of a site that is to get none.
type given struct {
	counts  map[string]uint64 // answers by steered name, as of the last look
	since   uint64            // answers since the first look
	seen    time.Time         // when an answer was seen last; zero: none since the first look
	expires time.Time
	told    health.Answered
	toldAt  time.Time
}

// leaving follows the sites that are to get no new users, until ctx ends: who of their
// clients is nobody's user, and when the last DNS answer that named them expires.
func (n *node) leaving(ctx context.Context) error {
	ticker := time.NewTicker(leavingEvery)
	defer ticker.Stop()
	all := map[string]*given{}
	for {
		n.knowNobody()
		if n.dns != nil {
			n.given(all, steady.Now())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// given looks at what was answered since the last look, and tells the fleet.
func (n *node) given(all map[string]*given, now time.Time) {
	sites := leavingSites(n.fleet.States())
	for site := range all {
		if !slices.Contains(sites, site) {
			delete(all, site)
			n.fleet.Unanswered(site)
		}
	}
	if len(sites) == 0 {
		return
	}
	topo := n.inForce()
	ttls := map[string]time.Duration{}
	for _, s := range topo.db.Tailored() {
		name := cmp.Or(s.Target, s.Name) // answers to an ALIAS are counted at its target
		ttls[name] = max(ttls[name], time.Duration(s.TTL)*time.Second)
	}
	picked := n.dns.Stats().Picked
	for _, site := range sites {
		counts := map[string]uint64{}
		if i := slices.Index(topo.sites, site); i >= 0 {
			for name, by := range picked {
				if i < len(by) {
					counts[name] = by[i]
				}
			}
		}
		g := all[site]
		if g == nil {
			g = &given{counts: counts, expires: now.Add(n.outstanding(counts, ttls, now))}
			all[site] = g
		}
		g.look(counts, ttls, now)
		n.tellGiven(site, g, now)
	}
}

// outstanding is how long answers of before may be in caches: the longest TTL of the names
// that have ever given the site. A node that has not run for that long does not know
// what it gave before it was started.
func (n *node) outstanding(counts map[string]uint64, ttls map[string]time.Duration, now time.Time) time.Duration {
	longest, most := time.Duration(0), time.Duration(0)
	for name, ttl := range ttls {
		longest = max(longest, ttl)
		if counts[name] > 0 {
			most = max(most, ttl)
		}
	}
	if now.Sub(n.started) < longest {
		return longest
	}
	return most
}

// look takes the counts of now.
func (g *given) look(counts map[string]uint64, ttls map[string]time.Duration, now time.Time) {
	for name, count := range counts {
		before := min(g.counts[name], count) // a reload may begin anew
		if count == before {
			continue
		}
		g.since += count - before
		g.seen = now
		if end := now.Add(ttls[name]); end.After(g.expires) {
			g.expires = end
		}
	}
	g.counts = counts
}

// tellGiven publishes what has changed.
func (n *node) tellGiven(site string, g *given, now time.Time) {
	a := health.Answered{Site: site, Phase: health.AnswersCached, Expires: g.expires.UTC(), Wait: max(g.expires.Sub(now), 0), Since: g.since}
	switch {
	case !g.seen.IsZero() && now.Sub(g.seen) < givenFor:
		a.Phase = health.AnswersGiven
	case !now.Before(g.expires):
		a.Phase = health.AnswersGone
		a.Expires, a.Wait = time.Time{}, 0
	}
	if a.Phase == g.told.Phase && (a.Phase == health.AnswersGone || a.Expires.Equal(g.told.Expires) || now.Sub(g.toldAt) < givenRenew) {
		return
	}
	g.told, g.toldAt = a, now
	n.fleet.Answered(a)
}

// report adds to what the balancer says of a site who still comes to it.
func (n *node) report(r health.Report) {
	if n.fleet.States().Site(r.Site).Leaving() {
		r.Clients = n.clients(r.Site, steady.Now())
	}
	n.fleet.Report(r)
}

// clients are who comes to a site, by where they are; nil: nobody looks yet.
func (n *node) clients(site string, now time.Time) *health.Clients {
	v, ok := n.balancer.Visitors(site)
	if !ok {
		return nil
	}
	n.mu.Lock()
	places, long := n.places, n.topo.cfg.Drain.Long
	n.mu.Unlock()
	return clientsOf(v, places, long, n.isNobody, now)
}

// clientsOf sums up visitors by operator and country.
func clientsOf(v balancer.Visitors, places *geo.DB, long time.Duration, nobody func(netip.Addr) bool, now time.Time) *health.Clients {
	c := &health.Clients{Since: v.Since.UTC(), New: v.New, Ignored: v.Ignored, Steps: v.Steps, Quiet: now.Sub(v.Since)}
	if !v.Last.IsZero() {
		c.Last, c.Quiet = v.Last.UTC(), now.Sub(v.Last)
	}
	type key struct{ operator, country string }
	groups := map[key]*health.ClientGroup{}
	networks := map[key]map[netip.Prefix]int64{}
	known := map[netip.Prefix]key{{}: {}}
	of := func(network netip.Prefix) key {
		k, ok := known[network]
		if !ok {
			p, _ := places.Lookup(network.Addr())
			k = key{cmp.Or(p.ISP, p.ASOrg, p.Organization), p.Country}
			known[network] = k
		}
		return k
	}
	add := func(k key, network netip.Prefix, n int64) *health.ClientGroup {
		g := groups[k]
		if g == nil {
			g = &health.ClientGroup{Operator: k.operator, Country: k.country}
			groups[k], networks[k] = g, map[netip.Prefix]int64{}
		}
		if network.IsValid() {
			networks[k][network] += n
		}
		return g
	}
	for network, a := range v.Arrived {
		g := add(of(network), network, a.New)
		g.New += a.New
		if a.Last.After(g.Last) {
			g.Last, g.Quiet = a.Last.UTC(), now.Sub(a.Last)
		}
	}
	for _, visit := range v.Open {
		if nobody(visit.Client) {
			c.Ignored++
			continue
		}
		network := balancer.NetworkOf(visit.Client)
		k := of(network)
		add(k, network, 1).Open++
		age := now.Sub(visit.Since)
		c.Open++
		if age >= long {
			c.Long++
		}
		client := "unknown" // the kernel has it
		if visit.Client.IsValid() {
			client = visit.Client.String()
		}
		c.Oldest = append(c.Oldest, health.Connection{Client: client, Operator: k.operator, Country: k.country, Server: visit.Server, Since: visit.Since.UTC(), Age: age})
	}
	for k, g := range groups {
		sizes := networks[k]
		for _, network := range slices.SortedFunc(maps.Keys(sizes), func(a, b netip.Prefix) int {
			return cmp.Or(cmp.Compare(sizes[b], sizes[a]), a.Compare(b))
		}) {
			g.Networks = append(g.Networks, network.String())
		}
		c.Groups = append(c.Groups, *g)
	}
	c.Bound()
	return c
}

// Drained is part of console.Backend.
func (n *node) Drained(site string, quiet time.Duration) (health.DrainProgress, error) {
	if err := n.known(site); err != nil {
		return health.DrainProgress{}, err
	}
	cfg := n.inForce().cfg.Drain
	if quiet > 0 {
		cfg.Quiet = quiet
	}
	return n.drained(n.fleet.States().Site(site), cfg), nil
}

// drained is how far a site is that is to get no new users.
func (n *node) drained(st health.Status, cfg health.DrainConfig) health.DrainProgress {
	var dns []string
	for _, f := range n.fleet.Nodes() {
		if slices.Contains(f.Roles, config.RoleDNS) {
			dns = append(dns, f.Name)
		}
	}
	return health.Drained(st, n.fleet.Answers(), dns, cfg, steady.Now())
}

// nobody are the clients that are not users.
type nobody struct {
	addresses map[netip.Addr]bool
	networks  []netip.Prefix
}

// knowNobody notes the addresses of checkers, and the networks to ignore. A checker
// comes to a balancer on its own machine from a loopback address.
func (n *node) knowNobody() {
	out := &nobody{addresses: map[netip.Addr]bool{}}
	for _, f := range n.fleet.Nodes() {
		for _, a := range f.Addresses {
			out.addresses[a] = true
		}
		if f.Name == n.name && slices.Contains(f.Roles, config.RoleChecker) {
			out.addresses[netip.AddrFrom4([4]byte{127, 0, 0, 1})] = true
			out.addresses[netip.IPv6Loopback()] = true
		}
	}
	out.networks = n.inForce().cfg.Drain.Ignore
	n.nobody.Store(out)
}

func (n *node) isNobody(a netip.Addr) bool {
	known := n.nobody.Load()
	return known != nil && (known.addresses[a] || slices.ContainsFunc(known.networks, func(p netip.Prefix) bool { return p.Contains(a) }))
}

// ownAddresses are those that the probes of this node may come from, of a checker.
func ownAddresses(cfg *config.Config) (out []netip.Addr) {
	if !cfg.Node.HasRole(config.RoleChecker) {
		return nil
	}
	all, _ := net.InterfaceAddrs() // none is known: then drain.ignore says it
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() || len(out) == mostAddresses {
			continue
		}
		out = append(out, p.Addr().Unmap())
	}
	return out
}
