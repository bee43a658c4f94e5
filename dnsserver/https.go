package dnsserver

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// HTTPS is [dns.https] of the configuration: DNS over HTTPS (RFC 8484).
type HTTPS struct {
	Listen []string `toml:"listen"` // host:port; "[::]:443"
	Cert   string   `toml:"cert"`   // PEM file: the chain, the server's own certificate first
	Key    string   `toml:"key"`    // PEM file: its key
	Path   string   `toml:"path"`   // default "/dns-query"
	// HTTP3 serves HTTP/3 at the same addresses over UDP too.
	HTTP3 bool `toml:"http3"`
}

const (
	defaultPath = "/dns-query"
	dnsMessage  = "application/dns-message"
	mostHeader  = 16 << 10 // octets of a request's header
)

// validate calls bad once for each fault.
func (h HTTPS) validate(bad func(key, msg string)) {
	encryptedFaults("https", "DNS over HTTPS", "443", h.Listen, h.Cert, h.Key, bad)
	if len(h.Listen) == 0 {
		return
	}
	if h.Path != "" && h.Path[0] != '/' {
		bad("https.path", fmt.Sprintf("%q: must begin with a slash, such as %q", h.Path, defaultPath))
	}
}

func (h HTTPS) path() string {
	if h.Path == "" {
		return defaultPath
	}
	return h.Path
}

// web answers queries that come over HTTP, of any version.
type web struct {
	s      *Server
	path   string
	altSvc []string      // tells clients of HTTP/3; nil: there is none
	conns  chan net.Conn // on their way to serve
}

// listenHTTPS binds the addresses of [dns.https].
func (s *Server) listenHTTPS(ctx context.Context) error {
	if len(s.cfg.HTTPS.Listen) == 0 {
		return nil
	}
	s.web = &web{s: s, path: s.cfg.HTTPS.path(), conns: make(chan net.Conn)}
	for _, addr := range s.cfg.HTTPS.Listen {
		ln, six, err := s.listenStream(ctx, inheritHTTPS, addr)
		if err != nil {
			return err
		}
		bound := ln.Addr().(*net.TCPAddr).AddrPort()
		s.boundHTTPS = append(s.boundHTTPS, bound)
		s.listens = append(s.listens, &streamListener{name: inheritHTTPS + addr, ln: ln, six: six, tls: tlsConfig(s.certificate("https"), "h2", "http/1.1"), web: s.web})
		if s.cfg.HTTPS.HTTP3 {
			if err := s.listenHTTP3(ctx, bound); err != nil {
				return err
			}
		}
	}
	return nil
}

// HTTPSAddrs are the addresses bound for DNS over HTTPS, with their real ports.
func (s *Server) HTTPSAddrs() []netip.AddrPort { return slices.Clone(s.boundHTTPS) }

// visitor is who asks over HTTP.
type visitor struct {
	src       netip.AddrPort
	transport int       // what queries count as
	quic      *quicConn // HTTP/3; nil: another version
}

type visitorKey struct{}

// source is where the client is.
func (v *visitor) source() netip.AddrPort {
	if v.quic != nil {
		return v.quic.source()
	}
	return v.src
}

// webConn is a connection that net/http has, until it is closed.
type webConn struct {
	net.Conn
	st     *stream
	closed chan struct{}
	once   sync.Once
}

// Close is part of net.Conn.
func (c *webConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// RemoteAddr is part of net.Conn: of a front end's connection it is the client.
func (c *webConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.st.src) }

// converse lets net/http have a connection whose handshake is over, until its end.
func (h *web) converse(ctx context.Context, st *stream) {
	st.c.SetDeadline(time.Now().Add(min(handshakeTime, h.s.cfg.TCPIdle))) // until the first request; then they are net/http's
	st.waits()
	c := &webConn{Conn: st.c, st: st, closed: make(chan struct{})}
	select {
	case h.conns <- c:
		<-c.closed
	case <-ctx.Done():
	}
}

// handed is a listener of connections whose handshake is over.
type handed struct {
	h    *web
	done <-chan struct{}
}

// Accept is part of net.Listener.
func (l handed) Accept() (net.Conn, error) {
	select {
	case c := <-l.h.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close is part of net.Listener.
func (l handed) Close() error { return nil }

// Addr is part of net.Listener.
func (l handed) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.h.s.boundHTTPS[0]) }

// serve answers over HTTP/2 and 1.1 until ctx ends.
func (h *web) serve(ctx context.Context) error {
	cfg := &h.s.cfg
	server := &http.Server{
		Handler: h, Protocols: new(http.Protocols), ReadHeaderTimeout: min(handshakeTime, cfg.TCPIdle),
		ReadTimeout: cfg.TCPIdle, WriteTimeout: cfg.TCPIdle, IdleTimeout: cfg.TCPIdle, MaxHeaderBytes: mostHeader,
		ErrorLog: slog.NewLogLogger(h.s.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			st := c.(*webConn).st
			return context.WithValue(ctx, visitorKey{}, &visitor{src: st.src, transport: st.transport})
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			switch st := c.(*webConn).st; state {
			case http.StateActive:
				st.goesOn() // one that was closed meanwhile fails by itself
			case http.StateIdle:
				st.waits()
			}
		},
	}
	// TLS is below what net/http sees, since the header of a front end may be within it.
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	defer server.Close()
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	return server.Serve(handed{h, ctx.Done()})
}
