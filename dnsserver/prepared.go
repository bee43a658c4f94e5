package dnsserver

import (
	"slices"

	"github.com/miekg/dns"

	"gslb/zones"
)

// prepared is an answer of a steered name in wire form.
type prepared struct {
	wire    zones.Wire
	outcome zones.Outcome
}

// prepares lists the types whose answers are kept ready: those that everyone asks for.
var prepares = [...]uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS}

// siteAnswers are a steered name's prepared answers, by type and site.
type siteAnswers [len(prepares)][]prepared

func (s *siteAnswers) get(qtype uint16, site int32) *prepared {
	var list []prepared
	switch qtype {
	case dns.TypeA:
		list = s[0]
	case dns.TypeAAAA:
		list = s[1]
	case dns.TypeHTTPS:
		list = s[2]
	}
	if uint(site) >= uint(len(list)) || list[site].wire.Body == nil {
		return nil
	}
	return &list[site]
}

// prepare makes the answers of all steered names ready, and of aliases of such. Those
// that would come out as in an earlier generation, which may be nil, are taken from there.
func (g *Generation) prepare(old *Generation) {
	all, p := g.DB.Tailored(), new(zones.Preparer)
	var before []*zones.Steered
	same := false // all look-ups end as before
	if old != nil && old.sites == g.sites {
		before, same = old.DB.Tailored(), g.DB.SameAs(old.DB)
	}
	answers, signed, low := make([]siteAnswers, len(all)), make([]siteAnswers, len(all)), make([]lowered, len(all))
	for i, s := range all {
		// A CNAME's answer has what it leads to, wherever that is; addresses are of the name itself.
		if i < len(before) && before[i] == s && (same || s.Form == zones.Address) {
			answers[i], signed[i], low[i] = old.answers[i], old.signed[i], old.low[i]
			continue
		}
		answers[i] = prepareSteered(p, g.DB, s, g.sites, false)
		if s.Zone().Signed() {
			signed[i] = prepareSteered(p, g.DB, s, g.sites, true)
		}
		if low[i].name = s.Lowered(); low[i].name != nil {
			low[i].answers = prepareSteered(p, g.DB, low[i].name, g.sites, false)
			if s.Zone().Signed() {
				low[i].signed = prepareSteered(p, g.DB, low[i].name, g.sites, true)
			}
		}
	}
	g.answers, g.signed, g.low = answers, signed, low
}

// lowered is a steered name with its TTL while one of its sites is in trouble; the zero
// value: it has none.
type lowered struct {
	name            *zones.Steered
	answers, signed siteAnswers
}

// show chooses which answers are given in the states as they are.
func (g *Generation) show() {
	g.shown, g.shownSigned, g.troubled = g.answers, g.signed, nil
	for i, s := range g.DB.Tailored() {
		if g.low[i].name == nil || !g.inTrouble(s) {
			continue
		}
		if g.troubled == nil {
			g.troubled = make([]*zones.Steered, len(g.low))
			g.shown, g.shownSigned = slices.Clone(g.answers), slices.Clone(g.signed)
		}
		g.troubled[i], g.shown[i], g.shownSigned[i] = g.low[i].name, g.low[i].answers, g.low[i].signed
	}
	g.join()
}

// several are the addresses of sites that are answered together.
type several struct{ a, aaaa zones.RRset }

// of gives those of a type; without records where it is another one.
func (s *several) of(qtype uint16) zones.RRset {
	switch qtype {
	case dns.TypeA:
		return s.a
	case dns.TypeAAAA:
		return s.aaaa
	}
	return zones.RRset{}
}

// join makes the RRsets of several sites that the names give in the states as they are: by name,
// then by steer.Choice.Set.
func (g *Generation) join() {
	g.several = nil
	all := g.DB.Tailored()
	for i, s := range all {
		sets := g.live[s.Policy].Sets()
		if len(sets) == 0 {
			continue
		}
		if g.several == nil {
			g.several = make([][]several, len(all))
		}
		if g.troubled != nil && g.troubled[i] != nil {
			s = g.troubled[i]
		}
		g.several[i] = make([]several, len(sets))
		for n, sites := range sets {
			g.several[i][n] = several{s.Join(dns.TypeA, sites), s.Join(dns.TypeAAAA, sites)}
		}
	}
}

// inTrouble tells whether a site that the name can choose is not plainly in service.
func (g *Generation) inTrouble(s *zones.Steered) bool {
	for site := range g.sites {
		if s.CanChoose(site) && g.live[s.Policy].Troubled(site) {
			return true
		}
	}
	return false
}

// prepared gives the answers of a steered name that are ready, with the records
// of DNSSEC where they are wanted and there are any.
func (g *Generation) prepared(s *zones.Steered, signed bool) *siteAnswers {
	if signed && s.Zone().Signed() {
		return &g.shownSigned[s.Index]
	}
	return &g.shown[s.Index]
}

func prepareSteered(ready *zones.Preparer, db *zones.DB, s *zones.Steered, sites int, signed bool) (out siteAnswers) {
	for i, qtype := range prepares {
		if !s.Tailored(qtype) {
			continue
		}
		out[i] = make([]prepared, sites)
		for site := range sites {
			if s.CanChoose(site) {
				p := &out[i][site]
				p.wire, p.outcome = ready.Prepare(db, s, qtype, site, signed)
			}
		}
	}
	return out
}
