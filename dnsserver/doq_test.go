package dnsserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

// startQUIC serves DNS over QUIC, and HTTP/3 beside it.
func startQUIC(t *testing.T, change func(*Config), before ...func(*Server)) *Server {
	t.Helper()
	cert, key := writePair(t, t.TempDir(), "ns1.abc.com", time.Now().Add(-time.Hour), time.Now().Add(90*24*time.Hour))
	cfg := Config{Listen: []string{"127.0.0.1:0"}, QUIC: QUIC{Listen: []string{"127.0.0.1:0"}, Cert: cert, Key: key}}
	if change != nil {
		change(&cfg)
	}
	s, end := begin(t, cfg, discard(), before...)
	t.Cleanup(func() {
		if err := <-end(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func dialQUIC(t *testing.T, address string, tc *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
	t.Helper()
	if tc == nil {
		tc = &tls.Config{NextProtos: []string{"doq"}}
	}
	tc.InsecureSkipVerify = true
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return quic.DialAddr(ctx, address, tc, cfg)
}

func mustDialQUIC(t *testing.T, s *Server) *quic.Conn {
	t.Helper()
	c, err := dialQUIC(t, s.QUICAddrs()[0].String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseWithError(0, "") })
	return c
}

// askDoQ sends what is to be all of a stream, and gives all that comes back.
func askDoQ(c *quic.Conn, stream []byte) ([]byte, error) {
	str, err := c.OpenStreamSync(context.Background())
	if err != nil {
		return nil, err
	}
	str.SetDeadline(time.Now().Add(patience))
	if _, err := str.Write(stream); err != nil {
		return nil, err
	}
	str.Close()
	return io.ReadAll(str)
}

// doq is a query as it goes over QUIC, without an ID.
func doq(t testing.TB, name string, qtype uint16, options ...func(*dns.Msg)) []byte {
	m := query(t, name, qtype, options...)
	m[0], m[1] = 0, 0
	return m
}

// The same queries have the answers that they have over any other transport, many at
// once over one connection, and none waits for another (RFC 9250, section 4.2).
func TestDoQ(t *testing.T) {
	s := startQUIC(t, nil)
	c := mustDialQUIC(t, s)
	if st := c.ConnectionState(); st.TLS.NegotiatedProtocol != "doq" || st.TLS.Version != tls.VersionTLS13 {
		t.Errorf("ALPN %q, version %x", st.TLS.NegotiatedProtocol, st.TLS.Version)
	}
	from := c.LocalAddr().(*net.UDPAddr).AddrPort()
	from = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), from.Port())
	held, err := c.OpenStreamSync(t.Context()) // begun, and not ended before the others
	if err != nil {
		t.Fatal(err)
	}
	first := framed(doq(t, "static.abc.com.", dns.TypeA))
	held.Write(first[:5])
	large := doq(t, "static.abc.com.", dns.TypeA, option(dns.EDNS0PADDING, make([]byte, 40000)...))
	msgs := [][]byte{large}
	for _, name := range []string{"static.abc.com.", "www.abc.com.", "mx.abc.com.", "none.abc.com.", "many.abc.com.", "x.sub.abc.com.", "other.example.", "abc.com."} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeMX, dns.TypeSOA, dns.TypeANY, dns.TypeAXFR} {
			msgs = append(msgs, doq(t, name, qtype), doq(t, name, qtype, edns(1232, true)), doq(t, name, qtype, subnet("10.1.2.0/24")),
				doq(t, name, qtype, option(dns.EDNS0PADDING, 0, 0)), doq(t, name, qtype, func(m *dns.Msg) { m.Opcode = dns.OpcodeStatus }))
		}
	}
	msgs = append(msgs, append(doq(t, "static.abc.com.", dns.TypeA), 1)) // malformed
	w := s.responder(0, new(counters))
	w.encrypted = true
	var asking sync.WaitGroup
	for _, msg := range msgs {
		want := framed(bytes.Clone(s.answer(w, msg, from, true, make([]byte, 0, maxMessage+maxRecordHead))))
		asking.Go(func() {
			if got, err := askDoQ(c, framed(msg)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%x: %x, %v; want %x", msg, got, err, want)
			}
		})
	}
	asking.Wait()
	held.Write(first[5:])
	held.Close()
	held.SetReadDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(held); err != nil || len(got) < headerLen {
		t.Errorf("the first stream: %x, %v", got, err)
	}
	if st := s.Stats(); st.Queries["quic4"] != uint64(len(msgs)+1) || st.Handshake != 0 || st.TCPOpen != 1 {
		t.Errorf("queries %v, %d handshakes failed, %d open", st.Queries, st.Handshake, st.TCPOpen)
	}
	m := new(dns.Msg)
	if got, _ := askDoQ(c, framed(doq(t, "static.abc.com.", dns.TypeA, option(dns.EDNS0PADDING, 0)))); m.Unpack(got[2:]) != nil || len(got)-2 != padBlock {
		t.Errorf("a padded answer has %d octets, want %d", len(got)-2, padBlock)
	}
	c.CloseWithError(0, "")
	if !eventually(func() bool { return s.Stats().TCPOpen == 0 }) {
		t.Errorf("%d connections stay counted", s.Stats().TCPOpen)
	}
}

// closedWith waits until the server closes a connection, and tells how.
func closedWith(c *quic.Conn) error {
	select {
	case <-c.Context().Done():
		return context.Cause(c.Context())
	case <-time.After(patience):
		return errors.New("still open")
	}
}

// Faults for which a connection is closed: RFC 9250, section 4.3.3.
func TestDoQProtocolErrors(t *testing.T) {
	t.Parallel()
	s := startQUIC(t, func(c *Config) { c.TCPIdle = time.Hour })
	one := framed(doq(t, "static.abc.com.", dns.TypeA))
	withID := bytes.Clone(one)
	withID[3] = 1
	response := bytes.Clone(one)
	response[4] |= 0x80
	for what, stream := range map[string][]byte{
		"an ID":                          withID,
		"a message that is not whole":    one[:len(one)-1],
		"a length that is not whole":     one[:1],
		"nothing":                        {},
		"a second message":               append(bytes.Clone(one), one...),
		"an octet behind the message":    append(bytes.Clone(one), 0),
		"a message of no octets":         {0, 0},
		"a message shorter than headers": framed(make([]byte, headerLen-1)),
		"a response":                     response,
		"a keepalive":                    framed(doq(t, "static.abc.com.", dns.TypeA, option(dns.EDNS0TCPKEEPALIVE))),
		"a keepalive with a time":        framed(doq(t, "static.abc.com.", dns.TypeA, option(dns.EDNS0TCPKEEPALIVE, 0, 1))),
	} {
		c := mustDialQUIC(t, s)
		askDoQ(c, stream)
		var app *quic.ApplicationError
		if err := closedWith(c); !errors.As(err, &app) || !app.Remote || app.ErrorCode != doqProtocolError {
			t.Errorf("%s: %v", what, err)
		}
	}
	withIdle(t, func(idle time.Duration) error { // the end of the stream never comes
		s := startQUIC(t, func(c *Config) { c.TCPIdle = idle })
		c, err := dialQUIC(t, s.QUICAddrs()[0].String(), nil, &quic.Config{KeepAlivePeriod: 100 * time.Millisecond})
		if err != nil {
			return err
		}
		defer c.CloseWithError(0, "")
		str, err := c.OpenStreamSync(t.Context())
		if err != nil {
			return err
		}
		str.Write(one)
		var app *quic.ApplicationError
		if err := closedWith(c); !errors.As(err, &app) || app.ErrorCode != doqProtocolError {
			return fmt.Errorf("a stream without end: %v", err)
		}
		return nil
	})
	// Streams of one direction are not for DNS: no client may open one.
	if _, err := mustDialQUIC(t, s).OpenUniStream(); err == nil {
		t.Error("a stream of one direction can be opened")
	}
}

// A connection counts with all others: a client has so many, and one that is idle
// makes room for another.
func TestDoQLimits(t *testing.T) {
	// So many that a single handshake under way is no reason for a Retry: on a busy machine
	// a client that asks again would get one too late, and count twice.
	const most, mostClient = 2 * unfinishedOfAll, 2 * unfinishedOfClient
	s := startQUIC(t, func(c *Config) { c.TCPMax, c.TCPMaxClient, c.TCPIdle = most, mostClient, time.Minute })
	one := framed(doq(t, "static.abc.com.", dns.TypeA))
	for range mostClient {
		if _, err := askDoQ(mustDialQUIC(t, s), one); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := dialQUIC(t, s.QUICAddrs()[0].String(), nil, nil); err == nil {
		c.CloseWithError(0, "")
		t.Errorf("a client has more than %d connections", mostClient)
	}
	if st := s.Stats(); st.TCPRefuse == 0 || st.TCPOpen != mostClient {
		t.Errorf("%d refused, %d open", st.TCPRefuse, st.TCPOpen)
	}

	s = startQUIC(t, func(c *Config) { c.TCPMax, c.TCPMaxClient, c.TCPIdle = most, 100, time.Minute })
	first := mustDialQUIC(t, s)
	if _, err := askDoQ(first, one); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return s.streams.waiting() == 1 })
	var others []net.Conn // of TCP
	for len(others) < most-1 {
		others = append(others, dial(t, s))
		askOn(t, others[len(others)-1])
	}
	last := mustDialQUIC(t, s)
	if got, err := askDoQ(last, one); err != nil || len(got) == 0 {
		t.Errorf("the last connection: %x, %v", got, err)
	}
	var app *quic.ApplicationError
	if err := closedWith(first); !errors.As(err, &app) || app.ErrorCode != doqNoError {
		t.Errorf("the connection that was idle for longest: %v", err)
	}
	for _, c := range others {
		askOn(t, c)
	}
	waitFor(t, func() bool { st := s.Stats(); return st.TCPOpen == most && st.TCPEvict == 1 })
}

// A connection is closed when it was not asked anything for long, whatever else
// comes over it.
func TestDoQIdle(t *testing.T) {
	t.Parallel()
	withIdle(t, func(idle time.Duration) error {
		s := startQUIC(t, func(c *Config) { c.TCPIdle = idle })
		c, err := dialQUIC(t, s.QUICAddrs()[0].String(), nil, &quic.Config{KeepAlivePeriod: 100 * time.Millisecond})
		if err != nil {
			return err
		}
		defer c.CloseWithError(0, "")
		if _, err := askDoQ(c, framed(doq(t, "static.abc.com.", dns.TypeA))); err != nil {
			return err
		}
		var app *quic.ApplicationError
		if err := closedWith(c); !errors.As(err, &app) || !app.Remote || app.ErrorCode != doqNoError {
			return err
		}
		if !eventually(func() bool { return s.Stats().TCPOpen == 0 }) {
			return fmt.Errorf("%d connections stay counted", s.Stats().TCPOpen)
		}
		return nil
	})
}

// With many handshakes that are not over, clients must show that they are where
// they say they are (RFC 9000, section 8.1.2); those that are get on.
func TestQUICRetry(t *testing.T) {
	s := startQUIC(t, nil)
	relay, retries := relayUDP(t, s.QUICAddrs()[0])
	ask := func() {
		t.Helper()
		c, err := dialQUIC(t, relay, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseWithError(0, "")
		if _, err := askDoQ(c, framed(doq(t, "static.abc.com.", dns.TypeA))); err != nil {
			t.Error(err)
		}
	}
	ask()
	if n := retries.Load(); n != 0 {
		t.Errorf("%d Retry packets without need", n)
	}
	s.unfinished.Add(1000)
	ask()
	s.unfinished.Add(-1000)
	if retries.Load() == 0 {
		t.Error("no Retry packet, though many handshakes are not over")
	}
	if !eventually(func() bool { return s.unfinished.Load() == 0 }) {
		t.Errorf("%d handshakes stay counted", s.unfinished.Load())
	}
}

// relayUDP passes datagrams of one client on, and counts Retry packets that come back.
func relayUDP(t *testing.T, to netip.AddrPort) (address string, retries *atomic.Int64) {
	t.Helper()
	near, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	retries = new(atomic.Int64)
	var client atomic.Pointer[netip.AddrPort]
	var passing sync.WaitGroup
	passing.Go(func() {
		for b := make([]byte, 65536); ; {
			n, from, err := near.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			client.Store(&from)
			far.Write(b[:n])
		}
	})
	passing.Go(func() {
		for b := make([]byte, 65536); ; {
			n, err := far.Read(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			if b[0]&0xf0 == 0xf0 { // RFC 9000, section 17.2.5
				retries.Add(1)
			}
			near.WriteToUDPAddrPort(b[:n], *client.Load())
		}
	})
	t.Cleanup(func() {
		near.Close()
		far.Close()
		passing.Wait()
	})
	return near.LocalAddr().String(), retries
}

// Transfers have all their messages in one stream (RFC 9250, section 5.7), and what
// makes the server panic is answered SERVFAIL.
func TestDoQOther(t *testing.T) {
	s := startQUIC(t, nil, func(s *Server) { s.SetOther(echo{}) })
	c := mustDialQUIC(t, s)
	for _, q := range []struct {
		name     string
		qtype    uint16
		option   func(*dns.Msg)
		rcode    int
		messages int
	}{
		{"abc.com.", dns.TypeAXFR, func(*dns.Msg) {}, dns.RcodeSuccess, 3},
		{"static.abc.com.", dns.TypeA, withTSIG, dns.RcodeSuccess, 1},
		{"abc.com.", dns.TypeSOA, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, dns.RcodeRefused, 1},
		{"panic.", dns.TypeA, func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, dns.RcodeServerFailure, 1},
		{"static.abc.com.", dns.TypeA, func(*dns.Msg) {}, dns.RcodeSuccess, 1},
	} {
		got, err := askDoQ(c, framed(doq(t, q.name, q.qtype, q.option)))
		n := 0
		for r := bytes.NewReader(got); r.Len() > 0; n++ {
			b, err := readMessage(r, nil)
			if err != nil || len(b) < headerLen || binary.BigEndian.Uint16(b) != 0 || int(b[3]&0xf) != q.rcode {
				t.Errorf("%s %d: %x, %v", q.name, q.qtype, b, err)
				break
			}
		}
		if err != nil || n != q.messages {
			t.Errorf("%s %d: %d messages, want %d, %v", q.name, q.qtype, n, q.messages, err)
		}
	}
}

// Handshakes that come to nothing are counted by why.
func TestHandshakeReasons(t *testing.T) {
	t.Parallel()
	begin := func(idle time.Duration) *Server {
		return startQUIC(t, func(c *Config) {
			c.TCPIdle = idle
			c.TLS = TLS{Listen: []string{"127.0.0.1:0"}, Cert: c.QUIC.Cert, Key: c.QUIC.Key}
		})
	}
	s := begin(time.Hour)
	strict := func(protocol string) *tls.Config { // does not know who made the certificate
		return &tls.Config{NextProtos: []string{protocol}, ServerName: "ns1.abc.com"}
	}
	overTLS := func(cfg *tls.Config) {
		if c, err := tls.Dial("tcp", s.TLSAddrs()[0].String(), cfg); err == nil {
			c.Close()
		}
	}
	overQUIC := func(cfg *tls.Config) {
		if c, err := quic.DialAddr(t.Context(), s.QUICAddrs()[0].String(), cfg, nil); err == nil {
			c.CloseWithError(0, "")
		}
	}
	raw := func(text string) {
		c, err := net.Dial("tcp", s.TLSAddrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte(text))
	}
	for _, c := range []struct {
		transport, reason int
		do                func()
	}{
		{handshakeTLS, failedVersion, func() {
			overTLS(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true})
		}},
		{handshakeTLS, failedALPN, func() { overTLS(&tls.Config{NextProtos: []string{"h2"}, InsecureSkipVerify: true}) }},
		{handshakeTLS, failedAlert, func() { overTLS(strict("dot")) }},
		{handshakeTLS, failedNotTLS, func() { raw("GET / HTTP/1.1\r\n\r\n") }},
		{handshakeTLS, failedClosed, func() { raw("\x16\x03\x01") }},
		{handshakeQUIC, failedALPN, func() { overQUIC(&tls.Config{NextProtos: []string{"h3"}, InsecureSkipVerify: true}) }},
		{handshakeQUIC, failedAlert, func() { overQUIC(strict("doq")) }},
	} {
		c.do()
		if !eventually(func() bool { return s.handshakes[c.transport][c.reason].Load() == 1 }) {
			t.Errorf("%s %s is not counted: %v", encryptedTables[c.transport], handshakeReasons[c.reason], s.handshakes.total())
		}
	}
	if n := s.handshakes.total(); n != 7 {
		t.Errorf("%d handshakes failed, want 7", n)
	}
	hasty := begin(200 * time.Millisecond)
	silent, err := net.Dial("tcp", hasty.TLSAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if !eventually(func() bool { return hasty.handshakes[handshakeTLS][failedTimeout].Load() == 1 }) {
		t.Errorf("a time-out is not counted: %v", hasty.handshakes.total())
	}
	for _, s := range []*Server{s, hasty} {
		if !eventually(func() bool { return s.unfinished.Load() == 0 && s.Stats().TCPOpen == 0 }) {
			t.Errorf("%d unfinished, %d open", s.unfinished.Load(), s.Stats().TCPOpen)
		}
	}
}
