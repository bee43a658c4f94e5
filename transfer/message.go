package transfer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/zones"
)

const (
	headerLen  = 12
	maxMessage = 65535
)

// message is what a DNS message says, with names written out.
type message struct {
	id        uint16
	opcode    uint8
	rcode     uint8
	response  bool
	truncated bool
	authority bool // the AA bit

	questions []question
	// sections are answer, authority and additional; of an UPDATE prerequisites,
	// updates and additional data. OPT and TSIG are not among them.
	sections [3][]record
	udpSize  int        // of the OPT record; 0: there is none
	left     *uint32    // what its EXPIRE option says, in seconds; nil: nothing
	tsig     *signature // nil: there is none
}

type question struct {
	name          []byte // wire form, as written
	rrtype, class uint16
}

type record struct {
	zones.RR
	class uint16
}

// parse reads a message. Data of records are not looked into further than the
// names in them are written out.
func parse(msg []byte) (*message, error) {
	if len(msg) < headerLen {
		return nil, fmt.Errorf("%d octets: %w", len(msg), errForm)
	}
	m := &message{id: binary.BigEndian.Uint16(msg), opcode: msg[2] >> 3 & 0xf, rcode: msg[3] & 0xf, response: msg[2]&0x80 != 0, truncated: msg[2]&2 != 0, authority: msg[2]&4 != 0}
	off := headerLen
	for range binary.BigEndian.Uint16(msg[4:]) {
		name, next := readName(msg, off)
		if next < 0 || next+4 > len(msg) {
			return m, fmt.Errorf("in the question: %w", errForm)
		}
		m.questions = append(m.questions, question{name, binary.BigEndian.Uint16(msg[next:]), binary.BigEndian.Uint16(msg[next+2:])})
		off = next + 4
	}
	for s := range m.sections {
		count := int(binary.BigEndian.Uint16(msg[6+2*s:]))
		for i := range count {
			if m.tsig != nil {
				return m, fmt.Errorf("a record follows the TSIG: %w", errForm)
			}
			r, next := readRecord(msg, off)
			if next < 0 {
				return m, fmt.Errorf("record %d of section %d: %w", i+1, s+1, errForm)
			}
			switch {
			case r.Type == dns.TypeOPT && s == 2:
				m.udpSize = max(512, int(r.class))
				m.left = expireOf(r.Data)
			case r.Type == dns.TypeTSIG:
				if s != 2 || i != count-1 || r.class != dns.ClassANY || r.TTL != 0 { // RFC 8945, section 5.1
					return m, fmt.Errorf("the TSIG is not where it belongs: %w", errForm)
				}
				t, err := parseSignature(r.Owner, r.Data, off)
				if err != nil {
					return m, fmt.Errorf("the TSIG: %w", err)
				}
				m.tsig = t
			default:
				m.sections[s] = append(m.sections[s], r)
			}
			off = next
		}
	}
	if off != len(msg) {
		return m, fmt.Errorf("%d octets too many: %w", len(msg)-off, errForm)
	}
	return m, nil
}

// readName reads a name that may be compressed, and gives where it ends; -1: there
// is none.
func readName(msg []byte, off int) (name []byte, next int) {
	next = -1
	for limit := off; ; {
		if off >= len(msg) {
			return nil, -1
		}
		c := int(msg[off])
		switch {
		case c == 0:
			if next < 0 {
				next = off + 1
			}
			if name = append(name, 0); len(name) > dnsname.Max {
				return nil, -1
			}
			return name, next
		case c >= 0xc0:
			if off+2 > len(msg) {
				return nil, -1
			}
			if next < 0 {
				next = off + 2
			}
			// A pointer leads back, so that there is an end.
			to := int(binary.BigEndian.Uint16(msg[off:]) & 0x3fff)
			if to >= limit || to < headerLen {
				return nil, -1
			}
			off, limit = to, to
		case c <= 63:
			if off+1+c > len(msg) || len(name)+1+c > dnsname.Max {
				return nil, -1
			}
			name = append(name, msg[off:off+1+c]...)
			off += 1 + c
		default:
			return nil, -1
		}
	}
}

// readRecord reads a record, and gives where it ends; -1: there is none.
func readRecord(msg []byte, off int) (r record, next int) {
	name, off := readName(msg, off)
	if off < 0 || off+10 > len(msg) {
		return r, -1
	}
	r.Owner, r.Type, r.class = name, binary.BigEndian.Uint16(msg[off:]), binary.BigEndian.Uint16(msg[off+2:])
	r.TTL = binary.BigEndian.Uint32(msg[off+4:])
	size := int(binary.BigEndian.Uint16(msg[off+8:]))
	if off += 10; off+size > len(msg) {
		return r, -1
	}
	next = off + size
	before, count := zones.NameSpan(r.Type)
	if count == 0 || size == 0 { // an UPDATE has records without data
		r.Data = bytes.Clone(msg[off:next])
		return r, next
	}
	if before > size {
		return r, -1
	}
	r.Data = append(r.Data, msg[off:off+before]...)
	off += before
	for range count {
		name, end := readName(msg, off)
		if end < 0 || end > next {
			return r, -1
		}
		r.Data, off = append(r.Data, name...), end
	}
	r.Data = append(r.Data, msg[off:next]...)
	return r, next
}

// writer writes a message, with owner names compressed (RFC 1035, section 4.1.4).
type writer struct {
	buf   []byte
	limit int
	names map[string]int // where names stand in buf, and tails of names
}

// begin starts a message. flags are those of the header with opcode and code.
func (w *writer) begin(id, flags uint16, limit int, questions ...question) {
	if w.names == nil {
		w.names = make(map[string]int)
	}
	clear(w.names)
	w.limit = limit
	w.buf = append(w.buf[:0], byte(id>>8), byte(id), byte(flags>>8), byte(flags), 0, byte(len(questions)), 0, 0, 0, 0, 0, 0)
	for _, q := range questions {
		w.name(q.name)
		w.buf = binary.BigEndian.AppendUint16(w.buf, q.rrtype)
		w.buf = binary.BigEndian.AppendUint16(w.buf, q.class)
	}
}

// Sections of a message, as add takes them.
const (
	answer = iota
	authority
	additional
)

// add appends a record of class IN and tells whether there was room.
func (w *writer) add(section int, r zones.RR) bool {
	start := len(w.buf)
	w.name(r.Owner)
	w.buf = binary.BigEndian.AppendUint16(w.buf, r.Type)
	w.buf = binary.BigEndian.AppendUint16(w.buf, dns.ClassINET)
	w.buf = binary.BigEndian.AppendUint32(w.buf, r.TTL)
	w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(len(r.Data)))
	w.buf = append(w.buf, r.Data...)
	if len(w.buf) > w.limit {
		w.buf = w.buf[:start]
		for name, at := range w.names {
			if at >= start {
				delete(w.names, name)
			}
		}
		return false
	}
	count := w.buf[6+2*section:]
	binary.BigEndian.PutUint16(count, binary.BigEndian.Uint16(count)+1)
	return true
}

func (w *writer) name(name []byte) {
	for off := 0; name[off] != 0; off += 1 + int(name[off]) {
		if at, ok := w.names[string(name[off:])]; ok {
			w.buf = append(w.buf, 0xc0|byte(at>>8), byte(at))
			return
		}
		if at := len(w.buf); at < 0x4000 {
			w.names[string(name[off:])] = at
		}
		w.buf = append(w.buf, name[off:off+1+int(name[off])]...)
	}
	w.buf = append(w.buf, 0)
}

// records is how many are in the message.
func (w *writer) records() int {
	return int(binary.BigEndian.Uint16(w.buf[6:])) + int(binary.BigEndian.Uint16(w.buf[8:])) + int(binary.BigEndian.Uint16(w.buf[10:]))
}

// Header flags.
const (
	flagResponse      = 1 << 15
	flagAuthoritative = 1 << 10
	flagTruncated     = 1 << 9
)

// flagsOf are those of an answer to m.
func flagsOf(m *message, rcode int) uint16 {
	return flagResponse | uint16(m.opcode)<<11 | uint16(rcode&0xf)
}

// rr makes a zone's record of one of a message.
func (r record) isSOA() bool { return r.Type == dns.TypeSOA }

// serialOf is the serial number in the data of an SOA record; 0 where it is not one.
func serialOf(data []byte) uint32 {
	if len(data) < 22 {
		return 0
	}
	return binary.BigEndian.Uint32(data[len(data)-20:])
}

// newer tells whether serial a comes after b (RFC 1982, section 3.2).
func newer(a, b uint32) bool { return a != b && int32(a-b) > 0 }

// follows is the serial number after one (RFC 1982; 0 is left out, as some
// servers take it for none).
func follows(serial uint32) uint32 {
	if serial++; serial == 0 {
		serial = 1
	}
	return serial
}

// withSerial is the data of an SOA record with another serial number.
func withSerial(data []byte, serial uint32) []byte {
	d := slices.Clone(data)
	binary.BigEndian.PutUint32(d[len(d)-20:], serial)
	return d
}
