package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
)

const (
	maxRead    = 64 << 10 // bytes of a response; a body that is longer is not waited for
	maxInterim = 8        // responses 1xx before the final one (RFC 9110 section 15.2)
)

// httpProber is healthy when a request is answered with a wanted status, what has
// to match does, and the body, or as much of it as fits in 64 KiB, arrives in
// time: a server that dies half-way through its health page is not healthy.
//
// It speaks HTTP/1.1 on the connection by itself. http.Transport would do the
// same with three goroutines for each probe, and could not say in which phase a
// time-out struck. HTTP/2 is left to it (http2.go).
type httpProber struct {
	place
	first     hop
	redirects int
	two       bool    // HTTP/2
	secure    *secure // nil: plain
	wanted
}

// hop is one request: the first, or one that a redirect leads to.
type hop struct {
	scheme  string
	address string // host:port that is connected to
	host    string // Host header or :authority
	path    string
	method  string
	headers map[string]string
	body    string
}

func newHTTP(c Config, _ Target, address string, _ *means) (Prober, error) {
	return makeHTTP(c, address)
}

func newHTTPS(c Config, _ Target, address string, m *means) (Prober, error) {
	p, err := makeHTTP(c, address)
	if err != nil {
		return nil, err
	}
	protocol := "http/1.1"
	if p.two {
		protocol = "h2"
	}
	p.secure, err = newSecure(c, address, m, protocol)
	return p, err
}

func makeHTTP(c Config, address string) (*httpProber, error) {
	host := c.Host
	if host == "" {
		host = hostHeader(c.Type, address)
	}
	w, err := newWanted(c)
	return &httpProber{
		place: placeOf(c, address), redirects: c.Redirects, two: c.HTTPVersion == "2", wanted: w,
		first: hop{scheme: c.Type, address: address, host: host, path: c.Path, method: c.Method, headers: c.Headers, body: c.Body},
	}, err
}

// hostHeader is the Host header for an address: without the port if it is the
// scheme's own, and without the zone, which means nothing to others (RFC 9110
// section 7.2, RFC 6874 section 4).
func hostHeader(scheme, address string) string {
	host, port := splitHost(address)
	host, _, _ = strings.Cut(host, "%")
	if port != portOf(scheme) {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func portOf(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

func (p *httpProber) Probe(ctx context.Context) (Seen, error) {
	a := begin(ctx, p.place)
	defer a.end()
	var seen Seen
	at := p.first
	for n := 0; ; n++ {
		a.address = at.address
		response, body, err := p.ask(a, at, &seen)
		if err != nil {
			return Seen{}, err
		}
		next, redirected := at.redirect(response, p.first)
		if n == p.redirects || !redirected {
			if redirected && n > 0 && len(p.status) == 0 {
				return Seen{}, fmt.Errorf("http %d from %s%s: more than %d redirects", response.StatusCode, at.address, at.path, n)
			}
			err := p.judge(a, at, response, body, &seen)
			return seen, err
		}
		response.Body.Close()
		a.hangUp()
		at = next
	}
}

// ask makes one request and returns its response, with at most maxRead octets of it.
func (p *httpProber) ask(a *attempt, at hop, seen *Seen) (*http.Response, *io.LimitedReader, error) {
	if err := a.connect("tcp"); err != nil {
		return nil, nil, err
	}
	stream := a.conn
	if s := p.security(at); s != nil {
		conn, err := s.handshake(a)
		if err != nil {
			return nil, nil, err
		}
		if seen.Warning == "" {
			seen.Warning = s.warning(conn)
		}
		stream = conn
	}
	if p.two {
		return at.ask2(a, stream)
	}
	a.phase = requesting
	if _, err := stream.Write(at.request()); err != nil {
		return nil, nil, a.fault(err)
	}
	return at.receive(a, stream)
}

// security is how a hop is secured: as configured, or by the system's trust
// where a plain check is led to https. nil: not at all.
func (p *httpProber) security(at hop) *secure {
	if at.scheme == "http" {
		return nil
	}
	s := p.secure
	if s == nil {
		c := Config{Type: "https", ExpiryWarning: defaultExpiry}
		s, _ = newSecure(c, at.address, &means{}) // no CA file, no error
	}
	if at.host == p.first.host {
		return s
	}
	moved := *s
	moved.config = s.config.Clone()
	moved.config.ServerName, _ = splitHost(at.host)
	return &moved
}

// request is the hop as it is sent over HTTP/1.1.
func (h hop) request() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", h.method, h.path, h.host)
	for _, name := range slices.Sorted(maps.Keys(h.all())) {
		fmt.Fprintf(&b, "%s: %s\r\n", name, h.all()[name])
	}
	if h.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(h.body))
	}
	b.WriteString("Connection: close\r\n\r\n" + h.body) // the server closes first, so that the TIME-WAITs are not all ours
	return []byte(b.String())
}

// all are the headers, the usual ones in front of the configured ones.
func (h hop) all() map[string]string {
	all := map[string]string{"User-Agent": "gslb-probe", "Accept": "*/*"}
	for name, value := range h.headers {
		all[http.CanonicalHeaderKey(name)] = value
	}
	return all
}

// receive reads a response, past interim ones, up to its body.
func (h hop) receive(a *attempt, stream io.Reader) (*http.Response, *io.LimitedReader, error) {
	bounded := &io.LimitedReader{R: stream, N: maxRead}
	reader := bufio.NewReader(bounded)
	a.phase = awaiting
	response, err := readResponse(reader, h.method)
	if err != nil {
		if bounded.N <= 0 {
			err = fmt.Errorf("headers from %s: more than %d KiB", a.address, maxRead>>10)
		} else {
			err = a.fault(err)
		}
		return nil, nil, err
	}
	// The body is not closed: that would read all of it, and the connection goes anyway.
	response.Body = io.NopCloser(response.Body)
	return response, bounded, nil
}

// readResponse reads the final response, past interim ones.
func readResponse(r *bufio.Reader, method string) (*http.Response, error) {
	for range maxInterim {
		response, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
	}
	return nil, fmt.Errorf("more than %d interim responses", maxInterim)
}
