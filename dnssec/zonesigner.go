package dnssec

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// zoneSigner is the state of one SignZone.
type zoneSigner struct {
	Signing
	*pipeline
	negTTL uint32
	last   []byte // name visited, in lower case
	owner  []byte
	types  []uint16
	nsec   struct { // the record that waits for its next name
		owner, bitmap, rdata []byte
		variants             []variant
	}
	chain nsec3Chain
}

func newZoneSigner(s Signing, now time.Time, emit func(*Signed) error) (*zoneSigner, error) {
	s.Apex = dnsname.AppendLower(nil, s.Apex)
	if s.Class == 0 {
		s.Class = dns.ClassINET
	}
	if s.TTL == 0 {
		s.TTL = 3600
	}
	if len(s.CDS) == 0 {
		s.CDS = []DigestType{SHA256}
	}
	if s.Times == (Times{}) {
		s.Times = DefaultTimes
	}
	if s.Workers <= 0 {
		s.Workers = runtime.GOMAXPROCS(0)
	}
	errs := []error{s.NSEC3.Validate(), s.Times.Validate(0)}
	if len(s.Keys.SignKeys) == 0 || len(s.Keys.SignZone) == 0 {
		errs = append(errs, fmt.Errorf("zone %s: a key to sign the keys and one to sign the zone are needed", dnsname.Format(s.Apex)))
	}
	if most := dnsname.Max - ownerLabel; s.Denial == WithNSEC3 && len(s.Apex) > most {
		errs = append(errs, fmt.Errorf("zone %s: its name has %d octets: with NSEC3, whose owners have a hash before it, %d at most; it can be signed with NSEC", dnsname.Format(s.Apex), len(s.Apex), most))
	}
	for _, keys := range [][]*Key{s.Keys.SignKeys, s.Keys.SignZone} {
		for _, k := range keys {
			errs = append(errs, k.maySign(s.Apex))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	z := &zoneSigner{Signing: s, pipeline: newPipeline(&s, now, emit)}
	z.chain.params = s.NSEC3
	return z, nil
}

// visit takes one name of the walk.
func (z *zoneSigner) visit(n *Name) error {
	z.owner = dnsname.AppendLower(z.owner[:0], n.Owner)
	first := z.last == nil
	switch {
	case dnsname.Len(z.owner) != len(z.owner) || !within(z.owner, z.Apex):
		return fmt.Errorf("%s is no name of the zone", dnsname.Format(n.Owner))
	case first && !bytes.Equal(z.owner, z.Apex):
		return fmt.Errorf("the walk begins with %s, not with the apex", dnsname.Format(n.Owner))
	case !first && Compare(z.last, z.owner) >= 0:
		return fmt.Errorf("%s comes after %s, out of canonical order", dnsname.Format(n.Owner), dnsname.Format(z.last))
	}
	z.last = append(z.last[:0], z.owner...)
	if n.Standing == Below || len(n.Sets) == 0 && !n.Exists && !first {
		return nil
	}
	made := len(n.Sets)
	if first {
		var err error
		if n, made, err = z.atApex(n); err != nil {
			return err
		}
	}
	if z.Denial == WithNSEC {
		if err := z.closeNSEC(z.owner); err != nil {
			return err
		}
	}
	if err := z.signSets(n, made); err != nil {
		return fmt.Errorf("%s: %w", dnsname.Format(n.Owner), err)
	}
	z.types = provenTypes(z.types[:0], n, z.Denial)
	if z.Denial == WithNSEC {
		z.nsec.owner = append(z.nsec.owner[:0], z.owner...)
		z.nsec.bitmap = AppendBitmap(z.nsec.bitmap[:0], z.types)
		z.nsec.variants = variantsOf(n.Deny, z.types)
	} else if !z.NSEC3.OptOut || n.Standing != Cut || hasType(n, dns.TypeDS) {
		z.chain.add(z.Apex, z.owner, z.types, n.Deny)
	} else {
		z.chain.addAbove(z.Apex, z.owner)
	}
	return nil
}

func hasType(n *Name, rrtype uint16) bool {
	for i := range n.Sets {
		if n.Sets[i].Type == rrtype {
			return true
		}
	}
	return false
}

// atApex gives the apex with the RRsets that signing adds to it; from is where
// these begin.
func (z *zoneSigner) atApex(n *Name) (apex *Name, from int, err error) {
	made := []RRset{{Type: dns.TypeDNSKEY, TTL: z.TTL}, {Type: dns.TypeCDS, TTL: z.TTL}, {Type: dns.TypeCDNSKEY, TTL: z.TTL}}
	for _, k := range z.Keys.Publish {
		made[0].Data = append(made[0].Data, k.DNSKEY())
	}
	for _, k := range z.Keys.CDS {
		for _, d := range z.CDS {
			made[1].Data = append(made[1].Data, k.DS(d))
		}
		made[2].Data = append(made[2].Data, k.DNSKEY())
	}
	leaving := z.Keys.Leaving != Stays
	if leaving {
		made[1].Data, made[2].Data = [][]byte{deleteCDS}, [][]byte{deleteCDNSKEY}
	}
	apex = &Name{Owner: n.Owner, Deny: n.Deny}
	soa := &RRset{}
	for _, set := range n.Sets {
		switch set.Type {
		case dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY:
			if !leaving && asksToDelete(&set) {
				return nil, 0, fmt.Errorf("its %s record asks the parent to delete the DS (RFC 8078, section 4), beside the keys that are to be named there: leave it out; a policy with insecure = true has it", dns.Type(set.Type))
			}
			for i := range made {
				if made[i].Type == set.Type && !(leaving && i > 0) {
					made[i].Data = append(made[i].Data, set.Data...)
				}
			}
			continue
		case dns.TypeSOA:
			soa = &set
		}
		apex.Sets = append(apex.Sets, set)
	}
	if z.negTTL, err = negativeTTL(soa); err != nil {
		return nil, 0, err
	}
	from = len(apex.Sets)
	for _, set := range made {
		if len(set.Data) > 0 {
			apex.Sets = append(apex.Sets, set)
		}
	}
	if z.Denial == WithNSEC3 {
		params := z.NSEC3.appendParams(nil, 0)
		apex.Sets = append(apex.Sets, RRset{Type: dns.TypeNSEC3PARAM, TTL: z.negTTL, Data: [][]byte{params}})
	}
	return apex, from, nil
}

// asksToDelete tells whether a CDS or CDNSKEY RRset has the record that asks the parent
// to delete the DS: one with algorithm 0.
func asksToDelete(set *RRset) bool {
	at := 2 // in a CDS
	switch set.Type {
	case dns.TypeDNSKEY:
		return false
	case dns.TypeCDNSKEY:
		at = 3
	}
	return slices.ContainsFunc(set.Data, func(d []byte) bool { return len(d) > at && d[at] == 0 })
}

// signSets queues a name's RRsets, of which those at made and later are
// signing's own. At a cut the DS alone is signed.
func (z *zoneSigner) signSets(n *Name, made int) error {
	for i := range n.Sets {
		set := &n.Sets[i]
		if n.Standing == Cut && set.Type != dns.TypeDS {
			continue
		}
		if i < made && comesOfSigning(set.Type) {
			return fmt.Errorf("there is an %s record: the zone comes signed already", dns.Type(set.Type))
		}
		keys := z.Keys.SignZone
		if i >= made && set.Type != dns.TypeNSEC3PARAM {
			keys = z.Keys.SignKeys
		}
		if err := z.add(z.owner, set, keys, i >= made, 0); err != nil {
			return err
		}
	}
	return nil
}

// closeNSEC queues the NSEC that waited for the next name.
func (z *zoneSigner) closeNSEC(next []byte) error {
	if len(z.nsec.owner) == 0 {
		return nil
	}
	z.result.Names++
	for _, v := range append([]variant{{bitmap: z.nsec.bitmap}}, z.nsec.variants...) {
		z.nsec.rdata = append(append(z.nsec.rdata[:0], next...), v.bitmap...)
		set := RRset{Type: dns.TypeNSEC, TTL: z.negTTL, Data: [][]byte{z.nsec.rdata}}
		if err := z.add(z.nsec.owner, &set, z.Keys.SignZone, true, v.without); err != nil {
			return err
		}
	}
	return nil
}

// finish queues what is left and waits for all of it.
func (z *zoneSigner) finish() error {
	if z.last == nil {
		return errors.New("there is no name in it")
	}
	if z.Denial == WithNSEC {
		if err := z.closeNSEC(z.Apex); err != nil {
			return err
		}
		return z.flush()
	}
	z.result.Names = len(z.chain.entries)
	set := RRset{Type: dns.TypeNSEC3, TTL: z.negTTL, Data: make([][]byte, 1)}
	err := z.chain.close(func(hash [sha1.Size]byte, rdata []byte, without uint16) error {
		z.owner = AppendOwner(z.owner[:0], hash, z.Apex)
		set.Data[0] = rdata
		return z.add(z.owner, &set, z.Keys.SignZone, true, without)
	})
	if err != nil {
		return err
	}
	return z.flush()
}
