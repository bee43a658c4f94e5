package dnsserver

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// closes tells that the server ends a connection without having sent anything.
func closes(t *testing.T, what string, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
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

// The limit on all connections holds whatever each client's is, and a place
// that becomes free is given again.
func TestTCPLimitOfAll(t *testing.T) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPMax: 2, TCPMaxClient: 2})
	first := dial(t, s)
	dial(t, s)
	waitFor(t, func() bool { return s.Stats().TCPOpen == 2 })
	closes(t, "a connection over the limit", dial(t, s))
	first.Close()
	waitFor(t, func() bool { return s.Stats().TCPOpen == 1 })
	m := new(dns.Msg).SetQuestion("static.abc.com.", dns.TypeA)
	co := &dns.Conn{Conn: dial(t, s)}
	co.SetDeadline(time.Now().Add(10 * time.Second))
	if err := co.WriteMsg(m); err != nil {
		t.Fatal(err)
	}
	if r, err := co.ReadMsg(); err != nil || len(r.Answer) != 1 {
		t.Errorf("after one was closed: %v %v", r, err)
	}
}

// The idle time-out is for a whole query: one that comes octet by octet does
// not hold its connection for ever (RFC 7766, section 6.2.3).
func TestTCPSlowQuery(t *testing.T) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPIdle: 200 * time.Millisecond})
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
func TestTCPPieces(t *testing.T) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}})
	c := dial(t, s)
	c.SetDeadline(time.Now().Add(10 * time.Second))
	msg := query(t, "static.abc.com.", dns.TypeA)
	framed := append([]byte{0, byte(len(msg))}, msg...)
	both := append(append([]byte{}, framed...), framed...)
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
