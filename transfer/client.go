package transfer

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"gslb/zones"

	"github.com/miekg/dns"
)

// newID makes a message ID that cannot be guessed.
func newID() uint16 {
	var b [2]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint16(b[:])
}

// dial connects to a peer, from the address that it is to see.
func (p peer) dial(ctx context.Context, network string) (net.Conn, error) {
	var d net.Dialer
	if p.source.IsValid() {
		if network == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: p.source.AsSlice()}
		} else {
			d.LocalAddr = &net.TCPAddr{IP: p.source.AsSlice()}
		}
	}
	return d.DialContext(ctx, network, p.addr.String())
}

// ask makes a message about a zone to a peer, signed with its key, and with EDNS where there are options.
func (p peer) ask(opcode, qtype uint16, z *zone, soa *zones.RR, in int, now func() time.Time, options ...byte) ([]byte, *session) {
	var w writer
	flags := opcode << 11
	if opcode == dns.OpcodeNotify {
		flags |= flagAuthoritative
	}
	w.begin(newID(), flags, maxMessage, question{z.apex, qtype, dns.ClassINET})
	if soa != nil {
		w.add(in, *soa)
	}
	if len(options) > 0 {
		w.opt(options...)
	}
	ss := &session{key: p.key, now: now}
	msg := ss.sign(w.buf)
	ss.timers = false // the answer's first message is signed whole
	return msg, ss
}

// mostUDP is more than anybody answers over UDP who was not told that more can be taken.
const mostUDP = 4096

// exchange sends a message over UDP and gives the answer to it. What others send
// to the same port is not taken for it.
func (p peer) exchange(ctx context.Context, msg []byte, ss *session, wait time.Duration) (*message, error) {
	conn, err := p.dial(ctx, "udp")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn.SetDeadline(time.Now().Add(wait))
	if _, err := conn.Write(msg); err != nil {
		return nil, err
	}
	buf := make([]byte, mostUDP)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, bare(err)
		}
		m, err := accept(buf[:n], msg, ss)
		if err == nil || m != nil {
			return m, err
		}
	}
}

// accept judges an answer to a message: without an error it is one, without a
// message it is not an answer to this.
func accept(reply, msg []byte, ss *session) (*message, error) {
	m, err := parse(reply)
	if m == nil || m.id != binary.BigEndian.Uint16(msg) || !m.response || m.opcode != msg[2]>>3&0xf {
		return nil, errors.New("not an answer to what was asked")
	}
	if err != nil {
		return m, err
	}
	if err := ss.verifyAnswer(reply, m.tsig); err != nil {
		if m.rcode != 0 && m.tsig == nil {
			return m, fmt.Errorf("the answer is %s, and not signed", rcodeName(m.rcode))
		}
		return m, err
	}
	return m, nil
}

// bare is an error of a connection without its addresses: the peer's is known, and with the
// port of this side, which is another each time, the same fault would look like a new one.
func bare(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func rcodeName(rcode uint8) string {
	if s, ok := dns.RcodeToString[int(rcode)]; ok {
		return s
	}
	return fmt.Sprintf("code %d", rcode)
}

// writeTCP sends a message with its length before it (RFC 1035, section 4.2.2).
func writeTCP(w io.Writer, msg []byte) error {
	_, err := w.Write(append([]byte{byte(len(msg) >> 8), byte(len(msg))}, msg...))
	return err
}

// readTCP reads one.
func readTCP(r io.Reader, buf []byte) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	_, err := io.ReadFull(r, buf[:n])
	return buf[:n], err
}
