package dnssec

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// Denial is how a zone proves what is not in it.
type Denial uint8

const (
	WithNSEC  Denial = iota // RFC 4034, section 4
	WithNSEC3               // RFC 5155
)

// AppendBitmap appends the types as the bitmap of an NSEC or NSEC3 (RFC 4034,
// section 4.1.2). It sorts them.
func AppendBitmap(dst []byte, types []uint16) []byte {
	slices.Sort(types)
	for i := 0; i < len(types); {
		window := types[i] >> 8
		var bits [32]byte
		last := 0
		for ; i < len(types) && types[i]>>8 == window; i++ {
			low := types[i] & 0xff
			last = int(low >> 3)
			bits[last] |= 0x80 >> (low & 7)
		}
		dst = append(append(dst, byte(window), byte(last+1)), bits[:last+1]...)
	}
	return dst
}

// variant is a bitmap without one of its types.
type variant struct {
	without uint16
	bitmap  []byte
}

// variantsOf gives the bitmap of types without each one of some.
func variantsOf(deny, types []uint16) (list []variant) {
	for _, without := range deny {
		rest := slices.DeleteFunc(slices.Clone(types), func(t uint16) bool { return t == without })
		list = append(list, variant{without, AppendBitmap(nil, rest)})
	}
	return list
}

// provenTypes gives the types that stand in a name's bitmap. At a cut these are
// NS and what the parent side is authoritative for (RFC 4035, section 2.3).
// An NSEC lists itself and its RRSIG; an NSEC3 stands elsewhere, and RRSIG is
// in its bitmap if anything at the name is signed (RFC 5155, section 7.1).
func provenTypes(types []uint16, n *Name, denial Denial) []uint16 {
	signed := denial == WithNSEC
	for _, set := range n.Sets {
		if n.Standing == Cut && set.Type != dns.TypeNS && set.Type != dns.TypeDS {
			continue
		}
		if !slices.Contains(types, set.Type) {
			types = append(types, set.Type)
		}
		signed = signed || n.Standing == Authoritative || set.Type == dns.TypeDS
	}
	if denial == WithNSEC {
		types = append(types, dns.TypeNSEC)
	}
	if signed {
		types = append(types, dns.TypeRRSIG)
	}
	return types
}

// negativeTTL is that of NSEC and NSEC3 records: the lesser of the SOA's TTL
// and its field MINIMUM (RFC 9077).
func negativeTTL(soa *RRset) (uint32, error) {
	if len(soa.Data) != 1 || len(soa.Data[0]) < 22 {
		return 0, fmt.Errorf("the zone needs one SOA record; it has %d", len(soa.Data))
	}
	data := soa.Data[0]
	return min(soa.TTL, binary.BigEndian.Uint32(data[len(data)-4:])), nil
}
