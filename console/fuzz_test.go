package console

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/miekg/dns"

	"gslb/health"
)

// What is taken in as an override can be kept, shown and taken back.
func FuzzReadOverride(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `{"site":"kt","kind":"drain"}`, `{"site":"kt","kind":"up","for":"30m","who":"lee","why":"\u202e"}`,
		`{"site":"kt","kind":"down","until":"2026-11-23T00:00:00+09:00"}`, `{"site":"kt","kind":"drain","for":"1ns"}`,
		`{"SITE":"a","kind":"drain","why":"\ud800"}`, `[{}]`, `{"site":{}}`, `{"until":"0000-01-01T00:00:00Z"}`, `{"for":"9999999999h"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/override", strings.NewReader(s))
		o, err := readOverride(r, fakeNow)
		if err != nil {
			if code := statusOf(err); code != http.StatusBadRequest {
				t.Errorf("%q: %d %v", s, code, err)
			}
			return
		}
		known := o.Kind == health.Drain || o.Kind == health.ForceUp || o.Kind == health.ForceDown
		if o.Site == "" || o.Who == "" || !known || o.Since != fakeNow || o.Expired(fakeNow) || strings.ContainsFunc(o.Who+o.Why, unicode.IsControl) {
			t.Errorf("%q is taken as %+v", s, o)
		}
		if !o.Until.IsZero() && o.Until.Sub(fakeNow) > maxLife {
			t.Errorf("%q lasts %v", s, o.Until.Sub(fakeNow))
		}
	})
}

func FuzzExplainQuery(f *testing.F) {
	for _, s := range []string{"", "name=www.abc.com", "name=a&client=1.2.3.0/24&type=https", "name=%00&client=::1", "name=a%5C.b.&type=TYPE65", "client=fe80::1%25x&name=a", "name=%FF"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/explain", nil)
		r.URL.RawQuery = s
		name, client, qtype, err := explainQuery(r)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		_, ok := dns.IsDomainName(name)
		if _, err := netip.ParseAddr(client); err != nil || !ok || !dns.IsFqdn(name) || dns.StringToType[qtype] == 0 {
			t.Errorf("%q is taken as %q %q %q", s, name, client, qtype)
		}
	})
}

func FuzzHostGuard(f *testing.F) {
	for _, s := range []string{"", "localhost", "127.0.0.1:80", "[::1]", "[::1", "a.localhost:", "évil", "ns1.example.net", "127.1", "0x7f.1", "[::1%25eth0]:80"} {
		f.Add(s)
	}
	g := newGuard(Config{Hosts: []string{"ns1.example.net"}})
	f.Fuzz(func(t *testing.T, host string) {
		if g.host(&http.Request{Host: host}) != nil {
			return
		}
		name := host
		if h, _, err := net.SplitHostPort(host); err == nil {
			name = h
		}
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		_, err := netip.ParseAddr(strings.Trim(name, "[]"))
		if err != nil && name != "ns1.example.net" && name != "localhost" && !strings.HasSuffix(name, ".localhost") {
			t.Errorf("host %q is let in", host)
		}
	})
}

func FuzzBaseURL(f *testing.F) {
	for _, s := range []string{"127.0.0.1:8053", ":1", "http://a", "https://[::1]:2/", "http://a@b", "x://y", "http://a?b", "http://%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		base, err := baseURL(s)
		if err != nil {
			return
		}
		if u, err := url.Parse(base); err != nil || u.Host == "" || u.Path != "" {
			t.Errorf("%q makes %q: %v", s, base, err)
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add("plain", int64(0))
	f.Add("\x1b[2J\xff", int64(time.Hour))
	f.Fuzz(func(t *testing.T, s string, d int64) {
		if strings.ContainsFunc(clean(s), unprintable) || age(time.Duration(d)) == "" {
			t.Errorf("%q becomes %q", s, clean(s))
		}
	})
}
