package zones

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// validator checks an answer as a resolver does (RFC 4035, section 5; RFC 5155,
// section 8) by nothing but the message and the keys of the zone: each RRset has
// a signature that is right, and what is said not to exist is proven. It knows
// nothing of how the zone is stored; it goes through all records for each question.
type validator struct {
	apex string
	keys []*dns.DNSKEY
	now  time.Time
	m    *dns.Msg
	seen map[string]bool // signatures that are right, with what they sign
}

// check validates an answer, which may hold a chain of aliases.
func (v *validator) check(m *dns.Msg) error {
	v.m = m
	var expanded []string // next closer names that wildcards need to be denied
	referral := !m.Authoritative && m.Rcode == dns.RcodeSuccess && len(m.Answer) == 0
	for i, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, set := range rrsetsOf(section) {
			h := set[0].Header()
			switch {
			case !dns.IsSubDomain(v.apex, h.Name), i == 2, h.Rrtype == dns.TypeOPT,
				i == 1 && h.Rrtype == dns.TypeNS && strings.ToLower(h.Name) != v.apex, v.synthesized(set[0]):
				continue
			}
			sig, err := v.signature(section, set)
			if err != nil {
				return err
			}
			if labels := dns.CountLabel(h.Name); int(sig.Labels) < labels && !strings.HasPrefix(h.Name, "*.") {
				expanded = append(expanded, last(h.Name, int(sig.Labels)+1))
			}
		}
	}
	for _, set := range rrsetsOf(m.Extra) { // those that are signed at all have a whole signature
		if covers(m.Extra, set) != nil {
			if _, err := v.signature(m.Extra, set); err != nil {
				return err
			}
		}
	}
	for _, n := range expanded {
		if !v.denied(n) {
			return fmt.Errorf("a wildcard stands for %s, which is not shown not to exist", n)
		}
	}
	if referral {
		return v.referral()
	}
	q := m.Question[0]
	name := strings.ToLower(q.Name)
	for range MaxChain {
		next, answered := v.next(name, q.Qtype)
		if answered || !dns.IsSubDomain(v.apex, name) {
			return nil
		}
		if next == "" {
			break
		}
		name = next
	}
	if next, _ := v.next(name, q.Qtype); next != "" {
		return nil // a loop of aliases
	}
	soa := slices.ContainsFunc(m.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA })
	switch {
	case m.Rcode == dns.RcodeNameError:
		return v.nxdomain(name)
	case soa:
		return v.nodata(name, q.Qtype)
	case len(m.Answer) > 0: // the chain ends elsewhere, or at a delegation
		return nil
	}
	return fmt.Errorf("neither an answer nor an SOA")
}

// last gives the last labels of a name.
func last(name string, labels int) string {
	i, _ := dns.PrevLabel(name, labels)
	return strings.ToLower(name[i:])
}

func rrsetsOf(section []dns.RR) (sets [][]dns.RR) {
	for _, rr := range section {
		if rr.Header().Rrtype == dns.TypeRRSIG {
			continue
		}
		i := slices.IndexFunc(sets, func(s []dns.RR) bool {
			return s[0].Header().Rrtype == rr.Header().Rrtype && strings.EqualFold(s[0].Header().Name, rr.Header().Name)
		})
		if i < 0 {
			sets = append(sets, []dns.RR{rr})
		} else {
			sets[i] = append(sets[i], rr)
		}
	}
	return sets
}

// covers gives an RRSIG of the set in the section, or nil.
func covers(section []dns.RR, set []dns.RR) *dns.RRSIG {
	for _, rr := range section {
		if sig, ok := rr.(*dns.RRSIG); ok && sig.TypeCovered == set[0].Header().Rrtype && strings.EqualFold(sig.Hdr.Name, set[0].Header().Name) {
			return sig
		}
	}
	return nil
}

func (v *validator) signature(section []dns.RR, set []dns.RR) (*dns.RRSIG, error) {
	h := set[0].Header()
	what := fmt.Sprintf("%s %s", h.Name, dns.Type(h.Rrtype))
	sig := covers(section, set)
	if sig == nil {
		return nil, fmt.Errorf("%s: no signature", what)
	}
	if sig.Hdr.Ttl != h.Ttl || h.Ttl > sig.OrigTtl {
		return nil, fmt.Errorf("%s: TTL %d, of its RRSIG %d, original TTL %d", what, h.Ttl, sig.Hdr.Ttl, sig.OrigTtl)
	}
	if !sig.ValidityPeriod(v.now) {
		return nil, fmt.Errorf("%s: the signature does not count now", what)
	}
	for _, k := range v.keys {
		if k.KeyTag() == sig.KeyTag && k.Algorithm == sig.Algorithm {
			id := sig.Signature + h.Name
			for _, rr := range set {
				id += rr.String()
			}
			if v.seen[id] {
				return sig, nil
			}
			if err := sig.Verify(k, set); err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			if v.seen == nil {
				v.seen = make(map[string]bool)
			}
			v.seen[id] = true
			return sig, nil
		}
	}
	return nil, fmt.Errorf("%s: no key with tag %d", what, sig.KeyTag)
}

// synthesized tells whether a record is a CNAME that a DNAME implies.
func (v *validator) synthesized(rr dns.RR) bool {
	c, ok := rr.(*dns.CNAME)
	if !ok {
		return false
	}
	for _, rr := range v.m.Answer {
		if d, ok := rr.(*dns.DNAME); ok && dns.IsSubDomain(d.Hdr.Name, c.Hdr.Name) && !strings.EqualFold(d.Hdr.Name, c.Hdr.Name) {
			prefix := c.Hdr.Name[:len(c.Hdr.Name)-len(d.Hdr.Name)]
			if strings.EqualFold(prefix+d.Target, c.Target) {
				return true
			}
		}
	}
	return false
}

// next is where an alias at a name leads; answered tells that there are records
// of the type there.
func (v *validator) next(name string, qtype uint16) (to string, answered bool) {
	for _, rr := range v.m.Answer {
		if !strings.EqualFold(rr.Header().Name, name) {
			continue
		}
		if c, ok := rr.(*dns.CNAME); ok && qtype != dns.TypeCNAME && qtype != dns.TypeANY {
			to = strings.ToLower(c.Target)
		} else if rr.Header().Rrtype == qtype || qtype == dns.TypeANY {
			return "", true
		}
	}
	return to, false
}

// compareNames is the canonical order (RFC 4034, section 6.1) of names without escapes.
func compareNames(a, b string) int {
	x, y := dns.SplitDomainName(strings.ToLower(a)), dns.SplitDomainName(strings.ToLower(b))
	slices.Reverse(x)
	slices.Reverse(y)
	return slices.CompareFunc(x, y, func(a, b string) int { return bytes.Compare([]byte(a), []byte(b)) })
}

func (v *validator) nsecs() (list []*dns.NSEC) {
	for _, rr := range v.m.Ns {
		if n, ok := rr.(*dns.NSEC); ok {
			list = append(list, n)
		}
	}
	return list
}

func (v *validator) nsec3s() (list []*dns.NSEC3) {
	for _, rr := range v.m.Ns {
		if n, ok := rr.(*dns.NSEC3); ok {
			list = append(list, n)
		}
	}
	return list
}

func hashOf3(n *dns.NSEC3, name string) string {
	return strings.ToLower(dns.HashName(name, n.Hash, n.Iterations, n.Salt))
}

func (v *validator) match3(name string) *dns.NSEC3 {
	for _, n := range v.nsec3s() {
		if label, _, _ := strings.Cut(strings.ToLower(n.Hdr.Name), "."); label == hashOf3(n, name) {
			return n
		}
	}
	return nil
}

func (v *validator) cover3(name string) *dns.NSEC3 {
	for _, n := range v.nsec3s() {
		own, _, _ := strings.Cut(strings.ToLower(n.Hdr.Name), ".")
		next, h := strings.ToLower(n.NextDomain), hashOf3(n, name)
		if own < next && own < h && h < next || own >= next && (h > own || h < next) {
			return n
		}
	}
	return nil
}

// coverNSEC finds the NSEC that a name falls into the gap of.
func (v *validator) coverNSEC(name string) *dns.NSEC {
	for _, n := range v.nsecs() {
		after := compareNames(n.Hdr.Name, name) < 0
		before := compareNames(name, n.NextDomain) < 0 || strings.ToLower(n.NextDomain) == v.apex
		cut := slices.Contains(n.TypeBitMap, dns.TypeNS) && !slices.Contains(n.TypeBitMap, dns.TypeSOA) || slices.Contains(n.TypeBitMap, dns.TypeDNAME)
		if after && before && !(cut && dns.IsSubDomain(n.Hdr.Name, name)) {
			return n
		}
	}
	return nil
}

// denied tells whether it is proven that there is nothing at or below a name.
func (v *validator) denied(name string) bool {
	if n := v.coverNSEC(name); n != nil && !dns.IsSubDomain(name, n.NextDomain) {
		return true
	}
	return v.cover3(name) != nil
}

// enclosers are the names from the one above a name up to the apex.
func (v *validator) enclosers(name string) (list []string) {
	for strings.ToLower(name) != v.apex && dns.IsSubDomain(v.apex, name) {
		i, _ := dns.NextLabel(name, 0)
		name = name[i:]
		list = append(list, name)
	}
	return list
}

// encloser finds the closest encloser that is proven, and the name next closer.
func (v *validator) encloser(name string) (ce, closer string, ok bool) {
	closer = name
	for _, ce := range v.enclosers(name) {
		if len(v.nsec3s()) > 0 {
			if v.match3(ce) != nil {
				return ce, closer, v.cover3(closer) != nil
			}
		} else if n := v.coverNSEC(name); n != nil && (dns.IsSubDomain(ce, n.Hdr.Name) || dns.IsSubDomain(ce, n.NextDomain)) {
			return ce, closer, true
		}
		closer = ce
	}
	return "", "", false
}

func (v *validator) nxdomain(name string) error {
	ce, _, ok := v.encloser(name)
	if !ok || !v.denied(name) && len(v.nsec3s()) == 0 {
		return fmt.Errorf("%s is not shown not to exist", name)
	}
	if !v.denied("*." + ce) {
		return fmt.Errorf("*.%s, the wildcard of %s, is not shown not to exist", ce, name)
	}
	return nil
}

func lacks(bitmap []uint16, qtype uint16, what string) error {
	if slices.Contains(bitmap, qtype) || slices.Contains(bitmap, dns.TypeCNAME) {
		return fmt.Errorf("%s: the bitmap has %s, or CNAME", what, dns.Type(qtype))
	}
	if qtype == dns.TypeANY && slices.ContainsFunc(bitmap, func(t uint16) bool { return t != dns.TypeRRSIG && t != dns.TypeNSEC }) {
		return fmt.Errorf("%s: there is nothing at it, yet the bitmap has %v", what, bitmap)
	}
	if cut := slices.Contains(bitmap, dns.TypeNS) && !slices.Contains(bitmap, dns.TypeSOA); cut != (qtype == dns.TypeDS) && cut {
		return fmt.Errorf("%s: it is of the parent's side of a cut", what)
	}
	return nil
}

// bitmap finds the types at a name.
func (v *validator) bitmap(name string) ([]uint16, bool) {
	for _, n := range v.nsecs() {
		if strings.EqualFold(n.Hdr.Name, name) {
			return n.TypeBitMap, true
		}
	}
	if n := v.match3(name); n != nil {
		return n.TypeBitMap, true
	}
	return nil, false
}

func (v *validator) nodata(name string, qtype uint16) error {
	if types, ok := v.bitmap(name); ok {
		return lacks(types, qtype, name)
	}
	if n := v.coverNSEC(name); n != nil && dns.IsSubDomain(name, n.NextDomain) {
		return nil // an empty non-terminal
	}
	ce, closer, ok := v.encloser(name)
	if !ok {
		return fmt.Errorf("%s: neither its types nor its closest encloser are shown", name)
	}
	if types, ok := v.bitmap("*." + ce); ok {
		if !v.denied(closer) {
			return fmt.Errorf("%s is not shown not to exist", closer)
		}
		return lacks(types, qtype, "*."+ce)
	}
	if n := v.cover3(closer); n != nil && n.Flags&1 != 0 {
		return nil // opt-out: RFC 5155, sections 8.6 and 8.7
	}
	if n := v.coverNSEC("*." + ce); n != nil && dns.IsSubDomain("*."+ce, n.NextDomain) && v.denied(closer) {
		return nil // "*" is an empty non-terminal
	}
	return fmt.Errorf("%s: the types of *.%s are not shown", name, ce)
}

func (v *validator) referral() error {
	cut := ""
	for _, rr := range v.m.Ns {
		switch rr.Header().Rrtype {
		case dns.TypeNS:
			cut = strings.ToLower(rr.Header().Name)
		case dns.TypeDS:
			if strings.ToLower(rr.Header().Name) == cut {
				return nil
			}
		}
	}
	if types, ok := v.bitmap(cut); ok {
		if !slices.Contains(types, dns.TypeNS) || slices.Contains(types, dns.TypeDS) || slices.Contains(types, dns.TypeSOA) {
			return fmt.Errorf("referral to %s: types %v", cut, types)
		}
		return nil
	}
	if _, closer, ok := v.encloser(cut); ok {
		if n := v.cover3(closer); n != nil && n.Flags&1 != 0 {
			return nil
		}
	}
	return fmt.Errorf("referral to %s: neither DS nor a proof that there is none", cut)
}
