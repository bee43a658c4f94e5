package dnssec

import (
	"crypto"
	"fmt"
	"strings"
)

// Algorithm is a DNSSEC algorithm number (RFC 4034, appendix A.1).
type Algorithm uint8

// The algorithms that a zone can be signed with. RFC 9904 tells signers to use
// these; those with SHA-1 must not be used any more (RFC 9905).
const (
	RSASHA256       Algorithm = 8
	RSASHA512       Algorithm = 10
	ECDSAP256SHA256 Algorithm = 13
	ECDSAP384SHA384 Algorithm = 14
	ED25519         Algorithm = 15
)

// algorithms lists them, the default first.
var algorithms = []struct {
	number Algorithm
	name   string // as in the registry
	hash   crypto.Hash
	// octets of one number of an ECDSA signature or point; of an Ed25519 key
	width int
}{
	{ECDSAP256SHA256, "ECDSAP256SHA256", crypto.SHA256, 32},
	{ECDSAP384SHA384, "ECDSAP384SHA384", crypto.SHA384, 48},
	{ED25519, "ED25519", 0, 32},
	{RSASHA256, "RSASHA256", crypto.SHA256, 0},
	{RSASHA512, "RSASHA512", crypto.SHA512, 0},
}

// RSABits are the lengths of an RSA modulus that are taken, at least and at
// most. Shorter ones are broken or soon will be; longer ones make answers that
// do not fit, and RFC 3110 ends there.
var RSABits = [2]int{2048, 4096}

// ParseAlgorithm reads an algorithm's name, in any case, with or without hash,
// or its number.
func ParseAlgorithm(s string) (Algorithm, error) {
	var names []string
	for _, a := range algorithms {
		short, _, _ := strings.Cut(a.name, "SHA")
		if strings.EqualFold(s, a.name) || strings.EqualFold(s, short) && a.width > 0 || s == fmt.Sprint(uint8(a.number)) {
			return a.number, nil
		}
		names = append(names, a.name)
	}
	return 0, fmt.Errorf("%q is no algorithm to sign with: choose one of %s", s, strings.Join(names, ", "))
}

// String gives the algorithm's name in the registry.
func (a Algorithm) String() string {
	for _, known := range algorithms {
		if known.number == a {
			return known.name
		}
	}
	return fmt.Sprintf("algorithm %d", uint8(a))
}

// known says whether a zone can be signed with a.
func (a Algorithm) known() bool {
	for _, known := range algorithms {
		if known.number == a {
			return true
		}
	}
	return false
}

// IsRSA tells whether the algorithm is one of RSA, whose signatures take long to make.
func (a Algorithm) IsRSA() bool { return a == RSASHA256 || a == RSASHA512 }

// hash is what is signed instead of the data; 0 for Ed25519, which signs the
// data themselves.
func (a Algorithm) hash() crypto.Hash {
	for _, known := range algorithms {
		if known.number == a {
			return known.hash
		}
	}
	return 0
}

func (a Algorithm) width() int {
	for _, known := range algorithms {
		if known.number == a {
			return known.width
		}
	}
	return 0
}
