package dnsserver

import (
	"encoding/binary"

	"gslb/zones"
)

// maxNames bounds the names that later ones can be compressed against. Past it
// names are written out: correct, only longer.
const maxNames = 64

// maxRecordHead is the most that a record takes besides its data: owner name,
// type, class, TTL and length, in octets.
const maxRecordHead = 255 + 10

// encoder writes the records of a message behind its question, compressing
// names (RFC 1035, section 4.1.4), never past limit.
type encoder struct {
	buf   []byte // the message so far
	limit int    // octets that the records may reach
	names [maxNames]suffix
	n     int
	// pointers collects where compression pointers stand that move with the
	// question's length; nil outside of prepare.
	pointers *[]uint16
}

// suffix is a name, or the tail of one, that stands in the message.
type suffix struct {
	off uint16 // where
	len uint8  // its length in wire form, uncompressed
}

// begin starts behind a question whose name is given in wire form. skip labels
// at its start are not compressed against.
func (e *encoder) begin(buf []byte, name []byte, limit, skip int) {
	e.buf, e.limit, e.n = buf, limit, 0
	for off := 0; name[off] != 0; off += 1 + int(name[off]) {
		if skip > 0 {
			skip--
			continue
		}
		e.know(headerLen+off, len(name)-off)
	}
}

func (e *encoder) know(off, length int) {
	if e.n < maxNames && off < 0x4000 {
		e.names[e.n] = suffix{off: uint16(off), len: uint8(length)}
		e.n++
	}
}

// rrset appends a whole RRset, or nothing where it does not fit, and tells how
// many records it wrote. An RRset is never cut (RFC 2181, section 9).
func (e *encoder) rrset(r zones.Record) (records int, ok bool) {
	start, known, marks := len(e.buf), e.n, 0
	if e.pointers != nil {
		marks = len(*e.pointers)
	}
	set := r.Set
	nameOff, nameCount := zones.NameOffsets(set.Type)
	for _, data := range set.Rdata {
		if len(e.buf)+maxRecordHead+len(data) > cap(e.buf) {
			ok = false
			break
		}
		if r.Owner == nil {
			e.buf = append(e.buf, 0xc0, headerLen)
		} else {
			e.name(r.Owner)
		}
		e.buf = binary.BigEndian.AppendUint16(e.buf, set.Type)
		e.buf = append(e.buf, 0, 1)
		e.buf = binary.BigEndian.AppendUint32(e.buf, set.TTL)
		e.buf = append(e.buf, 0, 0)
		at := len(e.buf)
		e.data(data, nameOff, nameCount)
		binary.BigEndian.PutUint16(e.buf[at-2:], uint16(len(e.buf)-at))
		if ok = len(e.buf) <= e.limit; !ok {
			break
		}
	}
	if !ok {
		e.buf, e.n = e.buf[:start], known
		if e.pointers != nil {
			*e.pointers = (*e.pointers)[:marks]
		}
		return 0, false
	}
	return len(set.Rdata), true
}

func (e *encoder) data(data []byte, nameOff, nameCount int) {
	if nameCount == 0 {
		e.buf = append(e.buf, data...)
		return
	}
	e.buf = append(e.buf, data[:nameOff]...)
	data = data[nameOff:]
	for range nameCount {
		n := zones.NameLen(data)
		e.name(data[:n])
		data = data[n:]
	}
	e.buf = append(e.buf, data...)
}

// name appends a name, its longest known tail as a pointer.
func (e *encoder) name(name []byte) {
	for off := 0; name[off] != 0; off += 1 + int(name[off]) {
		if at := e.find(name[off:]); at >= 0 {
			if e.pointers != nil {
				*e.pointers = append(*e.pointers, uint16(len(e.buf)))
			}
			e.buf = append(e.buf, 0xc0|byte(at>>8), byte(at))
			return
		}
		e.know(len(e.buf), len(name)-off)
		e.buf = append(e.buf, name[off:off+1+int(name[off])]...)
	}
	e.buf = append(e.buf, 0)
}

func (e *encoder) find(tail []byte) int {
	for i := range e.n {
		if s := e.names[i]; int(s.len) == len(tail) && e.equal(int(s.off), tail) {
			return int(s.off)
		}
	}
	return -1
}

// equal compares the name in the message at off, following pointers that this
// encoder wrote, with a name in wire form, without regard to case (RFC 4343).
func (e *encoder) equal(off int, name []byte) bool {
	for {
		if off >= len(e.buf) {
			return false // the name is still being written
		}
		c := e.buf[off]
		if c >= 0xc0 {
			off = int(binary.BigEndian.Uint16(e.buf[off:]) & 0x3fff)
			continue
		}
		if c != name[0] {
			return false
		}
		if c == 0 {
			return true
		}
		n := 1 + int(c)
		if off+n > len(e.buf) {
			return false
		}
		for i := 1; i < n; i++ {
			if zones.LowerByte(e.buf[off+i]) != zones.LowerByte(name[i]) {
				return false
			}
		}
		off, name = off+n, name[n:]
	}
}
