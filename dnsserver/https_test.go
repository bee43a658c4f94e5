package dnsserver

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestHTTPS(t *testing.T) {
	s := startTLS(t, func(c *Config) { c.HTTPS = HTTPS{Listen: []string{"127.0.0.1:0"}, Cert: c.TLS.Cert, Key: c.TLS.Key} })
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
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
		"GET":        {"GET", url + "?dns=" + base64.RawURLEncoding.EncodeToString([]byte(static)), "", "", 200, 0, "max-age=300"},
		"POST":       {"POST", url, dnsMessage, static, 200, 0, "max-age=300"},
		"steered":    {"POST", url, dnsMessage, wire("www.abc.com.", dns.TypeA), 200, 0, "max-age=30"},
		"refused":    {"POST", url, dnsMessage, wire("other.example.", dns.TypeA), 200, dns.RcodeRefused, "max-age=0"},
		"transfer":   {"POST", url, dnsMessage, wire("abc.com.", dns.TypeAXFR), 200, dns.RcodeRefused, "max-age=0"},
		"no query":   {"GET", url, "", "", 400, 0, ""},
		"bad base64": {"GET", url + "?dns=%21", "", "", 400, 0, ""},
		"no DNS":     {"POST", url, dnsMessage, "abc", 400, 0, ""},
		"a type":     {"POST", url, "text/plain", static, 415, 0, ""},
		"too long":   {"POST", url, dnsMessage, strings.Repeat("x", maxMessage+1), 413, 0, ""},
		"a method":   {"PUT", url, dnsMessage, static, 405, 0, ""},
		"a path":     {"POST", url + "s", dnsMessage, static, 404, 0, ""},
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
		if resp.StatusCode != c.code || resp.ProtoMajor != 2 || resp.Header.Get("Cache-Control") != c.age {
			t.Errorf("%s: %s %s, Cache-Control %q; want %d, %q", name, resp.Proto, resp.Status, resp.Header.Get("Cache-Control"), c.code, c.age)
		}
		if m := new(dns.Msg); c.code == 200 && (m.Unpack(b) != nil || m.Rcode != c.rcode || resp.Header.Get("Content-Type") != dnsMessage) {
			t.Errorf("%s: %v", name, m)
		}
	}
	if st := s.Stats(); st.Queries["https4"] != 6 || st.TCPOpen == 0 {
		t.Errorf("%v, %d open", st.Queries, st.TCPOpen)
	}
	client.CloseIdleConnections()
	if !eventually(func() bool { return s.Stats().TCPOpen == 0 }) {
		t.Errorf("%d connections stay counted", s.Stats().TCPOpen)
	}
}
