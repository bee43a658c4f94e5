package dnsserver

import (
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/geo"
	"gslb/steer"
	"gslb/zones"
)

// Explanation is an answer with the reasons for it. It comes from the same
// code as the answers on the wire, with a trace switched on.
type Explanation struct {
	Message *dns.Msg
	// Scope is the network in which this answer holds: what a Client Subnet in
	// the query would be given back as (RFC 7871). Not valid: for everyone.
	Scope netip.Prefix
	// Alias is the target of the name's ALIAS record, where the answer comes from that.
	Alias string
	// Compact tells that the name does not exist, and that who asks for the records of
	// DNSSEC too is told so with a proof of the name's own, if there is time (RFC 9824).
	Compact bool
	// Trace is nil where the answer does not depend on the client.
	Trace *steer.Trace
}

// Explain answers name and qtype as though client had asked, and says why.
func (g *Generation) Explain(cfg Config, name string, qtype uint16, client netip.Addr, seconds uint32) (*Explanation, error) {
	if _, err := dnsname.Parse(name); err != nil {
		return nil, err
	}
	if !client.IsValid() {
		return nil, fmt.Errorf("no client address")
	}
	cfg = cfg.WithDefaults()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(strings.TrimSpace(name)), qtype)
	m.RecursionDesired = false
	packed, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", name, dns.Type(qtype), err)
	}
	w := &responder{
		limits:  limits{udpSize: cfg.MaxUDPSize, ecs: true, scope4: uint8(cfg.ECSMaxV4), scope6: uint8(cfg.ECSMaxV6)},
		count:   new(counters),
		seconds: new(atomic.Uint32),
	}
	w.seconds.Store(seconds)
	quiet := *g
	quiet.access = nil                                      // who is shown an explanation may see it for anyone
	quiet.picked = newPicks(g.picked.names, g.picked.sites) // looking does not count
	tr := new(steer.Trace)
	out := w.respond(&quiet, packed, netip.AddrPortFrom(client.Unmap(), 53), true, make([]byte, 0, maxMessage+maxRecordHead), tr)
	e := &Explanation{Message: new(dns.Msg)}
	if err := e.Message.Unpack(out); err != nil {
		return nil, fmt.Errorf("%s %s: the answer cannot be read back: %w", name, dns.Type(qtype), err)
	}
	if s := w.res.Steered; s != nil && (qtype == dns.TypeA || qtype == dns.TypeAAAA || w.client.IsValid()) {
		e.Alias = s.Target
	}
	e.Compact = w.res.Outcome == zones.NXDomain && w.res.Zone.Compact()
	if w.client.IsValid() { // the answer was tailored
		e.Trace = tr
		// Names with equal rules share one policy, which is called as the first of them.
		if s := w.res.Steered; s != nil && tr.Policy != "" {
			tr.Policy = g.DB.Steered()[s.Choices].Name
		}
		e.Scope, _ = w.client.Prefix(int(w.scope))
	}
	return e, nil
}

// explain fills tr with how a client comes to its cohort. The cohort itself
// comes from the table, as on the wire.
func (g *Generation) explain(p *Policy, client netip.Addr, cohort uint32, tr *steer.Trace) {
	var place geo.Place
	if g.places != nil {
		place, _ = g.places.Lookup(client)
	}
	inner, _ := geo.Inner(client)
	within := innermost(p.Compiled.Cuts(), inner)
	again, ok := p.Compiled.Explain(place, within, tr)
	tr.Client = client
	tr.Place = place
	tr.Within = within
	tr.Cohort = cohort
	if g.tried != 0 {
		tr.Draws = append(tr.Draws, fmt.Sprintf("the client's network is among those that revision %d of the topology is tried on, a canary", g.tried))
	}
	if !ok || again != cohort {
		tr.Draws = append(tr.Draws, fmt.Sprintf("the compiled table says cohort %d where the rules now say %d: the databases may have changed since it was built", cohort, again))
	}
}

// innermost finds the longest of the networks that holds a.
func innermost(cuts []netip.Prefix, a netip.Addr) netip.Prefix {
	var best netip.Prefix
	a = a.Unmap()
	for _, c := range cuts {
		if c.Contains(a) && (!best.IsValid() || c.Bits() > best.Bits()) {
			best = c
		}
	}
	return best
}
