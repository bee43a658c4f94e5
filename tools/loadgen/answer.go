package main

import (
	"bytes"
	"encoding/binary"

	"github.com/miekg/dns"
)

// verdict is what is wrong with an answer, if anything.
type verdict uint8

const (
	answerGood verdict = iota
	answerMalformed
	answerQuestion // the question differs from the one asked, letter case included
	answerRcode
	answerCount // fewer answer or authority records than wanted
	answerECS   // the client subnet option is missing, or its family, source or address differs (RFC 7871 section 7.2.1)
	answerMatch // no answer record matches the wanted expression
	verdicts
)

// verdictNames are the keys of the report.
var verdictNames = [verdicts]string{"good", "malformed", "question", "rcode", "answers", "ecs", "match"}

// wire flags and offsets of the header (RFC 1035 section 4.1.1).
const (
	flagQR = 0x80 // of octet 2
	flagTC = 0x02 // of octet 2
)

// checker judges answers. It does not allocate, unless it has an expression to
// match. The zero checker looks at the header only.
type checker struct {
	full      bool // everything below counts
	answers   int  // of a NOERROR answer
	authority int
	match     interface{ MatchString(string) bool } // nil: any
	scopes    [129]uint64                           // ECS scope prefix lengths seen
}

// check judges an answer to the query, which should have the rcode; questionEnd is
// where the query's question section ends. The caller has compared the ids.
func (c *checker) check(query []byte, questionEnd int, rcode uint8, answer []byte) verdict {
	if len(answer) < headerSize || answer[2]&flagQR == 0 {
		return answerMalformed
	}
	if !c.full {
		return answerGood
	}
	if len(answer) < questionEnd || binary.BigEndian.Uint16(answer[4:]) != 1 ||
		!bytes.Equal(query[headerSize:questionEnd], answer[headerSize:questionEnd]) {
		return answerQuestion
	}
	if answer[3]&0x0f != rcode {
		return answerRcode
	}
	if rcode == dns.RcodeSuccess && int(binary.BigEndian.Uint16(answer[6:])) < c.answers || int(binary.BigEndian.Uint16(answer[8:])) < c.authority {
		return answerCount
	}
	got, ok := findECS(answer, questionEnd)
	if !ok {
		return answerMalformed
	}
	if v := c.checkECS(query, questionEnd, got); v != answerGood {
		return v
	}
	if c.match != nil && !c.matches(answer) {
		return answerMatch
	}
	return answerGood
}

// checkECS compares the answer's option with that of the query and counts its
// scope. No option in means none out.
func (c *checker) checkECS(query []byte, questionEnd int, got []byte) verdict {
	sent, _ := findECS(query, questionEnd)
	if sent == nil && got == nil {
		return answerGood
	}
	if len(got) < 4 || len(sent) != len(got) {
		return answerECS
	}
	// family (2), source prefix (1), scope prefix (1), address (RFC 7871 section 6)
	if !bytes.Equal(sent[:3], got[:3]) || !bytes.Equal(sent[4:], got[4:]) || int(got[3]) >= len(c.scopes) {
		return answerECS
	}
	c.scopes[got[3]]++
	return answerGood
}

// matches tells whether a record of the answer section, in presentation form, matches.
func (c *checker) matches(answer []byte) bool {
	var m dns.Msg
	if m.Unpack(answer) != nil {
		return false
	}
	for _, rr := range m.Answer {
		if c.match.MatchString(rr.String()) {
			return true
		}
	}
	return false
}

// findECS walks the records behind the question and returns the data of the
// client subnet option, nil if there is none; ok is false when the message
// does not hold together.
func findECS(msg []byte, questionEnd int) (data []byte, ok bool) {
	records := 0
	for at := 6; at < headerSize; at += 2 {
		records += int(binary.BigEndian.Uint16(msg[at:]))
	}
	i := questionEnd
	for range records {
		if i, ok = skipName(msg, i); !ok || i+10 > len(msg) {
			return nil, false
		}
		rrtype, size := binary.BigEndian.Uint16(msg[i:]), int(binary.BigEndian.Uint16(msg[i+8:]))
		i += 10
		if i+size > len(msg) {
			return nil, false
		}
		if rrtype == dns.TypeOPT {
			if data, ok = ecsOption(msg[i : i+size]); !ok {
				return nil, false
			}
		}
		i += size
	}
	return data, i == len(msg)
}

// ecsOption finds the client subnet among the options of an OPT record (RFC 6891 section 6.1.2).
func ecsOption(rdata []byte) (data []byte, ok bool) {
	for len(rdata) > 0 {
		if len(rdata) < 4 {
			return nil, false
		}
		code, size := binary.BigEndian.Uint16(rdata), int(binary.BigEndian.Uint16(rdata[2:]))
		if rdata = rdata[4:]; size > len(rdata) {
			return nil, false
		}
		if code == dns.EDNS0SUBNET {
			data = rdata[:size]
		}
		rdata = rdata[size:]
	}
	return data, true
}

// skipName returns the offset behind the name at i, which may end in a compression pointer.
func skipName(msg []byte, i int) (int, bool) {
	for i < len(msg) {
		switch n := int(msg[i]); {
		case n == 0:
			return i + 1, true
		case n&0xc0 == 0xc0:
			return i + 2, i+2 <= len(msg)
		case n&0xc0 != 0:
			return 0, false
		default:
			i += 1 + n
		}
	}
	return 0, false
}
