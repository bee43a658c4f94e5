package dnsserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// echo is an Other that answers with how it was asked: a plain answer to a signed
// query, three messages to a transfer, and REFUSED to all else.
type echo struct{}

func (echo) Respond(_ context.Context, msg []byte, _ netip.AddrPort, stream bool, _ *tls.ConnectionState, plain func([]byte) []byte, send func([]byte) error) {
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		panic(err)
	}
	r := new(dns.Msg).SetRcode(m, dns.RcodeRefused)
	switch {
	case m.Question[0].Name == "panic.":
		panic("asked to")
	case m.IsTsig() != nil:
		m.Extra = m.Extra[:len(m.Extra)-1]
		query, _ := m.Pack()
		send(bytes.Clone(plain(query)))
		return
	case m.Question[0].Qtype == dns.TypeAXFR && stream:
		r.Rcode = dns.RcodeSuccess
		r.Authoritative = true
		b, _ := r.Pack()
		send(b)
		send(b)
	}
	b, _ := r.Pack()
	send(b)
}

func withTSIG(m *dns.Msg) { m.SetTsig("key.", dns.HmacSHA256, 300, time.Now().Unix()) }

// TestOther: what is not a plain query reaches Other over each transport, among
// plain queries of one connection too, and nothing else does.
func TestOther(t *testing.T) {
	for i, engine := range engines() {
		batch := []int{1, 32}[i%2]
		t.Run(fmt.Sprintf("batch %d, %s", batch, engine), func(t *testing.T) {
			s := startOther(t, Config{Listen: []string{"127.0.0.1:0"}, Batch: batch, Workers: 1, TCPEngine: engine})
			update := func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }
			for _, network := range []string{"udp", "tcp"} {
				conn, err := net.Dial(network, s.Addrs()[0].String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				co := &dns.Conn{Conn: conn, UDPSize: 4096}
				for _, c := range []struct {
					name     string
					qtype    uint16
					options  []func(*dns.Msg)
					rcode    int
					messages int // over TCP
				}{
					{"static.abc.com.", dns.TypeA, nil, dns.RcodeSuccess, 1},
					{"static.abc.com.", dns.TypeA, []func(*dns.Msg){update}, dns.RcodeRefused, 1},
					{"static.abc.com.", dns.TypeA, []func(*dns.Msg){withTSIG}, dns.RcodeSuccess, 1},
					{"static.abc.com.", dns.TypeA, nil, dns.RcodeSuccess, 1},
					{"abc.com.", dns.TypeAXFR, nil, dns.RcodeSuccess, 3},
					{"panic.", dns.TypeA, []func(*dns.Msg){update}, dns.RcodeServerFailure, 1},
					{"static.abc.com.", dns.TypeA, []func(*dns.Msg){func(m *dns.Msg) { m.Opcode = dns.OpcodeStatus }}, dns.RcodeNotImplemented, 1},
				} {
					msg := query(t, c.name, c.qtype, c.options...)
					if _, err := co.Write(msg); err != nil {
						t.Fatal(err)
					}
					want := c.messages
					if network == "udp" {
						want = 1
						if c.messages > 1 {
							c.rcode = dns.RcodeRefused
						}
					}
					for i := range want {
						r, err := co.ReadMsg()
						if err != nil {
							t.Fatalf("%s %s: %v", network, c.name, err)
						}
						if i == 0 && r.Rcode != c.rcode {
							t.Errorf("%s %s %v: %s, want %s", network, c.name, c.qtype, dns.RcodeToString[r.Rcode], dns.RcodeToString[c.rcode])
						}
						if r.Rcode == dns.RcodeSuccess && c.qtype == dns.TypeA && len(r.Answer) == 0 {
							t.Errorf("%s %s: no answer", network, c.name)
						}
					}
				}
			}
			st := s.Stats()
			if got := st.Queries["udp4"] + st.Queries["tcp4"]; got != 14 || st.Panics != 2 {
				t.Errorf("%d queries counted, %d panics", got, st.Panics)
			}
		})
	}
}

func startOther(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, end := begin(t, cfg, discard(), func(s *Server) { s.SetOther(echo{}) })
	t.Cleanup(func() {
		if err := <-end(); err != nil {
			t.Error(err)
		}
	})
	return s
}
