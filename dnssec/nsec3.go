package dnssec

import (
	"bytes"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// NSEC3Params are the parameters of NSEC3. The zero value is what RFC 9276
// wants: no further iterations, no salt, no opt-out.
type NSEC3Params struct {
	Iterations uint16
	Salt       []byte
	// OptOut leaves delegations without DS out of the chain (RFC 5155, section
	// 6): for zones that are almost nothing but such.
	OptOut bool
}

// maxIterations is what validators still take; zones with more count as
// unsigned with some and as bogus with others (RFC 9276, section 3.2).
const maxIterations = 50

// Validate checks the parameters.
func (p NSEC3Params) Validate() error {
	if p.Iterations > maxIterations {
		return fmt.Errorf("NSEC3 with %d iterations: validators take no more than %d, and 0 is best (RFC 9276)", p.Iterations, maxIterations)
	}
	if len(p.Salt) > 255 {
		return fmt.Errorf("NSEC3 with a salt of %d octets: 255 at most, and none is best (RFC 9276)", len(p.Salt))
	}
	return nil
}

// Hash is the hash of a name in lower case (RFC 5155, section 5).
func (p NSEC3Params) Hash(name []byte) [sha1.Size]byte {
	var room [512]byte
	sum := sha1.Sum(append(append(room[:0], name...), p.Salt...))
	for range p.Iterations {
		sum = sha1.Sum(append(append(room[:0], sum[:]...), p.Salt...))
	}
	return sum
}

// base32hex is how a hash becomes a label (RFC 5155, section 3.3).
var base32hex = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// AppendOwner appends the name of the NSEC3 record that stands for a hash.
func AppendOwner(dst []byte, hash [sha1.Size]byte, apex []byte) []byte {
	dst = append(dst, byte(base32hex.EncodedLen(len(hash))))
	dst = base32hex.AppendEncode(dst, hash[:])
	return append(dst, apex...)
}

// appendParams appends the beginning that the rdata of NSEC3 and NSEC3PARAM
// have in common (RFC 5155, sections 3.2 and 4.2).
func (p NSEC3Params) appendParams(dst []byte, flags byte) []byte {
	dst = append(dst, 1, flags) // 1: SHA-1, the only one
	dst = binary.BigEndian.AppendUint16(dst, p.Iterations)
	return append(append(dst, byte(len(p.Salt))), p.Salt...)
}

// ownerLabel is how much longer than the apex an NSEC3's owner is: by a label of the
// hash in base32 (RFC 5155, section 1.3).
const ownerLabel = 1 + sha1.Size*8/5

// nsec3Chain gathers the names of a zone and becomes its NSEC3 records.
type nsec3Chain struct {
	params   NSEC3Params
	entries  []nsec3Entry
	bitmaps  []byte
	variants [][]variant
	last     []byte // the last name added
}

type nsec3Entry struct {
	hash  [sha1.Size]byte
	start uint32 // of its bitmap in bitmaps
	end   uint32
	// variants is its place in nsec3Chain.variants, from 1; 0: it has none.
	variants uint32
}

// add takes the next name in canonical order, in lower case, with what of it
// is proven, and the empty non-terminals that it stands below (RFC 5155,
// section 7.1).
func (c *nsec3Chain) add(apex, name []byte, types, deny []uint16) {
	c.put(name, types, deny)
	c.addAbove(apex, name)
}

// addAbove takes the empty non-terminals alone, above a delegation that opt-out leaves
// out. The RFC lets them be left out too, but then what does not exist below one could
// not be denied where there is a wildcard beside it, which could be taken to stand for it.
func (c *nsec3Chain) addAbove(apex, name []byte) {
	if len(name) > len(apex) {
		for up := name[1+name[0]:]; len(up) > len(apex) && !within(c.last, up); up = up[1+up[0]:] {
			c.put(up, nil, nil)
		}
	}
	c.last = append(c.last[:0], name...)
}

func (c *nsec3Chain) put(name []byte, types, deny []uint16) {
	start := uint32(len(c.bitmaps))
	c.bitmaps = AppendBitmap(c.bitmaps, types)
	e := nsec3Entry{hash: c.params.Hash(name), start: start, end: uint32(len(c.bitmaps))}
	if len(deny) > 0 {
		c.variants = append(c.variants, variantsOf(deny, types))
		e.variants = uint32(len(c.variants))
	}
	c.entries = append(c.entries, e)
}

// close sorts the chain by hash and yields each record's hash and rdata, which
// counts until the next one.
func (c *nsec3Chain) close(yield func(hash [sha1.Size]byte, rdata []byte, without uint16) error) error {
	slices.SortFunc(c.entries, func(a, b nsec3Entry) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	flags := byte(0)
	if c.params.OptOut {
		flags = 1
	}
	var rdata []byte
	for i, e := range c.entries {
		next := c.entries[(i+1)%len(c.entries)].hash
		if next == e.hash && len(c.entries) > 1 {
			return errors.New("two names have the same NSEC3 hash: choose another salt")
		}
		all := []variant{{bitmap: c.bitmaps[e.start:e.end]}}
		if e.variants > 0 {
			all = append(all, c.variants[e.variants-1]...)
		}
		for _, v := range all {
			rdata = c.params.appendParams(rdata[:0], flags)
			rdata = append(append(rdata, byte(len(next))), next[:]...)
			rdata = append(rdata, v.bitmap...)
			if err := yield(e.hash, rdata, v.without); err != nil {
				return err
			}
		}
	}
	return nil
}
