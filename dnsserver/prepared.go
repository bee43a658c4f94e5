package dnsserver

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"gslb/zones"
)

// prepared is an answer in wire form: all that comes behind the question and
// before the OPT record.
type prepared struct {
	body       []byte
	an, ns, ar uint16
	rcode      uint8
	// pointers are the offsets in body of compression pointers that move when
	// the name asked for is longer than the owner (below a wildcard).
	pointers []uint16
	ownerLen int
}

// siteAnswers are a steered name's prepared answers, by site.
type siteAnswers struct{ a, aaaa []prepared }

func (s *siteAnswers) get(qtype uint16, site int32) *prepared {
	list := s.a
	switch qtype {
	case dns.TypeA:
	case dns.TypeAAAA:
		list = s.aaaa
	default:
		return nil
	}
	if uint(site) >= uint(len(list)) || list[site].ownerLen == 0 {
		return nil
	}
	return &list[site]
}

func prepareSteered(db *zones.DB, s *zones.Steered, sites int) siteAnswers {
	out := siteAnswers{a: make([]prepared, sites), aaaa: make([]prepared, sites)}
	for site := range sites {
		if !s.CanChoose(site) {
			continue
		}
		out.a[site] = prepare(db, s, dns.TypeA, site)
		out.aaaa[site] = prepare(db, s, dns.TypeAAAA, site)
	}
	return out
}

// prepare encodes an answer as though the owner name itself had been asked for.
func prepare(db *zones.DB, s *zones.Steered, qtype uint16, site int) prepared {
	var r zones.Result
	owner := s.Owner()
	db.Lookup(owner, qtype, &r)
	db.Tailor(&r, qtype, site)

	buf := make([]byte, headerLen, 4096+maxRecordHead)
	buf = append(buf, owner...)
	buf = append(buf, 0, 0, 0, 1)
	body := len(buf)
	skip := 0
	if len(owner) > 2 && owner[0] == 1 && owner[1] == '*' {
		skip = 1 // the "*" is not in the name that will be asked for
	}
	p := prepared{ownerLen: len(owner), rcode: rcodeOf(r.Outcome)}
	var e encoder
	e.pointers = &p.pointers
	e.begin(buf, owner, 4096, skip)
	c, whole := e.sections(&r)
	if !whole || c.extra < len(r.Additional) {
		return prepared{} // too large to keep ready: encoded when asked for
	}
	p.an, p.ns, p.ar = uint16(c.an), uint16(c.ns), uint16(c.ar)
	p.body = append([]byte(nil), e.buf[body:]...)
	for i := range p.pointers {
		p.pointers[i] -= uint16(body)
	}
	return p
}

// appendTo adds the body to a message whose question's name is nameLen octets.
func (p *prepared) appendTo(out []byte, nameLen int) []byte {
	at := len(out)
	out = append(out, p.body...)
	if delta := nameLen - p.ownerLen; delta != 0 {
		// The pointers' targets, in the question's tail or in the body, all lie
		// that much further on.
		for _, off := range p.pointers {
			f := out[at+int(off):]
			binary.BigEndian.PutUint16(f, binary.BigEndian.Uint16(f)+uint16(delta))
		}
	}
	return out
}
