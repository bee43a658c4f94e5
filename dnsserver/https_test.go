package dnsserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go/http3"

	"gslb/test/bed"
)

// TestHTTPS asks the same over HTTP/2, HTTP/3 and HTTP/1.1.
func TestHTTPS(t *testing.T) {
	insecure := &tls.Config{InsecureSkipVerify: true}
	for version, transport := range map[int]http.RoundTripper{
		1: &http.Transport{TLSClientConfig: insecure.Clone()},
		2: &http.Transport{TLSClientConfig: insecure.Clone(), ForceAttemptHTTP2: true},
		3: &http3.Transport{TLSClientConfig: insecure.Clone()},
	} {
		t.Run(fmt.Sprintf("HTTP %d", version), func(t *testing.T) { testHTTPS(t, version, transport) })
	}
}

func startHTTPS(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	return startTLS(t, func(c *Config) {
		c.HTTPS = HTTPS{Listen: []string{"127.0.0.1:0"}, Cert: c.TLS.Cert, Key: c.TLS.Key, HTTP3: true}
		if change != nil {
			change(c)
		}
	})
}

func testHTTPS(t *testing.T, version int, transport http.RoundTripper) {
	s := startHTTPS(t, nil)
	client := &http.Client{Timeout: patience, Transport: transport}
	defer client.CloseIdleConnections()
	url := "https://" + s.HTTPSAddrs()[0].String() + "/dns-query"
	wire := func(name string, qtype uint16) string {
		b, err := new(dns.Msg).SetQuestion(name, qtype).Pack()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	static := wire("static.abc.com.", dns.TypeA)
	for name, c := range map[string]struct {
		method, url, kind, body string
		code, rcode             int
		age                     string
	}{
		"GET":            {"GET", url + "?dns=" + base64.RawURLEncoding.EncodeToString([]byte(static)), "", "", 200, 0, "max-age=300"},
		"POST":           {"POST", url, dnsMessage, static, 200, 0, "max-age=300"},
		"steered":        {"POST", url, dnsMessage, wire("www.abc.com.", dns.TypeA), 200, 0, "private, max-age=30"},
		"type's letters": {"POST", url, "Application/DNS-Message", static, 200, 0, "max-age=300"},
		"type's more":    {"POST", url, dnsMessage + " ; x=y", static, 200, 0, "max-age=300"},
		"another type":   {"POST", url, dnsMessage + "s", static, 415, 0, ""},
		"refused":        {"POST", url, dnsMessage, wire("other.example.", dns.TypeA), 200, dns.RcodeRefused, "max-age=0"},
		"transfer":       {"POST", url, dnsMessage, wire("abc.com.", dns.TypeAXFR), 200, dns.RcodeRefused, "max-age=0"},
		"negative":       {"GET", url + "?x=1&dns=" + base64.RawURLEncoding.EncodeToString([]byte(wire("none.abc.com.", dns.TypeA))), "", "", 200, dns.RcodeNameError, "max-age=60"},
		"escaped":        {"GET", url + "?dns=%41" + base64.RawURLEncoding.EncodeToString([]byte(static))[1:], "", "", 200, 0, "max-age=300"},
		"long":           {"POST", url, dnsMessage, string(query(t, "static.abc.com.", dns.TypeA, option(dns.EDNS0PADDING, make([]byte, 20000)...))), 200, 0, "max-age=300"},
		"no query":       {"GET", url, "", "", 400, 0, ""},
		"bad base64":     {"GET", url + "?dns=%21", "", "", 400, 0, ""},
		"no DNS":         {"POST", url, dnsMessage, "abc", 400, 0, ""},
		"a type":         {"POST", url, "text/plain", static, 415, 0, ""},
		"too long":       {"POST", url, dnsMessage, strings.Repeat("x", maxMessage+1), 413, 0, ""},
		"a method":       {"PUT", url, dnsMessage, static, 405, 0, ""},
		"a path":         {"POST", url + "s", dnsMessage, static, 404, 0, ""},
	} {
		r, err := http.NewRequest(c.method, c.url, bytes.NewReader([]byte(c.body)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", c.kind)
		resp, err := client.Do(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.code || resp.ProtoMajor != version || (resp.Header.Get("Alt-Svc") == fmt.Sprintf("h3=\":%d\"; ma=86400", s.HTTPSAddrs()[0].Port())) != (version < 4) || resp.Header.Get("Cache-Control") != c.age {
			t.Errorf("%s: %s %s, Cache-Control %q; want %d, %q", name, resp.Proto, resp.Status, resp.Header.Get("Cache-Control"), c.code, c.age)
		}
		if m := new(dns.Msg); c.code == 200 && (m.Unpack(b) != nil || m.Rcode != c.rcode || resp.Header.Get("Content-Type") != dnsMessage) {
			t.Errorf("%s: %v", name, m)
		}
	}
	counted := map[int]string{1: "https4", 2: "https4", 3: "http3_4"}[version]
	if st := s.Stats(); st.Queries[counted] != 11 || st.TCPOpen == 0 {
		t.Errorf("%v, %d open", st.Queries, st.TCPOpen)
	}
	client.CloseIdleConnections()
	if t3, ok := transport.(*http3.Transport); ok {
		t3.Close()
	}
	if !eventually(func() bool { return s.Stats().TCPOpen == 0 }) {
		t.Errorf("%d connections stay counted", s.Stats().TCPOpen)
	}
}

// onOne asks over one connection that is there already, over HTTP/2.
func onOne(t *testing.T, c net.Conn) *http.Client {
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	tr.DialTLSContext = func(context.Context, string, string) (net.Conn, error) {
		tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		return tc, tc.Handshake()
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Timeout: patience, Transport: tr}
}

func postDNS(client *http.Client, s *Server, msg []byte) (*dns.Msg, error) {
	resp, err := client.Post("https://"+s.HTTPSAddrs()[0].String()+"/dns-query", dnsMessage, bytes.NewReader(msg))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	m := new(dns.Msg)
	if err == nil {
		err = m.Unpack(b)
	}
	return m, err
}

// When there are too many connections in all, one of HTTP that is idle makes room,
// and one that shakes hands too; those that are asked stay.
func TestHTTPSEvictsTheIdle(t *testing.T) {
	s := startHTTPS(t, func(c *Config) { c.TCPMax, c.TCPMaxClient, c.TCPIdle = 2, 100, time.Minute })
	dialWeb := func() net.Conn {
		c, err := net.Dial("tcp", s.HTTPSAddrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	static := query(t, "static.abc.com.", dns.TypeA)
	idle := dialWeb()
	first := onOne(t, idle)
	if _, err := postDNS(first, s, static); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return s.streams.waiting() == 1 })
	silent := dialWeb() // does not shake hands
	waitFor(t, func() bool { return s.streams.waiting() == 2 })
	second := onOne(t, dialWeb())
	if _, err := postDNS(second, s, static); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { st := s.Stats(); return st.TCPEvict == 1 && st.TCPOpen == 2 && s.streams.waiting() == 2 })
	closes(t, "the connection that was idle for longest", idle)
	third := onOne(t, dialWeb())
	if _, err := postDNS(third, s, static); err != nil {
		t.Fatal(err)
	}
	closes(t, "the one that does not shake hands", silent)
	if _, err := postDNS(second, s, static); err != nil {
		t.Errorf("the connection that was asked last: %v", err)
	}
}

// A client that says nothing behind its handshake is given up.
func TestHTTPSSilence(t *testing.T) {
	t.Parallel()
	withIdle(t, func(idle time.Duration) error {
		s := startHTTPS(t, func(c *Config) { c.TCPIdle = idle })
		c, err := tls.Dial("tcp", s.HTTPSAddrs()[0].String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil {
			return err
		}
		defer c.Close()
		if !eventually(func() bool { return s.Stats().TCPOpen == 0 }) {
			return errors.New("still open")
		}
		return nil
	})
}

// leastTTL says of answers of all kinds what a look at all their records says.
func TestLeastTTL(t *testing.T) {
	s, w := server(t, nil)
	for _, name := range []string{"static.abc.com.", "www.abc.com.", "mx.abc.com.", "none.abc.com.", "many.abc.com.", "x.sub.abc.com.", "other.example.", "abc.com."} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeMX, dns.TypeSOA, dns.TypeNS, dns.TypeANY, dns.TypeTXT} {
			out := s.answer(w, query(t, name, qtype, edns(1232, rand.N(2) == 0)), source, true, make([]byte, 0, maxMessage+maxRecordHead))
			m := new(dns.Msg)
			if err := m.Unpack(out); err != nil {
				t.Fatal(err)
			}
			want, any := uint32(0), false
			least := func(ttl uint32) {
				if !any || ttl < want {
					want, any = ttl, true
				}
			}
			for _, rr := range append(m.Answer, m.Ns...) {
				least(rr.Header().Ttl)
				if soa, ok := rr.(*dns.SOA); ok && len(m.Answer) == 0 {
					least(soa.Minttl)
				}
			}
			if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
				want = 0
			}
			if got := leastTTL(out); got != want {
				t.Errorf("%s %s: %d, want %d\n%v", name, dns.TypeToString[qtype], got, want, m)
			}
		}
	}
}

// discarded is a ResponseWriter that keeps nothing.
type discarded struct{ header http.Header }

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarded) WriteHeader(int)             {}

// TestHTTPSAllocatesLittle: what this server itself allocates for a query over
// HTTPS is a few headers, whatever an answer may have.
func TestHTTPSAllocatesLittle(t *testing.T) {
	if bed.RaceDetector {
		t.Skip("its sync.Pool drops some on purpose")
	}
	for name, ask := range httpsRequests(t) {
		if n := testing.AllocsPerRun(200, ask); n > 6 {
			t.Errorf("%s: %v allocations for each query", name, n)
		}
	}
}

func BenchmarkHTTPSHandler(b *testing.B) {
	for name, ask := range httpsRequests(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ask()
			}
		})
	}
}

// httpsRequests gives functions that have a query answered, by method.
func httpsRequests(tb testing.TB) map[string]func() {
	s, _ := server(tb, nil)
	h := &web{s: s, path: defaultPath}
	msg := query(tb, "www.abc.com.", dns.TypeA, subnet("10.1.2.0/24"))
	ctx := context.WithValue(tb.Context(), visitorKey{}, &visitor{src: source, transport: https4})
	w, body := &discarded{header: make(http.Header)}, bytes.NewReader(nil)
	get := httptest.NewRequestWithContext(ctx, "GET", "/dns-query?dns="+base64.RawURLEncoding.EncodeToString(msg), nil)
	post := httptest.NewRequestWithContext(ctx, "POST", "/dns-query", nil)
	post.Header.Set("Content-Type", dnsMessage)
	post.Body = io.NopCloser(body)
	return map[string]func(){
		"GET": func() { h.ServeHTTP(w, get) },
		"POST": func() {
			body.Reset(msg)
			h.ServeHTTP(w, post)
		},
	}
}
