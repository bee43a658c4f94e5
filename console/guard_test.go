package console

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const (
	drainKT = `{"site":"kt","kind":"drain","why":"test"}`
	token   = "a-token-of-enough-length"
)

func TestHostGuard(t *testing.T) {
	srv := start(t, Config{Listen: "console.example.net:8053", Token: token, Hosts: []string{"Proxy.Example.Net."}}, &fake{status: demoStatus()})
	for _, tt := range []struct {
		host string
		code int
	}{
		{"127.0.0.1:8053", 200},
		{"192.0.2.1", 200},
		{"[::1]:8053", 200},
		{"[2001:db8::1]", 200},
		{"localhost:8053", 200},
		{"LOCALHOST.", 200},
		{"gslb.localhost:1", 200},
		{"proxy.example.net", 200},
		{"PROXY.example.net.:443", 200},
		{"console.example.net:8053", 200},
		{"evil.example", 421},
		{"evil.example:8053", 421},
		{"127.0.0.1.evil.example", 421},
		{"localhost.evil.example", 421},
		{"notlocalhost", 421},
		{"proxy.example.net.evil.example", 421},
	} {
		for _, path := range []string{"/", "/api/v1/status", "/metrics"} {
			r := ask(t, "GET", srv.URL+path, "", "Host: "+tt.host)
			if r.StatusCode != tt.code {
				t.Errorf("%s of %s: %d, want %d", path, tt.host, r.StatusCode, tt.code)
			}
			if tt.code == 421 {
				wantError(t, r, 421, "list the name as hosts of [api]")
			}
		}
	}
	// An orchestrator may call us what it likes to hear whether we live.
	for _, path := range []string{"/livez", "/readyz"} {
		if r := ask(t, "GET", srv.URL+path, "", "Host: pod-7.example"); r.StatusCode != 200 {
			t.Errorf("%s of any host: %d", path, r.StatusCode)
		}
	}
	r := ask(t, "POST", srv.URL+"/api/v1/override", drainKT, asJSON, "Host: evil.example", "Authorization: Bearer "+token)
	wantError(t, r, 421, "evil.example")
}

func TestCrossSiteGuard(t *testing.T) {
	for _, tt := range []struct {
		name    string
		headers []string
		code    int
	}{
		{"curl", []string{asJSON}, 200},
		{"with charset", []string{"Content-Type: application/json; charset=utf-8"}, 200},
		{"own page", []string{asJSON, "Sec-Fetch-Site: same-origin", "Origin: http://HOST"}, 200},
		{"own page, old browser", []string{asJSON, "Origin: http://HOST"}, 200},
		{"other page", []string{asJSON, "Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, 403},
		{"other page, old browser", []string{asJSON, "Origin: https://evil.example"}, 403},
		{"other port of this host", []string{asJSON, "Sec-Fetch-Site: same-site", "Origin: http://127.0.0.1:1"}, 403},
		{"sandboxed frame", []string{asJSON, "Origin: null"}, 403},
		{"form", []string{"Content-Type: application/x-www-form-urlencoded"}, 415},
		{"form as text", []string{"Content-Type: text/plain"}, 415},
		{"no type", nil, 415},
		{"bad type", []string{"Content-Type: application/json;;;"}, 415},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{status: demoStatus()}
			srv := start(t, Config{}, f)
			headers := make([]string, len(tt.headers))
			for i, h := range tt.headers {
				headers[i] = strings.ReplaceAll(h, "HOST", strings.TrimPrefix(srv.URL, "http://"))
			}
			r := ask(t, "POST", srv.URL+"/api/v1/override", drainKT, headers...)
			if r.StatusCode != tt.code {
				t.Errorf("%d %s, want %d", r.StatusCode, body(t, r), tt.code)
			}
			if (len(f.overrides) == 1) != (tt.code == 200) {
				t.Errorf("written: %v", f.overrides)
			}
		})
	}
	srv := start(t, Config{}, &fake{status: demoStatus()})
	wantError(t, ask(t, "DELETE", srv.URL+"/api/v1/override/kt", "", "Sec-Fetch-Site: cross-site"), 403, "another origin")
	if r := ask(t, "OPTIONS", srv.URL+"/api/v1/override", "", "Origin: https://evil.example", "Access-Control-Request-Method: POST"); r.Header.Get("Access-Control-Allow-Origin") != "" || r.StatusCode < 400 {
		t.Error("a preflight is answered with consent")
	}
}

func TestToken(t *testing.T) {
	for _, tt := range []struct {
		header string
		code   int
	}{
		{"", 401},
		{"Authorization: Bearer", 401},
		{"Authorization: Bearer ", 401},
		{"Authorization: Bearer wrong", 401},
		{"Authorization: Bearer " + token + "x", 401},
		{"Authorization: Bearer " + token[1:], 401},
		{"Authorization: Basic " + token, 401},
		{"Authorization: " + token, 401},
		{"Authorization: Bearer " + token, 200},
		{"Authorization: bearer " + token, 200}, // RFC 9110 11.1: without regard to case
	} {
		f := &fake{status: demoStatus()}
		srv := start(t, Config{Token: token}, f)
		headers := []string{asJSON}
		if tt.header != "" {
			headers = append(headers, tt.header)
		}
		r := ask(t, "POST", srv.URL+"/api/v1/override", drainKT, headers...)
		if r.StatusCode != tt.code {
			t.Errorf("%q: %d, want %d", tt.header, r.StatusCode, tt.code)
		}
		if tt.code == 401 {
			wantError(t, r, 401, "token")
			if r.Header.Get("WWW-Authenticate") == "" || len(f.overrides) > 0 {
				t.Errorf("%q: no challenge, or written all the same: %v", tt.header, f.overrides)
			}
		}
		if r := ask(t, "GET", srv.URL+"/api/v1/status", ""); r.StatusCode != 200 {
			t.Errorf("reading needs a token: %d", r.StatusCode)
		}
	}
}

func TestWithoutTokenOnlyThisMachine(t *testing.T) {
	f := &fake{status: demoStatus()}
	s := start(t, Config{}, f).Config.Handler
	for _, tt := range []struct {
		remote string
		code   int
	}{
		{"127.0.0.1:5", 200}, {"127.9.9.9:5", 200}, {"[::1]:5", 200}, {"[::ffff:127.0.0.1]:5", 200},
		{"192.0.2.1:5", 403}, {"[2001:db8::1]:5", 403}, {"10.0.0.1:5", 403}, {"@", 403},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://192.0.2.9:8053/api/v1/override", strings.NewReader(drainKT))
		r.Header.Set("Content-Type", "application/json")
		r.RemoteAddr = tt.remote
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != tt.code {
			t.Errorf("from %s: %d %s, want %d", tt.remote, w.Code, w.Body, tt.code)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	srv := start(t, Config{}, &fake{})
	for _, path := range []string{"/", "/app.js", "/api/v1/status", "/nothing", "/metrics", "/livez"} {
		h := ask(t, "GET", srv.URL+path, "").Header
		for name, want := range map[string]string{
			"Content-Security-Policy":      "default-src 'none'; script-src 'self'",
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cache-Control":                "no-",
		} {
			if !strings.Contains(h.Get(name), want) {
				t.Errorf("%s: %s is %q, want %q", path, name, h.Get(name), want)
			}
		}
		if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: policy allows what is unsafe", path)
		}
	}
}

// TestPageHasOnlyOwnAndSafeCode reads the page's files: nothing from elsewhere,
// no inline code, and none of the ways in which text becomes markup or code.
func TestPageHasOnlyOwnAndSafeCode(t *testing.T) {
	for path, a := range loadAssets() {
		if a.contentType == "" {
			t.Errorf("%s: no content type", path)
		}
		s := strings.ReplaceAll(string(a.body), "http://www.w3.org/2000/svg", "")
		for _, bad := range []string{"http:", "https:", "//cdn", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", " onclick=", " style=\"", "<script>", "<style"} {
			if strings.Contains(s, bad) {
				t.Errorf("%s has %q", path, bad)
			}
		}
	}
}
