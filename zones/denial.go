package zones

import (
	"crypto/sha1"
	"encoding/base32"

	"github.com/miekg/dns"

	"gslb/dnssec"
)

// denial is how a zone proves what is not in it.
type denial uint8

const (
	noDenial  denial = iota // it does not: it is not signed
	withNSEC                // RFC 4035, section 3.1.3
	withNSEC3               // RFC 5155, section 7.2
)

// maxProofs are the most records of denial that an answer has: three, and one
// for each wildcard that a chain of aliases goes through.
const maxProofs = MaxChain + 3

// prove puts an RRset of a node into the authority section, once.
func (r *Result) prove(z *Zone, n node, rrtype uint16) bool {
	set, _, ok := z.arena.find(n, rrtype)
	if !ok || len(r.Authority) == cap(r.Authority) {
		return ok
	}
	for i := range r.Authority {
		if r.Authority[i].Set.same(set) {
			return true
		}
	}
	r.Authority = append(r.Authority, Record{Owner: z.arena.owner(n), Set: set})
	return true
}

// denyName proves that a name does not exist, and that there is no wildcard at
// the closest encloser, which is the name without its first k labels: RFC 4035,
// section 3.1.3.2; RFC 5155, section 7.2.2.
func (r *Result) denyName(z *Zone, name *Name, k int) {
	var room [maxKey]byte
	switch z.denial {
	case withNSEC:
		r.prove(z, z.cover(name.appendKey(room[:0], 0, int(z.labels))), dns.TypeNSEC)
		n := z.atApex.wild
		if name.labels-k != int(z.labels) {
			n = z.cover(append(name.appendKey(room[:0], k, int(z.labels)), '*', 0))
		}
		r.prove(z, n, dns.TypeNSEC)
	case withNSEC3:
		k = r.enclose(z, name, k)
		n := z.atApex.wild
		if name.labels-k != int(z.labels) {
			n, _ = z.hashed(name, k, true)
		}
		r.prove(z, n, dns.TypeNSEC3)
	}
}

// enclose proves that the name without its first k labels exists, and that
// there is no name that is one label longer (RFC 5155, section 7.2.1). Where
// opt-out leaves the former out, the next one above takes its place; how many
// labels that is without comes back.
func (r *Result) enclose(z *Zone, name *Name, k int) int { return r.encloseBeside(z, name, k, false) }

// encloseBeside is enclose; closed tells that denyCloser has proven already that
// there is no name that is one label longer.
func (r *Result) encloseBeside(z *Zone, name *Name, k int, closed bool) int {
	for first := k; ; k++ {
		closed = closed && k == first
		if name.labels-k <= int(z.labels) {
			r.prove(z, z.atApex.match, dns.TypeNSEC3)
			break
		}
		if n, ok := z.hashed(name, k, false); ok {
			r.prove(z, n, dns.TypeNSEC3)
			break
		}
	}
	if !closed {
		n, _ := z.hashed(name, k-1, false)
		r.prove(z, n, dns.TypeNSEC3)
	}
	return k
}

// denyType proves that a name, without its first k labels, has no records of a
// type: RFC 4035, section 3.1.3.1; RFC 5155, sections 7.2.3 and 7.2.4. n is its
// node; 0: it has none, for there are only names below it.
func (r *Result) denyType(z *Zone, name *Name, k int, n node) {
	var room [maxKey]byte
	switch z.denial {
	case withNSEC:
		if n == 0 || !r.prove(z, n, dns.TypeNSEC) { // an empty non-terminal
			r.prove(z, z.cover(name.appendKey(room[:0], k, int(z.labels))), dns.TypeNSEC)
		}
	case withNSEC3:
		if name.labels-k == int(z.labels) {
			r.prove(z, z.atApex.match, dns.TypeNSEC3)
		} else if n, ok := z.hashed(name, k, false); ok {
			r.prove(z, n, dns.TypeNSEC3)
		} else {
			r.enclose(z, name, k+1)
		}
	}
}

// denyWild proves that a wildcard has no records of a type, and that a name
// that it stands for does not exist: RFC 4035, section 3.1.3.4; RFC 5155,
// section 7.2.5. closed tells that denyCloser has proven the latter already.
func (r *Result) denyWild(z *Zone, name *Name, k int, n node, closed bool) {
	var room [maxKey]byte
	switch z.denial {
	case withNSEC:
		if n == 0 || !r.prove(z, n, dns.TypeNSEC) {
			r.prove(z, z.cover(append(name.appendKey(room[:0], k, int(z.labels)), '*', 0)), dns.TypeNSEC)
		}
		if !closed {
			r.prove(z, z.cover(name.appendKey(room[:0], 0, int(z.labels))), dns.TypeNSEC)
		}
	case withNSEC3:
		k = r.encloseBeside(z, name, k, closed)
		n, _ := z.hashed(name, k, true)
		r.prove(z, n, dns.TypeNSEC3)
	}
}

// denyTypeOr is denyType of a name, or denyWild where a wildcard stands for it.
func (r *Result) denyTypeOr(z *Zone, name *Name, n node, wild int) {
	if wild >= 0 {
		r.denyWild(z, name, wild, n, false)
	} else {
		r.denyType(z, name, 0, n)
	}
}

// denyCloser proves that a wildcard may stand for a name: there is none
// nearer to it. RFC 4035, section 3.1.3.3; RFC 5155, section 7.2.6.
func (r *Result) denyCloser(z *Zone, name *Name, k int) {
	var room [maxKey]byte
	switch z.denial {
	case withNSEC:
		r.prove(z, z.cover(name.appendKey(room[:0], 0, int(z.labels))), dns.TypeNSEC)
	case withNSEC3:
		n, _ := z.hashed(name, k-1, false)
		r.prove(z, n, dns.TypeNSEC3)
	}
}

// delegation adds to a referral the DS records of the delegated zone, or the
// proof that there are none: RFC 4035, section 3.1.4.1; RFC 5155, section 7.2.7.
// The cut is the name without its first labels.
func (r *Result) delegation(z *Zone, name *Name, cut node) {
	if z.denial == noDenial || r.prove(z, cut, dns.TypeDS) {
		return
	}
	k := 0
	for length := len(z.arena.owner(cut)); name.length-int(name.off[k]) > length; {
		k++
	}
	r.denyType(z, name, k, cut)
}

// base32hex is how hashes stand in names (RFC 5155, section 3.3).
var base32hex = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// hashLen is the length of a hash in a name.
const hashLen = 32

// hashed finds the NSEC3 that matches, or else covers, a name without its first
// k labels, or "*" below that.
func (z *Zone) hashed(name *Name, k int, wild bool) (n node, match bool) {
	if !wild {
		return z.hashOf(name.from(k))
	}
	var room [2 + len(name.octets)]byte
	return z.hashOf(append(append(room[:0], 1, '*'), name.from(k)...))
}

func (z *Zone) hashOf(name []byte) (n node, match bool) {
	var key [hashLen + 1]byte
	hash := z.nsec3.Hash(name)
	encodeHash(key[:hashLen], &hash)
	n = z.cover(key[:])
	return n, string(z.arena.owner(n)[1:1+hashLen]) == string(key[:hashLen])
}

// encodeHash is base32hex.Encode for a hash.
func encodeHash(dst []byte, hash *[sha1.Size]byte) { base32hex.Encode(dst, hash[:]) }

// pinned are the records of denial that most answers need.
type pinned struct {
	wild  node // covers "*" below the apex, or is its own
	match node // the NSEC3 of the apex
}

// pin finds them.
func (z *Zone) pin() {
	switch z.denial {
	case withNSEC:
		z.atApex.wild = z.cover([]byte{'*', 0})
	case withNSEC3:
		z.atApex.match, _ = z.hashOf(z.apex)
		z.atApex.wild, _ = z.hashOf(append([]byte{1, '*'}, z.apex...))
	}
}

// nsec3Params reads the rdata that NSEC3 and NSEC3PARAM begin with (RFC 5155,
// sections 3.2 and 4.2); ok is false where it is of an unknown kind.
func nsec3Params(data []byte) (p dnssec.NSEC3Params, ok bool) {
	if len(data) < 5 || len(data) < 5+int(data[4]) || data[0] != 1 {
		return p, false
	}
	p.Iterations = uint16(data[2])<<8 | uint16(data[3])
	p.Salt = append(p.Salt, data[5:5+int(data[4])]...)
	p.OptOut = data[1]&1 != 0
	return p, true
}
