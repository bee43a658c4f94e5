package zones

import (
	"bytes"
	"fmt"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
)

// siteKinds are the kinds of RRsets of a site, in the order of idCNAME, idA and
// so on; the first addressKinds are those that some sites may have and others not.
const (
	siteKinds    = addressKinds + len(serviceTypes)
	addressKinds = 3
)

// all are the RRsets of a site, by kind.
func (s *siteSets) all() (list [siteKinds]RRset) {
	list[0], list[1], list[2] = s.cname, s.a, s.aaaa
	copy(list[addressKinds:], s.services[:])
	return list
}

// kind is one of them.
func (s *siteSets) kind(i int) *RRset {
	if i >= addressKinds {
		return &s.services[i-addressKinds]
	}
	return [addressKinds]*RRset{&s.cname, &s.a, &s.aaaa}[i]
}

// denies are the types that an answer of the name may be without while other
// clients get them.
func (s *Steered) denies() (list []uint16) {
	if s.fixed {
		return nil // all answers have what the name has
	}
	var has [siteKinds]bool
	for i := range s.sites {
		for kind, set := range s.sites[i].all() {
			has[kind] = has[kind] || set.Count > 0
		}
	}
	for kind, rrtype := range append([]uint16{dns.TypeCNAME, dns.TypeA, dns.TypeAAAA}, serviceTypes[:]...) {
		if has[kind] {
			list = append(list, rrtype)
		}
	}
	return list
}

// differ warns where some sites have IPv4 or IPv6 addresses and others have not:
// the proof that there are none may be used for all clients of a resolver (RFC 8198).
func (s *Steered) differ() string {
	var with, without [addressKinds]bool
	for i := range s.sites {
		if s.CanChoose(i) {
			all := s.sites[i].all()
			for kind, set := range all[:addressKinds] {
				with[kind] = with[kind] || set.Count > 0
				without[kind] = without[kind] || set.Count == 0
			}
		}
	}
	if s.Form == CNAME || !(with[1] && without[1] || with[2] && without[2]) {
		return ""
	}
	return fmt.Sprintf("zone %s: steered name %s has sites with addresses of one family only and others with both: a resolver that has seen the signed proof that one family is missing may use it for all its clients (RFC 8198)", s.zone.Name, s.Name)
}

// answers gives the sets of a steered name's sites their signatures.
func (w *zoneSigner) answers(s *Steered) {
	key := string(s.owner)
	out := w.steered[key]
	for i := range w.came {
		c := &w.came[i]
		switch {
		case c.ID >= idJoint:
			w.join(&out, int(c.ID-idJoint), c)
		case c.ID != 0:
			site, kind := int(c.ID-1)/idNext, int(c.ID-1)%idNext
			set := out.sites[site].kind(kind)
			*set = set.with(c.TTL, c.RRSIG)
		case c.Type == dns.TypeNSEC && c.Without != 0:
			out.denied = append(out.denied, denied{c.Without, Record{s.owner, newRRset(c.Type, c.TTL, c.Data...).with(c.TTL, c.RRSIG)}})
		}
	}
	w.steered[key] = out
}

// join takes the signatures of what several sites are answered with together.
func (w *zoneSigner) join(out *signedSteered, at int, c *dnssec.Signed) {
	j := w.joints[w.sources[w.at].steered][at]
	if out.joined[j.kind] == nil {
		out.joined[j.kind] = make(map[string]RRset)
	}
	out.joined[j.kind][setKey(j.sites)] = RRset{Type: c.Type}.with(c.TTL, c.RRSIG)
}

// with gives the RRset with signatures behind it.
func (s RRset) with(ttl uint32, sigs [][]byte) RRset {
	n := len(s.Wire)
	w := append(make([]byte, 0, n+sizeOf(sigs)), s.Wire...)
	for _, d := range sigs {
		w = appendRecord(w, dns.TypeRRSIG, ttl, d)
	}
	s.Wire, s.Sigs = w[:n:len(w)], uint16(len(sigs))
	return s
}

// nsec3Variant takes an NSEC3 of a steered name that leaves out a type. Only its
// hash tells whose it is.
func (w *zoneSigner) nsec3Variant(v *dnssec.Signed) error {
	if w.hashes == nil {
		params, _, _ := w.z.arena.find(w.z.top, dns.TypeNSEC3PARAM)
		w.hashes = make(map[string]string)
		p, _ := nsec3Params(params.first())
		for owner := range w.steered {
			w.hashes[string(dnssec.AppendOwner(nil, p.Hash([]byte(owner)), w.z.apex))] = owner
		}
	}
	owner, ok := w.hashes[string(v.Owner)]
	if !ok {
		return fmt.Errorf("%s: an NSEC3 without %s is of no steered name", dnsname.Format(v.Owner), dns.Type(v.Without))
	}
	out := w.steered[owner]
	out.denied = append(out.denied, denied{v.Without, Record{bytes.Clone(v.Owner), newRRset(v.Type, v.TTL, cloneAll(v.Data)...).with(v.TTL, v.RRSIG)}})
	w.steered[owner] = out
	return nil
}

// take makes the steered name one of a signed zone.
func (s *Steered) take(z *Zone, with signedSteered) {
	s.zone, s.sites, s.joined, s.denied = z, with.sites, with.joined, with.denied
}

// noData is the answer of a site that has no records of a type.
func (s *Steered) noData(r *Result, qtype uint16) {
	var closer Record // that the name is not there, where a wildcard stands for it
	closed := len(r.Authority) > 0 && r.Authority[0].Set.Type != dns.TypeSOA
	if closed {
		closer = r.Authority[0]
	}
	r.Authority = r.authority[:0]
	r.negative(s.zone, NoData)
	if r.Signed && s.zone.signing != nil {
		if closed {
			r.Authority = append(r.Authority, closer)
		}
		s.deny(r, qtype, closed)
	}
}

// deny proves that the steered name has no records of a type at a site. Where
// others have them it is a variant of the name's record that says so, and takes
// the place of that record: there must not be two of one owner. closed tells that
// denyCloser has done its part already.
func (s *Steered) deny(r *Result, qtype uint16, closed bool) {
	if s.Form == CNAME {
		qtype = dns.TypeCNAME
	}
	var n Name
	n.Set(s.owner)
	at := s.zone.find(&n, 0)
	if dnsname.IsWild(s.owner) && r.name.labels >= n.labels && !dnsname.IsWild(r.name.Wire()) {
		r.denyWild(s.zone, r.name, r.name.labels-n.labels+1, at, closed)
	} else {
		r.denyType(s.zone, &n, 0, at)
	}
	for i := range s.denied {
		if s.denied[i].rrtype != qtype {
			continue
		}
		for j := range r.Authority {
			if sameName(r.Authority[j].Owner, s.denied[i].proof.Owner) && r.Authority[j].Set.Type == s.denied[i].proof.Set.Type {
				r.Authority[j] = s.denied[i].proof
			}
		}
	}
}
