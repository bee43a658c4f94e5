package console

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"gslb/health"
	"gslb/history"
)

func TestClient(t *testing.T) {
	f := &fake{status: demoStatus()}
	srv := start(t, Config{Token: token}, f)
	c := NewClient(strings.TrimPrefix(srv.URL, "http://"), token)
	defer c.Close()
	ctx := t.Context()

	st, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := demoStatus().complete(fakeNow); !reflect.DeepEqual(st, want) {
		t.Errorf("status changed on its way:\n got %+v\nwant %+v", st, want)
	}
	if z, err := c.Zones(ctx); err != nil || len(z.Zones) != 2 || len(z.Steered) != 2 {
		t.Errorf("zones: %+v, %v", z, err)
	}
	e, err := c.Explain(ctx, "www.abc.com", "203.0.113.7", "")
	if err != nil || !reflect.DeepEqual(e, demoExplanation("www.abc.com.", "203.0.113.7", "A")) {
		t.Errorf("explain: %+v, %v", e, err)
	}
	o := health.Override{Site: "kt", Kind: health.ForceDown, Who: "lee", Why: "fire & water", Until: fakeNow.Add(time.Hour)}
	done, err := c.SetOverride(ctx, o)
	o.Since = fakeNow
	if err != nil || done != o || f.overrides["kt"] != o {
		t.Errorf("set: %+v, %v; written %+v", done, err, f.overrides)
	}
	for _, want := range []bool{true, false} {
		if was, err := c.ClearOverride(ctx, "kt", history.Order{}); err != nil || was != want || len(f.overrides) != 0 {
			t.Errorf("clear: %v, %v, left %+v", was, err, f.overrides)
		}
	}
	if err := c.Ready(ctx); err != nil {
		t.Error(err)
	}
}

func TestClientErrors(t *testing.T) {
	f := &fake{status: demoStatus(), readyErr: errors.New("no zone")}
	srv := start(t, Config{Token: token}, f)
	good, bad := NewClient(srv.URL, token), NewClient(srv.URL+"/", "wrong")
	defer good.Close()
	defer bad.Close()
	ctx := t.Context()
	explain := func(name, client, qtype string) error {
		_, err := good.Explain(ctx, name, client, qtype)
		return err
	}
	clearOverride := func(c *Client, site string) error {
		_, err := c.ClearOverride(ctx, site, history.Order{})
		return err
	}
	set := func(c *Client, site string) error {
		_, err := c.SetOverride(ctx, health.Override{Site: site, Kind: health.Drain, Why: "test"})
		return err
	}
	for _, tt := range []struct {
		err  error
		is   error
		text string
	}{
		{explain("www.other.org", "", ""), ErrNotFound, "www.other.org. is in no zone"},
		{explain("www.abc.com", "here", ""), ErrInvalid, `client "here"`},
		{set(bad, "kt"), ErrUnauthorized, "token missing or wrong"},
		{set(good, "busan"), ErrNotFound, "must be one of"},
		{clearOverride(bad, "kt"), ErrUnauthorized, "401"},
		{clearOverride(good, "nosuch"), ErrNotFound, "nosuch"},
		{good.Ready(ctx), ErrUnavailable, "no zone"},
	} {
		if !errors.Is(tt.err, tt.is) || !strings.Contains(tt.err.Error(), tt.text) {
			t.Errorf("got %v, want %v with %q", tt.err, tt.is, tt.text)
		}
	}
}

func TestClientOfSomethingElse(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("redirect was followed, with %q", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
			return
		}
		_, _ = w.Write([]byte("<html>hello"))
	}))
	defer srv.Close()
	c := NewClient(srv.URL, token)
	defer c.Close()
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "isn't what a gslb console sends") {
		t.Errorf("status: %v", err)
	}
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "302") {
		t.Errorf("redirect: %v", err)
	}
	srv.Close()
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), `is "gslb serve" running`) {
		t.Errorf("closed: %v", err)
	}
}

func TestBaseURL(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:8053":      "http://127.0.0.1:8053",
		":8053":               "http://127.0.0.1:8053",
		"0.0.0.0:8053":        "http://127.0.0.1:8053",
		"[::]:8053":           "http://[::1]:8053",
		"ns1.example.net:80":  "http://ns1.example.net:80",
		"https://example.net": "https://example.net",
		"http://[::1]:8053/":  "http://[::1]:8053",
		"127.0.0.1":           "", "": "", "off": "", "ftp://x": "", "http://": "", "http://x/y": "", "127.0.0.1:": "",
	} {
		got, err := baseURL(addr)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", addr, got, err, want)
		}
	}
	if _, err := NewClient("off", "").Status(t.Context()); err == nil {
		t.Error("a client of no address has a status")
	}
}
