package zones

import "github.com/miekg/dns"

// RRset is all the records of one owner name and type (RFC 2181, section 5), in wire form.
type RRset struct {
	Owner []byte   // wire form, as written in the master file
	Type  uint16   // RR type
	TTL   uint32   // seconds
	Rdata [][]byte // one for each record, names in it not compressed

	// target is the key of the name that a CNAME or DNAME leads to.
	target string
	// extra are the addresses that RFC 1034, section 4.3.2, step 6 adds for the
	// names in this RRset; required counts those that a referral needs as glue.
	extra    []Record
	required int
}

// Record is an RRset in an answer, under the owner name it is sent with. Owner
// nil is the name that was asked for.
type Record struct {
	Owner []byte
	Set   *RRset
}

// NameOffsets tells where compressible names stand in data of the type: the
// offset of the first and how many follow one another. RFC 3597, section 4
// allows compression in the types of RFC 1035 only.
func NameOffsets(rrtype uint16) (offset, count int) {
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
	case dns.TypeMX:
		return 2
	case dns.TypeSRV:
		return 6
	}
	return -1
}

// clone gives a copy with another TTL, sharing the data.
func (s *RRset) clone(ttl uint32) *RRset {
	c := *s
	c.TTL = ttl
	return &c
}
