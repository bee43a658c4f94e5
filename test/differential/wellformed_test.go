package differential

import (
	"fmt"

	"github.com/miekg/dns"
)

// wellFormed is what gslb's answers must be whatever the others send: within
// the size, and with whole RRsets only (RFC 2181, section 9). whole is its
// answer over TCP.
func wellFormed(a, whole *answer, w way) error {
	if a.msg == nil {
		return fmt.Errorf("answer %s", a.parts["response"])
	}
	if limit := w.limit(); len(a.raw) > limit {
		return fmt.Errorf("%d octets, at most %d are allowed", len(a.raw), limit)
	}
	if w.network == "udp" && whole.msg != nil {
		for _, s := range []struct {
			name       string
			part, full []dns.RR
		}{{"answer", a.msg.Answer, whole.msg.Answer}, {"authority", a.msg.Ns, whole.msg.Ns}, {"additional", a.msg.Extra, whole.msg.Extra}} {
			full := setSizes(s.full)
			for set, n := range setSizes(s.part) {
				if full[set] != n {
					return fmt.Errorf("%d records %s in the %s section, over TCP %d", n, set, s.name, full[set])
				}
			}
		}
	}
	return nil
}

// limit is the most octets that may be sent.
func (w way) limit() int {
	switch {
	case w.network == "tcp":
		return dns.MaxMsgSize
	case w.edns == 0:
		return dns.MinMsgSize
	}
	return min(max(int(w.edns), dns.MinMsgSize), maxUDPSize)
}

// setSizes counts the records of each RRset.
func setSizes(records []dns.RR) map[string]int {
	sizes := map[string]int{}
	for _, rr := range records {
		h := rr.Header()
		if sig, ok := rr.(*dns.RRSIG); ok {
			sizes[fmt.Sprintf("%s RRSIG of %s", dns.CanonicalName(h.Name), dns.Type(sig.TypeCovered))]++
		} else if h.Rrtype != dns.TypeOPT {
			sizes[fmt.Sprintf("%s %s", dns.CanonicalName(h.Name), dns.Type(h.Rrtype))]++
		}
	}
	return sizes
}

// optLen is what an OPT record without options takes, where there is one.
func (w way) optLen() int {
	if w.edns == 0 {
		return 0
	}
	return 11
}
