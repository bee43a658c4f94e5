package transfer

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/miekg/dns"
)

// request is a message that is to be answered.
type request struct {
	*message
	ctx    context.Context
	msg    []byte
	from   netip.AddrPort
	stream bool
	tls    *tls.ConnectionState // nil: none
	plain  func(query []byte) []byte
	send   func(msg []byte) error
	// session signs the answers; its key is the one that the message is signed with.
	session session
	w       writer
}

// Respond is part of dnsserver.Other. What is asked is judged in the order of RFC
// 8945, section 5.2: form, then the signature, then what it is about.
func (m *Manager) Respond(ctx context.Context, msg []byte, from netip.AddrPort, stream bool, tls *tls.ConnectionState, plain func(query []byte) []byte, send func(msg []byte) error) {
	q, err := parse(msg)
	if q == nil || q.response {
		return
	}
	r := &request{message: q, ctx: ctx, msg: msg, from: from, stream: stream, tls: tls, plain: plain, send: send, session: session{now: m.now}}
	if err != nil {
		r.answer(dns.RcodeFormatError)
		return
	}
	st := m.state.Load()
	if q.tsig != nil && !m.authenticate(st, r) {
		return
	}
	switch {
	case q.opcode == dns.OpcodeNotify:
		m.notified(st, r)
	case q.opcode == dns.OpcodeUpdate:
		m.update(st, r)
	case q.opcode == dns.OpcodeQuery && len(q.questions) == 1 && (q.questions[0].rrtype == dns.TypeAXFR || q.questions[0].rrtype == dns.TypeIXFR):
		m.transfer(st, r)
	default:
		r.answerPlain()
	}
}

// authenticate verifies the signature; false: the answer says why not.
func (m *Manager) authenticate(st *state, r *request) bool {
	k := st.keys[string(r.tsig.key)]
	if k == nil && m.forwards(st, r) {
		return true // whoever it is passed on to verifies it
	}
	if k == nil || string(k.alg.wire) != string(r.tsig.alg) {
		if k == nil {
			m.unaccepted(r, fmt.Errorf("BADKEY: there is no [tsig.%q] here", format(r.tsig.key)))
		} else {
			m.unaccepted(r, fmt.Errorf("BADKEY: the key is for %s here", k.alg.name))
		}
		r.begin(dns.RcodeNotAuth)
		if r.udpSize > 0 { // RFC 6891, section 6.1.1
			r.w.opt()
		}
		s := &signature{time: r.tsig.time, fudge: fudge, fault: badKey}
		r.send(appendSignature(r.w.buf, r.tsig.key, r.tsig.alg, s)) // RFC 8945, section 5.2.1
		return false
	}
	r.session.key = k
	err := r.session.verify(r.msg, r.tsig)
	if err == nil {
		return true
	}
	var fault tsigError
	told := errors.As(err, &fault)
	if told && fault == badTime {
		m.unaccepted(r, fmt.Errorf("BADTIME: %s", apart(int64(r.tsig.time)-r.session.now().Unix())))
	} else {
		m.unaccepted(r, err)
	}
	if !told {
		r.session.key = nil
		r.answer(dns.RcodeFormatError)
		return false
	}
	r.session.fault = fault
	if fault == badSig {
		r.session.mac = nil
	}
	r.answer(dns.RcodeNotAuth)
	return false
}

// unaccepted logs a signature that is not accepted.
func (m *Manager) unaccepted(r *request, why error) {
	about := "none"
	if len(r.questions) > 0 {
		about = format(r.questions[0].name)
	}
	m.strangers.say(slog.LevelWarn, "a signature is not accepted", "zone", about, "from", r.from, "key", format(r.tsig.key), "error", why)
}

// begin starts the answer, with the question as it came.
func (r *request) begin(rcode int) {
	r.w.begin(r.id, flagsOf(r.message, rcode), maxMessage, r.questions...)
}

// answer sends a code without records.
func (r *request) answer(rcode int) {
	r.begin(rcode)
	r.finish()
}

// finish completes the message with OPT (RFC 6891, section 6.1.1) and TSIG and
// sends it.
func (r *request) finish() error {
	if r.udpSize > 0 {
		r.w.opt()
	}
	r.w.buf = r.session.sign(r.w.buf)
	return r.send(r.w.buf)
}

// opt appends an OPT record, with these options.
func (w *writer) opt(options ...byte) {
	w.buf = append(w.buf, 0, 0, byte(dns.TypeOPT), 1232>>8, 1232&0xff, 0, 0, 0, 0, 0, byte(len(options)))
	w.buf = append(w.buf, options...)
	binary.BigEndian.PutUint16(w.buf[10:], binary.BigEndian.Uint16(w.buf[10:])+1)
}

// answerPlain answers a signed query as though it were not signed, and signs.
func (r *request) answerPlain() {
	query := append([]byte(nil), r.msg[:r.tsig.at]...)
	binary.BigEndian.PutUint16(query[10:], binary.BigEndian.Uint16(query[10:])-1)
	reply := r.plain(query)
	if len(reply) == 0 {
		return
	}
	limit := maxMessage
	if !r.stream {
		limit = min(max(512, r.udpSize), 1232)
	}
	if len(reply)+r.session.signedSize() > limit { // RFC 8945, section 5.3
		r.w.begin(r.id, binary.BigEndian.Uint16(reply[2:])&^0xf|flagTruncated, maxMessage, r.questions...)
		r.finish()
		return
	}
	r.w.buf = append(r.w.buf[:0], reply...)
	r.w.buf = r.session.sign(r.w.buf)
	r.send(r.w.buf)
}

// zoneOf gives the zone of the only question, if it moves.
func (r *request) zoneOf(st *state) *zone {
	if len(r.questions) != 1 {
		return nil
	}
	return st.zones[string(lowered(r.questions[0].name))]
}

// nameOf is a key's name for messages.
func nameOf(k *key) string {
	if k == nil {
		return "none"
	}
	return format(k.name)
}
