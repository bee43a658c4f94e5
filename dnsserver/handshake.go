package dnsserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
)

// handshakes counts TLS handshakes that came to nothing, QUIC's too, by why.
type handshakes [len(encryptedTables)][len(handshakeReasons)]atomic.Uint64

// encryptedTables are the transports of which handshakes are counted apart.
var encryptedTables = [...]string{"tls", "https", "quic", "http3"}

const (
	handshakeTLS = iota
	handshakeHTTPS
	handshakeQUIC
	handshakeHTTP3
)

// handshakeReasons are the words of the metric.
var handshakeReasons = [...]string{"timeout", "closed", "not_tls", "version", "alpn", "alert", "other"}

const (
	failedTimeout = iota // the client did not get on with it
	failedClosed         // the client left
	failedNotTLS         // what it sent is no TLS
	failedVersion        // it has only versions of TLS that are not served
	failedALPN           // it wants to speak something else
	failedAlert          // it refuses the certificate, or something else of the server
	failedOther
)

// Alerts of TLS (RFC 8446, section 6).
const (
	alertProtocolVersion = 70
	alertNoApplication   = 120
)

// failed counts a handshake that came to nothing.
func (h *handshakes) failed(transport int, err error) { h[transport][handshakeReason(err)].Add(1) }

// table is that of encryptedTables that the stream's handshake counts in.
func (st *stream) table() int {
	if st.web {
		return handshakeHTTPS
	}
	return handshakeTLS
}

// collectHandshakes gives the counts to Prometheus, of the transports that are served.
func (s *Server) collectHandshakes(ch chan<- prometheus.Metric) {
	c := &s.cfg
	for t, served := range [...]bool{len(c.TLS.Listen) > 0, len(c.HTTPS.Listen) > 0, len(c.QUIC.Listen) > 0, len(c.HTTPS.Listen) > 0 && c.HTTPS.HTTP3} {
		for r := range s.handshakes[t] {
			if served {
				ch <- prometheus.MustNewConstMetric(descHandshake, prometheus.CounterValue, float64(s.handshakes[t][r].Load()), encryptedTables[t], handshakeReasons[r])
			}
		}
	}
}

// total is how many there were of all transports.
func (h *handshakes) total() (n uint64) {
	for t := range h {
		for r := range h[t] {
			n += h[t][r].Load()
		}
	}
	return n
}

// handshakeReason tells why a handshake failed. For what the client offers
// crypto/tls has texts alone.
func handshakeReason(err error) int {
	var timeout net.Error
	var transport *quic.TransportError
	var alert *net.OpError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &transport) && transport.ErrorCode.IsCryptoError():
		switch code := transport.ErrorCode & 0xff; {
		case transport.Remote:
			return failedAlert
		case code == alertProtocolVersion:
			return failedVersion
		case code == alertNoApplication:
			return failedALPN
		}
		return failedOther
	case errors.As(err, &timeout) && timeout.Timeout():
		return failedTimeout
	case errors.As(err, &record):
		return failedNotTLS
	case errors.As(err, &alert) && alert.Op == "remote error":
		return failedAlert
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, context.Canceled):
		return failedClosed
	case strings.Contains(err.Error(), "unsupported versions"), strings.Contains(err.Error(), "protocol version"):
		return failedVersion
	case strings.Contains(err.Error(), "unsupported application protocols"):
		return failedALPN
	}
	return failedOther
}
