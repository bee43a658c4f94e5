package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxRead    = 64 << 10 // bytes of a response; a body that is longer is not waited for
	maxInterim = 8        // responses 1xx before the final one (RFC 9110 section 15.2)
)

// httpProber is healthy when a GET is answered with a wanted status and the body,
// or as much of it as fits in 64 KiB, arrives in time: a server that dies half-way
// through its health page is not healthy.
//
// It speaks HTTP/1.1 on the connection by itself. http.Transport would do the
// same with three goroutines for each probe, and could not say in which phase a
// time-out struck.
type httpProber struct {
	address string
	path    string
	request []byte // as it is sent
	status  []int  // wanted, sorted; empty: 200 to 399
	timeout time.Duration
	tls     *tls.Config // nil: plain
}

func newHTTP(c Config, address string, _ *authorities) (Prober, error) {
	return makeHTTP(c, address), nil
}

func makeHTTP(c Config, address string) *httpProber {
	host := c.Host
	if host == "" {
		host = hostHeader(c, address)
	}
	request := "GET " + c.Path + " HTTP/1.1\r\n" +
		"Host: " + host + "\r\n" +
		"User-Agent: gslb-probe\r\n" +
		"Accept: */*\r\n" +
		"Connection: close\r\n\r\n" // the server closes first, so that the TIME-WAITs are not all ours
	return &httpProber{
		address: address, path: c.Path, request: []byte(request),
		status: slices.Sorted(slices.Values(c.Status)), timeout: c.Timeout,
	}
}

// hostHeader is the Host header for an address: without the port if it is the
// scheme's own, and without the zone, which means nothing to others (RFC 9110
// section 7.2, RFC 6874 section 4).
func hostHeader(c Config, address string) string {
	host, port := splitHost(address)
	host, _, _ = strings.Cut(host, "%")
	if k, _ := kindOf(c.Type); port != strconv.Itoa(k.port) {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func (p *httpProber) Probe(ctx context.Context) error {
	a := begin(ctx, p.address, p.timeout)
	defer a.end()
	if err := a.connect(); err != nil {
		return err
	}
	var stream io.ReadWriter = a.conn
	if p.tls != nil {
		secured, err := handshake(a, p.tls)
		if err != nil {
			return err
		}
		stream = secured
	}
	a.phase = requesting
	if _, err := stream.Write(p.request); err != nil {
		return a.fault(err)
	}
	return p.receive(a, stream)
}

// receive reads the response and judges it.
func (p *httpProber) receive(a *attempt, stream io.Reader) error {
	bounded := &io.LimitedReader{R: stream, N: maxRead}
	reader := bufio.NewReader(bounded)
	a.phase = awaiting
	response, err := readResponse(reader)
	if err != nil {
		if bounded.N <= 0 {
			return fmt.Errorf("headers from %s: more than %d KiB", p.address, maxRead>>10)
		}
		return a.fault(err)
	}
	// The body is not closed: that would read all of it, and the connection goes anyway.
	if !p.wants(response.StatusCode) {
		return fmt.Errorf("http %d from %s%s, want %s", response.StatusCode, p.address, p.path, p.wanted())
	}
	a.phase = reading
	if _, err := io.Copy(io.Discard, response.Body); err != nil && bounded.N > 0 {
		return a.fault(err)
	}
	return nil
}

// readResponse reads the final response, past interim ones.
func readResponse(r *bufio.Reader) (*http.Response, error) {
	for range maxInterim {
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
	}
	return nil, fmt.Errorf("more than %d interim responses", maxInterim)
}

func (p *httpProber) wants(status int) bool {
	if len(p.status) == 0 {
		return 200 <= status && status <= 399
	}
	_, found := slices.BinarySearch(p.status, status)
	return found
}

// wanted is the statuses in words.
func (p *httpProber) wanted() string {
	if len(p.status) == 0 {
		return "200-399"
	}
	words := make([]string, len(p.status))
	for i, s := range p.status {
		words[i] = strconv.Itoa(s)
	}
	return strings.Join(words, ", ")
}
