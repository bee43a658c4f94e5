package balancer

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"gslb/test/bed"
)

// deadAddress is a loopback address where nobody listens, and nobody will during
// the test: a socket has it.
func deadAddress(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	return boundTo(t, fd)
}

// boundTo is the loopback address that a socket has.
func boundTo(t *testing.T, fd int) string {
	t.Helper()
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
}

func TestConnectIsTriedElsewhere(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		alive := newBackend(t, "alive", nil)
		for _, pick := range Picks() {
			cfg := config(alive)
			cfg.Pick = pick
			for range 5 { // most are dead, and most of them cannot be isolated, by the ceiling
				cfg.Servers = append(cfg.Servers, ServerConfig{Address: deadAddress(t)})
			}
			r := newRig(t, cfg, nil)
			for range 50 {
				c := r.mustConnect()
				c.Close()
			}
			if c := r.Status()[0].Counters; c.Refused != 0 || c.Retried == 0 && pick != Maglev && pick != Hash { // the hash of this client may be the alive one's
				t.Errorf("%s: %d refused, %d retried; want 0 and some", pick, c.Refused, c.Retried)
			}
			r.stop()
		}
	})
}

func TestUnansweredConnectIsTriedElsewhere(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		t.Parallel()
		// A server whose accept queue is full drops SYNs: the connect times out.
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(fd)
		if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
			t.Fatal(err)
		}
		full := boundTo(t, fd)
		for failed := 0; failed < 5; { // one alone may be of a machine that stood still
			c, err := net.DialTimeout("tcp", full, 100*time.Millisecond)
			if failed++; err == nil {
				failed = 0
				defer c.Close()
			}
		}
		alive := newBackend(t, "alive", nil)
		cfg := config(alive)
		cfg.Servers = append(cfg.Servers, ServerConfig{Address: full})
		cfg.Pick, cfg.ConnectTimeout = RoundRobin, time.Second
		r := newRig(t, cfg, nil)
		for range 6 {
			if c := r.mustConnect(); c.from != "alive" {
				t.Fatalf("served by %q", c.from)
			}
		}
		if !r.happened(EventIsolated, full) {
			t.Errorf("not isolated: %v", r.Events())
		}
	})
}

func TestRestartOfTheOnlyServer(t *testing.T) {
	eachEngine(t, func(t *testing.T, config configOf) {
		a := newBackend(t, "a", nil)
		r := newRig(t, config(a), nil)
		a.kill()
		done := make(chan error, 1)
		go func() {
			c, err := r.connect()
			if err == nil {
				c.Close()
			}
			done <- err
		}()
		eventually(t, "a failed connect", func() bool { return r.server(a.address).Failures > 0 })
		a.start()
		if err := <-done; err != nil {
			t.Errorf("a connection while the only server restarted: %v", err)
		}
		if r.happened(EventIsolated, a.address) {
			t.Error("the only server was isolated on a guess")
		}
	})
}

func TestNoServerAtAllResets(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		cfg := config()
		cfg.Servers = []ServerConfig{{Address: deadAddress(t)}}
		cfg.ConnectTimeout = 50 * time.Millisecond
		r := newRig(t, cfg, nil)
		if _, err := r.connect(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("error %v, want a reset", err)
		}
		eventually(t, "one refused", func() bool { return r.Status()[0].Counters.Refused == 1 })
	})
}

func TestMaxConnectionsWaitInTheQueue(t *testing.T) {
	eachEngine(t, func(t *testing.T, config configOf) {
		a := newBackend(t, "a", nil)
		cfg := config(a)
		cfg.MaxConnections = 3
		r := newRig(t, cfg, nil)
		var held []*client
		for range 3 {
			held = append(held, r.mustConnect())
		}
		waiting := make(chan error, 2)
		for range 2 {
			go func() {
				c, err := r.connect()
				if err == nil {
					defer c.Close()
				}
				waiting <- err
			}()
		}
		time.Sleep(100 * time.Millisecond) // for them to get through, if they could
		if got := a.accepted.Load(); got != 3 {
			t.Errorf("the server has %d connections, want 3", got)
		}
		held[0].Close()
		held[1].Close()
		for range 2 {
			if err := <-waiting; err != nil {
				t.Errorf("a connection that had to wait: %v", err)
			}
		}
	})
}

func TestOutOfDescriptors(t *testing.T) {
	eachEngine(t, func(t *testing.T, config configOf) {
		a := newBackend(t, "a", nil)
		r := newRig(t, config(a), nil)
		r.mustConnect().Close()
		eventually(t, "an empty balancer", func() bool { return r.Status()[0].Open == 0 })
		waiting, err := net.Dial("tcp", "127.0.0.1:1") // so that resolving has all that it needs
		if err == nil {
			waiting.Close()
		}
		client, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(client)

		var hoard []*os.File
		free := sync.OnceFunc(func() {
			for _, f := range hoard {
				f.Close()
			}
		})
		defer free()
		var old syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
		defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old)
		low := old
		low.Cur = 200
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
			t.Fatal(err)
		}
		take := func() { // all that there are, and those that tests before this one give back late
			for {
				f, err := os.Open("/dev/null")
				if err != nil {
					return
				}
				hoard = append(hoard, f)
			}
		}
		take()
		addr := r.Addrs("www")[0].(*net.TCPAddr)
		if err := syscall.Connect(client, &syscall.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a failed accept", func() bool {
			take()
			c := r.Status()[0].Counters
			return c.AcceptErrors+c.LocalErrors > 2
		})
		free()
		buf := make([]byte, 2)
		if n, err := syscall.Read(client, buf); err != nil || string(buf[:n]) != "a\n" {
			t.Errorf("after descriptors came back: read %q, %v", buf[:max(n, 0)], err)
		}
		if s := r.server(a.address); s.Failures != 0 {
			t.Errorf("%d failures are blamed on the server", s.Failures)
		}
	})
}

func TestOwnFault(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.EMFILE: true, syscall.ENFILE: true, syscall.EADDRNOTAVAIL: true, syscall.ENOBUFS: true, syscall.ENOMEM: true,
		syscall.ECONNREFUSED: false, syscall.EHOSTUNREACH: false, os.ErrDeadlineExceeded: false, io.EOF: false,
	} {
		wrapped := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)}
		if got := ownFault(wrapped); got != want {
			t.Errorf("ownFault(%v) = %v", err, got)
		}
	}
}

func TestGate(t *testing.T) {
	g := gate{most: 1}
	done := make(chan struct{})
	if !g.enter(done) {
		t.Fatal("an empty gate is shut")
	}
	got := make(chan bool)
	go func() { got <- g.enter(done) }()
	g.leave()
	if !<-got {
		t.Error("not let in as one left")
	}
	go func() { got <- g.ready(done) }()
	g.bound(2)
	if !<-got {
		t.Error("not ready as the bound grew")
	}
	g.bound(1)
	close(done)
	if g.enter(done) {
		t.Error("let in over the bound")
	}
}

func TestListenOnBothFamilies(t *testing.T) {
	eachEngine(t, func(t *testing.T, config configOf) {
		if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
			t.Skipf("no IPv6 on loopback here: %v", err)
		} else {
			l.Close()
		}
		a := newBackend(t, "a", nil)
		port := strconv.Itoa(bed.FreePort(t, "0.0.0.0", "::"))
		for name, listens := range map[string][]string{
			"side by side": {"0.0.0.0:" + port, "[::]:" + port},
			"no host":      {":" + port},
		} {
			cfg := config(a)
			cfg.Listen = listens
			r := newRig(t, cfg, nil)
			for _, host := range []string{"127.0.0.1", "::1"} {
				r.address = net.JoinHostPort(host, port)
				if c := r.mustConnect(); c.from != "a" {
					t.Errorf("%s, over %s: served by %q", name, host, c.from)
				} else {
					c.Close()
				}
			}
			r.stop()
		}
	})
}
