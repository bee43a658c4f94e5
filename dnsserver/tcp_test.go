package dnsserver

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// eachEngine runs a test with each way to serve TCP that this system has.
func eachEngine(t *testing.T, test func(t *testing.T, engine string)) {
	for _, engine := range engines() {
		t.Run(engine, func(t *testing.T) { test(t, engine) })
	}
}

func engines() []string {
	if canEpoll {
		return []string{engineEpoll, enginePortable}
	}
	return []string{enginePortable}
}

// closes tells that the server ends a connection without having sent anything.
func closes(t *testing.T, what string, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	n, err := c.Read(make([]byte, 1))
	if timeout, ok := err.(net.Error); n != 0 || err == nil || ok && timeout.Timeout() {
		t.Errorf("%s was not closed: read %d octets, %v", what, n, err)
	}
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// dialAndBegin dials and sends the first octet of a query: event loops hear of a
// connection that sends nothing late.
func dialAndBegin(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c := dial(t, s)
	if _, err := c.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	return c
}

// framed is a message with its length before it (RFC 1035, section 4.2.2).
func framed(msg []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
}

// askOn asks one question on a connection that stays.
func askOn(t *testing.T, c net.Conn) {
	t.Helper()
	co := &dns.Conn{Conn: c}
	co.SetDeadline(time.Now().Add(patience))
	if err := co.WriteMsg(new(dns.Msg).SetQuestion("static.abc.com.", dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	if r, err := co.ReadMsg(); err != nil || len(r.Answer) != 1 {
		t.Fatalf("%v %v", r, err)
	}
}

// The limit on all connections holds whatever each client's is, and a place
// that becomes free is given again.
func TestTCPLimitOfAll(t *testing.T) { eachEngine(t, testTCPLimitOfAll) }

func testTCPLimitOfAll(t *testing.T, engine string) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engine, TCPMax: 2, TCPMaxClient: 2})
	first := dial(t, s)
	dial(t, s)
	waitFor(t, func() bool { return s.Stats().TCPOpen == 2 })
	closes(t, "a connection over the limit of a client", dial(t, s))
	first.Close()
	waitFor(t, func() bool { return s.Stats().TCPOpen == 1 })
	askOn(t, dial(t, s))
}

// The idle time-out is for a whole query: one that comes octet by octet does
// not hold its connection for ever (RFC 7766, section 6.2.3).
func TestTCPSlowQuery(t *testing.T) { eachEngine(t, testTCPSlowQuery) }

func testTCPSlowQuery(t *testing.T, engine string) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engine, TCPIdle: 200 * time.Millisecond})
	c := dial(t, s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, b := range append([]byte{0, 200}, make([]byte, 200)...) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	closes(t, "a connection with a query that does not end", c)
	c.Close()
	<-done
}

// Queries that come in one piece are answered, however they are cut on the way,
// and what is no query ends the connection.
func TestTCPPieces(t *testing.T) { eachEngine(t, testTCPPieces) }

func testTCPPieces(t *testing.T, engine string) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engine})
	c := dial(t, s)
	c.SetDeadline(time.Now().Add(patience))
	msg := query(t, "static.abc.com.", dns.TypeA)
	both := append(framed(msg), framed(msg)...)
	for _, part := range [][]byte{both[:1], both[1:30], both[30:]} {
		if _, err := c.Write(part); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	co := &dns.Conn{Conn: c}
	for range 2 {
		if r, err := co.ReadMsg(); err != nil || len(r.Answer) != 1 {
			t.Fatalf("%v %v", r, err)
		}
	}
	if _, err := c.Write([]byte{0, 3, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err == nil {
		t.Error("three octets were answered")
	}
}

// Answers that are ready are sent, whatever comes or does not come behind
// their queries (RFC 7766, section 7).
func TestTCPAnswersAtOnce(t *testing.T) { eachEngine(t, testTCPAnswersAtOnce) }

func testTCPAnswersAtOnce(t *testing.T, engine string) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engine, TCPIdle: 2 * patience})
	one := framed(query(t, "static.abc.com.", dns.TypeA))
	response := bytes.Clone(one)
	response[4] |= 0x80
	for _, c := range []struct {
		what string
		send []byte
		end  bool
	}{
		{"a query and the first octet of the next", append(bytes.Clone(one), 0), false},
		{"a query and half of the next, and the end", append(bytes.Clone(one), one[:len(one)/2]...), true},
		{"a query and a message of no octets", append(bytes.Clone(one), 0, 0), false},
		{"a query and a response", append(bytes.Clone(one), response...), false},
	} {
		conn := dial(t, s)
		if _, err := conn.Write(c.send); err != nil {
			t.Fatal(err)
		}
		if c.end {
			conn.(*net.TCPConn).CloseWrite()
		}
		conn.SetReadDeadline(time.Now().Add(patience))
		m, err := (&dns.Conn{Conn: conn}).ReadMsg()
		if err != nil || len(m.Answer) != 1 {
			t.Errorf("%s: %v %v", c.what, m, err)
		}
		conn.Close()
	}
}

// A client that never stops asking does not keep the server from ending.
func TestTCPEnds(t *testing.T) { eachEngine(t, testTCPEnds) }

func testTCPEnds(t *testing.T, engine string) {
	s, end := begin(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engine}, discard())
	conn := dial(t, s)
	go io.Copy(io.Discard, conn)
	one := framed(query(t, "static.abc.com.", dns.TypeA))
	go func() {
		for {
			if _, err := conn.Write(one); err != nil {
				return
			}
		}
	}()
	waitFor(t, func() bool { return s.Stats().Queries["tcp4"] > 100 })
	select {
	case <-end():
	case <-time.After(patience):
		t.Fatalf("still serving %v after its end", patience)
	}
}

// What is counted does not grow with the connections that come and go.
func TestTCPCountersAreBounded(t *testing.T) {
	s, _ := server(t, nil)
	before := len(s.counters)
	for range 100 {
		s.streamBuffers()
	}
	if len(s.counters) != before {
		t.Errorf("%d sets of counters, %d before", len(s.counters), before)
	}
}

// When there are too many connections in all, one that is idle makes room for
// the new one, and the one that is asked meanwhile is not it.
func TestTCPEvictsTheIdle(t *testing.T) { eachEngine(t, testTCPEvictsTheIdle) }

func testTCPEvictsTheIdle(t *testing.T, engine string) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engine, TCPMax: 2, TCPMaxClient: 100, TCPIdle: time.Minute})
	// A loop's wait from when they are asked, a goroutine's from when it is back from answering.
	bothWait := func() { waitFor(t, func() bool { return s.cfg.epolls() || s.streams.waiting() == 2 }) }
	idle, asked := dial(t, s), dial(t, s)
	askOn(t, idle)
	bothWait()
	for range 3 {
		askOn(t, asked)
	}
	bothWait()
	third := dial(t, s)
	askOn(t, third)
	closes(t, "the connection that was idle for longest", idle)
	askOn(t, asked)
	waitFor(t, func() bool { st := s.Stats(); return st.TCPOpen == 2 && st.TCPEvict == 1 && st.TCPRefuse == 0 })
}

// An idle stream has no buffers, also after it had been asked.
func TestTCPIdleHasNoBuffers(t *testing.T) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: enginePortable})
	askOn(t, dial(t, s))
	made := s.streams.made.Load()
	for range 50 {
		dial(t, s)
	}
	waitFor(t, func() bool { return s.Stats().TCPOpen == 51 })
	// The race detector's pool drops some on purpose, hence the room: each idle
	// connection took and gave back one set at most, one after the other.
	if n := s.streams.made.Load() - made; n > 25 {
		t.Errorf("%d sets of buffers for 50 idle connections", n)
	}
}
