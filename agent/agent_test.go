package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRangeAndShare(t *testing.T) {
	for text, want := range map[string]map[float64]float64{
		"0.5:1":    {0: 1, 0.5: 1, 0.75: 0.55, 1: 0.1, 7: 0.1},
		"100:1100": {100: 1, 600: 0.55, 1100: 0.1},
	} {
		r, err := ParseRange(text)
		if err != nil {
			t.Fatal(err)
		}
		for figure, share := range want {
			if got := r.share(figure, 0.1); got < share-1e-9 || got > share+1e-9 {
				t.Errorf("%s: of %v is left %v, want %v", text, figure, got, share)
			}
		}
	}
	for _, text := range []string{"", "1", "1:1", "2:1", "a:b", "-1:2", "NaN:1"} {
		if _, err := ParseRange(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	both := Rules{CPU: Range{0, 1, true}, Queue: Range{0, 10, true}, Least: 0}
	if got := both.share(&Figures{CPU: 0.2, Queue: 9}); got < 0.0999 || got > 0.1001 {
		t.Errorf("of two figures is left %v, want the less: 0.1", got)
	}
}

// proc makes a proc file system of two processors.
func proc(t *testing.T, dir string, busy, idle, running int) string {
	t.Helper()
	os.MkdirAll(filepath.Join(dir, "net"), 0o755)
	for name, text := range map[string]string{
		"stat":          fmt.Sprintf("cpu  %d 0 0 %d 0 0 0 0 55 0\ncpu0 1 0 0 1\ncpu1 1 0 0 1\nprocs_running %d\n", busy, idle, running),
		"meminfo":       "MemTotal: 1000 kB\nMemFree: 5 kB\nMemAvailable:  250 kB\n",
		"net/sockstat":  "sockets: used 9\nTCP: inuse 30 orphan 0 tw 7\n",
		"net/sockstat6": "TCP6: inuse 12\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFigures(t *testing.T) {
	dir := t.TempDir()
	r := reader{proc: proc(t, dir, 100, 100, 1)}
	var f Figures
	if err := r.read(&f); err != nil {
		t.Fatal(err)
	}
	proc(t, dir, 190, 110, 5)
	if err := r.read(&f); err != nil {
		t.Fatal(err)
	}
	if want := (Figures{CPU: 0.9, Memory: 0.75, Queue: 2, Connections: 42}); f != want {
		t.Errorf("read %+v, want %+v", f, want)
	}
	os.WriteFile(filepath.Join(dir, "stat"), []byte("nonsense\n"), 0o644)
	if err := r.read(&f); err == nil {
		t.Error("nonsense is read")
	}
}

func TestLine(t *testing.T) {
	dir := t.TempDir()
	app, state := filepath.Join(dir, "app"), filepath.Join(dir, "state")
	a := New(Config{Proc: proc(t, dir, 1, 1, 1), State: state, App: App{File: app}, Rules: Rules{App: Range{0, 100, true}, Least: 0.1}}, slog.New(slog.DiscardHandler))
	for i, tt := range []struct{ app, state, why, want string }{
		{"0\n", "", "", "up ready 100% # seq=1 t="},
		{"50", "", "", "up ready 55% # seq=2 t="},
		{"5000", "", "", "up ready 10% # seq=3 t="},
		{"drain", "", "", "drain # the application says so seq=4 "},
		{"down", "", "", "down # the application says so seq=5 "},
		{"what?", "", "", `down # the application says "what?": must be a number`},
		{"0", Maint, "new disk", "maint # new disk seq=7 "},
		{"0", Drain, "", "drain # seq=8 "},
		{"down", Drain, "", "drain # seq=9 "},
		{"0", Ready, "", "up ready 100% # seq=10 "},
	} {
		os.WriteFile(app, []byte(tt.app), 0o644)
		if tt.state != "" {
			if err := WriteState(state, tt.state, tt.why); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.look(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := a.Line(); !strings.HasPrefix(got, tt.want) || strings.ContainsAny(got, "\r\n") {
			t.Errorf("row %d: %q, want %q", i+1, got, tt.want)
		}
	}
	os.Remove(filepath.Join(dir, "stat")) // frozen: the number stands still
	a.look(context.Background())
	if got := a.Line(); !strings.Contains(got, "seq=10 ") {
		t.Errorf("without figures: %q", got)
	}
	if err := WriteState(state, Drain, "a\nb"); err == nil {
		t.Error("a reason of two lines is taken")
	}
}

func TestApp(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			http.Error(w, "no", http.StatusInternalServerError)
		}
		io.WriteString(w, "0.25\nmore\n")
	}))
	defer server.Close()
	for _, tt := range []struct {
		app    App
		figure float64
		err    string
	}{
		{App{}, 0, ""}, {App{URL: server.URL}, 0.25, ""}, {App{URL: server.URL + "/bad"}, 0, "500"},
		{App{Exec: []string{"/bin/echo", "7"}}, 7, ""}, {App{Exec: []string{"/bin/false"}}, 0, "exit status 1"}, {App{File: "/nonexistent"}, 0, "no such file"},
	} {
		figure, _, err := tt.app.read(context.Background())
		if figure != tt.figure || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%+v: %v, %v", tt.app, figure, err)
		}
	}
}

func TestRun(t *testing.T) {
	a := New(Config{Proc: proc(t, t.TempDir(), 1, 1, 1), Interval: 20 * time.Millisecond, State: "/nonexistent/state"}, slog.New(slog.DiscardHandler))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- a.Run(ctx, ln) }()
	ask := func() string {
		t.Helper()
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		text, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := ask()
	if !strings.HasPrefix(first, "up ready 100% # seq=") || !strings.HasSuffix(first, "\n") {
		t.Errorf("answered %q", first)
	}
	for ask() == first {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
