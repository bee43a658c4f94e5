package balancer

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gslb/health"
	"gslb/health/probe"
)

// deadAddress is a loopback address where nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestConnectIsTriedElsewhere(t *testing.T) {
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
		if c := r.Status()[0].Counters; c.Refused != 0 || c.Retried == 0 {
			t.Errorf("%s: %d refused, %d retried; want 0 and some", pick, c.Refused, c.Retried)
		}
		r.stop()
	}
}

func TestUnansweredConnectIsTriedElsewhere(t *testing.T) {
	// A server whose accept queue is full drops SYNs: the connect times out.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	full := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for filled := false; !filled; {
		c, err := net.DialTimeout("tcp", full, 100*time.Millisecond)
		if filled = err != nil; !filled {
			defer c.Close()
		}
	}
	alive := newBackend(t, "alive", nil)
	cfg := config(alive)
	cfg.Servers = append(cfg.Servers, ServerConfig{Address: full})
	cfg.Pick, cfg.ConnectTimeout = RoundRobin, 100*time.Millisecond
	r := newRig(t, cfg, nil)
	for range 6 {
		if c := r.mustConnect(); c.from != "alive" {
			t.Fatalf("served by %q", c.from)
		}
	}
	if !r.happened(EventIsolated, full) {
		t.Errorf("not isolated: %v", r.Events())
	}
}

func TestRestartOfTheOnlyServer(t *testing.T) {
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
}

func TestNoServerAtAllResets(t *testing.T) {
	cfg := config()
	cfg.Servers = []ServerConfig{{Address: deadAddress(t)}}
	cfg.ConnectTimeout = 50 * time.Millisecond
	r := newRig(t, cfg, nil)
	if _, err := r.connect(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v, want a reset", err)
	}
	if got := r.Status()[0].Counters.Refused; got != 1 {
		t.Errorf("%d refused, want 1", got)
	}
}

// stream makes connections until its stop is called, and counts what becomes of them.
type stream struct {
	served, failed atomic.Int64
	stop           func()
}

func (r *rig) stream(clients int) *stream {
	s := new(stream)
	end := make(chan struct{})
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				c, err := r.connect()
				if err != nil {
					s.failed.Add(1)
					continue
				}
				c.Close()
				s.served.Add(1)
			}
		})
	}
	s.stop = sync.OnceFunc(func() { close(end); wg.Wait() })
	r.t.Cleanup(s.stop)
	return s
}

// tcpCheck is an active check quick enough for tests.
var tcpCheck = map[string]probe.Config{"web": {
	Type: "tcp", Port: 1, Interval: 50 * time.Millisecond, Timeout: 50 * time.Millisecond, Rise: 2, Fall: 2,
}}

func TestSpareComesInAndGoesOut(t *testing.T) {
	a, b, spare := newBackend(t, "a", nil), newBackend(t, "b", nil), newBackend(t, "spare", nil)
	cfg := config(a, b)
	cfg.Spares = []ServerConfig{{Address: spare.address}}
	cfg.Check, cfg.SlowStart, cfg.SpareHold = "web", 100*time.Millisecond, 300*time.Millisecond
	r := newRig(t, cfg, tcpCheck)
	eventually(t, "verdicts", func() bool {
		return r.server(a.address).State == health.Up && r.server(spare.address).State == health.Up
	})
	r.mustConnect() // held open throughout
	s := r.stream(2)
	eventually(t, "a stream", func() bool { return s.served.Load() > 50 })
	if spare.accepted.Load() > 0 && r.server(spare.address).Total > 0 {
		t.Error("the spare has connections while it is not needed")
	}
	a.kill()
	eventually(t, "the spare in service", func() bool { return r.happened(EventSpareIn, spare.address) })
	failed := s.failed.Load()
	eventually(t, "connections to the spare", func() bool { return r.server(spare.address).Total > 10 })
	eventually(t, "a report of 2 healthy", func() bool { return r.lastReport().Healthy == 2 })
	held := r.mustConnect()
	for held.from != "spare" {
		held = r.mustConnect()
	}
	a.start()
	eventually(t, "the spare out of service", func() bool { return r.happened(EventSpareOut, spare.address) })
	if err := held.echo("still here"); err != nil {
		t.Errorf("connection to the spare that was taken out: %v", err)
	}
	total, served := r.server(spare.address).Total, s.served.Load()
	eventually(t, "more of the stream", func() bool { return s.served.Load() > served+50 })
	s.stop()
	if got := r.server(spare.address).Total; got > total+2 { // those under way when it went out
		t.Errorf("%d new connections to the spare after it was taken out", got-total)
	}
	if got := s.failed.Load() - failed; got != 0 {
		t.Errorf("%d connections failed after the isolation, want 0", got)
	}
}

func TestActiveCheckOnTheWire(t *testing.T) {
	a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
	cfg := config(a, b)
	cfg.Check = "web"
	r := newRig(t, cfg, tcpCheck)
	eventually(t, "both up", func() bool {
		return r.server(a.address).State == health.Up && r.server(b.address).State == health.Up
	})
	a.kill() // and nobody connects: only the check can find out
	eventually(t, "a down", func() bool { return r.server(a.address).State == health.Down })
	if d := r.server(a.address).Detail; !strings.Contains(d, "refused") {
		t.Errorf("detail %q, want what the check saw", d)
	}
	b.kill()
	eventually(t, "a report of 0 healthy", func() bool {
		return r.lastReport().Healthy == 0 && r.lastReport().Total == 2 && r.Status()[0].Panic
	})
	b.start()
	eventually(t, "a report of 1 healthy", func() bool { return r.lastReport().Healthy == 1 })
}

func TestDrainOnTheWire(t *testing.T) {
	a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
	cfg := config(a, b)
	cfg.DrainTimeout = 500 * time.Millisecond
	r := newRig(t, cfg, nil)
	held := map[string]*client{}
	for len(held) < 2 {
		c := r.mustConnect()
		held[c.from] = c
	}
	if err := r.Drain("www", a.address, true); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if c := r.mustConnect(); c.from == "a" {
			t.Fatal("a draining server has a new connection")
		}
	}
	if err := held["a"].echo("working"); err != nil {
		t.Errorf("established connection of a draining server: %v", err)
	}
	eventually(t, "the end of the drain", func() bool { return r.happened(EventDrained, a.address) })
	if !r.happened(EventCut, a.address) {
		t.Error("what outlived the drain time-out was not told as cut")
	}
	if err := held["a"].echo("x"); err == nil {
		t.Error("a connection outlived the drain time-out")
	}
	if err := held["b"].echo("x"); err != nil {
		t.Errorf("connection to the other server: %v", err)
	}
	if err := r.Drain("www", a.address, false); err != nil {
		t.Fatal(err)
	}
	if err := r.Drain("web", a.address, true); err == nil || !strings.Contains(err.Error(), `"web"`) {
		t.Errorf("drain in an unknown frontend: %v", err)
	}
}

func TestMaxConnectionsWaitInTheQueue(t *testing.T) {
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
}

func TestShutdownLetsConnectionsFinish(t *testing.T) {
	a := newBackend(t, "a", nil)
	r := newRig(t, config(a), nil)
	c := r.mustConnect()
	ended := make(chan struct{})
	go func() { r.stop(); close(ended) }()
	eventually(t, "the listener closed", func() bool {
		conn, err := net.Dial("tcp", r.address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if err := c.echo("finishing"); err != nil {
		t.Errorf("connection while shutting down: %v", err)
	}
	eventually(t, "a last report of 0 healthy", func() bool { return r.lastReport().Healthy == 0 })
	select {
	case <-ended:
		t.Error("Run returned with a connection open")
	default:
	}
	c.Close()
	<-ended // as soon as the last one is gone, long before the 30 s
	if err := r.Apply([]Config{config(a)}, nil); err == nil {
		t.Error("Apply after the end has no error")
	}
}

func TestShutdownIsBounded(t *testing.T) {
	a := newBackend(t, "a", nil)
	cfg := config(a)
	cfg.DrainTimeout = 100 * time.Millisecond
	r := newRig(t, cfg, nil)
	c := r.mustConnect()
	r.stop()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the drain: %v, want a reset", err)
	}
	if got := r.Status()[0].Counters.Cut; got != 1 {
		t.Errorf("%d cut, want 1", got)
	}
}

func TestApply(t *testing.T) {
	a, b, c := newBackend(t, "a", nil), newBackend(t, "b", nil), newBackend(t, "c", nil)
	cfg := config(a, b)
	cfg.DrainTimeout = 300 * time.Millisecond
	r := newRig(t, cfg, nil)
	held := map[string]*client{}
	for len(held) < 2 {
		cl := r.mustConnect()
		held[cl.from] = cl
	}

	next := config(a, c)
	next.Listen, next.DrainTimeout = append(cfg.Listen, "127.0.0.1:0"), cfg.DrainTimeout
	if err := r.Apply([]Config{next}, nil); err != nil {
		t.Fatal(err)
	}
	if got := r.Addrs("www"); len(got) != 2 || got[0].String() != r.address {
		t.Errorf("listens at %v, want %s kept and another one", got, r.address)
	}
	for range 10 {
		if cl := r.mustConnect(); cl.from == "b" {
			t.Fatal("a removed server has a new connection")
		}
	}
	for name, cl := range held {
		if err := cl.echo("still here"); err != nil {
			t.Errorf("connection to %s: %v", name, err)
		}
	}
	eventually(t, "the removed server drained", func() bool { return r.happened(EventDrained, b.address) })
	if err := held["b"].echo("x"); err == nil {
		t.Error("connection to the removed server outlived the drain time-out")
	}
	if err := held["a"].echo("x"); err != nil {
		t.Errorf("connection to the server that was kept: %v", err)
	}
}

func TestApplyIsAllOrNothing(t *testing.T) {
	a := newBackend(t, "a", nil)
	r := newRig(t, config(a), nil)
	taken := config(a)
	taken.Name, taken.Listen = "other", []string{"127.0.0.1:0", a.address}
	err := r.Apply([]Config{taken}, nil)
	if err == nil || !strings.Contains(err.Error(), a.address) || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("Apply with a taken address: %v", err)
	}
	bad := config(a)
	bad.Pick = "best"
	if err := r.Apply([]Config{bad}, nil); err == nil || !strings.Contains(err.Error(), `"best"`) {
		t.Errorf("Apply with a bad pick: %v", err)
	}
	if c := r.mustConnect(); c.from != "a" {
		t.Errorf("served by %q", c.from)
	}
	if got := r.Status(); len(got) != 1 || got[0].Name != "www" {
		t.Errorf("status %+v, want www alone", got)
	}
}

func TestListenerMovesBetweenFrontends(t *testing.T) {
	a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
	cfg := config(a)
	cfg.Listen = []string{deadAddress(t)}
	cfg.DrainTimeout = 300 * time.Millisecond
	r := newRig(t, cfg, nil)
	s := r.stream(2)
	held := r.mustConnect()
	renamed := config(b)
	renamed.Name, renamed.Listen = "web", cfg.Listen
	if err := r.Apply([]Config{renamed}, nil); err != nil {
		t.Fatal(err)
	}
	if c := r.mustConnect(); c.from != "b" {
		t.Errorf("served by %q, want b", c.from)
	}
	if err := held.echo("x"); err != nil {
		t.Errorf("connection of the removed frontend: %v", err)
	}
	s.stop()
	if got := s.failed.Load(); got != 0 {
		t.Errorf("%d connections failed as the listener moved, want 0", got)
	}
	eventually(t, "the end of the removed frontend", func() bool { return held.echo("x") != nil })
}

func TestTakenPortIsAClearError(t *testing.T) {
	a := newBackend(t, "a", nil)
	cfg := config(a)
	cfg.Listen = []string{a.address}
	b, err := New([]Config{cfg}, nil, slog.New(slog.DiscardHandler), Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = b.Run(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), `frontend "www"`) || !strings.Contains(err.Error(), a.address) {
		t.Errorf("Run: %v, want the frontend and the address", err)
	}
}

func TestOutOfDescriptors(t *testing.T) {
	a := newBackend(t, "a", nil)
	r := newRig(t, config(a), nil)
	r.mustConnect().Close()
	eventually(t, "an empty balancer", func() bool { return r.Status()[0].Open == 0 })
	waiting, err := net.Dial("tcp", "127.0.0.1:1") // so that resolving has all that it needs
	if err == nil {
		waiting.Close()
	}
	client, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
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
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		hoard = append(hoard, f)
	}
	addr := r.Addrs("www")[0].(*net.TCPAddr)
	if err := syscall.Connect(client, &syscall.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a failed accept", func() bool { return r.Status()[0].Counters.AcceptErrors > 2 })
	free()
	buf := make([]byte, 2)
	if n, err := syscall.Read(client, buf); err != nil || string(buf[:n]) != "a\n" {
		t.Errorf("after descriptors came back: read %q, %v", buf[:max(n, 0)], err)
	}
	if s := r.server(a.address); s.Failures != 0 {
		t.Errorf("%d failures are blamed on the server", s.Failures)
	}
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

func TestNothingIsLeftBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	a, spare := newBackend(t, "a", nil), newBackend(t, "spare", nil)
	cfg := config(a)
	cfg.Spares = []ServerConfig{{Address: spare.address}}
	cfg.Check, cfg.DrainTimeout = "web", 50*time.Millisecond
	r := newRig(t, cfg, tcpCheck)
	for range 20 {
		r.mustConnect()
	}
	r.stop()
	a.kill()
	spare.kill()
	eventually(t, "no goroutines left", func() bool { return runtime.NumGoroutine() <= before })
}

func TestStatusAndReport(t *testing.T) {
	a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
	cfg := config(a)
	cfg.Spares = []ServerConfig{{Address: b.address}}
	cfg.Servers[0].Capacity, cfg.Spares[0].Capacity = 10, 20
	r := newRig(t, cfg, nil)
	for range 4 {
		if err := r.mustConnect().echo("1234567"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a report", func() bool { return r.lastReport().Connections == 4 })
	got := r.lastReport()
	if got.Site != "kt" || got.Node != "lb1" || got.Healthy != 1 || got.Total != 1 || got.Load != 4 || got.Capacity != 10 || got.At.IsZero() {
		t.Errorf("report %+v", got)
	}
	want := []health.Server{
		{Frontend: "www", Address: a.address, State: health.Up, Role: "server", InService: true, Connections: 4},
		{Frontend: "www", Address: b.address, State: health.Unknown, Role: "spare"},
	}
	if !slices.Equal(got.Servers, want) {
		t.Errorf("report's servers %+v, want %+v", got.Servers, want)
	}
	s := r.Status()[0]
	if s.Plane != "proxy" || s.Open != 4 || s.Available != 1 || s.Counters.Accepted != 4 || s.Servers[0].Total != 4 ||
		s.Servers[0].BytesUp != 32 || s.Servers[0].BytesDown != 32+8 {
		t.Errorf("status %+v", s)
	}
}

func TestReportsOfSeveralFrontends(t *testing.T) {
	one, two, other := named("a", ""), named("b", ""), named("c", "")
	one.Name, one.Site, one.Servers[0].Address, one.Servers[0].Capacity = "one", "kt", "127.0.0.1:1001", 10
	two.Name, two.Site, two.Servers[0].Address = "two", "kt", "127.0.0.1:1002"
	other.Name, other.Site, other.Servers[0].Address = "other", "us", "127.0.0.1:1003"
	b, err := New([]Config{one, two, other}, nil, slog.New(slog.DiscardHandler), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range b.fronts {
		f.pool.servers[0].open.Store(int64(i + 1))
	}
	got := b.reports(false)
	if len(got) != 2 || got[0].Site != "kt" || got[1].Site != "us" {
		t.Fatalf("reports %+v, want of kt and us", got)
	}
	// two states no capacity, so its load is in no unit of kt's capacity.
	if got[0].Load != 1 || got[0].Capacity != 10 || got[0].Connections != 3 || got[0].Total != 2 {
		t.Errorf("kt: %+v", got[0])
	}
	if got[1].Load != 3 || got[1].Capacity != 0 || got[1].Healthy != 1 {
		t.Errorf("us: %+v", got[1])
	}
	if stopping := b.reports(true); stopping[0].Healthy != 0 || stopping[0].Total != 2 {
		t.Errorf("when stopping: %+v", stopping[0])
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
