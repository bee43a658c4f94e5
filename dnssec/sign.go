package dnssec

import (
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// rrsigFixed is how many octets of an RRSIG's rdata come before the signer's
// name (RFC 4034, section 3.1).
const rrsigFixed = 18

// Lifespan is from when to when a signature counts: seconds since 1970, modulo
// 2^32 (RFC 4034, section 3.1.5).
type Lifespan struct {
	Inception, Expiration uint32
}

// appendHeader appends an RRSIG's rdata up to the signature.
func (k *Key) appendHeader(dst, owner []byte, set *RRset, life Lifespan) []byte {
	dst = binary.BigEndian.AppendUint16(dst, set.Type)
	dst = append(dst, byte(k.Algorithm), signedLabels(owner))
	dst = binary.BigEndian.AppendUint32(dst, set.TTL)
	dst = binary.BigEndian.AppendUint32(dst, life.Expiration)
	dst = binary.BigEndian.AppendUint32(dst, life.Inception)
	dst = binary.BigEndian.AppendUint16(dst, k.tag)
	return append(dst, k.Zone...)
}

// Sign gives the rdata of an RRSIG over one RRset. A zone is signed with
// SignZone, which is faster.
func (k *Key) Sign(owner []byte, class uint16, set *RRset, life Lifespan) ([]byte, error) {
	owner = dnsname.AppendLower(nil, owner)
	header := k.appendHeader(nil, owner, set, life)
	var c canonicalizer
	signed, err := c.appendSet(header[:len(header):len(header)], owner, class, set)
	if err != nil {
		return nil, err
	}
	return k.appendSignature(header, signed)
}

// appendSignature appends the signature of what is signed: an RRSIG's rdata up
// to the signature, then the RRset in canonical form. The same key and data
// give the same signature each time: RFC 6979 for ECDSA, by nature for the
// others.
func (k *Key) appendSignature(dst, signed []byte) ([]byte, error) {
	if k.private == nil {
		return nil, fmt.Errorf("key %s: its private half is not there", k)
	}
	hash := k.Algorithm.hash()
	if hash == crypto.SHA256 {
		sum := sha256.Sum256(signed)
		signed = sum[:]
	} else if hash != 0 {
		h := hash.New()
		h.Write(signed)
		signed = h.Sum(nil)
	}
	signature, err := k.private.Sign(nil, signed, hash)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", k, err)
	}
	if hash != 0 && k.Algorithm.width() > 0 {
		return appendNumbers(dst, signature, k.Algorithm.width())
	}
	return append(dst, signature...), nil
}

// appendNumbers turns an ECDSA signature from ASN.1, a sequence of two
// integers, into the two numbers side by side (RFC 6605, section 4).
func appendNumbers(dst, der []byte, width int) ([]byte, error) {
	if len(der) < 2 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return nil, errors.New("ecdsa: the signature is no ASN.1 sequence")
	}
	der = der[2:]
	for range 2 {
		if len(der) < 2 || der[0] != 0x02 || int(der[1]) > len(der)-2 {
			return nil, errors.New("ecdsa: the signature has no two integers")
		}
		number := der[2 : 2+der[1]]
		der = der[2+der[1]:]
		for len(number) > width && number[0] == 0 {
			number = number[1:]
		}
		if len(number) > width {
			return nil, errors.New("ecdsa: a number of the signature is too large")
		}
		for range width - len(number) {
			dst = append(dst, 0)
		}
		dst = append(dst, number...)
	}
	return dst, nil
}

// signatureLen is how many octets a signature of the key has.
func (k *Key) signatureLen() int {
	switch k.Algorithm {
	case ECDSAP256SHA256, ECDSAP384SHA384, ED25519:
		return 2 * k.Algorithm.width()
	}
	return (k.bits() + 7) / 8
}

// Times says how long signatures live. The zero Times stands for
// DefaultTimes.
//
// Each RRset has its own grid of moments, Validity less Refresh apart, set off
// by a hash of owner, type and key, so that renewal is spread evenly. A
// signature is made for the last of these moments and renewed at the next. So
// every node makes the same one, and one that stands keeps standing after a
// restart; at least Refresh of its life is left at any time.
type Times struct {
	Validity time.Duration // from the moment on the grid to expiration
	Refresh  time.Duration // what is left of it when a signature is renewed
	Backdate time.Duration // inception before the moment on the grid: clocks differ
	// Step gathers renewals: the grids' moments are multiples of it.
	Step time.Duration
}

// DefaultTimes renew a signature every nine days, five before it expires, and
// gather renewals by the hour.
var DefaultTimes = Times{Validity: 14 * 24 * time.Hour, Refresh: 5 * 24 * time.Hour, Backdate: time.Hour, Step: time.Hour}

// Validate checks the times beside the zone's largest TTL: what a cache took
// just before renewal must not expire while it is kept.
func (t Times) Validate(maxTTL time.Duration) error {
	switch {
	case t == Times{}:
		return nil
	case t.Step < time.Second || t.Backdate < 0:
		return errors.New("signatures: the step is at least a second, and the back-dating not negative")
	case t.Validity-t.Refresh < 2*t.Step:
		return fmt.Errorf("signatures: a validity of %v with renewal %v before its end leaves less than two steps of %v between renewals", t.Validity, t.Refresh, t.Step)
	case t.Validity > 68*365*24*time.Hour/2:
		return fmt.Errorf("signatures: a validity of %v is longer than an RRSIG can tell (RFC 4034, section 3.1.5)", t.Validity)
	case t.Refresh <= maxTTL:
		return fmt.Errorf("signatures: renewal %v before their end is too late for a TTL of %v: caches would hold expired ones", t.Refresh, maxTTL)
	}
	return nil
}

// grid is the step of the grid on which signatures are made, and how long one lasts until
// the next is due, in seconds.
func (t Times) grid() (step, period int64) {
	step = int64(t.Step / time.Second)
	return step, int64((t.Validity-t.Refresh)/time.Second) / step * step
}

// at gives the life of the signature that the key makes now for owner and
// type, and when the next one is due.
func (t Times) at(now int64, k *Key, owner []byte, rrtype uint16) (Lifespan, int64) {
	step, period := t.grid()
	offset := int64(gridHash(k, owner, rrtype)%uint64(period)) / step * step
	start := now - (now-offset)%period
	if start > now { // % of a negative number
		start -= period
	}
	return Lifespan{uint32(start - int64(t.Backdate/time.Second)), uint32(start + int64(t.Validity/time.Second))}, start + period
}

// Renewal is when a signature is to be renewed that expires at a time, in seconds as an
// RRSIG has it, which is taken to be near now (RFC 4034, section 3.1.5).
func (t Times) Renewal(expiration uint32, now time.Time) time.Time {
	if t == (Times{}) {
		t = DefaultTimes
	}
	_, period := t.grid()
	expires := now.Unix() + int64(int32(expiration-uint32(now.Unix())))
	return time.Unix(expires-int64(t.Validity/time.Second)+period, 0).UTC()
}

// gridHash is FNV-1a with a last mixing. The owner is in lower case.
func gridHash(k *Key, owner []byte, rrtype uint16) uint64 {
	h := uint64(14695981039346656037)
	for _, part := range [][]byte{k.id[:], owner, {byte(rrtype >> 8), byte(rrtype)}} {
		for _, c := range part {
			h = (h ^ uint64(c)) * 1099511628211
		}
	}
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}

// maySign checks that the key and the zone fit.
func (k *Key) maySign(apex []byte) error {
	if Compare(k.Zone, apex) != 0 {
		return fmt.Errorf("key %s is not one of zone %s", k, dnsname.Format(apex))
	}
	if k.private == nil {
		return fmt.Errorf("key %s: its private half is not there", k)
	}
	return nil
}

// comesOfSigning says whether a type is one that a zone to be signed does not
// hold.
func comesOfSigning(rrtype uint16) bool {
	switch rrtype {
	case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM:
		return true
	}
	return false
}
