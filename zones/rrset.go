package zones

import (
	"encoding/binary"
	"iter"
	"slices"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// RRset is all the records of one owner name and type (RFC 2181, section 5).
type RRset struct {
	Type  uint16
	Count uint16 // of records
	Sigs  uint16 // RRSIG records that cover it
	// Wire are the records as they stand in a message whose question is for their
	// owner name: each with a pointer there (recordHead octets up to its data), and
	// names in the data not compressed. The RRSIG records, in the same form, lie
	// right behind it, up to its capacity: see RRSIG.
	Wire []byte
}

// RRSIG are the records that sign the set (RFC 4034, section 3), in the form of
// Wire; nil: it is not signed.
func (s *RRset) RRSIG() []byte {
	if s.Sigs == 0 {
		return nil
	}
	return s.Wire[len(s.Wire):cap(s.Wire)]
}

// signatures are the RRSIG records as an RRset of their own.
func (s *RRset) signatures() RRset {
	return RRset{Type: dns.TypeRRSIG, Count: s.Sigs, Wire: slices.Clip(s.RRSIG())}
}

// signed are the records and then their signatures, if there are any.
func (s *RRset) signed() []byte {
	if s.Sigs == 0 {
		return s.Wire
	}
	return s.Wire[:cap(s.Wire)]
}

// recordHead is what a record of an RRset takes besides its data: the pointer
// to the owner name, type, class, TTL and length, in octets.
const recordHead = 2 + 2 + 2 + 4 + 2

// TTL is how long the records may be remembered, in seconds.
func (s RRset) TTL() uint32 { return binary.BigEndian.Uint32(s.Wire[6:]) }

// Data gives the data of each record.
func (s RRset) Data() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for w := s.Wire; len(w) > 0; {
			data, rest := nextData(w)
			if !yield(data) {
				return
			}
			w = rest
		}
	}
}

// nextData splits the data of the first record from the records after it.
func nextData(w []byte) (data, rest []byte) {
	end := recordHead + int(binary.BigEndian.Uint16(w[recordHead-2:]))
	return w[recordHead:end:end], w[end:]
}

// first is the data of the first record.
func (s RRset) first() []byte {
	d, _ := nextData(s.Wire)
	return d
}

// same tells whether two RRsets are one, not whether they are equal.
func (s RRset) same(o RRset) bool {
	return len(s.Wire) > 0 && len(o.Wire) > 0 && &s.Wire[0] == &o.Wire[0]
}

// appendRecord adds a record to the wire form of an RRset.
func appendRecord(w []byte, rrtype uint16, ttl uint32, data []byte) []byte {
	w = append(w, 0xc0, headerLen)
	w = binary.BigEndian.AppendUint16(w, rrtype)
	w = append(w, 0, dns.ClassINET)
	w = binary.BigEndian.AppendUint32(w, ttl)
	w = binary.BigEndian.AppendUint16(w, uint16(len(data)))
	return append(w, data...)
}

// newRRset makes an RRset of its data.
func newRRset(rrtype uint16, ttl uint32, data ...[]byte) RRset {
	s := RRset{Type: rrtype, Count: uint16(len(data))}
	for _, d := range data {
		s.Wire = appendRecord(s.Wire, rrtype, ttl, d)
	}
	return s
}

// Record is an RRset in an answer, under the owner name it is sent with. Owner
// nil is the name that was asked for.
type Record struct {
	Owner []byte
	Set   RRset
}

// nameOffsets tells where compressible names stand in data of the type: the
// offset of the first and how many follow one another. RFC 3597, section 4
// allows compression in the types of RFC 1035 only.
func nameOffsets(rrtype uint16) (offset, count int) {
	switch rrtype {
	case dns.TypeNS, dns.TypeCNAME, dns.TypePTR, dns.TypeMB, dns.TypeMD, dns.TypeMF, dns.TypeMG, dns.TypeMR:
		return 0, 1
	case dns.TypeSOA, dns.TypeMINFO:
		return 0, 2
	case dns.TypeMX:
		return 2, 1
	}
	return 0, 0
}

// targetOffset tells where in the data of the type the name stands whose
// addresses belong into the additional section; -1: nowhere.
func targetOffset(rrtype uint16) int {
	switch rrtype {
	case dns.TypeNS:
		return 0
	case dns.TypeMX, dns.TypeSVCB, dns.TypeHTTPS: // RFC 9460, section 4.1
		return 2
	case dns.TypeSRV:
		return 6
	}
	return -1
}

// maxMessage is the largest message (RFC 1035, section 4.2.2).
const maxMessage = 1<<16 - 1

// fitsAnywhere is what records may take, in octets, and be in a message whatever name they stand at.
const fitsAnywhere = maxMessage - headerLen - dnsname.Max - 4

// asWritten tells whether the records of a type have no names to compress.
func asWritten(rrtype uint16) bool {
	_, names := nameOffsets(rrtype)
	return names == 0
}

// asIs tells whether the records of a type are sent as they are: there are
// neither names to compress in them nor addresses to add.
func asIs(rrtype uint16) bool { return asWritten(rrtype) && targetOffset(rrtype) < 0 }
