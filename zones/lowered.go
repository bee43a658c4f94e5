package zones

import "encoding/binary"

// Lowered is the steered name with the TTL of what is chosen no higher than TroubleTTL,
// for answers while one of its sites is in trouble; nil: it has none of its own. Signatures hold
// all the same: they are over the original TTL, which stands within them (RFC 4034, section
// 3.1.8.1), and theirs is lowered with that of what they sign (section 3).
func (s *Steered) Lowered() *Steered {
	if s.TroubleTTL == 0 {
		return nil
	}
	low := *s
	low.TTL = min(s.TTL, s.TroubleTTL)
	low.sites = make([]siteSets, len(s.sites))
	for i := range s.sites {
		from, to := &s.sites[i], &low.sites[i]
		to.cname, to.a, to.aaaa = from.cname.lowered(s.TroubleTTL), from.a.lowered(s.TroubleTTL), from.aaaa.lowered(s.TroubleTTL)
		for k := range from.services {
			to.services[k] = from.services[k].lowered(s.TroubleTTL)
		}
	}
	return &low
}

// lowered is the RRset with a TTL of at most ttl, and its signatures likewise.
func (s RRset) lowered(ttl uint32) RRset {
	if s.Count == 0 || s.TTL() <= ttl {
		return s
	}
	n := len(s.Wire)
	all := append(make([]byte, 0, len(s.signed())), s.signed()...)
	for w := all; len(w) > 0; {
		binary.BigEndian.PutUint32(w[6:], ttl)
		_, w = nextData(w)
	}
	s.Wire = all[:n:len(all)]
	return s
}
