package upkeep

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// keys gives a zone's DNSKEY RRset, if a resolver says that it has validated it
// (the bit AD; RFC 6840, section 5.7); none if it does not, as with a zone that
// is not signed, or a resolver that does not validate.
func (l lookup) keys(ctx context.Context, zone string) (keys []*dns.DNSKEY, err error) {
	m, err := l.resolve(ctx, zone, dns.TypeDNSKEY)
	if err != nil || !m.AuthenticatedData {
		return nil, err
	}
	for _, rr := range m.Answer {
		if k, ok := rr.(*dns.DNSKEY); ok && strings.EqualFold(k.Hdr.Name, zone) {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// proven checks that a server's answer for the DS of a zone is signed with one
// of the keys of the parent, be it the DS RRset or the proof that there is none.
func proven(m *dns.Msg, zone, parent string, keys []*dns.DNSKEY, now time.Time) error {
	none := true
	for _, rr := range m.Answer {
		none = none && !(rr.Header().Rrtype == dns.TypeDS && strings.EqualFold(rr.Header().Name, zone))
	}
	if !none {
		if !verified(m.Answer, zone, dns.TypeDS, parent, keys, now) {
			return fmt.Errorf("its DS is not signed with the keys of %s, which a resolver has validated", parent)
		}
		return nil
	}
	for _, rr := range m.Ns {
		if deniesDS(rr, zone, parent) && verified(m.Ns, rr.Header().Name, rr.Header().Rrtype, parent, keys, now) {
			return nil
		}
	}
	return fmt.Errorf("it has no DS, but does not prove that with the keys of %s, which a resolver has validated", parent)
}

// verified says whether an RRset of a section has a signature that counts.
func verified(section []dns.RR, owner string, rrtype uint16, parent string, keys []*dns.DNSKEY, now time.Time) bool {
	var set []dns.RR
	for _, rr := range section {
		if h := rr.Header(); h.Rrtype == rrtype && strings.EqualFold(h.Name, owner) {
			set = append(set, rr)
		}
	}
	for _, rr := range section {
		s, ok := rr.(*dns.RRSIG)
		if !ok || s.TypeCovered != rrtype || !strings.EqualFold(s.Hdr.Name, owner) || !strings.EqualFold(s.SignerName, parent) || !s.ValidityPeriod(now) {
			continue
		}
		if slices.ContainsFunc(keys, func(k *dns.DNSKEY) bool { return s.Verify(k, set) == nil }) {
			return true
		}
	}
	return false
}

// deniesDS says whether a record tells that the parent has no DS of a zone: an
// NSEC or NSEC3 of the delegation (RFC 4035, section 5.2; RFC 5155, section 8.9),
// or an NSEC3 with opt-out that covers it.
func deniesDS(rr dns.RR, zone, parent string) bool {
	switch rr := rr.(type) {
	case *dns.NSEC:
		return strings.EqualFold(rr.Hdr.Name, zone) && cutWithoutDS(rr.TypeBitMap)
	case *dns.NSEC3:
		if rr.Match(zone) {
			return cutWithoutDS(rr.TypeBitMap)
		}
		for name := zone; rr.Flags&1 != 0 && dns.IsSubDomain(parent, name) && !strings.EqualFold(name, parent); {
			if rr.Cover(name) {
				return true
			}
			at, end := dns.NextLabel(name, 0)
			if end {
				return false
			}
			name = name[at:]
		}
	}
	return false
}

// cutWithoutDS says whether a bitmap is that of a delegation without DS, as the
// parent has it.
func cutWithoutDS(types []uint16) bool {
	return slices.Contains(types, dns.TypeNS) && !slices.Contains(types, dns.TypeDS) && !slices.Contains(types, dns.TypeSOA)
}
