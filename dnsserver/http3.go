package dnsserver

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// altSvcAge is for how long clients may remember that there is HTTP/3, in seconds
// (RFC 7838, section 3.1).
const altSvcAge = 86400

// listenHTTP3 binds an address over UDP at which HTTPS is bound over TCP, and has
// the answers over TCP tell of it (RFC 9114, section 3.1.1).
func (s *Server) listenHTTP3(ctx context.Context, at netip.AddrPort) error {
	l, err := s.listenQUIC(ctx, at.String(), http3v4, handshakeHTTP3, tlsConfig(s.certificate("https"), http3.NextProtoH3), s.cfg.HTTPS.Key)
	if err != nil {
		return err
	}
	l.config.MaxIncomingUniStreams = http3UniStreams
	l.converse, l.unasked = l.converseHTTP3, quic.ApplicationErrorCode(http3.ErrCodeNoError)
	if s.web.altSvc == nil { // where ports differ, that of the first address
		s.web.altSvc = []string{fmt.Sprintf(`h3=":%d"; ma=%d`, at.Port(), altSvcAge)}
	}
	return nil
}

// converseHTTP3 lets net/http's relative have a connection, until its end.
func (l *quicListener) converseHTTP3(ctx context.Context, c *quicConn) {
	server := &http3.Server{
		Handler: l.s.web, MaxHeaderBytes: mostHeader, Logger: slog.New(slog.DiscardHandler),
		ConnContext: func(ctx context.Context, _ *quic.Conn) context.Context {
			return context.WithValue(ctx, visitorKey{}, &visitor{transport: l.transport, quic: c})
		},
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	_ = server.ServeQUICConn(c.conn) // ends with the connection
}
