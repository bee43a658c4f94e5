package zones

import (
	"encoding/binary"

	"gslb/dnsname"
)

// headerLen is the length of a message's header (RFC 1035, section 4.1.1).
const headerLen = 12

// Wire is an answer in wire form: all that comes between the question and the
// OPT record. The zero Wire is none.
type Wire struct {
	Body                          []byte
	Answer, Authority, Additional uint16 // records by section

	// pointers are the places in Body, 16 bits each, of the compression pointers
	// that shift when the name asked for is not as long as ownerLen: below a
	// wildcard or a delegation, and where there is no such name.
	pointers []byte
	ownerLen uint8
}

// AppendTo adds the answer to a message whose question has a name of nameLen octets.
func (w *Wire) AppendTo(msg []byte, nameLen int) []byte {
	at := len(msg)
	msg = append(msg, w.Body...)
	delta := uint16(nameLen - int(w.ownerLen))
	if delta == 0 || len(w.pointers) == 0 {
		return msg
	}
	// What they point to, in the question's tail or in the body, lies that much
	// further on.
	for p := w.pointers; len(p) >= 2; p = p[2:] {
		f := msg[at+int(binary.LittleEndian.Uint16(p)):]
		binary.BigEndian.PutUint16(f, binary.BigEndian.Uint16(f)+delta)
	}
	return msg
}

// Counts are the numbers of its records.
func (w *Wire) Counts() Counts {
	return Counts{Answer: int(w.Answer), Authority: int(w.Authority), Additional: int(w.Additional)}
}

// Size is what AppendTo takes, in octets.
func (r *Result) Size(w *Wire) int {
	n := len(w.Body) + len(r.sigs)
	for _, rec := range r.extra() {
		n += len(rec.Owner) + len(rec.Set.signed())
	}
	return n
}

// extra are the RRsets of the authority section that Wire is without.
func (r *Result) extra() []Record {
	if !r.Signed {
		return nil
	}
	return r.Authority[r.ready:]
}

// AppendTo adds to a message, whose question is for the name that was looked up,
// an answer that is ready: r.Wire, or the one that was made ready for the site
// that was chosen. It puts in what the look-up found besides: signatures and
// proofs. The counts are those of the whole.
func (r *Result) AppendTo(msg []byte, w *Wire) ([]byte, Counts) {
	c := w.Counts()
	extra := r.extra()
	if len(r.sigs) == 0 && len(extra) == 0 {
		return w.AppendTo(msg, r.name.length), c
	}
	at := len(msg)
	msg = w.AppendTo(msg, r.name.length)
	if c.Additional > 0 {
		return r.insert(msg, at, skipRecords(msg, at, c.Answer+c.Authority), w, extra, c)
	}
	return r.append(msg, extra, c)
}

// insert is append where the additional section has been written already, behind a body
// that begins at a place. Its pointers to names of its own move on with it.
func (r *Result) insert(msg []byte, body, at int, w *Wire, extra []Record, c Counts) ([]byte, Counts) {
	var room [maxPrepared]byte
	rest := append(room[:0], msg[at:]...)
	msg, c = r.append(msg[:at], extra, c)
	moved := len(msg) - at
	msg = append(msg, rest...)
	for p := w.pointers; len(p) >= 2; p = p[2:] {
		place := body + int(binary.LittleEndian.Uint16(p))
		if place < at {
			continue
		}
		if f := msg[place+moved:]; int(binary.BigEndian.Uint16(f)&0x3fff) >= at {
			binary.BigEndian.PutUint16(f, binary.BigEndian.Uint16(f)+uint16(moved))
		}
	}
	return msg, c
}

// append writes the signatures of the answer, and records of the authority section.
func (r *Result) append(msg []byte, extra []Record, c Counts) ([]byte, Counts) {
	msg = append(msg, r.sigs...)
	c.Answer += int(r.nsigs)
	for i := range extra {
		msg = r.appendRecord(msg, &extra[i])
		c.Authority += int(extra[i].Set.Count) + int(extra[i].Set.Sigs)
	}
	return msg, c
}

// skipRecords gives the place behind n records, of which the first begins at a
// place of a message that is known to be whole.
func skipRecords(msg []byte, at, n int) int {
	for range n {
		for msg[at] != 0 && msg[at] < 0xc0 {
			at += 1 + int(msg[at])
		}
		if msg[at] != 0 {
			at++
		}
		at += 1 + recordHead - 2
		at += int(binary.BigEndian.Uint16(msg[at-2:]))
	}
	return at
}

// appendRecord appends an RRset of the zone and its signatures. As much of the
// owner's name as is in the question, the apex at least, is a pointer there.
func (r *Result) appendRecord(msg []byte, rec *Record) []byte {
	end := headerLen + r.name.length
	common := len(rec.Owner)
	if common > r.name.length || !sameName(rec.Owner, r.name.octets[r.name.length-common:r.name.length]) {
		common = len(r.Zone.apex)
	}
	own := len(msg)
	msg = append(msg, rec.Owner[:len(rec.Owner)-common]...)
	at := len(msg)
	msg = append(msg, rec.Set.signed()...)
	binary.BigEndian.PutUint16(msg[at:], 0xc000|uint16(end-common))
	if common == len(rec.Owner) {
		own = end - common
	}
	pointer := 0xc000 | uint16(own)
	for at += recordHead + int(binary.BigEndian.Uint16(msg[at+recordHead-2:])); at < len(msg); at += recordHead + int(binary.BigEndian.Uint16(msg[at+recordHead-2:])) {
		binary.BigEndian.PutUint16(msg[at:], pointer)
	}
	return msg
}

// maxPrepared is the largest answer that is kept ready, in octets.
const maxPrepared = 1400

// prepare encodes an answer as though its owner name itself had been asked for.
// Where it would be too large the zero Wire comes back.
func (e *Encoder) prepare(owner []byte, r *Result) Wire {
	var pointers []byte
	e.pointers = &pointers
	defer func() { e.pointers = nil }()
	if cap(e.Buf) < headerLen+dnsname.Max+4+maxPrepared+MaxRecordHead {
		e.Buf = make([]byte, 0, 4096)
	}
	buf := append(e.Buf[:0], make([]byte, headerLen)...)
	buf = append(buf, owner...)
	buf = append(buf, 0, 0, 0, 1)
	start := len(buf)
	skip := 0
	if dnsname.IsWild(owner) {
		skip = 1 // the "*" is not in the name that will be asked for
	}
	e.begin(buf, owner, start+maxPrepared, skip)
	c, whole := e.Sections(r)
	if !whole || c.Extra < r.Additional.Len() {
		return Wire{}
	}
	for p := pointers; len(p) >= 2; p = p[2:] {
		binary.LittleEndian.PutUint16(p, binary.LittleEndian.Uint16(p)-uint16(start))
	}
	return Wire{Body: append([]byte(nil), e.Buf[start:]...), pointers: pointers, ownerLen: uint8(len(owner)),
		Answer: uint16(c.Answer), Authority: uint16(c.Authority), Additional: uint16(c.Additional)}
}
