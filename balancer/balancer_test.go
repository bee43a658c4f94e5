package balancer

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gslb/health"
	"gslb/health/probe"
	"gslb/test/bed"
)

// TestMain has more tests at once than there are processors: they wait more than they work.
func TestMain(m *testing.M) {
	flag.Set("test.parallel", "6")
	os.Exit(m.Run())
}

// backend is a real TCP server on loopback that says its name when a client
// connects and then echoes.
type backend struct {
	t       testing.TB
	name    string
	address string
	serve   func(*net.TCPConn)

	mu       sync.Mutex
	listener net.Listener
	conns    map[*net.TCPConn]bool
	accepted atomic.Int64
}

func newBackend(t testing.TB, name string, serve func(*net.TCPConn)) *backend {
	t.Helper()
	b := &backend{t: t, name: name, address: bed.Reserve(t, "tcp"), serve: serve, conns: map[*net.TCPConn]bool{}}
	if serve == nil {
		b.serve = func(c *net.TCPConn) {
			if _, err := fmt.Fprintln(c, name); err == nil {
				io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) // no splice: its pipes would count as ours
			}
			c.Close()
		}
	}
	b.start()
	t.Cleanup(b.kill)
	return b
}

// start listens, at the address that is its own while it is dead, too.
func (b *backend) start() {
	b.t.Helper()
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp", b.address)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	b.listener = l
	b.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // for want of descriptors
				time.Sleep(time.Millisecond)
				continue
			}
			conn := c.(*net.TCPConn)
			b.accepted.Add(1)
			b.mu.Lock()
			b.conns[conn] = true
			b.mu.Unlock()
			go func() {
				b.serve(conn)
				b.mu.Lock()
				delete(b.conns, conn)
				b.mu.Unlock()
			}()
		}
	}()
}

// kill does what kill -9 does: no listener, and a reset for every connection.
func (b *backend) kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listener != nil {
		b.listener.Close()
	}
	for c := range b.conns {
		c.SetLinger(0)
		c.Close()
	}
}

// patience is how long what must happen may take, on however busy a machine.
const patience = time.Minute

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %v: %s", patience, what)
}

// rig is a running balancer with one frontend, "www".
type rig struct {
	*Balancer
	t       testing.TB
	address string
	stop    func() // ends Run and waits for it

	mu      sync.Mutex
	reports []health.Report
}

// configOf makes a configuration of servers for one engine.
type configOf func(servers ...*backend) Config

// eachEngine runs a test with each engine of the proxy plane.
func eachEngine(t *testing.T, test func(t *testing.T, config configOf)) {
	for _, engine := range Engines() {
		t.Run(engine, func(t *testing.T) {
			test(t, func(servers ...*backend) Config {
				c := config(servers...)
				c.Engine = engine
				return c
			})
		})
	}
}

func config(servers ...*backend) Config {
	c := Config{Name: "www", Site: "kt", Listen: []string{"127.0.0.1:0"}}
	for _, s := range servers {
		c.Servers = append(c.Servers, ServerConfig{Address: s.address})
	}
	return c
}

func newRig(t testing.TB, cfg Config, checks map[string]probe.Config) *rig {
	t.Helper()
	return newRigWith(t, Options{ReportEvery: 50 * time.Millisecond}, cfg, checks)
}

func newRigWith(t testing.TB, opts Options, cfg Config, checks map[string]probe.Config) *rig {
	t.Helper()
	return newRigOf(t, opts, []Config{cfg}, checks)
}

// newRigOf runs a balancer of several frontends, the first of which is "www".
func newRigOf(t testing.TB, opts Options, cfgs []Config, checks map[string]probe.Config) *rig {
	t.Helper()
	opts.Node = "lb1"
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() && os.Getenv("BALANCER_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	b, err := New(cfgs, checks, log, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	r := &rig{Balancer: b, t: t, address: b.Addrs("www")[0].String()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := b.Run(ctx, r.report); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	r.stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(r.stop)
	return r
}

func (r *rig) report(h health.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, h)
}

func (r *rig) lastReport() health.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.reports) == 0 {
		return health.Report{}
	}
	return r.reports[len(r.reports)-1]
}

// happened tells whether there was such an event.
func (r *rig) happened(what, server string) bool {
	for _, e := range r.Events() {
		if e.What == what && e.Server == server {
			return true
		}
	}
	return false
}

func (r *rig) server(address string) ServerStatus {
	r.t.Helper()
	for _, s := range r.Status()[0].Servers {
		if s.Address == address {
			return s
		}
	}
	r.t.Fatalf("no server %s", address)
	return ServerStatus{}
}

// client is a connection through the balancer; from is the backend's name.
type client struct {
	*net.TCPConn
	in   *bufio.Reader
	from string
}

func (r *rig) connect() (*client, error) {
	conn, err := net.DialTimeout("tcp", r.address, patience)
	if err != nil {
		return nil, err
	}
	return r.greeted(conn)
}

// greeted reads the backend's name.
func (r *rig) greeted(conn net.Conn) (*client, error) {
	c := &client{TCPConn: conn.(*net.TCPConn), in: bufio.NewReader(conn)}
	conn.SetDeadline(time.Now().Add(2 * patience)) // of all that is done with it
	line, err := c.in.ReadString('\n')
	if err != nil {
		conn.Close()
		return nil, err
	}
	c.from = strings.TrimSpace(line)
	return c, nil
}

func (r *rig) mustConnect() *client {
	r.t.Helper()
	c, err := r.connect()
	if err != nil {
		r.t.Fatalf("connect through the balancer: %v", err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

func (c *client) echo(text string) error {
	if _, err := fmt.Fprintln(c, text); err != nil {
		return err
	}
	line, err := c.in.ReadString('\n')
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(line); got != text {
		return fmt.Errorf("echo %q, want %q", got, text)
	}
	return nil
}

func TestRoundRobinSpreads(t *testing.T) {
	eachEngine(t, func(t *testing.T, config configOf) {
		a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
		cfg := config(a, b)
		cfg.Pick = RoundRobin
		r := newRig(t, cfg, nil)
		for range 10 {
			c := r.mustConnect()
			if err := c.echo("hello"); err != nil {
				t.Fatal(err)
			}
		}
		if a.accepted.Load() != 5 || b.accepted.Load() != 5 {
			t.Errorf("a took %d, b %d connections, want 5 each", a.accepted.Load(), b.accepted.Load())
		}
	})
}
