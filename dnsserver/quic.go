package dnsserver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// What a QUIC connection may have at a time (RFC 9000, section 4): a message takes
// 64 KiB at most, and hardly any takes more than one packet.
const (
	quicStreams      = 100
	quicStreamWindow = 2 + maxMessage
	quicWindow       = 4 * quicStreamWindow
	http3UniStreams  = 8 // control, and two of QPACK (RFC 9114, section 6.2); some are spare
	// idleGrace is how much longer QUIC waits than the server, which tells the client.
	idleGrace = time.Second
	// Handshakes that may be unfinished, as parts of all connections and of a client's.
	unfinishedOfAll    = 10
	unfinishedOfClient = 2
)

// quicListener takes QUIC connections at one address, for DNS (doq.go) or for
// HTTP/3 (http3.go).
type quicListener struct {
	s         *Server
	conn      *net.UDPConn
	bound     netip.AddrPort
	transport int // what its queries count as
	table     int // of encryptedTables
	tls       *tls.Config
	config    *quic.Config
	reset     *quic.StatelessResetKey
	// converse answers what comes over a connection, until its end.
	converse func(ctx context.Context, c *quicConn)
	unasked  quic.ApplicationErrorCode // closes a connection that is not needed any more
}

// resetKey is what the tokens of stateless resets at an address are made with (RFC
// 9000, section 10.3.2): of the certificate's key, so that after a restart a client
// learns at once that its connection is gone, from any node that has this key and
// address. nil: the key cannot be read, and there are no resets.
func resetKey(keyFile string, address netip.AddrPort) *quic.StatelessResetKey {
	secret, err := os.ReadFile(keyFile)
	if err != nil {
		return nil
	}
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("gslb: QUIC stateless reset at " + address.String()))
	return (*quic.StatelessResetKey)(h.Sum(nil))
}

// listenQUIC binds an address of one family. Its key file is for resetKey. Of two transports the first is for IPv4.
func (s *Server) listenQUIC(ctx context.Context, addr string, transport, table int, config *tls.Config, keyFile string) (*quicListener, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen %q: want an address and port such as 192.0.2.1:853 or [::]:853", addr)
	}
	network := "udp4"
	if ap.Addr().Unmap().Is6() {
		network, transport = "udp6", transport+1
	}
	inherited := s.inherited.Take(inheritQUIC + ap.String())
	defer closeFiles(inherited)
	var conn *net.UDPConn
	if len(inherited) > 0 {
		conn, err = inheritDatagrams(inherited[0])
	} else {
		conn, err = listenUDP(ctx, network, ap.String(), false, false) // the library asks for what it needs
	}
	if err != nil {
		return nil, bindError(err, "udp", addr)
	}
	if err := tuneUDP(conn, s.cfg, nil); err != nil {
		s.log.Warn("a QUIC socket does not get what was asked for; it goes on without", "address", ap, "error", err)
	}
	l := &quicListener{s: s, conn: conn, bound: conn.LocalAddr().(*net.UDPAddr).AddrPort(), transport: transport, table: table, tls: config}
	l.reset = resetKey(keyFile, l.bound)
	l.config = &quic.Config{
		HandshakeIdleTimeout:           min(handshakeTime, s.cfg.TCPIdle) / 2, // and twice that for all of it
		MaxIdleTimeout:                 s.cfg.TCPIdle + idleGrace,
		InitialStreamReceiveWindow:     quicStreamWindow,
		MaxStreamReceiveWindow:         quicStreamWindow,
		InitialConnectionReceiveWindow: quicWindow,
		MaxConnectionReceiveWindow:     quicWindow,
		MaxIncomingStreams:             quicStreams,
		MaxIncomingUniStreams:          -1,
		// 0-RTT stays off: what comes that way can be sent again by anyone who saw it.
	}
	s.quic = append(s.quic, l)
	return l, nil
}

// quicConn is a QUIC connection. It counts among all connections from its first
// packet on.
type quicConn struct {
	link
	l       *quicListener
	conn    *quic.Conn // once the handshake is over
	counted netip.Addr
	state   *tls.ConnectionState
	begun   atomic.Bool // the handshake is over, or came to nothing

	mu     sync.Mutex
	active int         // queries that are being answered; guarded by mu
	timer  *time.Timer // ends it when it has been idle for long
}

type quicConnKey struct{}

// source is where the connection comes from now: a client may go on from another
// address (RFC 9000, section 9).
func (c *quicConn) source() netip.AddrPort {
	a := c.conn.RemoteAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// enter notes that a query is being answered; false: the connection was closed.
func (c *quicConn) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active++
	return c.goesOn()
}

// leave notes the end of one.
func (c *quicConn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active--; c.active == 0 {
		c.waits()
		c.timer.Reset(c.l.s.cfg.TCPIdle)
	}
}

// expire ends the connection when it has been without a query for long. Packets
// that ask nothing keep a connection for QUIC, not for this server.
func (c *quicConn) expire() {
	at := c.idle.Load()
	if at <= 0 { // leave sets the timer
		return
	}
	// The clock may have been set back, and the timer be older than at.
	if left := c.l.s.cfg.TCPIdle - time.Since(time.Unix(0, at)); left > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.idle.Load() == at {
			c.timer.Reset(min(left, c.l.s.cfg.TCPIdle))
		}
		return
	}
	if c.idle.CompareAndSwap(at, evicted) {
		c.conn.CloseWithError(c.l.unasked, "")
	}
}

// evict is part of hanger.
func (c *quicConn) evict() { go c.conn.CloseWithError(c.l.unasked, "") } // it waits

// end is part of hanger.
func (c *quicConn) end() { go c.conn.CloseWithError(c.l.unasked, "") }

// serve takes connections until the listener fails or ctx ends.
func (l *quicListener) serve(ctx context.Context) error {
	tr := &quic.Transport{Conn: l.conn, StatelessResetKey: l.reset, ConnContext: l.arrived, VerifySourceAddress: l.doubts}
	defer tr.Close()
	ln, err := tr.Listen(l.tls, l.config)
	if err != nil {
		return err
	}
	defer ln.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := ln.Accept(ctx)
		if err != nil {
			return err
		}
		c, _ := conn.Context().Value(quicConnKey{}).(*quicConn)
		wg.Go(func() { l.converses(ctx, c, conn) })
	}
}

// converses serves a connection whose handshake is over.
func (l *quicListener) converses(ctx context.Context, c *quicConn, conn *quic.Conn) {
	defer conn.CloseWithError(l.unasked, "")
	if !c.begun.CompareAndSwap(false, true) {
		return // it has ended already
	}
	l.s.unfinished.Add(-1)
	c.conn = conn
	state := conn.ConnectionState().TLS
	c.state = &state
	c.mu.Lock()
	c.waits()
	c.timer = time.AfterFunc(l.s.cfg.TCPIdle, c.expire)
	c.mu.Unlock()
	defer c.timer.Stop()
	if !l.s.streams.add(&c.link) {
		return
	}
	defer l.s.streams.remove(&c.link)
	l.converse(ctx, c)
}

// arrived counts a new connection in, unless there are too many.
func (l *quicListener) arrived(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	from, ok := info.RemoteAddr.(*net.UDPAddr)
	if !ok {
		return nil, errors.New("no UDP address")
	}
	s, c := l.s, &quicConn{l: l, counted: from.AddrPort().Addr().Unmap()}
	c.hang = c
	if !s.tcp.take(c.counted, s.cfg.TCPMax, s.cfg.TCPMaxClient, &s.streams) {
		return nil, errors.New("too many connections")
	}
	s.unfinished.Add(1)
	context.AfterFunc(ctx, func() {
		s.tcp.give(c.counted)
		if c.begun.CompareAndSwap(false, true) {
			s.unfinished.Add(-1)
			var done *quic.ApplicationError
			if err := context.Cause(ctx); !errors.As(err, &done) { // who says that has shaken hands
				s.handshakes.failed(l.table, err)
			}
		}
	})
	return context.WithValue(ctx, quicConnKey{}, c), nil
}

// doubts tells whether a client must show first that it is where it says it is
// (RFC 9000, section 8.1.2): when many handshakes are not over, since forged
// addresses could take all places, or all those of one client.
func (l *quicListener) doubts(net.Addr) bool {
	most := min(l.s.cfg.TCPMax/unfinishedOfAll, l.s.cfg.TCPMaxClient/unfinishedOfClient)
	return l.s.unfinished.Load() >= int64(max(1, most))
}
