package dnsserver

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
)

// The header of the PROXY protocol, version 2, as HAProxy's proxy-protocol.txt has
// it in section 2.2: signature, version and command, family and protocol, length
// of what follows, addresses, and behind them TLVs, which are skipped.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyHead      = len(proxySignature) + 4 // octets before the addresses
	// mostProxy bounds the whole header over a stream. dnsdist adds a few TLVs at most.
	mostProxy = 4096
)

var errProxy = errors.New("no good PROXY header")

// proxyLength is how many octets the header has that begins with b, of which at
// least proxyHead are there; 0 when it is none.
func proxyLength(b []byte) int {
	if len(b) < proxyHead || string(b[:len(proxySignature)]) != proxySignature || b[12]>>4 != 2 {
		return 0
	}
	return proxyHead + int(binary.BigEndian.Uint16(b[14:]))
}

// parseProxy reads the header that b begins with: of the client that it names, or
// of src when the front end speaks for itself (LOCAL, or an unspecified family),
// and what follows. ok is false when there is no good header.
func parseProxy(b []byte, src netip.AddrPort) (client netip.AddrPort, rest []byte, ok bool) {
	n := proxyLength(b)
	if n == 0 || n > len(b) {
		return src, nil, false
	}
	addresses, rest := b[proxyHead:n], b[n:]
	command, family := b[12]&0xf, b[13]>>4
	switch {
	case command > 1 || b[13]&0xf > 2:
		return src, nil, false
	case command == 0 || family == 0:
		return src, rest, true
	case family == 1 && len(addresses) >= 12:
		a := netip.AddrFrom4([4]byte(addresses))
		return netip.AddrPortFrom(a, binary.BigEndian.Uint16(addresses[8:])), rest, true
	case family == 2 && len(addresses) >= 36:
		a := netip.AddrFrom16([16]byte(addresses)).Unmap()
		return netip.AddrPortFrom(a, binary.BigEndian.Uint16(addresses[32:])), rest, true
	}
	return src, nil, false
}

// fronted tells whether an address is that of a front end, which must say who
// its client is.
func (s *Server) fronted(a netip.Addr) bool {
	if len(s.cfg.ProxyFrom) == 0 {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, p := range s.cfg.ProxyFrom {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// unwrap takes the header off a datagram of a front end; of others it is a
// message as it is. ok is false for what is to be dropped.
func (s *Server) unwrap(msg []byte, src netip.AddrPort) (client netip.AddrPort, query []byte, ok bool) {
	if !s.fronted(src.Addr()) {
		return src, msg, true
	}
	if client, query, ok = parseProxy(msg, src); !ok {
		s.proxyErrors.Add(1)
	}
	return client, query, ok
}

// mostOf is how many connections an address may have: of a front end, all.
func (s *Server) mostOf(a netip.Addr) int {
	if s.fronted(a) {
		return s.cfg.TCPMax
	}
	return s.cfg.TCPMaxClient
}

// readProxy reads the header of a connection, behind what was read of it already,
// and not an octet more.
func readProxy(r io.Reader, begun []byte, src netip.AddrPort) (netip.AddrPort, error) {
	b := make([]byte, proxyHead, 128)
	if _, err := io.ReadFull(r, b[copy(b, begun):]); err != nil {
		return src, err
	}
	n := proxyLength(b)
	if n == 0 || n > mostProxy {
		return src, errProxy
	}
	b = append(b, make([]byte, n-proxyHead)...)
	if _, err := io.ReadFull(r, b[proxyHead:]); err != nil {
		return src, err
	}
	client, _, ok := parseProxy(b, src)
	if !ok {
		return src, errProxy
	}
	return client, nil
}

// peeked is a connection whose first octet may have been looked at.
type peeked struct {
	net.Conn
	first []byte
}

// Read is part of net.Conn.
func (p *peeked) Read(b []byte) (int, error) {
	if len(p.first) > 0 && len(b) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// introduce learns who the client of a front end's connection is, and does the TLS
// handshake where there is one. The header may stand before the handshake, as
// HAProxy sends it, or within TLS, as dnsdist does: the first octet tells.
func (st *stream) introduce() error {
	c, encrypted := st.c.(*tls.Conn)
	known := !st.front
	if encrypted && st.front {
		below := c.NetConn().(*peeked)
		first := make([]byte, 1)
		if _, err := io.ReadFull(below.Conn, first); err != nil {
			return err
		}
		if known = first[0] == proxySignature[0]; known {
			client, err := readProxy(below.Conn, first, st.src)
			if err != nil {
				return st.unknown(err)
			}
			st.src = client
		} else {
			below.first = first
		}
	}
	if encrypted {
		if err := c.Handshake(); err != nil {
			st.s.handshakes.failed(st.table(), err)
			return err
		}
	}
	if known {
		return nil
	}
	client, err := readProxy(st.c, nil, st.src)
	if err != nil {
		return st.unknown(err)
	}
	st.src = client
	return nil
}

// unknown counts a connection of a front end that does not say who its client is.
func (st *stream) unknown(err error) error {
	st.s.proxyErrors.Add(1)
	return err
}
