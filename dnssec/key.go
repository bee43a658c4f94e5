package dnssec

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"gslb/dnsname"
)

// Role is what a key signs.
type Role uint8

const (
	KSK Role = iota // the DNSKEY, CDS and CDNSKEY RRsets; the parent's DS names it
	ZSK             // everything else
	CSK             // all
)

// String gives the role's usual abbreviation.
func (r Role) String() string { return [...]string{"KSK", "ZSK", "CSK"}[r] }

// entry says whether keys of the role are named by the parent's DS.
func (r Role) entry() bool { return r != ZSK }

// zone says whether keys of the role sign the zone's own data.
func (r Role) zone() bool { return r != KSK }

// DigestType is how a DS names a key (RFC 4034, appendix A.2).
type DigestType uint8

// The digests that a DS may still be made with (RFC 9904).
const (
	SHA256 DigestType = 2
	SHA384 DigestType = 4
)

// A DNSKEY's flags (RFC 4034, section 2.1.1, RFC 5011).
const (
	flagZone   = 1 << 8
	flagRevoke = 1 << 7
	flagSEP    = 1
)

// Key is one key of a zone. It never changes; WithTiming gives another value.
type Key struct {
	Zone      []byte // apex, wire form, lower case
	Algorithm Algorithm
	Role      Role
	Timing    Timing
	// TTL that its key file gives to the DNSKEY, in seconds; 0 for none. A
	// policy's counts more.
	TTL uint32

	rdata   []byte // of the DNSKEY
	tag     uint16
	id      [8]byte // tells it from another key of the same tag
	told    bool    // the role is known, not guessed from the flags
	private crypto.Signer
}

// Generate makes a key. Bits counts for RSA alone; 0 means 2048.
func Generate(zone []byte, alg Algorithm, bits int, role Role, timing Timing) (*Key, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case ECDSAP256SHA256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384SHA384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ED25519:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case RSASHA256, RSASHA512:
		if bits == 0 {
			bits = RSABits[0]
		}
		if bits < RSABits[0] || bits > RSABits[1] {
			return nil, fmt.Errorf("an RSA key of %d bits: %d to %d are allowed", bits, RSABits[0], RSABits[1])
		}
		private, err = rsa.GenerateKey(rand.Reader, bits)
	default:
		return nil, fmt.Errorf("cannot make a key of %s", alg)
	}
	if err != nil {
		return nil, fmt.Errorf("making a key of %s: %w", alg, err)
	}
	public, err := publicBytes(private.Public())
	if err != nil {
		return nil, err
	}
	flags := uint16(flagZone)
	if role.entry() {
		flags |= flagSEP
	}
	rdata := binary.BigEndian.AppendUint16(nil, flags)
	rdata = append(append(rdata, 3, byte(alg)), public...)
	k, err := newKey(zone, rdata, private)
	if err != nil {
		return nil, err
	}
	k.Role, k.told, k.Timing = role, true, timing
	return k, nil
}

// newKey makes a key of a DNSKEY's rdata; private may be nil. The role is
// guessed from the flags.
func newKey(zone, rdata []byte, private crypto.Signer) (*Key, error) {
	if len(rdata) < 5 {
		return nil, errors.New("the DNSKEY is too short")
	}
	k := &Key{Zone: dnsname.AppendLower(nil, zone), Algorithm: Algorithm(rdata[3]), rdata: slices.Clone(rdata), tag: KeyTag(rdata), private: private}
	switch flags := k.Flags(); {
	case !k.Algorithm.known():
		return nil, fmt.Errorf("%s is not one to sign with any more, or not yet", k.Algorithm)
	case flags&flagZone == 0 || rdata[2] != 3:
		return nil, errors.New("the DNSKEY is not a zone's: its flags lack 256, or its protocol is not 3")
	case flags&flagRevoke != 0:
		return nil, errors.New("the DNSKEY is revoked (RFC 5011)")
	case flags&flagSEP == 0:
		k.Role = ZSK
	}
	public, err := parsePublic(k.Algorithm, rdata[4:])
	if err != nil {
		return nil, err
	}
	if private != nil {
		have, err := publicBytes(private.Public())
		if err != nil {
			return nil, err
		}
		want, err := publicBytes(public)
		if err != nil || !bytes.Equal(have, want) {
			return nil, errors.New("the private key does not belong to the public one")
		}
	}
	sum := sha256.Sum256(k.rdata)
	copy(k.id[:], sum[:])
	return k, nil
}

// KeyTag is the tag of a DNSKEY (RFC 4034, appendix B).
func KeyTag(rdata []byte) uint16 {
	var sum uint32
	for i, b := range rdata {
		if i&1 == 0 {
			sum += uint32(b) << 8
		} else {
			sum += uint32(b)
		}
	}
	return uint16(sum + sum>>16)
}

// Tag is the key's tag.
func (k *Key) Tag() uint16 { return k.tag }

// Flags are those of its DNSKEY.
func (k *Key) Flags() uint16 { return binary.BigEndian.Uint16(k.rdata) }

// CanSign says whether the private half is there.
func (k *Key) CanSign() bool { return k.private != nil }

// DNSKEY is the rdata of the key's DNSKEY and CDNSKEY. It must not be changed.
func (k *Key) DNSKEY() []byte { return k.rdata }

// DS is the rdata of the DS and CDS that name the key: SHA256 unless d is
// SHA384.
func (k *Key) DS(d DigestType) []byte {
	rdata := binary.BigEndian.AppendUint16(nil, k.tag)
	signed := slices.Concat(k.Zone, k.rdata) // RFC 4034, section 5.1.4
	if d == SHA384 {
		sum := sha512.Sum384(signed)
		return append(append(rdata, byte(k.Algorithm), byte(SHA384)), sum[:]...)
	}
	sum := sha256.Sum256(signed)
	return append(append(rdata, byte(k.Algorithm), byte(SHA256)), sum[:]...)
}

// NamedBy says whether one of a DS RRset's records names the key.
func (k *Key) NamedBy(ds [][]byte) bool {
	return slices.ContainsFunc(ds, func(data []byte) bool {
		return len(data) > 4 && bytes.Equal(data, k.DS(DigestType(data[3])))
	})
}

// WithTiming is the same key with other times.
func (k *Key) WithTiming(t Timing) *Key {
	other := *k
	other.Timing = t
	return &other
}

// String names the key for people: zone, role, algorithm and tag.
func (k *Key) String() string {
	return fmt.Sprintf("%s %s %s %d", dnsname.Format(k.Zone), k.Role, k.Algorithm, k.tag)
}

// parsePublic reads the public key of a DNSKEY: RFC 3110 for RSA, RFC 6605 for
// ECDSA, RFC 8080 for Ed25519.
func parsePublic(alg Algorithm, b []byte) (crypto.PublicKey, error) {
	switch width := alg.width(); alg {
	case ECDSAP256SHA256, ECDSAP384SHA384:
		curve := elliptic.P256()
		if alg == ECDSAP384SHA384 {
			curve = elliptic.P384()
		}
		if len(b) == 2*width {
			if public, err := ecdsa.ParseUncompressedPublicKey(curve, append([]byte{4}, b...)); err == nil {
				return public, nil
			}
		}
	case ED25519:
		if len(b) == width {
			return ed25519.PublicKey(slices.Clone(b)), nil
		}
	default:
		n, at := int(b[0]), 1
		if n == 0 && len(b) > 3 {
			n, at = int(b[1])<<8|int(b[2]), 3
		}
		if n > 0 && n <= 4 && len(b) > at+n {
			public := &rsa.PublicKey{N: new(big.Int).SetBytes(b[at+n:])}
			for _, c := range b[at : at+n] {
				public.E = public.E<<8 | int(c)
			}
			if bits := public.N.BitLen(); bits < RSABits[0] || bits > RSABits[1] {
				return nil, fmt.Errorf("an RSA key of %d bits: %d to %d are allowed", bits, RSABits[0], RSABits[1])
			}
			return public, nil
		}
	}
	return nil, fmt.Errorf("the public key is none of %s", alg)
}

// publicBytes writes a public key as in a DNSKEY.
func publicBytes(public crypto.PublicKey) ([]byte, error) {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		b, err := p.Bytes()
		if err != nil {
			return nil, err
		}
		return b[1:], nil
	case ed25519.PublicKey:
		return p, nil
	case *rsa.PublicKey:
		e := big.NewInt(int64(p.E)).Bytes()
		return slices.Concat([]byte{byte(len(e))}, e, p.N.Bytes()), nil
	}
	return nil, fmt.Errorf("cannot write a public key of %T", public)
}

// Timing is when a key does what, as BIND keeps it with the key. The zero time
// means never, or not known yet.
type Timing struct {
	Created     time.Time
	Publish     time.Time // its DNSKEY stands in the zone from here on
	Activate    time.Time // it signs from here on
	Inactive    time.Time // it no longer signs
	Delete      time.Time // its DNSKEY no longer stands in the zone
	SyncPublish time.Time // its CDS and CDNSKEY stand in the zone from here on
	SyncDelete  time.Time // and no longer
	DSSeen      time.Time // its DS was seen at the parent, at all of its servers
	DSGone      time.Time // its DS was seen to be gone there
}

// reached says whether t is set and has come.
func reached(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
