package dnsserver

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"

	"github.com/miekg/dns"
)

// HTTPS is [dns.https] of the configuration: DNS over HTTPS (RFC 8484).
type HTTPS struct {
	Listen []string `toml:"listen"` // host:port; "[::]:443"
	Cert   string   `toml:"cert"`   // PEM file: the chain, the server's own certificate first
	Key    string   `toml:"key"`    // PEM file: its key
	Path   string   `toml:"path"`   // default "/dns-query"
}

const (
	defaultPath = "/dns-query"
	dnsMessage  = "application/dns-message"
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

// httpsListener serves DNS over HTTPS at one address, over HTTP/2 and 1.1.
type httpsListener struct {
	s         *Server
	ln        net.Listener
	transport int
	pool      sync.Pool // of *responder
}

func (s *Server) listenHTTPS(ctx context.Context) error {
	for _, addr := range s.cfg.HTTPS.Listen {
		ln, six, err := listenStream(ctx, addr)
		if err != nil {
			return err
		}
		l := &httpsListener{s: s, ln: ln, transport: https4}
		if six {
			l.transport = https6
		}
		s.https = append(s.https, l)
	}
	return nil
}

// HTTPSAddrs are the addresses bound for DNS over HTTPS, with their real ports.
func (s *Server) HTTPSAddrs() (all []netip.AddrPort) {
	for _, l := range s.https {
		all = append(all, l.ln.Addr().(*net.TCPAddr).AddrPort())
	}
	return all
}

// serve answers until the listener fails or ctx ends.
func (l *httpsListener) serve(ctx context.Context) error {
	cfg := &l.s.cfg
	mux := http.NewServeMux()
	mux.Handle(cfg.HTTPS.path(), l)
	server := &http.Server{
		Handler: mux, TLSConfig: tlsConfig(l.s.certificate("https"), "h2", "http/1.1"), ReadHeaderTimeout: min(handshakeTime, cfg.TCPIdle),
		ReadTimeout: cfg.TCPIdle, WriteTimeout: cfg.TCPIdle, IdleTimeout: cfg.TCPIdle, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(l.s.log.Handler(), slog.LevelDebug),
	}
	defer server.Close()
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	return server.ServeTLS(limited{l.ln, l.s}, "", "")
}

func (h HTTPS) path() string {
	if h.Path == "" {
		return defaultPath
	}
	return h.Path
}

// limited is a listener whose connections count with all others.
type limited struct {
	net.Listener
	s *Server
}

// Accept is part of net.Listener.
func (l limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		src := sourceOf(c).Addr()
		if l.s.tcp.take(src, l.s.cfg.TCPMax, l.s.cfg.TCPMaxClient, &l.s.streams) {
			return &counted{Conn: c, give: sync.OnceFunc(func() { l.s.tcp.give(src) })}, nil
		}
		c.Close()
	}
}

// counted is a connection that is counted out when it is closed.
type counted struct {
	net.Conn
	give func()
}

// Close is part of net.Conn.
func (c *counted) Close() error {
	c.give()
	return c.Conn.Close()
}

// ServeHTTP answers a query (RFC 8484, section 4.1). Transfers, updates and what is
// signed are not for it.
func (l *httpsListener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	msg, code := httpMessage(w, r)
	if code != http.StatusOK {
		http.Error(w, http.StatusText(code), code)
		return
	}
	src, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answerer, ok := l.pool.Get().(*responder)
	if !ok {
		shard := int(l.s.streams.made.Add(1) % streamShards)
		answerer = l.s.responder(shard, &l.s.streams.counters[shard])
		answerer.encrypted, answerer.others = true, false
	}
	defer l.pool.Put(answerer)
	answerer.count.queries[l.transport].Add(1)
	reply := l.s.answer(answerer, msg, src, true, make([]byte, 0, maxMessage+maxRecordHead))
	if len(reply) == 0 { // not a query
		http.Error(w, http.StatusText(http.StatusBadRequest), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", dnsMessage)
	w.Header().Set("Cache-Control", "max-age="+strconv.FormatUint(uint64(leastTTL(reply)), 10))
	w.Header().Set("Content-Length", strconv.Itoa(len(reply)))
	_, _ = w.Write(reply) // fails only when the client is gone
}

// httpMessage takes the message out of a request, or gives the status to refuse it with.
func httpMessage(w http.ResponseWriter, r *http.Request) ([]byte, int) {
	switch r.Method {
	case http.MethodGet:
		text := r.URL.Query().Get("dns")
		msg, err := base64.RawURLEncoding.DecodeString(text)
		if text == "" || err != nil {
			return nil, http.StatusBadRequest
		}
		return msg, http.StatusOK
	case http.MethodPost:
		if r.Header.Get("Content-Type") != dnsMessage {
			return nil, http.StatusUnsupportedMediaType
		}
		msg, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
		var long *http.MaxBytesError
		switch {
		case errors.As(err, &long):
			return nil, http.StatusRequestEntityTooLarge
		case err != nil || len(msg) == 0:
			return nil, http.StatusBadRequest
		}
		return msg, http.StatusOK
	}
	w.Header().Set("Allow", "GET, POST")
	return nil, http.StatusMethodNotAllowed
}

// leastTTL is for how long an HTTP cache may keep an answer, in seconds (RFC 8484,
// section 5.1): the least TTL of its answer, or what its SOA says of negatives.
func leastTTL(reply []byte) uint32 {
	m := new(dns.Msg)
	if m.Unpack(reply) != nil || m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return 0
	}
	least, any := uint32(0), false
	take := func(ttl uint32) {
		if !any || ttl < least {
			least, any = ttl, true
		}
	}
	for _, rr := range m.Answer {
		take(rr.Header().Ttl)
	}
	for _, rr := range m.Ns {
		take(rr.Header().Ttl)
		if soa, ok := rr.(*dns.SOA); ok && len(m.Answer) == 0 {
			take(soa.Minttl)
		}
	}
	return least
}
