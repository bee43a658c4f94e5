package zones

import (
	"bytes"
	"time"

	"github.com/miekg/dns"

	"gslb/dnssec"
)

// CompactProof shows that one name does not exist, by an NSEC of that name with the type
// NXNAME (RFC 9824, section 3.1). It never changes.
type CompactProof struct {
	by   *dnssec.Compact
	name []byte
	set  RRset
	due  int64 // to be made anew, in seconds since 1970
}

// newCompact is what makes such proofs for a zone that is signed in this way; nil: nothing does.
func (z *Zone) newCompact(s *dnssec.Signing) *dnssec.Compact {
	soa, _, _ := z.arena.set(z.negSOA)
	return dnssec.NewCompact(s, soa.TTL())
}

// Compact tells whether the zone, which may be nil, is signed here with compact denial.
func (z *Zone) Compact() bool { return z != nil && z.signing != nil && z.signing.compact != nil }

// CanProve tells whether a CompactProof can take the place of the chain's proof in what a
// look-up of a type came to. Of what does not exist that is all but what an alias leads to, since
// the chain has to prove the rest of such an answer anyhow, and the types that the proof
// itself says are there, or that stand for all.
func (r *Result) CanProve(qtype uint16) bool {
	if r.Outcome != NXDomain || !r.Signed || len(r.Answer) > 0 || !r.Zone.Compact() {
		return false
	}
	return qtype != dns.TypeNSEC && qtype != dns.TypeRRSIG && qtype != dns.TypeANY && dnssec.HasCompact(r.name.Wire())
}

// Prove makes the proof for the name that was looked up, where CanProve says so. It makes a
// signature: no worker that answers queries has the time.
func (r *Result) Prove(now time.Time) (*CompactProof, error) {
	c := r.Zone.signing.compact
	name := bytes.Clone(r.name.Wire())
	p, err := c.Prove(name, now)
	if err != nil {
		return nil, err
	}
	return &CompactProof{c, name, newRRset(dns.TypeNSEC, p.TTL, p.NSEC).with(p.TTL, p.RRSIG), p.Due.Unix()}, nil
}

// Proves tells whether the proof, which may be nil, is one for the name that was looked up, by
// the keys that its zone has now. now is in seconds since 1970.
func (p *CompactProof) Proves(r *Result, now int64) bool {
	return p != nil && p.by == r.Zone.signing.compact && now < p.due && string(p.name) == string(r.name.Wire())
}

// Put takes the proof in place of the chain's. The answer is NOERROR then, unless who asks
// wants to be told NXDOMAIN all the same (RFC 9824, section 5.1).
func (r *Result) Put(p *CompactProof, nxdomain bool) {
	r.Authority = append(r.Authority[:1], Record{Owner: p.name, Set: p.set})
	if !nxdomain {
		r.Outcome = NoData
	}
}

// NameHash is a hash of the name that was looked up, which nobody outside can foresee.
func (r *Result) NameHash() uint64 { return r.name.hash[0] }
