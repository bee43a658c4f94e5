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
	"gslb/store"
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

// TestClientMembers: the members of etcd as they are printed, and what happens to orders about them.
func TestClientMembers(t *testing.T) {
	f := &fake{members: []store.Member{
		{ID: "8e9e05c52164694d", Name: "ns1", Peers: []string{"http://192.0.2.1:2380"}, Here: true, Answers: true, Leader: true, Version: "3.7.3", Bytes: 1_230_000, Applied: 4711},
		{ID: "91bc3c398fb3c146", Name: "ns2", Peers: []string{"http://192.0.2.2:2380"}, Answers: true, Version: "3.7.3", Bytes: 1_230_000, Applied: 4710},
		{ID: "fd422379fda50e48", Name: "ns 3", Peers: []string{"http://192.0.2.3:2380"}, Why: "http://192.0.2.3:2379: connection refused"},
	}}
	c := NewClient(start(t, Config{Token: token}, f).URL, token)
	defer c.Close()
	all, err := c.Members(t.Context())
	if err != nil || !reflect.DeepEqual(all, f.members) {
		t.Fatalf("members changed on their way: %+v, %v", all, err)
	}
	var text strings.Builder
	if err := WriteMembers(&text, all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ns1   8e9e05c52164694d  leads (this node)", "ns 3  fd422379fda50e48  DOES NOT ANSWER", "└ http://192.0.2.3:2379: connection refused", "2 of 3 answer, which is just a majority: none may fail."} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in:%s", want, text.String())
		}
	}
	by := history.Order{Who: "lee", Why: "scrapped"}
	for _, bad := range []struct {
		which string
		by    history.Order
		want  string
	}{{"ns2", by, "409"}, {"ns4", by, "404"}, {"ns 3", history.Order{Who: "lee"}, "why is missing"}} {
		if _, err := c.RemoveMember(t.Context(), bad.which, bad.by); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("removing %q: %v, want %q", bad.which, err, bad.want)
		}
	}
	if gone, err := c.RemoveMember(t.Context(), "ns 3", by); err != nil || gone.Name != "ns 3" || len(f.members) != 2 || len(f.ordered) != 1 || f.ordered[0] != "remove ns 3 by lee: scrapped" {
		t.Errorf("removed: %+v, %v; left %+v, ordered %q", gone, err, f.members, f.ordered)
	}
	f.writeErr = errors.New("no leader")
	if _, err := c.Members(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without etcd: %v", err)
	}
}

func TestToleranceText(t *testing.T) {
	for _, c := range []struct {
		votes, well int
		want        string
	}{{1, 1, "One member"}, {3, 3, "1 may fail"}, {5, 5, "2 may fail"}, {5, 4, "1 may fail"}, {3, 2, "none may fail"}, {2, 2, "none may fail"}, {3, 1, "NO MAJORITY: 1 of 3 answer, 2 are needed"}, {4, 2, "NO MAJORITY"}} {
		if got := toleranceText(c.votes, c.well); !strings.Contains(got, c.want) {
			t.Errorf("%d of %d: %q, want %q", c.well, c.votes, got, c.want)
		}
	}
}
