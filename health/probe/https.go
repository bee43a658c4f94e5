package probe

import (
	"crypto/tls"
	"net"
)

func newHTTPS(c Config, address string, cas *authorities) (Prober, error) {
	roots, err := cas.pool(c.CA)
	if err != nil {
		return nil, err
	}
	name, _ := splitHost(address)
	if c.Host != "" {
		name, _ = splitHost(c.Host)
	}
	p := makeHTTP(c, address)
	p.tls = &tls.Config{
		// The name that is asked for (SNI) and that the certificate must hold; an
		// address is verified too, and not sent (RFC 6066 section 3).
		ServerName:         name,
		RootCAs:            roots,
		InsecureSkipVerify: c.SkipVerify, //nolint:gosec // an operator's choice, off by default
		NextProtos:         []string{"http/1.1"},
		MinVersion:         tls.VersionTLS12,
	}
	return p, nil
}

// handshake makes TLS of the attempt's connection. No session cache: each probe
// verifies the certificate that is served now. The attempt's end ends it too.
func handshake(a *attempt, c *tls.Config) (net.Conn, error) {
	a.phase = handshaking
	conn := tls.Client(a.conn, c)
	if err := conn.Handshake(); err != nil {
		return nil, a.fault(err)
	}
	return conn, nil
}
