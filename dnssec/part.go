package dnssec

import (
	"crypto/sha1"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// Part signs some names of a zone whose others are signed already, and gives them
// the RRsets and signatures that SignZone would: after a change, those that have
// changed, and those whose record of denial leads to others now. The apex must be the
// first of them. End it with Finish or Stop.
type Part struct {
	z       *zoneSigner
	stopped bool
}

// NewPart begins a part. The Cache of the Signing is that of the whole zone. emit is
// that of SignZone.
func NewPart(s Signing, now time.Time, emit func(*Signed) error) (*Part, error) {
	s.Workers = 1
	z, err := newZoneSigner(s, now, emit)
	if err != nil {
		return nil, err
	}
	z.part = true
	return &Part{z: z}, nil
}

// Stop ends the part, if it has not ended yet.
func (p *Part) Stop() {
	if !p.stopped {
		p.stopped = true
		p.z.stop()
	}
}

// Proof is what an NSEC3 record says of a name: its types, without one of Name.Deny,
// or with all where that is 0.
type Proof struct {
	Without uint16
	bitmap  []byte
}

// Name signs a name. Its NSEC leads to next, which is in lower case; of a zone with
// NSEC3 its proofs come back, for NSEC3. Names with nothing to be signed have no
// NSEC, and no proofs.
func (p *Part) Name(n *Name, next []byte) ([]Proof, error) {
	z := p.z
	z.owner = dnsname.AppendLower(z.owner[:0], n.Owner)
	first := z.last == nil
	z.last = append(z.last[:0], z.owner...)
	if n.Standing == Below || len(n.Sets) == 0 && !n.Exists && !first {
		return nil, nil
	}
	made := len(n.Sets)
	if first {
		var err error
		if n, made, err = z.atApex(n); err != nil {
			return nil, err
		}
	}
	if err := z.signSets(n, made); err != nil {
		return nil, fmt.Errorf("%s: %w", dnsname.Format(n.Owner), err)
	}
	z.types = provenTypes(z.types[:0], n, z.Denial)
	bitmap, variants := AppendBitmap(nil, z.types), variantsOf(n.Deny, z.types)
	if z.Denial == WithNSEC {
		z.nsec.owner, z.nsec.bitmap, z.nsec.variants = append(z.nsec.owner[:0], z.owner...), bitmap, variants
		return nil, z.closeNSEC(next)
	}
	all := []Proof{{0, bitmap}}
	for _, v := range variants {
		all = append(all, Proof{v.without, v.bitmap})
	}
	return all, nil
}

// NSEC3 signs the NSEC3 record, or the variant of it, of a name: owner is the name of
// that record, and next the hash that it leads to. The zero Proof is that of a name
// that exists for others' sake only.
func (p *Part) NSEC3(owner []byte, next [sha1.Size]byte, proof Proof) error {
	flags := byte(0)
	if p.z.NSEC3.OptOut {
		flags = 1
	}
	rdata := p.z.NSEC3.appendParams(nil, flags)
	rdata = append(append(rdata, byte(len(next))), next[:]...)
	return p.denial(owner, append(rdata, proof.bitmap...), proof.Without)
}

// Relink signs an NSEC3 record that says what it said before, but leads to another
// hash. Rdata is that of the record before; it is not changed.
func (p *Part) Relink(owner, rdata []byte, next [sha1.Size]byte, without uint16) error {
	at := 5 + int(rdata[4]) + 1
	if len(rdata) < at+len(next) {
		return fmt.Errorf("%s: its NSEC3 record is too short", dnsname.Format(owner))
	}
	changed := append([]byte(nil), rdata...)
	copy(changed[at:], next[:])
	return p.denial(owner, changed, without)
}

func (p *Part) denial(owner, rdata []byte, without uint16) error {
	set := RRset{Type: dns.TypeNSEC3, TTL: p.z.negTTL, Data: [][]byte{rdata}}
	return p.z.add(owner, &set, p.z.Keys.SignZone, true, without)
}

// NegativeTTL is that of records of denial, once the apex has been signed.
func (p *Part) NegativeTTL() uint32 { return p.z.negTTL }

// Finish waits for all signatures. The Cache is that of the whole zone again; the
// other figures are those of the part.
func (p *Part) Finish() (Result, error) {
	defer p.Stop()
	if err := p.z.flush(); err != nil {
		return Result{}, fmt.Errorf("signing %s: %w", dnsname.Format(p.z.Apex), err)
	}
	r := p.z.result
	r.Cache = p.z.old.with(r.Cache)
	return r, nil
}
