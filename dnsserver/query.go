package dnsserver

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"gslb/zones"
)

const headerLen = 12 // octets, RFC 1035, section 4.1.1

// Query is what a message asks, as far as the answer depends on it. It can be
// parsed into again and again.
type Query struct {
	ID     uint16
	Opcode uint8
	RD, CD bool
	Name   zones.Name
	Type   uint16
	Class  uint16
	EDNS   EDNS

	// question is the question section as it came, in the client's letters.
	question []byte
}

// odd tells whether no zone has an answer to the question: it is of another class,
// for a transfer, or for a type that is none.
func (q *Query) odd() bool {
	return q.Class != dns.ClassINET && q.Class != dns.ClassANY || q.Type == dns.TypeAXFR || q.Type == dns.TypeIXFR || q.Type == dns.TypeOPT || q.Type == dns.TypeNXNAME
}

// verdict is what parsing a message came to.
type verdict uint8

const (
	ask            verdict = iota // a question to answer
	drop                          // not a query, or too short to answer
	formErr                       // malformed: RFC 1035, section 4.1.1
	notImplemented                // an opcode that is not served
	badVersion                    // RFC 6891, section 6.1.3
	signed                        // a TSIG (RFC 8945), whose key is not known here
	ping                          // no question, but a COOKIE: RFC 7873, section 5.4
)

// parse reads a message into q. The first line that applies decides:
//
//	shorter than a header, or QR set            drop
//	opcode other than QUERY                     notImplemented
//	QDCOUNT above 1, or 0 without a COOKIE      formErr
//	name, record or EDNS option malformed       formErr
//	an OPT, a TSIG before the additional ones   formErr
//	octets left over                            formErr
//	EDNS version above 0                        badVersion
//	a TSIG                                      signed
//	QDCOUNT 0 with a COOKIE                     ping
//
// The rest is read all the same, as far as it goes, since an OPT is answered
// with one whatever else is wrong (RFC 6891, section 6.1.1).
func (q *Query) parse(msg []byte) verdict {
	q.question, q.EDNS = nil, EDNS{}
	if len(msg) < headerLen || msg[2]&0x80 != 0 {
		return drop
	}
	q.ID = binary.BigEndian.Uint16(msg)
	q.Opcode = msg[2] >> 3 & 0xf
	q.RD, q.CD = msg[2]&1 != 0, msg[3]&0x10 != 0
	questions := binary.BigEndian.Uint16(msg[4:])
	v := ask
	switch {
	case q.Opcode != dns.OpcodeQuery:
		v = notImplemented
	case questions > 1:
		v = formErr
	}
	rest := q.parseSections(msg, questions)
	switch {
	case v != ask:
		return v
	case questions == 1 || rest != ask:
		return rest
	case q.EDNS.asks&askCookie != 0:
		return ping
	}
	return formErr
}

func (q *Query) parseSections(msg []byte, questions uint16) verdict {
	off := headerLen
	if questions > 1 {
		return formErr
	}
	if questions == 1 {
		if off = q.parseQuestion(msg); off < 0 {
			return formErr
		}
	}
	v := ask
	for range int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:])) {
		rrtype, end := skipRecord(msg, off)
		if end < 0 {
			return formErr
		}
		if rrtype == dns.TypeOPT || rrtype == dns.TypeTSIG { // RFC 6891, section 6.1.1; RFC 8945, section 5.1
			v = formErr
		}
		off = end
	}
	return worse(v, q.parseAdditional(msg, off, int(binary.BigEndian.Uint16(msg[10:]))))
}

// parseQuestion reads the question and returns where it ends, or -1.
func (q *Query) parseQuestion(msg []byte) int {
	n := q.Name.Set(msg[headerLen:]) // without pointers: there is nothing to point to
	off := headerLen + n
	if n < 0 || off+4 > len(msg) {
		return -1
	}
	q.Type = binary.BigEndian.Uint16(msg[off:])
	q.Class = binary.BigEndian.Uint16(msg[off+2:])
	off += 4
	q.question = msg[headerLen:off]
	return off
}

func (q *Query) parseAdditional(msg []byte, off, count int) verdict {
	result := ask
	for range count {
		rrtype, end := skipRecord(msg, off)
		switch {
		case end < 0:
			return formErr
		case rrtype == dns.TypeTSIG:
			result = worse(result, signed)
		case rrtype != dns.TypeOPT:
		case msg[off] != 0 || q.EDNS.Present: // RFC 6891, sections 6.1.2 and 6.1.1
			return formErr
		default:
			result = worse(result, q.EDNS.parse(msg[off:end]))
		}
		off = end
	}
	if off != len(msg) {
		return formErr
	}
	return result
}

// worse gives the verdict that decides: those of form come before others.
func worse(a, b verdict) verdict {
	switch {
	case a == formErr || b == ask:
		return a
	case b == formErr || a == ask:
		return b
	}
	return min(a, b)
}

// skipRecord gives the type of the record at off, and where it ends, or -1.
func skipRecord(msg []byte, off int) (rrtype uint16, end int) {
	start := off
	for {
		if off >= len(msg) {
			return 0, -1
		}
		c := int(msg[off])
		switch {
		case c == 0:
			off++
		case c >= 0xc0:
			if off+2 > len(msg) {
				return 0, -1
			}
			// A pointer leads back, to what was there before this name.
			if to := int(binary.BigEndian.Uint16(msg[off:]) & 0x3fff); to < headerLen || to >= start {
				return 0, -1
			}
			off += 2
		case c <= 63:
			off += 1 + c
			continue
		default:
			return 0, -1
		}
		break
	}
	if off+10 > len(msg) {
		return 0, -1
	}
	end = off + 10 + int(binary.BigEndian.Uint16(msg[off+8:]))
	if end > len(msg) {
		return 0, -1
	}
	return binary.BigEndian.Uint16(msg[off:]), end
}
