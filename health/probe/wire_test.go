package probe

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gslb/health"
	"gslb/test/bed"
)

// TestMain has more tests at once than there are processors: they wait for time-outs.
func TestMain(m *testing.M) {
	flag.Set("test.parallel", "16")
	os.Exit(m.Run())
}

// listen serves each connection with handle until the test ends.
func listen(t *testing.T, handle func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	return bed.Serve(t, l, func(c net.Conn) {
		ended := make(chan struct{})
		go func() { defer close(ended); handle(c.(*net.TCPConn)) }()
		select {
		case <-ended:
		case <-stop:
		}
	})
}

// hang leaves the connection open and silent until the other side closes it.
func hang(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }

// say answers whatever comes with raw bytes.
func say(raw string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = c.Write([]byte(raw))
	}
}

// closedPort is a port where nobody listens.
func closedPort(t *testing.T) string { return bed.Reserve(t, "tcp") }

// fullQueue is a listener whose accept queue is full: the kernel drops further SYNs.
func fullQueue(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		syscall.Listen(fd, 0),
	); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
	for i, failed := 0, 0; i < 20; i++ {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err == nil {
			failed = 0
			t.Cleanup(func() { c.Close() })
		} else if failed++; failed == 5 { // one alone may be of a machine that stood still
			return address
		}
	}
	t.Skip("the accept queue does not fill here")
	return ""
}

// probeOnce makes one probe of address and returns its error with the address as ADDR.
func probeOnce(t *testing.T, cfg Config, address string) string {
	t.Helper()
	p, err := New(cfg, Target{Name: "kt", Address: address})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Probe(t.Context())
	if err == nil {
		return ""
	}
	if errors.Is(err, ErrNotProbed) {
		t.Errorf("%v: is taken for this machine's fault", err)
	}
	return strings.ReplaceAll(err.Error(), address, "ADDR")
}

func TestTCP(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		address string
		want    string
	}{
		{"accepted", listen(t, hang), ""},
		{"accepted and reset", listen(t, func(c *net.TCPConn) { _ = c.SetLinger(0) }), ""},
		{"refused", closedPort(t), "connect to ADDR: connection refused"},
		{"no answer", fullQueue(t), "timeout after 4s while connecting to ADDR"},
		{"no such host", "name.invalid:80", "connect to ADDR: look-up of name.invalid: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := Config{Type: "tcp", Timeout: brief, Interval: patient}
			got := probeOnce(t, cfg, test.address)
			if strings.HasPrefix(got, "timeout") && strings.Contains(test.want, "look-up") {
				t.Skip("no resolver answers here")
			}
			if got != test.want && (!strings.HasSuffix(test.want, ": ") || !strings.HasPrefix(got, test.want)) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	status := func(code int) string {
		return "HTTP/1.1 " + fmt.Sprint(code) + " x\r\nContent-Length: 2\r\n\r\nok"
	}
	tests := []struct {
		name   string
		handle func(*net.TCPConn)
		cfg    Config
		want   string
	}{
		{"200", say(status(200)), Config{}, ""},
		{"204 without body", say("HTTP/1.1 204 x\r\n\r\n"), Config{}, ""},
		{"HTTP/1.0, body to the end", say("HTTP/1.0 200 OK\r\n\r\nbody"), Config{}, ""},
		{"399", say(status(399)), Config{}, ""},
		{"a redirect is an answer and not followed", say("HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), Config{}, ""},
		{"interim responses", say("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + status(200)), Config{}, ""},
		{"endless interim responses", say(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20)), Config{}, "headers from ADDR: more than 8 interim responses"},
		{"400", say(status(400)), Config{}, "http 400 from ADDR/, want 200-399"},
		{"503", say(status(503)), Config{Path: "/healthz"}, "http 503 from ADDR/healthz, want 200-399"},
		{"503 whose body never comes", func(c *net.TCPConn) { say("HTTP/1.1 503 x\r\nContent-Length: 9\r\n\r\n")(c); hang(c) }, Config{}, "http 503 from ADDR/, want 200-399"},
		{"200 when others are wanted", say(status(200)), Config{Status: []Status{{301, 301}, {204, 204}}}, "http 200 from ADDR/, want 204, 301"},
		{"503 when wanted", say(status(503)), Config{Status: []Status{{500, 509}}}, ""},
		{"more body than is read", say("HTTP/1.1 200 x\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1000000)), Config{}, ""},
		{"endless chunks", func(c *net.TCPConn) {
			say("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n")(c)
			for err := error(nil); err == nil; _, err = c.Write([]byte("400\r\n" + strings.Repeat("x", 1024) + "\r\n")) {
			}
		}, Config{}, ""},
		{"body cut short", say("HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\nok"), Config{}, "body from ADDR: connection closed by the other side"},
		{"body stalls", func(c *net.TCPConn) { say("HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\nok")(c); hang(c) }, Config{}, "timeout after 4s while reading the body from ADDR"},
		{"no answer", hang, Config{}, "timeout after 4s while waiting for headers from ADDR"},
		{"half a header", func(c *net.TCPConn) { say("HTTP/1.1 200 OK\r\nContent-")(c); hang(c) }, Config{}, "timeout after 4s while waiting for headers from ADDR"},
		{"a byte at a time", func(c *net.TCPConn) {
			for _, b := range []byte("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1000)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}, Config{}, "timeout after 4s while waiting for headers from ADDR"},
		{"closed without a word", func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 4096)) }, Config{}, "headers from ADDR: connection closed by the other side"},
		{"half-closed, then silent", func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 4096)); _ = c.CloseWrite(); hang(c) }, Config{}, "headers from ADDR: connection closed by the other side"},
		{"reset", func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 4096)); _ = c.SetLinger(0) }, Config{}, "headers from ADDR: connection reset by peer"},
		{"not HTTP", say("SSH-2.0-OpenSSH_9.9\r\n"), Config{}, `headers from ADDR: malformed HTTP response "SSH-2.0-OpenSSH_9.9"`},
		{"endless headers", func(c *net.TCPConn) {
			say("HTTP/1.1 200 OK\r\n")(c)
			for err := error(nil); err == nil; _, err = c.Write([]byte("X: " + strings.Repeat("x", 1000) + "\r\n")) {
			}
		}, Config{}, "headers from ADDR: more than 64 KiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.cfg.Type, test.cfg.Timeout, test.cfg.Interval = "http", patient, patient
			if strings.HasPrefix(test.want, "timeout") {
				test.cfg.Timeout = brief
			}
			if got := probeOnce(t, test.cfg, listen(t, test.handle)); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestHTTPRequest looks at what a server gets: one fresh connection for each
// probe, no proxy, the Host that is configured.
func TestHTTPRequest(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	type request struct{ line, host, agent, from string }
	got := make(chan request, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- request{r.Method + " " + r.RequestURI + " " + r.Proto, r.Host, r.UserAgent(), r.RemoteAddr}
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	for _, test := range []struct{ host, want string }{{"", address}, {"www.abc.com", "www.abc.com"}} {
		p, err := New(Config{Type: "http", Timeout: patient, Interval: patient, Path: "/healthz?deep=1", Host: test.host}, Target{Address: address})
		if err != nil {
			t.Fatal(err)
		}
		var from [2]string
		for i := range from {
			if _, err := p.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			r := <-got
			if r.line != "GET /healthz?deep=1 HTTP/1.1" || r.host != test.want || r.agent != "gslb-probe" {
				t.Errorf("host %q: %+v", test.host, r)
			}
			from[i] = r.from
		}
		if from[0] == from[1] {
			t.Errorf("two probes on one connection from %s", from[0])
		}
	}
}

func TestHostHeader(t *testing.T) {
	for _, test := range []struct{ kind, address, want string }{
		{"http", "192.0.2.1:80", "192.0.2.1"},
		{"http", "192.0.2.1:443", "192.0.2.1:443"},
		{"https", "192.0.2.1:443", "192.0.2.1"},
		{"http", "[2001:db8::1]:80", "[2001:db8::1]"},
		{"http", "[2001:db8::1]:8080", "[2001:db8::1]:8080"},
		{"http", "[fe80::1%eth0]:80", "[fe80::1]"},
		{"https", "www.abc.com:8443", "www.abc.com:8443"},
	} {
		if got := hostHeader(test.kind, test.address); got != test.want {
			t.Errorf("%s %s: got %s, want %s", test.kind, test.address, got, test.want)
		}
	}
}

// TestContext: the end of the caller's context ends a probe at once, and says so.
func TestContext(t *testing.T) {
	t.Parallel()
	address := listen(t, hang)
	p, err := New(Config{Type: "http", Timeout: 2 * patient, Interval: 2 * patient}, Target{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	if _, err := p.Probe(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if d := time.Since(began); d > patient {
		t.Errorf("took %v to end", d)
	}
	ctx, cancel = context.WithTimeout(t.Context(), brief)
	defer cancel()
	want := "timeout after 4s while waiting for headers from " + address
	if _, err := p.Probe(ctx); err == nil || err.Error() != want {
		t.Errorf("caller's deadline: got %v, want %s", err, want)
	}
}

// TestLocalFault: what this machine lacks is not the target's failure.
func TestLocalFault(t *testing.T) {
	for _, test := range []struct {
		errno syscall.Errno
		local bool
	}{
		{syscall.EMFILE, true}, {syscall.ENFILE, true}, {syscall.ENOBUFS, true}, {syscall.ENOMEM, true}, {syscall.EADDRNOTAVAIL, true},
		{syscall.ECONNREFUSED, false}, {syscall.ENETUNREACH, false}, {syscall.EHOSTUNREACH, false}, {syscall.ECONNRESET, false},
	} {
		a := begin(t.Context(), place{address: "192.0.2.1:80", timeout: time.Second})
		a.phase = connecting
		err := a.fault(&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", test.errno)})
		a.end()
		if errors.Is(err, ErrNotProbed) != test.local {
			t.Errorf("%v: %v", test.errno, err)
		}
	}
}

// TestRunnerOnTheWire: a real server fails, dies and comes back, on the real clock.
func TestRunnerOnTheWire(t *testing.T) {
	t.Parallel()
	var failing atomic.Bool
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if failing.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	address := bed.Reserve(t, "tcp")
	serve := func() *httptest.Server {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
		server.Start()
		return server
	}
	server := serve()
	r := NewRunner(nil)
	err := r.Set([]Check{{Target{"kt", address}, Config{Type: "http", Interval: 20 * time.Millisecond, Timeout: 5 * time.Second}}})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan Transition, 16)
	stop := start(r, func(tr Transition) { told <- tr })
	defer stop()
	expect := func(state health.State, detail string) {
		t.Helper()
		select {
		case tr := <-told:
			if tr.State != state || !strings.Contains(tr.Detail, detail) {
				t.Fatalf("told %v (%s), want %v (%s)", tr.State, tr.Detail, state, detail)
			}
		case <-time.After(2 * patient):
			t.Fatalf("not told %v in a minute; results %+v", state, r.Results())
		}
	}
	expect(health.Up, "ok in ")
	failing.Store(true)
	expect(health.Down, "http 503 from "+address+"/, want 200-399")
	failing.Store(false)
	expect(health.Up, "ok in ")
	server.Close()
	expect(health.Down, "connect to "+address+": connection refused")
	again := serve()
	defer again.Close()
	expect(health.Up, "ok in ")
}

func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 204 N\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 503 x\r\n\r\n", "HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "\x15\x03\x01\x00\x02\x02\x16", "HTTP/2.0 200 OK\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	p, err := makeHTTP(Config{Type: "http", Path: "/", Method: "GET", BodyMatch: "k", JSON: map[string]string{"a[0].b": ""}}, "192.0.2.1:80")
	if err != nil {
		f.Fatal(err)
	}
	p.timeout = time.Minute
	f.Fuzz(func(t *testing.T, raw []byte) {
		a := begin(t.Context(), p.place)
		defer a.end()
		response, bounded, err := p.first.receive(a, strings.NewReader(string(raw)))
		if err == nil {
			p.first.redirect(response, p.first)
			err = p.judge(a, p.first, response, bounded, new(Seen))
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
	})
}
