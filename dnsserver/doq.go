package dnsserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
)

// QUIC is [dns.quic] of the configuration: DNS over QUIC (RFC 9250), transfers
// included.
type QUIC struct {
	Listen []string `toml:"listen"` // host:port; "[::]:853"
	Cert   string   `toml:"cert"`   // PEM file: the chain, the server's own certificate first
	Key    string   `toml:"key"`    // PEM file: its key
}

// validate calls bad once for each fault.
func (q QUIC) validate(bad func(key, msg string)) {
	encryptedFaults("quic", "DNS over QUIC", "853", q.Listen, q.Cert, q.Key, bad)
	for i, l := range q.Listen {
		if strings.HasSuffix(l, ":53") {
			bad(fmt.Sprintf("quic.listen[%d]", i), fmt.Sprintf("%q: DNS over QUIC must not use port 53 (RFC 9250, section 4.1.1)", l))
		}
	}
}

// Error codes of DNS over QUIC: RFC 9250, section 4.3.
const (
	doqNoError       = 0x0
	doqProtocolError = 0x2
	doqUnspecified   = 0x5
)

// listenDoQ binds the addresses of [dns.quic].
func (s *Server) listenDoQ(ctx context.Context) error {
	for _, addr := range s.cfg.QUIC.Listen {
		l, err := s.listenQUIC(ctx, addr, quic4, handshakeQUIC, tlsConfig(s.certificate("quic"), "doq"), s.cfg.QUIC.Key)
		if err != nil {
			return err
		}
		l.converse, l.unasked = l.converseDoQ, doqNoError
	}
	return nil
}

// QUICAddrs are the addresses bound for DNS over QUIC, with their real ports.
func (s *Server) QUICAddrs() (all []netip.AddrPort) {
	for _, l := range s.quic {
		if l.table == handshakeQUIC {
			all = append(all, l.bound)
		}
	}
	return all
}

// converseDoQ answers the queries of a connection, each in a stream of its own and
// none behind another (RFC 9250, section 4.2).
func (l *quicListener) converseDoQ(ctx context.Context, c *quicConn) {
	for {
		str, err := c.conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		if !c.enter() {
			return
		}
		go func() {
			defer c.leave()
			switch err := c.exchange(ctx, str); {
			case err == nil:
				str.Close()
			case errors.Is(err, errDoQ):
				c.conn.CloseWithError(doqProtocolError, err.Error())
			default: // the client has gone, or takes or sends nothing
				str.CancelRead(doqUnspecified)
				str.CancelWrite(doqUnspecified)
			}
		}()
	}
}

// errDoQ is a fault for which a connection is closed (RFC 9250, section 4.3.3).
var errDoQ = errors.New("protocol error")

// exchange answers the query of a stream.
func (c *quicConn) exchange(ctx context.Context, str *quic.Stream) error {
	s := c.l.s
	str.SetReadDeadline(time.Now().Add(s.cfg.TCPIdle))
	b := s.streamBuffers()
	defer s.giveBuffers(b)
	b.w.encrypted = true
	msg, err := readQuery(str, &b.in)
	if err != nil {
		return err
	}
	if b.w.q.parse(msg) == drop || binary.BigEndian.Uint16(msg) != 0 {
		return fmt.Errorf("%w: no query with ID 0", errDoQ)
	}
	if b.w.q.EDNS.asks&askKeepalive != 0 { // section 5.5.2
		return fmt.Errorf("%w: edns-tcp-keepalive", errDoQ)
	}
	b.w.count.queries[c.l.transport].Add(1)
	from := c.source()
	reply := s.answer(b.w, msg, from, true, b.out[2:2:2+maxMessage+maxRecordHead])
	b.w.publish()
	switch {
	case len(reply) > 0:
		binary.BigEndian.PutUint16(b.out, uint16(len(reply)))
		return c.send(str, b.out[:2+len(reply)])
	case b.w.handed:
		s.respondOther(ctx, b.w, msg, from, true, c.state, b.out[:0:2+maxMessage+maxRecordHead], func(m []byte) error {
			if err == nil {
				err = c.send(str, append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(m)), uint16(len(m))), m...))
			}
			return err
		})
		b.w.publish()
		return err
	}
	return errors.New("no answer")
}

// readQuery reads the only message of a stream, with its length before it and the
// end of the stream behind.
func readQuery(str io.Reader, buf *[]byte) ([]byte, error) {
	in := *buf
	cut := func(err error) error {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: the message is not whole", errDoQ)
		}
		return err
	}
	if _, err := io.ReadFull(str, in[:2]); err != nil {
		return nil, cut(err)
	}
	n := int(binary.BigEndian.Uint16(in))
	if n > len(in) {
		in = make([]byte, n)
		*buf = in
	}
	if _, err := io.ReadFull(str, in[:n]); err != nil {
		return nil, cut(err)
	}
	var more [1]byte
	switch n, err := io.ReadFull(str, more[:]); {
	case n > 0:
		return nil, fmt.Errorf("%w: a second message in a stream", errDoQ)
	case !errors.Is(err, io.EOF):
		var reset *quic.StreamError
		if errors.As(err, &reset) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: no end of the stream", errDoQ)
	}
	return in[:n], nil
}

// send sends messages with their lengths before them. A client that does not take
// them within the idle time is given up.
func (c *quicConn) send(str *quic.Stream, framed []byte) error {
	str.SetWriteDeadline(time.Now().Add(c.l.s.cfg.TCPIdle))
	_, err := str.Write(framed)
	return err
}
