package dnsserver

import (
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

// prepare makes the answers of all steered names ready, and of aliases of such.
func (g *Generation) prepare() {
	g.answers, g.signed = nil, nil
	for _, s := range g.DB.Tailored() {
		g.answers = append(g.answers, prepareSteered(g.DB, s, g.sites, false))
		var signed siteAnswers
		if s.Zone().Signed() {
			signed = prepareSteered(g.DB, s, g.sites, true)
		}
		g.signed = append(g.signed, signed)
	}
}

// prepared gives the answers of a steered name that are ready, with the records
// of DNSSEC where they are wanted and there are any.
func (g *Generation) prepared(s *zones.Steered, signed bool) *siteAnswers {
	if signed && s.Zone().Signed() {
		return &g.signed[s.Index]
	}
	return &g.answers[s.Index]
}

func prepareSteered(db *zones.DB, s *zones.Steered, sites int, signed bool) (out siteAnswers) {
	for i, qtype := range prepares {
		if !s.Tailored(qtype) {
			continue
		}
		out[i] = make([]prepared, sites)
		for site := range sites {
			if s.CanChoose(site) {
				p := &out[i][site]
				p.wire, p.outcome = db.Prepare(s, qtype, site, signed)
			}
		}
	}
	return out
}
