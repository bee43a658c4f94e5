package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// ask2 makes the request over HTTP/2 on conn: by what ALPN has agreed on, or,
// on a plain connection, at once ("prior knowledge", RFC 9113 section 3.3).
// What the connection holds ends with the attempt, which closes it.
func (h hop) ask2(a *attempt, conn net.Conn) (*http.Response, *io.LimitedReader, error) {
	a.phase = requesting
	if t, secured := conn.(*tls.Conn); secured {
		if got := t.ConnectionState().NegotiatedProtocol; got != "h2" {
			return nil, nil, fmt.Errorf("tls handshake with %s: the server does not speak HTTP/2 (ALPN: %q)", a.address, got)
		}
	}
	dialed := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	var protocols http.Protocols
	protocols.SetHTTP2(h.scheme == "https")
	protocols.SetUnencryptedHTTP2(h.scheme == "http")
	transport := &http.Transport{
		DialContext: dialed, DialTLSContext: dialed, Protocols: &protocols,
		DisableCompression: true, MaxResponseHeaderBytes: maxRead,
	}
	client, err := transport.NewClientConn(a.ctx, h.scheme, a.address)
	if err != nil {
		return nil, nil, a.fault(err)
	}
	context.AfterFunc(a.ctx, func() { _ = client.Close() }) // the attempt ends it in any case
	request, err := http.NewRequestWithContext(a.ctx, h.method, h.scheme+"://"+h.host+h.path, strings.NewReader(h.body))
	if err != nil {
		return nil, nil, fmt.Errorf("request to %s: %w", a.address, err)
	}
	if h.body == "" {
		request.Body, request.ContentLength = http.NoBody, 0
	}
	for name, value := range h.all() {
		request.Header.Set(name, value)
	}
	a.phase = awaiting
	response, err := client.RoundTrip(request)
	if err != nil {
		if strings.Contains(err.Error(), "response header list larger") {
			err = errors.New("more than 64 KiB")
		}
		return nil, nil, a.fault(err)
	}
	bounded := &io.LimitedReader{R: response.Body, N: maxRead}
	response.Body = struct {
		io.Reader
		io.Closer
	}{bounded, response.Body}
	return response, bounded, nil
}
