package dnssec

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"gslb/dnsname"
)

// Verify checks an RRSIG over an RRset with a DNSKEY, both as rdata: who made
// it, that it counts now, and the signature itself (RFC 4035, section 5.3). The
// owner may have been made of a wildcard: the signature is then over that.
func Verify(owner []byte, class uint16, set *RRset, rrsig, zone, dnskey []byte, now time.Time) error {
	signer := -1
	if len(rrsig) > rrsigFixed {
		signer = dnsname.Len(rrsig[rrsigFixed:])
	}
	if signer < 0 || len(dnskey) < 5 {
		return errors.New("the RRSIG or the DNSKEY ends too early")
	}
	owner = dnsname.AppendLower(nil, owner)
	header := slices.Clone(rrsig[:rrsigFixed+signer])
	name := dnsname.AppendLower(nil, header[rrsigFixed:])
	copy(header[rrsigFixed:], name)
	alg := Algorithm(rrsig[2])
	switch {
	case binary.BigEndian.Uint16(rrsig) != set.Type:
		return errors.New("the RRSIG covers another type")
	case alg != Algorithm(dnskey[3]) || binary.BigEndian.Uint16(rrsig[16:]) != KeyTag(dnskey):
		return errors.New("the RRSIG is of another key")
	case binary.BigEndian.Uint16(dnskey)&flagZone == 0 || dnskey[2] != 3 || !alg.known():
		return errors.New("the DNSKEY is none to verify with")
	case Compare(name, zone) != 0 || !within(owner, name):
		return errors.New("the RRSIG's signer is not the zone")
	case rrsig[3] > signedLabels(owner):
		return errors.New("the RRSIG has more labels than the owner")
	}
	// RFC 1982 arithmetic.
	if t := uint32(now.Unix()); int32(t-binary.BigEndian.Uint32(rrsig[12:])) < 0 || int32(binary.BigEndian.Uint32(rrsig[8:])-t) < 0 {
		return errors.New("the RRSIG does not count at this time")
	}
	for i := signedLabels(owner); i > rrsig[3]; i-- {
		owner = owner[int(owner[0])+1:]
		if i == rrsig[3]+1 {
			owner = append([]byte{1, '*'}, owner...)
		}
	}
	original := *set
	original.TTL = binary.BigEndian.Uint32(rrsig[4:])
	var c canonicalizer
	signed, err := c.appendSet(header, owner, class, &original)
	if err != nil {
		return err
	}
	public, err := parsePublic(alg, dnskey[4:])
	if err != nil {
		return err
	}
	return verifySignature(alg, public, signed, rrsig[rrsigFixed+signer:])
}

func verifySignature(alg Algorithm, public crypto.PublicKey, signed, signature []byte) error {
	sum := signed
	if h := alg.hash(); h == crypto.SHA256 {
		s := sha256.Sum256(signed)
		sum = s[:]
	} else if h != 0 {
		state := h.New()
		state.Write(signed)
		sum = state.Sum(nil)
	}
	ok := false
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		half := len(signature) / 2
		ok = len(signature) == 2*alg.width() && ecdsa.Verify(p, sum, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	case ed25519.PublicKey:
		ok = ed25519.Verify(p, signed, signature)
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(p, alg.hash(), sum, signature) == nil
	}
	if !ok {
		return fmt.Errorf("the signature of %s is wrong", alg)
	}
	return nil
}
