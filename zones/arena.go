package zones

import (
	"encoding/binary"
	"math"

	"gslb/dnsname"
)

// arena holds the names of a zone with their RRsets, one behind the other, so
// that a name costs few octets and a look-up few cache lines. Numbers that are
// not of DNS are little-endian.
//
//	node       starts at a multiple of 4; its number is a quarter of that
//	  0   u8   length of the owner name
//	  1   u8   flags
//	  2   u16  how many RRsets there are
//	  4        the owner name, wire form, as written
//	           the RRsets
//	RRset
//	  0   u16  type
//	  2   u16  how many records there are
//	  4   u32  octets of the records; the top bit: a tail's number follows; the
//	           next one: it is signed
//	      u32  (if there is one) the number of the tail; 0: there is none
//	      u16  (if signed) how many RRSIG records there are; u16 octets of them
//	           the records, as RRset.Wire has them; then the RRSIG records
//	tail       starts at a multiple of 4; its number is a quarter of that
//	  0   u16  how many RRsets of addresses go with the set
//	  2   u16  how many of them a referral needs as glue (RFC 9471)
//	  4   u16  octets of the prepared answer; 0: there is none
//	  6   u16  pointers in it that shift; the top bit: another tail follows, with the
//	           answer for those who want signatures, since the addresses have them too
//	  8   u16  records in its answer section; u16 authority; u16 additional
//	  14       for each RRset of addresses: u32 number of its node, u16 type
//	           the places of the pointers, u16 each, and the prepared answer
type arena []byte

// node is the number of a node; 0: none.
type node uint32

// apex is the number of a zone's first node, which is that of its apex until the zone is patched.
const apex node = 1

// Flags of a node.
const (
	letters    = 1 << iota // there are upper-case letters in its name
	hasWild                // "*" stands below it
	isCut                  // it is delegated
	belowCut               // one of the names above it is
	hasCNAME               // it owns a CNAME
	hasDNAME               // it owns a DNAME
	belowDNAME             // one of the names above it does
	forSigning             // it is there for signing's sake: it is steered, or above a steered name, or owns an NSEC3

	hasBelow = forSigning // of a draft: it has nodes below it
)

const (
	nodeHead   = 4
	tailFlag   = 1 << 31
	signedFlag = 1 << 30
	// maxSet is what the records of an RRset may take, in octets.
	maxSet   = signedFlag - 1
	tailHead = 14
	moreTail = 1 << 15
	refSize  = 6
	// maxArena is where the numbers of nodes and tails end.
	maxArena = 4 * math.MaxUint32
)

func (a arena) flags(n node) uint8 { return a[4*int(n)+1] }

// owner is the name of a node as written in the master file.
func (a arena) owner(n node) []byte {
	at := 4*int(n) + nodeHead
	end := at + int(a[4*int(n)])
	return a[at:end:end]
}

// is tells whether the node has the name, which is lower case.
func (a arena) is(n node, name []byte) bool {
	own := a.owner(n)
	return string(own) == string(name) || a.flags(n)&letters != 0 && sameName(own, name)
}

// isWildOf tells whether the node is "*" below the name.
func (a arena) isWildOf(n node, name []byte) bool {
	own := a.owner(n)
	return dnsname.IsWild(own) && sameName(own[2:], name)
}

// sets is how many RRsets a node owns, and where they begin.
func (a arena) sets(n node) (count, at int) {
	at = 4 * int(n)
	return int(binary.LittleEndian.Uint16(a[at+2:])), at + nodeHead + int(a[at])
}

// set reads the RRset at a place: what it is, where its tail is (0: nowhere)
// and where the next one begins.
func (a arena) set(at int) (s RRset, tail uint32, next int) {
	b := a[at:]
	head := binary.LittleEndian.Uint64(b)
	s.Type, s.Count = uint16(head), uint16(head>>16)
	size := uint32(head >> 32)
	at += 8
	if size&tailFlag != 0 {
		tail = binary.LittleEndian.Uint32(b[8:])
		at += 4
	}
	sigs := 0
	if size&signedFlag != 0 {
		v := binary.LittleEndian.Uint32(a[at:])
		s.Sigs, sigs = uint16(v), int(v>>16)
		at += 4
	}
	end := at + int(size&maxSet)
	next = end + sigs
	s.Wire = a[at:end:next]
	return s, tail, next
}

// find gives the RRset of a type that a node owns; ok is false where it does not.
func (a arena) find(n node, rrtype uint16) (s RRset, tail uint32, ok bool) {
	count, at := a.sets(n)
	for range count {
		if s, tail, at = a.set(at); s.Type == rrtype {
			return s, tail, true
		}
	}
	return RRset{}, 0, false
}

// signatures gives the RRSIG records of one RRset of a node, as an RRset: one is
// enough for a query that no resolver needs an answer to (RFC 8482, section 4.1).
func (a arena) signatures(n node) (s RRset, tail uint32, ok bool) {
	count, at := a.sets(n)
	for range count {
		if s, _, at = a.set(at); s.Sigs > 0 {
			return s.signatures(), 0, true
		}
	}
	return RRset{}, 0, false
}

// smallest gives the RRset of a node that takes the fewest octets with its signatures.
func (a arena) smallest(n node) (s RRset, tail uint32, ok bool) {
	count, at := a.sets(n)
	for range count {
		set, t, next := a.set(at)
		if at = next; !ok || len(set.signed()) < len(s.signed()) {
			s, tail, ok = set, t, true
		}
	}
	return s, tail, ok
}

// refs are the addresses that go with an RRset, and how many are needed glue.
func (a arena) refs(tail uint32) (refs []byte, required int) {
	if tail == 0 {
		return nil, 0
	}
	t := a[4*int(tail):]
	return t[tailHead : tailHead+refSize*int(binary.LittleEndian.Uint16(t))], int(binary.LittleEndian.Uint16(t[2:]))
}

// prepared fills in the answer that is ready in a tail, if there is one.
func (a arena) prepared(tail uint32, w *Wire) {
	if tail == 0 {
		return
	}
	t := a[4*int(tail):]
	size, pointers := int(binary.LittleEndian.Uint16(t[4:])), int(binary.LittleEndian.Uint16(t[6:])&^moreTail)
	if size == 0 {
		return
	}
	w.Answer, w.Authority, w.Additional = binary.LittleEndian.Uint16(t[8:]), binary.LittleEndian.Uint16(t[10:]), binary.LittleEndian.Uint16(t[12:])
	at := tailHead + refSize*int(binary.LittleEndian.Uint16(t))
	w.pointers = t[at : at+2*pointers]
	w.Body = t[at+2*pointers : at+2*pointers+size]
}

// signedTail gives the tail with the answer for those who want signatures, where
// that is not the one with the signatures of the RRset put in; 0: there is none.
func (a arena) signedTail(tail uint32) uint32 {
	if tail == 0 {
		return 0
	}
	t := a[4*int(tail):]
	pointers := binary.LittleEndian.Uint16(t[6:])
	if pointers&moreTail == 0 {
		return 0
	}
	end := tailHead + refSize*int(binary.LittleEndian.Uint16(t)) + 2*int(pointers&^moreTail) + int(binary.LittleEndian.Uint16(t[4:]))
	return tail + uint32(end+3)/4
}
