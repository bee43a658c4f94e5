package dnsserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/proxyproto"
)

// proxied is a header of version 2 with a client, and TLVs behind it.
func proxied(command, protocol byte, client netip.AddrPort, tlvs ...byte) []byte {
	family, addresses := byte(1), client.Addr().AsSlice()
	if client.Addr().Is6() {
		family = 2
	}
	addresses = append(addresses, make([]byte, len(addresses))...)
	addresses = binary.BigEndian.AppendUint16(addresses, client.Port())
	addresses = append(append(addresses, 0, 53), tlvs...)
	b := append([]byte(proxyproto.Signature), 0x20|command, family<<4|protocol)
	b = binary.BigEndian.AppendUint16(b, uint16(len(addresses)))
	return append(b, addresses...)
}

func TestParseProxy(t *testing.T) {
	src := netip.MustParseAddrPort("127.0.0.1:4000")
	four, six := netip.MustParseAddrPort("198.51.100.7:1234"), netip.MustParseAddrPort("[2001:db8::7]:1234")
	mapped := netip.MustParseAddrPort("[::ffff:198.51.100.7]:1234")
	change := func(b []byte, at int, to byte) []byte { b = bytes.Clone(b); b[at] = to; return b }
	good := proxied(1, 2, four)
	for name, c := range map[string]struct {
		header []byte
		want   netip.AddrPort // not valid: refused
	}{
		"IPv4":               {good, four},
		"IPv6":               {proxied(1, 1, six), six},
		"IPv4-mapped":        {proxied(1, 1, mapped), four},
		"TLVs":               {proxied(1, 2, four, 0xe0, 0, 1, 7), four},
		"LOCAL":              {proxied(0, 2, four), src},
		"LOCAL, no address":  {[]byte(proxyproto.Signature + "\x20\x00\x00\x00"), src},
		"unspecified family": {change(good, 13, 0x00), src},
		"version 1":          {change(good, 12, 0x11), netip.AddrPort{}},
		"unknown command":    {change(good, 12, 0x22), netip.AddrPort{}},
		"unknown protocol":   {change(good, 13, 0x13), netip.AddrPort{}},
		"unix":               {change(good, 13, 0x32), netip.AddrPort{}},
		"short for IPv6":     {change(good, 13, 0x22), netip.AddrPort{}},
		"bad signature":      {change(good, 11, 0), netip.AddrPort{}},
		"longer than said":   {change(good, 14, 1), netip.AddrPort{}},
		"nothing":            {nil, netip.AddrPort{}},
	} {
		client, rest, ok := parseProxy(append(bytes.Clone(c.header), "xyz"...), src)
		if ok != c.want.IsValid() || ok && (client != c.want || string(rest) != "xyz") {
			t.Errorf("%s: %v, rest %q, %v; want %v", name, client, rest, ok, c.want)
		}
		if got, err := readProxy(bytes.NewReader(c.header), nil, src); (err == nil) != c.want.IsValid() || err == nil && got != c.want {
			t.Errorf("%s over a stream: %v, %v; want %v", name, got, err, c.want)
		}
	}
	s := New(Config{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, discard())
	if n := testing.AllocsPerRun(100, func() { s.unwrap(good, src) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzProxy(f *testing.F) {
	f.Add(proxied(1, 2, netip.MustParseAddrPort("198.51.100.7:1")))
	f.Add(proxied(0, 1, netip.MustParseAddrPort("[2001:db8::7]:1"), 1, 0, 0))
	src := netip.MustParseAddrPort("127.0.0.1:4000")
	f.Fuzz(func(t *testing.T, b []byte) {
		client, rest, ok := parseProxy(b, src)
		if ok && (!client.IsValid() || len(rest) > len(b)-proxyproto.Head || !bytes.HasSuffix(b, rest)) {
			t.Errorf("%x: %v, rest %x", b, client, rest)
		}
		got, err := readProxy(bytes.NewReader(b), nil, src)
		if n := proxyproto.Length(b); n <= mostProxy && (err == nil) != ok || err == nil && got != client {
			t.Errorf("%x: %v over a stream, %v; %v else, %v", b, got, err, client, ok)
		}
	})
}

// A client that the header names is denied, and another is not: over each transport.
func TestProxyTransports(t *testing.T) {
	for name, batch := range modes {
		for _, engine := range engines() {
			t.Run(name+" "+engine, func(t *testing.T) { testProxyTransports(t, batch, engine) })
		}
	}
}

func testProxyTransports(t *testing.T, batch int, engine string) {
	s := startHTTPS(t, func(c *Config) {
		c.HTTPS.HTTP3 = false
		c.Batch, c.TCPEngine = batch, engine
		c.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		c.Deny = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	})
	g := *s.Generation()
	g.access = NewAccess(s.cfg)
	s.Swap(&g)
	denied, served := netip.MustParseAddrPort("198.51.100.7:1"), netip.MustParseAddrPort("[2001:db8::7]:1")
	q := new(dns.Msg).SetQuestion("static.abc.com.", dns.TypeA)
	ways := map[string]func(header []byte) net.Conn{
		"tcp": func(header []byte) net.Conn {
			c := dial(t, s)
			c.Write(header)
			return c
		},
		"tls, header within": func(header []byte) net.Conn {
			c, err := dialTLS(s, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.Write(header)
			return c
		},
		"tls, header before": func(header []byte) net.Conn {
			c, err := net.Dial("tcp", s.TLSAddrs()[0].String())
			if err != nil {
				t.Fatal(err)
			}
			c.Write(header)
			return tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		},
	}
	for way, open := range ways {
		for client, want := range map[netip.AddrPort]int{denied: dns.RcodeRefused, served: dns.RcodeSuccess} {
			c := open(proxied(1, 1, client, 0xe0, 0, 1, 7))
			for range 2 { // the header holds for the whole connection
				if m := askOver(t, c, q); m.Rcode != want {
					t.Errorf("%s, %v: %s", way, client, dns.RcodeToString[m.Rcode])
				}
			}
			c.Close()
		}
	}
	testProxyHTTPS(t, s, map[netip.AddrPort]int{denied: dns.RcodeRefused, served: dns.RcodeSuccess})
	before := s.Stats().ProxyErrors
	for way, open := range ways {
		if way == "tls, header before" {
			continue
		}
		c := open(framed(make([]byte, 40))) // no header
		closes(t, way+" without a header", c)
		c.Close()
	}
	udp, err := net.Dial("udp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	wire, _ := q.Pack()
	for client, want := range map[netip.AddrPort]int{denied: dns.RcodeRefused, served: dns.RcodeSuccess} {
		udp.Write(wire) // dropped
		udp.Write(append(proxied(1, 2, client), wire...))
		udp.SetReadDeadline(time.Now().Add(patience))
		b := make([]byte, 4096)
		n, err := udp.Read(b)
		m := new(dns.Msg)
		if err != nil || m.Unpack(b[:n]) != nil || m.Rcode != want {
			t.Errorf("udp, %v: %v, %v", client, m, err)
		}
	}
	if !eventually(func() bool { return s.Stats().ProxyErrors-before == 4 }) {
		t.Errorf("%d errors counted, want 4", s.Stats().ProxyErrors-before)
	}
	if !eventually(func() bool { return s.Stats().TCPOpen <= 12 }) {
		t.Errorf("%d connections are open", s.Stats().TCPOpen)
	}
}

// testProxyHTTPS asks over HTTPS, with the header before the handshake or within,
// over both versions of HTTP.
func testProxyHTTPS(t *testing.T, s *Server, clients map[netip.AddrPort]int) {
	t.Helper()
	for _, within := range []bool{true, false} {
		for _, protocol := range []string{"h2", "http/1.1"} {
			for client, want := range clients {
				header := proxied(1, 1, client, 0xe0, 0, 1, 7)
				tr := &http.Transport{ForceAttemptHTTP2: protocol == "h2", DialTLSContext: func(_ context.Context, network, address string) (net.Conn, error) {
					c, err := net.Dial(network, address)
					if err != nil {
						return nil, err
					}
					if !within {
						c.Write(header)
					}
					tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
					if err := tc.Handshake(); err != nil {
						return nil, err
					}
					if within {
						tc.Write(header)
					}
					return tc, nil
				}}
				for range 2 {
					m, err := postDNS(&http.Client{Transport: tr, Timeout: patience}, s, query(t, "static.abc.com.", dns.TypeA))
					if err != nil || m.Rcode != want {
						t.Errorf("%s within %v, %v: %v, %v", protocol, within, client, m, err)
					}
				}
				tr.CloseIdleConnections()
			}
		}
	}
}
