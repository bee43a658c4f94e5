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
