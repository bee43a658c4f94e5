package dnssec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// RRset is a set of records of one owner and type, in wire form.
type RRset struct {
	Type uint16
	TTL  uint32   // seconds, as in the zone: the original TTL of its signature
	Data [][]byte // the records' rdata, without compression, in any order and case
	// ID is the caller's: it comes back with the signature. Several RRsets of
	// one owner and type are alternatives, as those of a steered name's sites;
	// each is signed.
	ID uint64
}

// rdata fields before the last name that is folded.
const (
	fieldName   = -1 // a domain name
	fieldString = -2 // a character string
)

// folded says which types' rdata hold names that the canonical form has in
// lower case: those of RFC 4034, section 6.2, without NSEC and with RRSIG
// (RFC 6840, section 5.1). A number stands for that many octets; what follows
// the last field stays as it is. A6 (RFC 2874) is left to foldA6.
var folded = map[uint16][]int{
	dns.TypeNS:    {fieldName},
	dns.TypeMD:    {fieldName},
	dns.TypeMF:    {fieldName},
	dns.TypeCNAME: {fieldName},
	dns.TypeSOA:   {fieldName, fieldName},
	dns.TypeMB:    {fieldName},
	dns.TypeMG:    {fieldName},
	dns.TypeMR:    {fieldName},
	dns.TypePTR:   {fieldName},
	dns.TypeMINFO: {fieldName, fieldName},
	dns.TypeMX:    {2, fieldName},
	dns.TypeRP:    {fieldName, fieldName},
	dns.TypeAFSDB: {2, fieldName},
	dns.TypeRT:    {2, fieldName},
	dns.TypeSIG:   {18, fieldName},
	dns.TypePX:    {2, fieldName, fieldName},
	dns.TypeNXT:   {fieldName},
	dns.TypeNAPTR: {4, fieldString, fieldString, fieldString, fieldName},
	dns.TypeKX:    {2, fieldName},
	dns.TypeSRV:   {6, fieldName},
	dns.TypeDNAME: {fieldName},
	dns.TypeRRSIG: {18, fieldName},
}

const typeA6 = 38

// AppendCanonical appends the canonical form of a record's rdata (RFC 4034,
// section 6.2).
func AppendCanonical(dst []byte, rrtype uint16, data []byte) ([]byte, error) {
	if rrtype == typeA6 {
		return foldA6(dst, data)
	}
	for _, field := range folded[rrtype] {
		n := field
		switch field {
		case fieldName:
			n = dnsname.Len(data)
			if n < 0 {
				return nil, fmt.Errorf("%s record: a domain name was expected in its data", dns.Type(rrtype))
			}
			dst = dnsname.AppendLower(dst, data[:n])
			data = data[n:]
			continue
		case fieldString:
			if n = 1; len(data) > 0 {
				n += int(data[0])
			}
		}
		if n > len(data) {
			return nil, fmt.Errorf("%s record: its data end too early", dns.Type(rrtype))
		}
		dst = append(dst, data[:n]...)
		data = data[n:]
	}
	return append(dst, data...), nil
}

// foldA6 folds an A6 record's prefix name, which is there unless the prefix is
// 0 bits long (RFC 2874, section 3.1).
func foldA6(dst, data []byte) ([]byte, error) {
	if len(data) == 0 || data[0] > 128 || len(data) < 1+(128-int(data[0])+7)/8 {
		return nil, fmt.Errorf("A6 record: its data end too early")
	}
	n := 1 + (128-int(data[0])+7)/8
	dst = append(dst, data[:n]...)
	if data[0] > 0 {
		return dnsname.AppendLower(dst, data[n:]), nil
	}
	return append(dst, data[n:]...), nil
}

// canonicalizer writes RRsets in canonical form. Its buffers are used again.
type canonicalizer struct {
	arena []byte
	ends  []int
	order []int
}

// appendSet appends what of an RRset is signed (RFC 4034, section 3.1.8.1):
// its records in canonical form and order, each only once. The owner is in
// lower case already.
func (c *canonicalizer) appendSet(dst, owner []byte, class uint16, set *RRset) ([]byte, error) {
	c.arena, c.ends, c.order = c.arena[:0], c.ends[:0], c.order[:0]
	for i, data := range set.Data {
		if len(data) > 65535 {
			return nil, fmt.Errorf("%s record: %d octets of data are more than a record can have", dns.Type(set.Type), len(data))
		}
		var err error
		if c.arena, err = AppendCanonical(c.arena, set.Type, data); err != nil {
			return nil, err
		}
		c.ends = append(c.ends, len(c.arena))
		c.order = append(c.order, i)
	}
	if len(set.Data) == 0 {
		return nil, fmt.Errorf("%s: an RRset has no records", dns.Type(set.Type))
	}
	if len(c.order) > 1 {
		slices.SortFunc(c.order, func(a, b int) int { return bytes.Compare(c.record(a), c.record(b)) })
	}
	for i, at := range c.order {
		data := c.record(at)
		if i > 0 && bytes.Equal(data, c.record(c.order[i-1])) {
			continue // RFC 4034, section 6.3
		}
		dst = append(dst, owner...)
		dst = binary.BigEndian.AppendUint16(dst, set.Type)
		dst = binary.BigEndian.AppendUint16(dst, class)
		dst = binary.BigEndian.AppendUint32(dst, set.TTL)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(data)))
		dst = append(dst, data...)
	}
	return dst, nil
}

func (c *canonicalizer) record(i int) []byte {
	start := 0
	if i > 0 {
		start = c.ends[i-1]
	}
	return c.arena[start:c.ends[i]]
}
