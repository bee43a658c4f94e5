package dnsserver

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// patience is how long what must happen may take, on however busy a machine.
const patience = time.Minute

// An idle time-out that a test waits for is brief; but it also ends what the test has not
// got on with, and how long a busy machine lets it stand still nobody knows. So what has to
// be done before such a time-out is tried again with a longer one if it fails.
func withIdle(t *testing.T, test func(idle time.Duration) error) {
	t.Helper()
	var err error
	for _, idle := range []time.Duration{500 * time.Millisecond, 5 * time.Second, patience / 2} {
		if err = test(idle); err == nil {
			return
		}
		t.Logf("with an idle time-out of %v: %v", idle, err)
	}
	t.Error(err)
}

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// start serves on loopback until the test ends.
func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, end := begin(t, cfg, discard())
	t.Cleanup(func() {
		if err := <-end(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// begin serves on loopback until end is called, which gives what Serve returns
// then, or the test ends. before are called while it does not yet listen.
func begin(t *testing.T, cfg Config, log *slog.Logger, before ...func(*Server)) (s *Server, end func() <-chan error) {
	t.Helper()
	base, _ := server(t, nil)
	s = New(cfg, log)
	s.Swap(base.Generation())
	for _, f := range before {
		f(s)
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	return s, func() <-chan error { cancel(); return done }
}

// modes are the ways that UDP can be served; every test of it runs in each.
var modes = map[string]int{"batched": 0, "singly": 1}

func TestTransports(t *testing.T) {
	for name, batch := range modes {
		for _, engine := range engines() {
			t.Run(name+" "+engine, func(t *testing.T) { testTransports(t, batch, engine) })
		}
	}
}

func testTransports(t *testing.T, batch int, engine string) {
	cfg := Config{Listen: []string{"127.0.0.1:0"}, Batch: batch, TCPEngine: engine}
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		l.Close()
		cfg.Listen = append(cfg.Listen, "[::1]:0", "[::]:0")
	}
	s := start(t, cfg)
	for _, a := range s.Addrs() {
		addr := a.String()
		if a.Addr().IsUnspecified() {
			addr = net.JoinHostPort("::1", addr[strings.LastIndex(addr, ":")+1:])
		}
		for _, network := range []string{"udp", "tcp"} {
			m := new(dns.Msg)
			m.SetQuestion("www.abc.com.", dns.TypeA)
			r, _, err := (&dns.Client{Net: network, Timeout: patience}).Exchange(m, addr)
			if err != nil {
				t.Fatalf("%s %s: %v", network, addr, err)
			}
			if got, want := brief(r), "NOERROR aa rd www.abc.com./CNAME/a.www.abc.com. a.www.abc.com./A/192.0.2.10"; got != want {
				t.Errorf("%s %s: %s", network, addr, got)
			}
		}
	}
	st := s.Stats()
	if st.Queries["udp4"] != 1 || st.Queries["tcp4"] != 1 || st.Picked["www.abc.com."][0] != st.Tailored {
		t.Errorf("stats %+v", st)
	}
}

// On a wildcard address the answer leaves from the address that was asked: a
// connected socket takes no other.
func TestWildcardKeepsAddress(t *testing.T) {
	for name, batch := range modes {
		t.Run(name, func(t *testing.T) { testWildcard(t, batch) })
	}
}

func testWildcard(t *testing.T, batch int) {
	s := start(t, Config{Listen: []string{"0.0.0.0:0"}, Workers: 1, Batch: batch})
	port := s.Addrs()[0].Port()
	for _, ip := range []string{"127.0.0.1", "127.0.0.7", "127.9.9.9"} {
		m := new(dns.Msg)
		m.SetQuestion("static.abc.com.", dns.TypeA)
		if _, _, err := (&dns.Client{Timeout: patience}).Exchange(m, netip.AddrPortFrom(netip.MustParseAddr(ip), port).String()); err != nil {
			t.Errorf("%s: %v", ip, err)
		}
	}
}

func TestPipelining(t *testing.T) { eachEngine(t, testPipelining) }

func testPipelining(t *testing.T, engine string) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engine})
	c, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	co := &dns.Conn{Conn: c}
	c.SetDeadline(time.Now().Add(patience))
	const n = 100
	for i := range n {
		m := new(dns.Msg)
		m.SetQuestion("static.abc.com.", dns.TypeA)
		m.Id = uint16(i)
		if err := co.WriteMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		m, err := co.ReadMsg()
		if err != nil || m.Id != uint16(i) || len(m.Answer) != 1 {
			t.Fatalf("answer %d: %v %v", i, m, err)
		}
	}
}

func TestTCPLimits(t *testing.T) {
	t.Parallel()
	eachEngine(t, testTCPLimits)
}

func testTCPLimits(t *testing.T, engine string) {
	t.Parallel()
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPMaxClient: 3, TCPIdle: time.Hour, TCPEngine: engine})
	for range 3 {
		dialAndBegin(t, s)
	}
	waitFor(t, func() bool { return s.Stats().TCPOpen == 3 })
	closes(t, "the fourth connection of a client", dialAndBegin(t, s))
	waitFor(t, func() bool { st := s.Stats(); return st.TCPRefuse == 1 && st.TCPOpen == 3 })

	s = start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPIdle: 200 * time.Millisecond, TCPEngine: engine})
	c := dial(t, s)
	c.Write([]byte{0}) // in vain if this test stood still
	closes(t, "an idle connection", c)
	waitFor(t, func() bool { return s.Stats().TCPOpen == 0 })
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen within %v", patience)
		}
	}
}

func TestListenErrors(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct{ addr, want string }{
		{l.Addr().String(), "cannot listen on tcp " + l.Addr().String()},
		{"localhost:53", "want an address and port"},
		{"127.0.0.1", "want an address and port"},
	} {
		err := New(Config{Listen: []string{c.addr}}, discard()).Listen(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.addr, err, c.want)
		}
	}
}

// A port that is left to the system is free for TCP and UDP, however many of UDP's are taken.
func TestPortForBoth(t *testing.T) {
	for i := range 50 {
		at := portForBoth(netip.MustParseAddrPort([]string{"127.0.0.1:0", "[::]:0", "0.0.0.0:0"}[i%3]))
		if at.Port() == 0 {
			t.Fatal("no port")
		}
		taken, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close() // the next one is another
	}
	if at := netip.MustParseAddrPort("192.0.2.1:53"); portForBoth(at) != at {
		t.Error("a port that is given is not kept")
	}
}

// Many clients at once, all of whom get their own answer, in both modes.
func TestManyAtOnce(t *testing.T) {
	for name, batch := range modes {
		t.Run(name, func(t *testing.T) {
			s := start(t, Config{Listen: []string{"127.0.0.1:0"}, Batch: batch})
			var wg sync.WaitGroup
			for c := range 20 {
				wg.Go(func() {
					conn, err := net.Dial("udp4", s.Addrs()[0].String())
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					conn.SetDeadline(time.Now().Add(patience))
					const n = 50
					for i := range n {
						m := new(dns.Msg)
						m.SetQuestion([]string{"static.abc.com.", "www.abc.com.", "none.abc.com."}[i%3], dns.TypeA)
						m.Id = uint16(c*n + i)
						out, _ := m.Pack()
						conn.Write(out)
					}
					seen := make(map[uint16]bool)
					buf := make([]byte, 1500)
					for range n {
						k, err := conn.Read(buf)
						if err != nil {
							t.Errorf("client %d after %d answers: %v", c, len(seen), err)
							return
						}
						m := new(dns.Msg)
						if err := m.Unpack(buf[:k]); err != nil || seen[m.Id] || int(m.Id)/n != c {
							t.Errorf("client %d: %v %v", c, m, err)
							return
						}
						want := []string{"static.abc.com.", "www.abc.com.", "none.abc.com."}[int(m.Id)%n%3]
						if m.Question[0].Name != want {
							t.Errorf("client %d: question %s, want %s", c, m.Question[0].Name, want)
						}
						seen[m.Id] = true
					}
				})
			}
			wg.Wait()
		})
	}
}
