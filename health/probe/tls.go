package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"gslb/steady"
)

// tlsProber is healthy when a TLS handshake succeeds with a certificate that holds.
type tlsProber struct {
	place
	secure *secure
}

func newTLS(c Config, _ Target, address string, m *means) (Prober, error) {
	s, err := newSecure(c, address, m)
	if err != nil {
		return nil, err
	}
	return &tlsProber{placeOf(c, address), s}, nil
}

func (p *tlsProber) Probe(ctx context.Context) (Seen, error) {
	a := begin(ctx, p.place)
	defer a.end()
	if err := a.connect("tcp"); err != nil {
		return Seen{}, err
	}
	conn, err := p.secure.handshake(a)
	if err != nil {
		return Seen{}, err
	}
	return Seen{Warning: p.secure.warning(conn)}, nil
}

// secure is how TLS is made and what is asked of the certificate.
type secure struct {
	config *tls.Config
	expiry time.Duration // a certificate that ends sooner is warned of
}

func newSecure(c Config, address string, m *means, protocols ...string) (*secure, error) {
	roots, err := m.pool(c.CA)
	if err != nil {
		return nil, err
	}
	name, _ := splitHost(address)
	if c.Host != "" {
		name, _ = splitHost(c.Host)
	}
	return &secure{expiry: c.ExpiryWarning, config: &tls.Config{
		// The name that is asked for (SNI) and that the certificate must hold; an
		// address is verified too, and not sent (RFC 6066 section 3).
		ServerName:         name,
		RootCAs:            roots,
		InsecureSkipVerify: c.SkipVerify, //nolint:gosec // an operator's choice, off by default
		NextProtos:         protocols,
		MinVersion:         tls.VersionTLS12,
		Time:               steady.Now,
	}}, nil
}

// handshake makes TLS of the attempt's connection. No session cache: each probe
// verifies the certificate that is served now. The attempt's end ends it too.
func (s *secure) handshake(a *attempt) (*tls.Conn, error) {
	a.phase = handshaking
	conn := tls.Client(a.conn, s.config)
	if err := conn.Handshake(); err != nil {
		return nil, a.fault(err)
	}
	return conn, nil
}

// warning tells of a certificate that ends soon: of the chain that was verified,
// or of all that came where nothing is verified, the one that ends first.
func (s *secure) warning(conn *tls.Conn) string {
	state := conn.ConnectionState()
	chain := state.PeerCertificates
	if len(state.VerifiedChains) > 0 {
		chain = state.VerifiedChains[0]
	}
	return expiring(chain, s.expiry, steady.Now())
}

func expiring(chain []*x509.Certificate, within time.Duration, now time.Time) string {
	var first *x509.Certificate
	for _, c := range chain {
		if first == nil || c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	if first == nil || first.NotAfter.Sub(now) >= within {
		return ""
	}
	what := "the certificate"
	if first != chain[0] {
		what = fmt.Sprintf("the certificate of its issuer %.80q", first.Subject.CommonName)
	}
	end := first.NotAfter.UTC().Format("2006-01-02 15:04 MST")
	if left := first.NotAfter.Sub(now); left > 0 {
		return fmt.Sprintf("%s ends in %s, at %s", what, span(left), end)
	}
	return fmt.Sprintf("%s has ended at %s", what, end)
}

// span is a time in words, in the unit that a person would use.
func span(d time.Duration) string {
	switch days := int(d / (24 * time.Hour)); {
	case days >= 2:
		return fmt.Sprintf("%d days", days)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d/time.Hour))
	}
	return fmt.Sprintf("%d minutes", int(d/time.Minute))
}
