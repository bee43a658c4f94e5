package transfer

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
)

// The words of Peer.TLS: the profiles of RFC 8310, section 5, but that neither
// goes back to clear text.
const (
	TLSStrict        = "strict"        // the other server must show who it is
	TLSOpportunistic = "opportunistic" // whoever it is: against those that only listen
)

// alpn is the only protocol that transfers over TLS speak (RFC 9103, section 7.1).
const alpn = "dot"

// private tells whether what is known of the TLS of a stream is enough for a
// transfer: TLS 1.3 and the ALPN (RFC 9103, sections 7.1 and 7.2), or QUIC (RFC 9250).
func private(state *tls.ConnectionState) bool {
	return state != nil && state.Version >= tls.VersionTLS13 && (state.NegotiatedProtocol == alpn || state.NegotiatedProtocol == "doq")
}

// validateTLS tells what is wrong with how TLS is spoken to a server. The file is
// read when the zones are.
func (p Peer) validateTLS(bad func(key, msg string)) {
	switch p.TLS {
	case TLSStrict:
		if p.TLSName == "" && len(p.TLSPins) == 0 {
			bad("tls_name", `missing: with tls = "strict" it must be the name in the server's certificate, or tls_pins must tell its key`)
		}
	case "", TLSOpportunistic:
		for _, k := range []struct {
			key string
			set bool
		}{{"tls_name", p.TLSName != ""}, {"tls_ca", p.TLSCA != ""}, {"tls_pins", len(p.TLSPins) > 0}} {
			if k.set {
				bad(k.key, `means nothing without tls = "strict"`)
			}
		}
	default:
		bad("tls", fmt.Sprintf(`%q: must be "strict" or "opportunistic", or left out for none`, p.TLS))
	}
	if p.TLSCA != "" && p.TLSName == "" && p.TLS == TLSStrict {
		bad("tls_ca", "means nothing without tls_name")
	}
	for i, pin := range p.TLSPins {
		if _, err := parsePin(pin); err != nil {
			bad(fmt.Sprintf("tls_pins[%d]", i), fmt.Sprintf("%q: %v", pin, err))
		}
	}
}

// parsePin reads the SHA-256 of a public key (SubjectPublicKeyInfo), in base64.
func parsePin(text string) (pin [sha256.Size]byte, err error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != len(pin) {
		return pin, errors.New("must be the SHA-256 of the server's public key in base64, 44 letters")
	}
	return [sha256.Size]byte(b), nil
}

// tlsConfig is how to talk TLS to the server; nil: not.
func (p Peer) tlsConfig() (*tls.Config, error) {
	if p.TLS == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{alpn}, ServerName: p.TLSName, ClientSessionCache: tls.NewLRUClientSessionCache(2)}
	c.InsecureSkipVerify = p.TLSName == "" // then pins say who it is, or nobody asks
	if p.TLSCA != "" {
		text, err := os.ReadFile(p.TLSCA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: no certificate in PEM form", p.TLSCA)
		}
	}
	var pins [][sha256.Size]byte
	for _, text := range p.TLSPins {
		pin, err := parsePin(text)
		if err != nil {
			return nil, err
		}
		pins = append(pins, pin)
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		// Only for its own key has the server shown that it is its own.
		if leaf := state.PeerCertificates[0]; len(pins) > 0 && !slices.Contains(pins, sha256.Sum256(leaf.RawSubjectPublicKeyInfo)) {
			return errors.New("the server's key is none of tls_pins")
		}
		if state.NegotiatedProtocol != alpn {
			return fmt.Errorf("the server does not speak DNS over TLS (no ALPN %q)", alpn)
		}
		return nil
	}
	return c, nil
}

// connect opens a stream to a peer, over TLS where it is to be.
func (p peer) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	conn, err := p.dial(ctx, "tcp")
	if err != nil || p.tls == nil {
		return conn, err
	}
	c := tls.Client(conn, p.tls)
	if err := c.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return c, nil
}
