package dnssec

import (
	"bytes"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// Compact makes the proofs of compact denial (RFC 9824, section 3.1): for a name that
// does not exist an NSEC of that very name. There is no end of such names, so that these
// alone are signed when somebody asks. It never changes; any number of goroutines may
// use it at once.
type Compact struct {
	class uint16
	ttl   uint32
	keys  []*Key
	times Times
}

// NewCompact makes one for a zone that is signed in this way, whose records of denial have
// a TTL; nil where that is not wanted.
func NewCompact(s *Signing, ttl uint32) *Compact {
	if !s.Compact {
		return nil
	}
	c := &Compact{class: s.Class, ttl: ttl, keys: s.Keys.SignZone, times: s.Times}
	if c.class == 0 {
		c.class = dns.ClassINET
	}
	if c.times == (Times{}) {
		c.times = DefaultTimes
	}
	return c
}

// CompactProof is an NSEC and its signatures, one of each key that signs the zone.
type CompactProof struct {
	TTL   uint32 // seconds
	NSEC  []byte // rdata
	RRSIG [][]byte
	Due   time.Time // when it is to be made anew; it counts for Times.Refresh longer
}

// HasCompact tells whether a name can have a proof: the name that follows it must not be
// too long, and a wildcard's own signatures would count for other names too.
func HasCompact(name []byte) bool { return len(name)+2 <= dnsname.Max && !dnsname.IsWild(name) }

// compactTypes is the bitmap of a name that does not exist.
var compactTypes = AppendBitmap(nil, []uint16{dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNXNAME})

// Prove makes the proof that a name, in wire form and of the zone, does not exist. Its
// signatures are from the grid of Times: all nodes with the same keys make the same.
func (c *Compact) Prove(name []byte, now time.Time) (p CompactProof, err error) {
	name = dnsname.AppendLower(make([]byte, 0, len(name)), name)
	p = CompactProof{TTL: c.ttl, NSEC: bytes.Join([][]byte{{1, 0}, name, compactTypes}, nil)}
	set := RRset{Type: dns.TypeNSEC, TTL: c.ttl, Data: [][]byte{p.NSEC}}
	first := int64(0)
	for _, k := range c.keys {
		life, due := c.times.at(now.Unix(), k, name, dns.TypeNSEC)
		if first == 0 || due < first {
			first = due
		}
		rrsig, err := k.Sign(name, c.class, &set, life)
		if err != nil {
			return CompactProof{}, err
		}
		p.RRSIG = append(p.RRSIG, rrsig)
	}
	p.Due = time.Unix(first, 0).UTC()
	return p, nil
}
