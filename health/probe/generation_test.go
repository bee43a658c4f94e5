package probe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestGenerationSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "release")
	if err := os.WriteFile(file, []byte("v3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Release", "v1 beta")
		_, _ = w.Write([]byte(`{"app": {"version": "v2", "build": 7}}`))
	}))
	defer srv.Close()
	for _, tc := range []struct {
		name   string
		kind   string
		source GenerationSource
		want   string
	}{
		{"none", "http", GenerationSource{}, ""},
		{"header", "http", GenerationSource{Header: "x-release"}, "v1_beta"},
		{"no such header", "http", GenerationSource{Header: "X-Other"}, ""},
		{"json", "http", GenerationSource{JSON: "app.version"}, "v2"},
		{"json number", "http", GenerationSource{JSON: "app.build"}, "7"},
		{"no such path", "http", GenerationSource{JSON: "app.none"}, ""},
		{"file", "tcp", GenerationSource{File: file}, "v3"},
		{"no such file", "tcp", GenerationSource{File: file + ".none"}, ""},
	} {
		p, err := New(Config{Type: tc.kind, Timeout: patient, Interval: patient, Generation: tc.source}, Target{Name: "kt", Address: srv.Listener.Addr().String()})
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if seen, err := p.Probe(t.Context()); err != nil || seen.Generation != tc.want {
			t.Errorf("%s: %q, %v; want %q", tc.name, seen.Generation, err, tc.want)
		}
	}
}

func TestGenerationConfig(t *testing.T) {
	for _, tc := range []struct {
		config Config
		want   string // in a fault; "": none
	}{
		{Config{Type: "http", Generation: GenerationSource{Header: "X-Release"}}, ""},
		{Config{Type: "http", Generation: GenerationSource{Header: "X-Release", JSON: "a"}}, "must be one of them"},
		{Config{Type: "tcp", Port: 1, Generation: GenerationSource{Header: "X-Release"}}, "only for http"},
		{Config{Type: "tcp", Port: 1, Generation: GenerationSource{File: "/srv/release"}}, ""},
		{Config{Type: "tcp", Port: 1, Generation: GenerationSource{File: "release"}}, "absolute"},
		{Config{Type: "http", Method: "HEAD", Generation: GenerationSource{JSON: "a"}}, "HEAD"},
		{Config{Type: "http", Generation: GenerationSource{JSON: "a..b"}}, "keys and indexes"},
		{Config{Type: "push", Generation: GenerationSource{File: "/x"}}, "only for"},
	} {
		var faults []string
		tc.config.Validate(func(key, msg string) { faults = append(faults, key+": "+msg) })
		if text := strings.Join(faults, "\n"); tc.want == "" && text != "" || !strings.Contains(text, tc.want) {
			t.Errorf("%+v: %q, want %q", tc.config.Generation, text, tc.want)
		}
	}
}

// TestGenerationTransition: the caller hears of a new generation though the verdict
// stays, of a check of checks too.
func TestGenerationTransition(t *testing.T) {
	var release atomic.Value
	release.Store("v1")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Release", release.Load().(string))
	}))
	defer srv.Close()
	web := Config{Name: "web", Type: "http", Interval: minInterval, Timeout: patient, Rise: 1, Generation: GenerationSource{Header: "X-Release"}}
	r := NewRunner(nil)
	address := srv.Listener.Addr().String()
	plain, all := Target{Name: "plain", Address: address}, Target{Name: "all", Address: address}
	if err := r.Set([]Check{{plain, web}, {all, Config{Type: "all", Of: []string{"web"}, Parts: []Config{web}}}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	heard := map[string]string{}
	if err := r.Run(ctx, func(tr Transition) {
		heard[tr.Target.Name] = tr.Generation
		switch {
		case heard["plain"] == "v1" && heard["all"] == "v1":
			release.Store("v2")
		case heard["plain"] == "v2" && heard["all"] == "v2":
			cancel()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if heard["plain"] != "v2" || heard["all"] != "v2" {
		t.Errorf("heard %v", heard)
	}
	for _, res := range r.Results() {
		if res.Generation != "v2" {
			t.Errorf("%s: %q", res.Target, res.Generation)
		}
	}
}
