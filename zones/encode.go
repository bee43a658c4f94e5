package zones

import (
	"encoding/binary"

	"gslb/dnsname"
)

// maxNames bounds the names that later ones can be compressed against. Past it
// names are written out: correct, only longer.
const maxNames = 64

// MaxRecordHead is the most that a record takes besides its data: owner name,
// type, class, TTL and length, in octets.
const MaxRecordHead = dnsname.Max + 10

// Encoder writes the records of a message behind its question, compressing
// names (RFC 1035, section 4.1.4), never past limit. It can be used again and
// again.
type Encoder struct {
	Buf   []byte // the message so far
	limit int    // octets that the records may reach
	names [maxNames]suffix
	n     int
	// pointers collects where compression pointers stand that move with the
	// question's length, 16 bits each; nil outside of prepare.
	pointers *[]byte
}

// suffix is a name, or the tail of one, that stands in the message.
type suffix struct {
	off uint16 // where
	len uint8  // its length in wire form, uncompressed
}

// Counts are numbers of records by section.
type Counts struct {
	Answer, Authority, Additional int
	Extra                         int // whole RRsets of the additional section
}

// Begin starts behind a question whose name is given in wire form.
func (e *Encoder) Begin(buf, name []byte, limit int) { e.begin(buf, name, limit, 0) }

// begin is Begin where skip labels at the name's start are not compressed against.
func (e *Encoder) begin(buf, name []byte, limit, skip int) {
	e.Buf, e.limit, e.n = buf, limit, 0
	for off := 0; name[off] != 0; off += 1 + int(name[off]) {
		if skip > 0 {
			skip--
			continue
		}
		e.know(headerLen+off, len(name)-off)
	}
}

// Sections writes as many whole RRsets as fit, in the order of the sections.
// whole is false where one of answer or authority did not fit (RFC 2181,
// section 9); what is merely additional is left out silently.
func (e *Encoder) Sections(r *Result) (c Counts, whole bool) {
	for _, rec := range r.Answer {
		n, ok := e.both(rec, r.Signed)
		if !ok {
			return c, false
		}
		c.Answer += n
	}
	for _, rec := range r.Authority {
		n, ok := e.both(rec, r.Signed)
		if !ok {
			return c, false
		}
		c.Authority += n
	}
	for i := range r.Additional.Len() {
		n, ok := e.both(r.Additional.At(i), r.Signed)
		if !ok {
			break
		}
		c.Additional += n
		c.Extra++
	}
	return c, true
}

func (e *Encoder) know(off, length int) {
	if e.n < maxNames && off < 0x4000 {
		e.names[e.n] = suffix{off: uint16(off), len: uint8(length)}
		e.n++
	}
}

// both appends an RRset and, if they are wanted, its signatures (RFC 4035,
// section 3.1.1), or nothing where they do not fit.
func (e *Encoder) both(r Record, signed bool) (records int, ok bool) {
	if !signed || r.Set.Sigs == 0 {
		return e.rrset(r)
	}
	start, known := len(e.Buf), e.n
	if records, ok = e.rrset(r); !ok {
		return 0, false
	}
	n, ok := e.rrset(Record{r.Owner, r.Set.signatures()})
	if !ok {
		e.back(start, known)
		return 0, false
	}
	return records + n, true
}

// back takes away what was written since the message had start octets and known names.
func (e *Encoder) back(start, known int) {
	e.Buf, e.n = e.Buf[:start], known
	if e.pointers == nil {
		return
	}
	p := *e.pointers
	for len(p) >= 2 && int(binary.LittleEndian.Uint16(p[len(p)-2:])) >= start {
		p = p[:len(p)-2]
	}
	*e.pointers = p
}

// rrset appends a whole RRset, or nothing where it does not fit, and tells how
// many records it wrote. An RRset is never cut (RFC 2181, section 9).
func (e *Encoder) rrset(r Record) (records int, ok bool) {
	nameOff, nameCount := nameOffsets(r.Set.Type)
	if r.Owner == nil && nameCount == 0 {
		if len(e.Buf)+len(r.Set.Wire) > min(e.limit, cap(e.Buf)) {
			return 0, false
		}
		e.Buf = append(e.Buf, r.Set.Wire...)
		return int(r.Set.Count), true
	}
	start, known := len(e.Buf), e.n
	for w := r.Set.Wire; len(w) > 0; {
		data, rest := nextData(w)
		if ok = len(e.Buf)+MaxRecordHead+len(data) <= cap(e.Buf); !ok {
			break
		}
		if r.Owner == nil {
			e.Buf = append(e.Buf, 0xc0, headerLen)
		} else {
			e.name(r.Owner)
		}
		e.Buf = append(e.Buf, w[2:recordHead]...)
		at := len(e.Buf)
		e.data(data, nameOff, nameCount)
		binary.BigEndian.PutUint16(e.Buf[at-2:], uint16(len(e.Buf)-at))
		if ok = len(e.Buf) <= e.limit; !ok {
			break
		}
		w = rest
	}
	if !ok {
		e.back(start, known)
		return 0, false
	}
	return int(r.Set.Count), true
}

func (e *Encoder) data(data []byte, nameOff, nameCount int) {
	if nameCount == 0 {
		e.Buf = append(e.Buf, data...)
		return
	}
	e.Buf = append(e.Buf, data[:nameOff]...)
	data = data[nameOff:]
	for range nameCount {
		n := dnsname.Len(data)
		e.name(data[:n])
		data = data[n:]
	}
	e.Buf = append(e.Buf, data...)
}

// name appends a name, its longest known tail as a pointer.
func (e *Encoder) name(name []byte) {
	for off := 0; name[off] != 0; off += 1 + int(name[off]) {
		if at := e.find(name[off:]); at >= 0 {
			if e.pointers != nil {
				*e.pointers = binary.LittleEndian.AppendUint16(*e.pointers, uint16(len(e.Buf)))
			}
			e.Buf = append(e.Buf, 0xc0|byte(at>>8), byte(at))
			return
		}
		e.know(len(e.Buf), len(name)-off)
		e.Buf = append(e.Buf, name[off:off+1+int(name[off])]...)
	}
	e.Buf = append(e.Buf, 0)
}

func (e *Encoder) find(tail []byte) int {
	for i := range e.n {
		if s := e.names[i]; int(s.len) == len(tail) && e.equal(int(s.off), tail) {
			return int(s.off)
		}
	}
	return -1
}

// equal compares the name in the message at off, following pointers that this
// encoder wrote, with a name in wire form, without regard to case (RFC 4343).
func (e *Encoder) equal(off int, name []byte) bool {
	for {
		if off >= len(e.Buf) {
			return false // the name is still being written
		}
		c := e.Buf[off]
		if c >= 0xc0 {
			off = int(binary.BigEndian.Uint16(e.Buf[off:]) & 0x3fff)
			continue
		}
		if c != name[0] {
			return false
		}
		if c == 0 {
			return true
		}
		n := 1 + int(c)
		if off+n > len(e.Buf) || !sameName(e.Buf[off:off+n], name[:n]) {
			return false
		}
		off, name = off+n, name[n:]
	}
}
