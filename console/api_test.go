package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gslb/health"
	"gslb/test/bed"
)

const asJSON = "Content-Type: application/json"

// body reads an answer whole.
func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wantError checks the status and that the body is {"error": …} with the text in it.
func wantError(t *testing.T, r *http.Response, code int, text string) {
	t.Helper()
	b := body(t, r)
	var e map[string]string
	if err := json.Unmarshal([]byte(b), &e); err != nil || len(e) != 1 {
		t.Errorf("body %q isn't {\"error\": …}", b)
	}
	if r.StatusCode != code || !strings.Contains(e["error"], text) {
		t.Errorf("got %d %q, want %d with %q", r.StatusCode, e["error"], code, text)
	}
	if ct := r.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("content type %q", ct)
	}
}

func TestGet(t *testing.T) {
	srv := start(t, Config{}, &fake{status: demoStatus()})
	for _, tt := range []struct{ path, contentType, has string }{
		{"/api/v1/status", "application/json", `"site":"kt","state":"down"`},
		{"/api/v1/status", "application/json", `"spare":7900`}, // virginia: 12000-4100
		{"/api/v1/zones", "application/json", `{"zones":[{"name":"abc.com.","serial":2026112201,"names":42,"bytes":4096,`},
		{"/api/v1/explain?name=WWW.abc.com&client=203.0.113.7", "application/json", `"scope":"203.0.112.0/20"`},
		{"/metrics", "text/plain", `gslb_build_info{`},
		{"/metrics", "text/plain", `gslb_console_requests_total{code="2xx",endpoint="/api/v1/status"} 4`},
		{"/livez", "text/plain", "ok"},
		{"/readyz", "text/plain", "ok"},
		{"/readyz/www", "text/plain", "ok"},
		{"/", "text/html", "<title>gslb</title>"},
		{"/app.js", "text/javascript", "async function poll()"},
		{"/style.css", "text/css", "prefers-reduced-motion"},
		{"/icon.svg", "image/svg+xml", "<svg"},
	} {
		r := ask(t, "GET", srv.URL+tt.path, "")
		b := body(t, r)
		if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), tt.contentType) || !strings.Contains(b, tt.has) {
			t.Errorf("%s: %d %s, want %s with %q in\n%.400s", tt.path, r.StatusCode, r.Header.Get("Content-Type"), tt.contentType, tt.has, b)
		}
		if h := ask(t, "HEAD", srv.URL+tt.path, ""); h.StatusCode != 200 || body(t, h) != "" {
			t.Errorf("HEAD %s: %d", tt.path, h.StatusCode)
		}
	}
}

func TestEmptyStatusHasListsAndNotNull(t *testing.T) {
	srv := start(t, Config{}, &fake{})
	if b := body(t, ask(t, "GET", srv.URL+"/api/v1/status", "")); strings.Contains(b, "null") {
		t.Errorf("null in %s", b)
	}
}

func TestGetRefused(t *testing.T) {
	f := &fake{status: demoStatus(), readyErr: errors.New("zone abc.com. not loaded")}
	srv := start(t, Config{}, f)
	const explain = "/api/v1/explain"
	for _, tt := range []struct {
		method, path string
		code         int
		text         string
	}{
		{"GET", "/readyz", 503, "zone abc.com. not loaded"},
		{"GET", "/readyz/www", 503, "zone abc.com. not loaded"},
		{"GET", "/readyz/other", 404, "other"},
		{"GET", "/nothing", 404, "/nothing"},
		{"GET", "/api/v1/nothing", 404, "/api/v1/nothing"},
		{"GET", "/index.html/x", 404, ""},
		{"POST", "/api/v1/status", 405, "GET, HEAD"},
		{"DELETE", "/", 405, "GET, HEAD"},
		{"GET", "/api/v1/override", 405, "POST"},
		{"PUT", "/api/v1/override/kt", 405, "DELETE"},
		{"GET", explain, 400, "name"},
		{"GET", explain + "?name=www.abc.com&clinet=1.2.3.4", 400, `"clinet"`},
		{"GET", explain + "?name=a.com&name=b.com", 400, "2 times"},
		{"GET", explain + "?name=a..b", 400, "domain name"},
		{"GET", explain + "?name=" + strings.Repeat("a", 64), 400, "domain name"},
		{"GET", explain + "?name=%ED%95%9C%EA%B8%80.kr", 400, "in ASCII"},
		{"GET", explain + "?name=www.abc.com&client=here", 400, `"here"`},
		{"GET", explain + "?name=www.abc.com&client=fe80::1%25eth0", 400, "IP address"},
		{"GET", explain + "?name=www.abc.com&type=ADDR", 400, `"ADDR"`},
		{"GET", explain + "?name=www.other.org", 404, "www.other.org."},
		{"GET", explain + "?name=broken", 500, "something broke"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			r := ask(t, tt.method, srv.URL+tt.path, "")
			wantError(t, r, tt.code, tt.text)
			if tt.code == 405 && r.Header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

func TestExplainPassesCanonicalForms(t *testing.T) {
	f := &fake{}
	srv := start(t, Config{}, f)
	for _, tt := range []struct{ query, want string }{
		{"name=WWW.Abc.Com&client=203.0.113.7", "www.abc.com. 203.0.113.7 A"},
		{"name=www.abc.com.&client=203.0.113.0/24&type=aaaa", "www.abc.com. 203.0.113.0 AAAA"},
		{"name=www.abc.com&client=::ffff:203.0.113.7", "www.abc.com. 203.0.113.7 A"},
		{"name=www.abc.com&client=2001:DB8::1&type=https", "www.abc.com. 2001:db8::1 HTTPS"},
		{"name=www.abc.com", "www.abc.com. 127.0.0.1 A"}, // the asker
	} {
		f.explained = nil
		r := ask(t, "GET", srv.URL+"/api/v1/explain?"+tt.query, "")
		if r.StatusCode != 200 || len(f.explained) != 1 || f.explained[0] != tt.want {
			t.Errorf("%s: %d, backend was asked %q, want %q", tt.query, r.StatusCode, f.explained, tt.want)
		}
	}
}

func TestSetOverride(t *testing.T) {
	end := fakeNow.Add(time.Hour)
	for _, tt := range []struct {
		name, body string
		want       health.Override
	}{
		{"all given", `{"site":"kt","kind":"down","who":" lee ","why":"fire","until":"` + end.Format(time.RFC3339) + `"}`,
			health.Override{Site: "kt", Kind: health.ForceDown, Who: "lee", Why: "fire", Since: fakeNow, Until: end}},
		{"who and until left out", `{"site":"kt","kind":"drain","why":"test"}`,
			health.Override{Site: "kt", Kind: health.Drain, Who: "127.0.0.1", Why: "test", Since: fakeNow}},
		{"how long instead of until when", `{"site":"kt","kind":"up","for":"1h","why":"test"}`,
			health.Override{Site: "kt", Kind: health.ForceUp, Who: "127.0.0.1", Why: "test", Since: fakeNow, Until: end}},
		{"since is not the client's to say", `{"site":"kt","kind":"drain","why":"test","since":"2001-01-01T00:00:00Z"}`,
			health.Override{Site: "kt", Kind: health.Drain, Who: "127.0.0.1", Why: "test", Since: fakeNow}},
		{"hostile text is kept as text", `{"site":"kt","kind":"drain","why":"<script>\u2028'\""}`,
			health.Override{Site: "kt", Kind: health.Drain, Who: "127.0.0.1", Why: "<script>\u2028'\"", Since: fakeNow}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{status: demoStatus()}
			srv := start(t, Config{}, f)
			r := ask(t, "POST", srv.URL+"/api/v1/override", tt.body, asJSON)
			b := body(t, r)
			var got health.Override
			if err := json.Unmarshal([]byte(b), &got); err != nil || r.StatusCode != 200 {
				t.Fatalf("%d %s: %v", r.StatusCode, b, err)
			}
			if got != tt.want || f.overrides["kt"] != tt.want {
				t.Errorf("answered %+v\nwritten  %+v\nwant     %+v", got, f.overrides["kt"], tt.want)
			}
		})
	}
}

func TestSetOverrideRefused(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		code       int
		text       string
	}{
		{"empty", ``, 400, "empty"},
		{"not JSON", `site=kt`, 400, "at byte 1"},
		{"cut off", `{"site":"kt"`, 400, "ends within"},
		{"two values", `{"site":"kt","kind":"drain"} {}`, 400, "more than one"},
		{"array", `[]`, 400, "array"},
		{"wrong type", `{"site":5}`, 400, "must be a string"},
		{"unknown field", `{"site":"kt","kind":"drain","reason":"x"}`, 400, `"reason"`},
		{"no kind", `{"site":"kt"}`, 400, `kind ""`},
		{"bad kind", `{"site":"kt","kind":"sideways"}`, 400, `"sideways": must be "drain", "up", "down" or "share"`},
		{"no site", `{"kind":"drain"}`, 400, "site is missing"},
		{"no why", `{"site":"kt","kind":"drain"}`, 400, "why is missing: must say why"},
		{"nothing but spaces", `{"site":"kt","kind":"drain","why":"  "}`, 400, "why is missing"},
		{"unknown site", `{"site":"busan","kind":"drain","why":"test"}`, 404, `"busan": must be one of frankfurt, kt, lgu, tokyo, virginia`},
		{"over already", `{"site":"kt","kind":"drain","until":"2020-01-01T00:00:00Z"}`, 400, "must lie in the future"},
		{"too far", `{"site":"kt","kind":"drain","for":"90000h"}`, 400, "within a year"},
		{"bad duration", `{"site":"kt","kind":"drain","for":"soon"}`, 400, `"soon"`},
		{"negative duration", `{"site":"kt","kind":"drain","for":"-5m"}`, 400, `"-5m"`},
		{"for and until", `{"site":"kt","kind":"drain","for":"5m","until":"2027-01-01T00:00:00Z"}`, 400, "one of them"},
		{"shorter than its steps", `{"site":"kt","kind":"share","share":0.2,"over":600000000000,"for":"1m","why":"test"}`, 400, "over 10m0s: must be no more than it lasts, 1m0s"},
		{"long who", `{"site":"kt","kind":"drain","who":"` + strings.Repeat("é", 101) + `"}`, 400, "101 characters"},
		{"long why", `{"site":"kt","kind":"drain","why":"` + strings.Repeat("x", 501) + `"}`, 400, "501 characters"},
		{"escape sequence", `{"site":"kt","kind":"drain","why":"\u001b[2J"}`, 400, "control character"},
		{"too large", `{"site":"kt","kind":"drain","why":"` + strings.Repeat("x", maxBodyBytes) + `"}`, 413, "longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{status: demoStatus()}
			srv := start(t, Config{}, f)
			wantError(t, ask(t, "POST", srv.URL+"/api/v1/override", tt.body, asJSON), tt.code, tt.text)
			if len(f.overrides) > 0 {
				t.Errorf("written all the same: %v", f.overrides)
			}
		})
	}
}

func TestClearOverride(t *testing.T) {
	f := &fake{status: demoStatus(), overrides: map[string]health.Override{"a/b ü": {}}}
	srv := start(t, Config{}, f)
	r := ask(t, "DELETE", srv.URL+"/api/v1/override/a%2Fb%20%C3%BC", "")
	if body, _ := io.ReadAll(r.Body); r.StatusCode != 200 || !strings.Contains(string(body), `"cleared":true`) || len(f.overrides) != 0 {
		t.Errorf("%d %s, left %v", r.StatusCode, body, f.overrides)
	}
	r = ask(t, "DELETE", srv.URL+"/api/v1/override/kt", "")
	if body, _ := io.ReadAll(r.Body); r.StatusCode != 200 || !strings.Contains(string(body), `"cleared":false`) {
		t.Errorf("where there is none: %d %s", r.StatusCode, body)
	}
	wantError(t, ask(t, "DELETE", srv.URL+"/api/v1/override/nosuch", ""), 404, "nosuch")
}

func TestStoreLost(t *testing.T) {
	f := &fake{status: demoStatus(), writeErr: context.DeadlineExceeded}
	srv := start(t, Config{}, f)
	r := ask(t, "POST", srv.URL+"/api/v1/override", `{"site":"kt","kind":"drain","why":"test"}`, asJSON)
	wantError(t, r, 503, "context deadline exceeded")
	if r.Header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	wantError(t, ask(t, "DELETE", srv.URL+"/api/v1/override/kt", ""), 503, "context deadline exceeded")
}

func TestPanicIsOneRequestsError(t *testing.T) {
	f := &fake{panics: true}
	srv := start(t, Config{}, f)
	wantError(t, ask(t, "GET", srv.URL+"/api/v1/status", ""), 500, "see the node's log")
	f.mu.Lock()
	f.panics = false
	f.mu.Unlock()
	if r := ask(t, "GET", srv.URL+"/api/v1/status", ""); r.StatusCode != 200 {
		t.Errorf("afterwards: %d", r.StatusCode)
	}
}

func TestAssetIsNotSentAgain(t *testing.T) {
	srv := start(t, Config{}, &fake{})
	etag := ask(t, "GET", srv.URL+"/app.js", "").Header.Get("ETag")
	r := ask(t, "GET", srv.URL+"/app.js", "", "If-None-Match: "+etag)
	if etag == "" || r.StatusCode != http.StatusNotModified {
		t.Errorf("ETag %q, then %d", etag, r.StatusCode)
	}
}

// listen listens on a port of loopback that nobody else gets while the test runs.
func listen(t *testing.T) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", bed.Reserve(t, "tcp"))
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func TestServeEndsWithContext(t *testing.T) {
	s := New(Config{}, &fake{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ln := listen(t)
	done := make(chan error)
	go func() { done <- s.Serve(ctx, ln) }()
	url := fmt.Sprintf("http://%v/livez", ln.Addr())
	if r := ask(t, "GET", url, ""); r.StatusCode != 200 {
		t.Fatal(r.Status)
	}
	// A client that never says what it wants must not hold the end up for long.
	slow, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Close() }()
	if _, err := slow.Write([]byte("GET / HTTP/1.1\r\nHo")); err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Serve: %v, want nil", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Serve goes on")
	}
	if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", ln.Addr().String()); err == nil {
		t.Error("still listening")
	}
}

func TestServeTellsThatTheListenerFailed(t *testing.T) {
	s := New(Config{}, &fake{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	ln := listen(t)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v, want %v", err, net.ErrClosed)
	}
}

func TestHeaderLimit(t *testing.T) {
	s := New(Config{}, &fake{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	ln := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, ln) }()
	defer func() { cancel(); <-done }()
	r := ask(t, "GET", fmt.Sprintf("http://%v/livez", ln.Addr()), "", "X-Long: "+strings.Repeat("x", 2*maxHeaderBytes))
	if r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d, want 431", r.StatusCode)
	}
}
