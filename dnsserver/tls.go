package dnsserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// TLS is [dns.tls] of the configuration: DNS over TLS (RFC 7858), transfers
// included (RFC 9103).
type TLS struct {
	Listen []string `toml:"listen"` // host:port; "[::]:853"
	Cert   string   `toml:"cert"`   // PEM file: the chain, the server's own certificate first
	Key    string   `toml:"key"`    // PEM file: its key
}

// validate calls bad once for each fault.
func (t TLS) validate(bad func(key, msg string)) {
	encryptedFaults("tls", "DNS over TLS", "853", t.Listen, t.Cert, t.Key, bad)
}

// encryptedFaults calls bad once for each fault of what the tables of encrypted
// transports have in common: addresses, for which port they mostly are, and a
// certificate with its key.
func encryptedFaults(table, transport, port string, listen []string, cert, key string, bad func(key, msg string)) {
	for i, l := range listen {
		if msg := listenFault(l, port); msg != "" {
			bad(fmt.Sprintf("%s.listen[%d]", table, i), msg)
		}
	}
	if len(listen) == 0 {
		if cert != "" || key != "" {
			bad(table+".listen", fmt.Sprintf(`missing: must list the addresses for %s, such as ["0.0.0.0:%s", "[::]:%s"]`, transport, port, port))
		}
		return
	}
	if cert == "" {
		bad(table+".cert", fmt.Sprintf("missing: %s needs the PEM file of its certificate", transport))
	}
	if key == "" {
		bad(table+".key", fmt.Sprintf("missing: %s needs the PEM file of its certificate's key", transport))
	}
}

// handshakeTime bounds a TLS handshake, with dns.tcp_idle.
const handshakeTime = 5 * time.Second

// tlsConfig is how a transport with that ALPN talks TLS. Session tickets are on,
// and their keys are rolled each day, as the library does by itself.
func tlsConfig(c *certificate, protocols ...string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: protocols}
}

// listenTLS binds the addresses of [dns.tls].
func (s *Server) listenTLS(ctx context.Context) error {
	for _, addr := range s.cfg.TLS.Listen {
		ln, six, err := s.listenStream(ctx, inheritTLS, addr)
		if err != nil {
			return err
		}
		s.boundTLS = append(s.boundTLS, ln.Addr().(*net.TCPAddr).AddrPort())
		s.listens = append(s.listens, &streamListener{name: inheritTLS + addr, ln: ln, six: six, tls: tlsConfig(s.certificate("tls"), "dot")})
	}
	return nil
}

// listenStream binds an address of one family for TCP. kind is for the name that another process knows the socket by.
func (s *Server) listenStream(ctx context.Context, kind, addr string) (ln net.Listener, six bool, err error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, false, fmt.Errorf("listen %q: want an address and port such as 192.0.2.1:853 or [::]:853", addr)
	}
	network := "tcp4"
	if six = ap.Addr().Unmap().Is6(); six {
		network = "tcp6"
	}
	inherited := s.inherited.Take(kind + addr)
	defer closeFiles(inherited)
	if len(inherited) == 0 && kind == inheritHTTPS && s.cfg.HTTPS.HTTP3 {
		ap = portForBoth(ap)
	}
	if ln, err = listenOrInherit(ctx, network, ap.String(), inherited); err != nil {
		return nil, six, bindError(err, "tcp", addr)
	}
	return ln, six, nil
}

// TLSAddrs are the addresses bound for DNS over TLS, with their real ports.
func (s *Server) TLSAddrs() []netip.AddrPort { return slices.Clone(s.boundTLS) }

// begin does what comes before the first message of a connection: the TLS
// handshake, the header of a front end. It may be closed for another one
// meanwhile, as one that is idle.
func (st *stream) begin(ctx context.Context) bool {
	if !st.encrypted && !st.front {
		return true
	}
	now := time.Now()
	st.c.SetDeadline(now.Add(min(handshakeTime, st.s.cfg.TCPIdle)))
	if ctx.Err() != nil { // after setting the deadline: the end sets one too
		return false
	}
	since := now.UnixNano()
	st.idle.Store(since)
	err := st.introduce()
	return st.idle.CompareAndSwap(since, 0) && err == nil && ctx.Err() == nil
}
