package dnsserver

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"

	"gslb/proxyproto"
)

// mostProxy bounds the whole header over a stream. dnsdist adds a few TLVs at most.
const mostProxy = 4096

// parseProxy reads the header (version 2) that b begins with: of the client that it
// names, or of src when the front end speaks for itself, and what follows. ok is
// false when there is no good header.
func parseProxy(b []byte, src netip.AddrPort) (client netip.AddrPort, rest []byte, ok bool) {
	h, n, err := proxyproto.ParseV2(b)
	if err != nil {
		return src, nil, false
	}
	if h.Client.IsValid() {
		src = h.Client
	}
	return src, b[n:], true
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
	b := make([]byte, proxyproto.Head, 128)
	if _, err := io.ReadFull(r, b[copy(b, begun):]); err != nil {
		return src, err
	}
	n := proxyproto.Length(b)
	if n == 0 || n > mostProxy {
		return src, proxyproto.ErrHeader
	}
	b = append(b, make([]byte, n-proxyproto.Head)...)
	if _, err := io.ReadFull(r, b[proxyproto.Head:]); err != nil {
		return src, err
	}
	client, _, ok := parseProxy(b, src)
	if !ok {
		return src, proxyproto.ErrHeader
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
		if known = first[0] == proxyproto.Signature[0]; known {
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
