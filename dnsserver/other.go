package dnsserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Other answers what is not a plain query: transfers (RFC 5936, RFC 1995),
// NOTIFY (RFC 1996), UPDATE (RFC 2136), and all that is signed with TSIG (RFC
// 8945). Its work may take long, wait for disks and other servers, and send many
// messages: it never runs where plain queries are answered.
type Other interface {
	// Respond answers a message that is whole and has a header, from an address,
	// over a stream or in datagrams; tls is what is known of the stream's TLS, QUIC's
	// too, and nil where there is none. plain answers a query as though it had come in
	// the message's place; what it returns holds until it is called again. send
	// sends a message of the answer; over a stream there may be several, and it
	// waits while the client does not take them. Of datagrams only the first is sent.
	Respond(ctx context.Context, msg []byte, from netip.AddrPort, stream bool, tls *tls.ConnectionState, plain func(query []byte) []byte, send func(msg []byte) error)
}

// SetOther lets o answer what is not a plain query, before Serve. Without it
// transfers are REFUSED, other opcodes NOTIMP, and signed messages NOTAUTH.
func (s *Server) SetOther(o Other) {
	s.other = o
	s.datagrams = make(chan datagram, maxDatagrams)
}

// maxDatagrams bounds the messages for Other that wait. More are dropped, as the
// network would; their senders try again.
const maxDatagrams = 256

// DatagramWorkers is how many of them are answered at a time: one that waits for
// a disk, or another server, must not hold up the others.
const DatagramWorkers = 20

// datagram is a message for Other that came over UDP.
type datagram struct {
	msg   []byte
	from  netip.AddrPort
	reply func(msg []byte) error // through the socket that it came from
}

// isOther tells whether the message that was just parsed, with verdict v, is for
// another than the responder.
func (w *responder) isOther(v verdict) bool {
	if !w.others {
		return false
	}
	switch v {
	case notImplemented:
		return w.q.Opcode == dns.OpcodeNotify || w.q.Opcode == dns.OpcodeUpdate
	case signed:
		return true
	case ask:
		return (w.q.Type == dns.TypeAXFR || w.q.Type == dns.TypeIXFR) && w.q.Class == dns.ClassINET
	}
	return false
}

// handOver queues a message that came over UDP; reply is to send through its socket.
func (s *Server) handOver(w *responder, msg []byte, from netip.AddrPort, reply func([]byte) error) {
	select {
	case s.datagrams <- datagram{bytes.Clone(msg), from, reply}:
	default:
		w.count.dropped.Add(1)
	}
}

// serveDatagrams answers the messages for Other that came over UDP until ctx ends.
func (s *Server) serveDatagrams(ctx context.Context) {
	w := s.responder(0, s.newCounters())
	w.signs = signsHere
	out := make([]byte, 0, maxMessage+maxRecordHead)
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-s.datagrams:
			sent := false
			s.respondOther(ctx, w, d.msg, d.from, false, nil, out, func(msg []byte) error {
				if sent {
					return fmt.Errorf("a second message over UDP")
				}
				sent = true
				return d.reply(msg)
			})
		}
	}
}

// respondOther lets Other answer a message, with a net below it.
func (s *Server) respondOther(ctx context.Context, w *responder, msg []byte, from netip.AddrPort, stream bool, state *tls.ConnectionState, out []byte, send func([]byte) error) {
	w.others, w.handed = false, false // what is plain hands nothing over
	defer func() {
		w.others = true
		if r := recover(); r != nil {
			w.count.panics.Add(1)
			if s.mayReport() {
				s.log.Error("a message made the server panic: please report this", "panic", r, "message", fmt.Sprintf("%x", msg), "from", from, "stack", string(debug.Stack()))
			}
			send(failure(msg))
		}
	}()
	counted := false
	s.other.Respond(ctx, msg, from, stream, state,
		func(query []byte) []byte {
			counted = true
			return s.answer(w, query, from, stream, out)
		},
		func(msg []byte) error {
			if !counted && len(msg) >= headerLen {
				w.count.rcodes[msg[3]&0xf].Add(1)
			}
			counted = true
			return send(msg)
		})
}

// failure is the header of a SERVFAIL for a message.
func failure(msg []byte) []byte {
	h := make([]byte, headerLen)
	copy(h, msg[:3])
	h[2] = h[2]&0x79 | 0x80
	h[3] = dns.RcodeServerFailure
	return h
}

// slowStream is a connection over which something came that is not a plain
// query. From then on it belongs to one goroutine, which may wait: whoever serves
// connections otherwise gives it away whole, with what was read and not answered.
type slowStream struct {
	s         *Server
	c         net.Conn
	from      netip.AddrPort
	w         *responder
	transport *atomic.Uint64       // counts messages
	pending   []byte               // read, from the first message that is not answered
	tls       *tls.ConnectionState // nil: none
	link      *link
}

// converse answers messages in the order they come, plain ones too, until the
// client leaves, is silent for too long, or ctx ends. It does not close c.
func (st *slowStream) converse(ctx context.Context) {
	r := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(st.pending), st.c), streamRead)
	in := make([]byte, 0, streamRead)
	out := make([]byte, 0, maxMessage+maxRecordHead)
	for ctx.Err() == nil {
		st.c.SetReadDeadline(time.Now().Add(st.s.cfg.TCPIdle))
		if r.Buffered() == 0 {
			st.link.waits()
		}
		var err error
		in, err = readMessage(r, in)
		if !st.link.goesOn() || err != nil || ctx.Err() != nil {
			return
		}
		st.transport.Add(1)
		reply := st.s.answer(st.w, in, st.from, true, out)
		switch {
		case len(reply) > 0:
			err = st.send(reply)
		case st.w.handed:
			st.s.respondOther(ctx, st.w, in, st.from, true, st.tls, out, func(msg []byte) error {
				if err == nil {
					err = st.send(msg)
				}
				return err
			})
		default:
			return // not DNS
		}
		if err != nil {
			return
		}
	}
}

// readMessage reads a message with its length before it (RFC 1035, section 4.2.2).
func readMessage(r io.Reader, in []byte) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return in, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if cap(in) < n {
		in = make([]byte, n)
	}
	in = in[:n]
	_, err := io.ReadFull(r, in)
	return in, err
}

// send sends a message with its length before it. A client that does not take it
// within the idle time is given up.
func (st *slowStream) send(msg []byte) error {
	if len(msg) > maxMessage {
		return fmt.Errorf("a message of %d octets", len(msg))
	}
	st.c.SetWriteDeadline(time.Now().Add(st.s.cfg.TCPIdle))
	head := [2]byte{byte(len(msg) >> 8), byte(len(msg))}
	if st.w.encrypted { // in one record, that tells nothing more (RFC 7858, section 3.3)
		_, err := st.c.Write(append(head[:], msg...))
		return err
	}
	bufs := net.Buffers{head[:], msg}
	_, err := bufs.WriteTo(st.c)
	return err
}
