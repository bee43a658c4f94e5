package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"gslb/config"
	"gslb/console"
	"gslb/dnsserver"
	"gslb/geo"
	"gslb/health"
	"gslb/health/fleet"
	"gslb/history"
	"gslb/steady"
	"gslb/zones"
)

// The node is the console's Backend.
var _ console.Backend = (*node)(nil)

// Ready is part of console.Backend.
func (n *node) Ready() error {
	switch {
	case n.leavingNow.Load():
		return errLeaving
	case !n.serving.Load():
		return errors.New("starting")
	case n.follow != nil && n.topologyFile() == "":
		return errors.New("waiting for the first topology: gslb apply writes one")
	case !n.ready.Load():
		return errors.New("waiting for the first view of the sites' health")
	}
	return nil
}

// SetOverride is part of console.Backend.
func (n *node) SetOverride(ctx context.Context, o health.Override) error {
	if err := n.known(o.Site); err != nil {
		return err
	}
	return n.fleet.SetOverride(ctx, o)
}

// ClearOverride is part of console.Backend.
func (n *node) ClearOverride(ctx context.Context, site string, by history.Order) (bool, error) {
	done, err := n.fleet.ClearOverride(ctx, site, by) // of a site that is no longer configured, too
	if errors.Is(err, fleet.ErrUnknownSite) {
		return false, n.known(site)
	}
	return done, err
}

func (n *node) known(site string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Contains(n.topo.sites, site) {
		return fmt.Errorf("%w: site %.100q: must be one of %s", console.ErrNotFound, site, strings.Join(slices.Sorted(slices.Values(n.topo.sites)), ", "))
	}
	return nil
}

// Explain is part of console.Backend.
func (n *node) Explain(name, client, qtype string) (*console.Explanation, error) {
	topo := n.inForce()
	var g *dnsserver.Generation
	if n.dns != nil {
		g = n.dns.Generation()
	} else {
		g = topo.generation(n.fleet.States(), nil)
	}
	return explain(g, topo.cfg, topo.db.Tailored(), name, client, qtype)
}

// explain asks a generation and puts its answer into the console's words.
func explain(g *dnsserver.Generation, cfg *config.Config, steered []*zones.Steered, name, client, qtype string) (*console.Explanation, error) {
	typ, ok := dns.StringToType[strings.ToUpper(qtype)]
	if !ok {
		return nil, fmt.Errorf("%w: %q is not a record type; A and AAAA are the usual ones", console.ErrInvalid, qtype)
	}
	addr, err := clientAddr(client)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", console.ErrInvalid, err)
	}
	e, err := g.Explain(cfg.DNS, name, typ, addr, uint32(steady.Now().Unix()))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", console.ErrInvalid, err)
	}
	if e.Message.Rcode == dns.RcodeRefused {
		return nil, fmt.Errorf("%w: %s: in none of the zones served here: DNS answers REFUSED", console.ErrNotFound, dns.Fqdn(name))
	}
	out := &console.Explanation{Name: dns.Fqdn(strings.ToLower(name)), Type: dns.Type(typ).String(), Client: addr.String()}
	for _, rr := range e.Message.Answer {
		out.Answer = append(out.Answer, rr.String())
	}
	if e.Trace != nil {
		out.Trace = e.Trace
		out.Scope = e.Scope.String()
	}
	out.Alias = e.Alias
	out.Text = explanationText(e, out, steeredNext(e.Message.Answer, typ, steered))
	return out, nil
}

// clientAddr reads an address, or a network that stands for its first address.
func clientAddr(s string) (netip.Addr, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked().Addr(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, fmt.Errorf("client %q: want an address such as 203.0.113.7 or a network such as 203.0.113.0/24", s)
	}
	return a.WithZone(""), nil
}

// steeredNext is the steered name that the chain of aliases ends at, if any. A
// resolver asks for it in a query of its own.
func steeredNext(answer []dns.RR, qtype uint16, steered []*zones.Steered) string {
	if len(answer) == 0 {
		return ""
	}
	end, ok := answer[len(answer)-1].(*dns.CNAME)
	if !ok || qtype == dns.TypeCNAME {
		return ""
	}
	for _, s := range steered {
		if strings.EqualFold(s.Name, end.Target) {
			return s.Name
		}
	}
	return ""
}

// explanationText is for a terminal. next is a steered name to ask for next, or "".
func explanationText(e *dnsserver.Explanation, out *console.Explanation, next string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s for %s: %s\n", out.Name, out.Type, out.Client, dns.RcodeToString[e.Message.Rcode])
	for _, rr := range out.Answer {
		fmt.Fprintf(&b, "  %s\n", strings.ReplaceAll(rr, "\t", "  "))
	}
	switch {
	case e.Message.Rcode == dns.RcodeNameError:
		fmt.Fprintf(&b, "  (the name does not exist)\n")
		if e.Compact {
			fmt.Fprintf(&b, "  (compact denial: with DO set it is NOERROR with an NSEC of the name itself and the type NXNAME; NXDOMAIN with CO too, and while dns.compact_share is spent)\n")
		}
	case len(out.Answer) > 0:
	case !e.Message.Authoritative && len(e.Message.Ns) > 0:
		fmt.Fprintf(&b, "  (delegated to other servers, at %s)\n", e.Message.Ns[0].Header().Name)
	default:
		fmt.Fprintf(&b, "  (no records of that type)\n")
	}
	if e.Alias != "" {
		fmt.Fprintf(&b, "It has an ALIAS record: its addresses are those of %s\n", e.Alias)
	}
	if e.Trace == nil {
		fmt.Fprintf(&b, "The same for every client: the name is not steered.\n")
		if next != "" {
			fmt.Fprintf(&b, "It is an alias of %s, which is steered: a resolver asks for that next. See: gslb explain %s --client %s\n", next, next, out.Client)
		}
		return b.String()
	}
	fmt.Fprintf(&b, "Holds for %s (EDNS Client Subnet scope /%d)\n\n", e.Scope, e.Scope.Bits())
	_ = e.Trace.Write(&b) // a strings.Builder takes everything
	return b.String()
}

// Status is part of console.Backend.
func (n *node) Status() console.Status {
	n.mu.Lock()
	topo, places, watch := n.topo, n.places, n.watch
	var problems []string
	for _, text := range n.faults {
		problems = append(problems, text)
	}
	n.mu.Unlock()
	problems = append(problems, topo.problems()...)
	slices.Sort(problems)
	states := n.fleet.States()
	cfg := topo.cfg
	st := console.Status{
		Node: console.Node{Name: cfg.Node.Name, Roles: cfg.Node.Roles, Version: versionString(), Started: n.started},
		Now:  steady.Now(), Problems: append(append(problems, storeValues(n.fleet.Problems())...), append(n.probeWarnings(), n.unwatched(cfg)...)...),
	}
	if states != nil {
		st.Revision, st.Stale, st.Times = states.Revision, states.Stale, states.Times
	}
	st.ZonesLoadSeconds = topo.db.LoadTime().Seconds()
	signed, wrong := n.signedStatus(st.Now)
	st.Problems = append(st.Problems, wrong...)
	for _, z := range topo.db.Zones() {
		one := console.Zone{Name: z.Name, Serial: z.Serial, Names: topo.db.Names(z), Bytes: z.Bytes(), DNSSEC: signed[z.Name]}
		st.AllZones.Zones++
		st.AllZones.Names += int64(one.Names)
		st.AllZones.Bytes += int64(one.Bytes)
		if len(st.Zones) < console.MostZones {
			st.Zones = append(st.Zones, one)
		}
	}
	for _, s := range topo.db.Tailored() {
		st.Steered = append(st.Steered, console.Steered{Name: s.Name, Form: s.Form.String(), Alias: s.Target, TTLSeconds: s.TTL, Cohorts: topo.policies[s.Policy].Compiled.Cohorts(),
			Holds: topo.policies[s.Policy].Compiled.Release() != ""})
	}
	for _, s := range cfg.Sites {
		st.Sites = append(st.Sites, siteStatus(s, states))
		if x := &st.Sites[len(st.Sites)-1]; x.Leaving() {
			p := n.drained(x.Status, cfg.Drain)
			x.Drain = &p
		}
	}
	st.Topology = n.Topology()
	st.Nodes, st.Topology.Nodes = st.Topology.Nodes, nil
	st.Audiences = n.audiences(cfg)
	es := n.store.Status()
	st.Etcd = console.Etcd{Embedded: es.Embedded, Connected: es.Connected, Since: es.Since, Endpoints: es.Endpoints, Revision: es.Revision, Error: es.LastError, Ended: es.Ended}
	var ws geo.WatchStatus
	if watch != nil {
		ws = watch.Status()
	}
	var other []string
	st.Geo, other = databases(places.Sources(), ws)
	st.Tables = topo.tables()
	st.Problems = append(append(st.Problems, other...), statusProblems(st)...)
	releases(&st, states)
	n.held(&st)
	n.changesHeld(&st)
	n.frontends(&st)
	n.announced(&st)
	n.counters(&st, topo.sites)
	n.movements(&st)
	return st
}

func siteStatus(s config.Site, states *health.States) console.Site {
	out := console.Site{Status: states.Site(s.Name), CNAME: s.CNAME}
	for _, a := range s.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	if len(s.Location) == 2 {
		out.Location = &console.Location{Latitude: s.Location[0], Longitude: s.Location[1]}
	}
	return out
}

func (n *node) frontends(st *console.Status) {
	if n.balancer == nil {
		return
	}
	st.Problems = append(st.Problems, n.frontendProblems()...)
	for _, f := range n.balancer.Status() {
		out := console.Frontend{Name: f.Name, Site: f.Site, Listen: f.Listen, Pick: f.Pick, Plane: f.Plane, PlaneWhy: f.PlaneWhy, Panic: f.Panic,
			Connections: f.Open, Accepted: uint64(f.Counters.Accepted), Failed: uint64(f.Counters.Refused)}
		for _, s := range f.Servers {
			out.Servers = append(out.Servers, console.FrontendServer{
				Address: s.Address, State: s.State, Role: s.Role, InService: s.InService, Draining: s.Draining,
				Isolated: !s.InService && !s.Draining && s.State == health.Down, Connections: s.Connections, Capacity: s.Capacity, Detail: s.Detail,
				Picks: s.Total + s.Failures, Queued: s.Queued, TimedOut: s.QueueTimeouts,
				Since: s.Since, Weight: s.Weight * s.Share, Load: s.Load, Rate: s.Rate, Failures: s.Failures + s.Broken,
				FirstByte: s.FirstByte.Median, P99: s.FirstByte.P99, Ejections: s.Isolations, Drain: s.Drain, BytesUp: s.BytesUp, BytesDown: s.BytesDown,
			})
		}
		if f.Panic {
			st.Problems = append(st.Problems, fmt.Sprintf("frontend %s: %d servers are available, so all are tried", f.Name, f.Available))
		}
		st.Frontends = append(st.Frontends, out)
	}
}

func (n *node) counters(st *console.Status, sites []string) {
	st.Counters = console.Counters{Answers: map[string]uint64{}, Choices: map[string]map[string]uint64{}}
	if n.dns == nil {
		return
	}
	for _, x := range n.dns.XDP() {
		if x.Problem != "" {
			st.Problems = append(st.Problems, fmt.Sprintf("AF_XDP on %s: %s; the ordinary sockets take all queries", x.Interface, x.Problem))
		}
	}
	st.Problems = append(st.Problems, n.dns.CertificateProblems()...)
	s := n.dns.Stats()
	for _, q := range s.Queries {
		st.Counters.Queries += q
	}
	for code, count := range s.Rcodes {
		st.Counters.Answers[dns.RcodeToString[code]] += count
	}
	st.Counters.Choices, st.Counters.Compact = picked(s, sites), s.Compact
	splits := n.dns.Splits()
	for i := range st.Steered {
		if one, ok := splits[st.Steered[i].Name]; ok {
			st.Steered[i].Split = &console.Split{Samples: int(one.Samples), Got: one.Got, Expected: one.Expected}
		}
	}
	if s.Panics > 0 {
		st.Problems = append(st.Problems, fmt.Sprintf("%d queries made the server panic: see the log and report it", s.Panics))
	}
}

// picked is how often each steered name was answered with each site.
func picked(s dnsserver.Stats, sites []string) map[string]map[string]uint64 {
	all := map[string]map[string]uint64{}
	for name, by := range s.Picked {
		m := make(map[string]uint64)
		for i, count := range by {
			if i < len(sites) {
				m[sites[i]] = count
			}
		}
		all[name] = m
	}
	return all
}

// choices are this node's, since it started.
func (n *node) choices() map[string]map[string]uint64 {
	if n.dns == nil {
		return nil
	}
	return picked(n.dns.Stats(), n.inForce().sites)
}
