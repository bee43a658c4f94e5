package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"gslb/test/bed"
)

// echoServer is a UDP server on loopback that answers each datagram with its
// name and the datagram, several times if it is asked to.
type echoServer struct {
	t       testing.TB
	name    string
	address string

	mu    sync.Mutex
	times int // guarded by mu
	conn  *net.UDPConn
	from  map[string]bool
}

func newEchoServer(t testing.TB, name string) *echoServer {
	t.Helper()
	e := &echoServer{t: t, name: name, address: bed.Reserve(t, "udp"), times: 1, from: map[string]bool{}}
	e.start()
	t.Cleanup(e.kill)
	return e
}

func (e *echoServer) start() {
	e.t.Helper()
	lc := net.ListenConfig{Control: bed.ReuseAddress}
	c, err := lc.ListenPacket(context.Background(), "udp", e.address)
	if err != nil {
		e.t.Fatal(err)
	}
	conn := c.(*net.UDPConn)
	conn.SetReadBuffer(4 << 20)
	e.mu.Lock()
	e.conn = conn
	e.mu.Unlock()
	go func() { // ends with kill
		buffer := make([]byte, datagramSize)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			e.mu.Lock()
			e.from[from.String()] = true
			times := e.times
			e.mu.Unlock()
			for range times {
				conn.WriteToUDPAddrPort(append([]byte(e.name+" "), buffer[:n]...), from)
			}
		}
	}()
}

func (e *echoServer) kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conn.Close()
}

// sessions is how many sockets it has heard from.
func (e *echoServer) sessions() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.from)
}

func datagramConfig(engine string, servers ...*echoServer) Config {
	c := Config{Name: "www", Listen: []string{"127.0.0.1:0"}, Protocol: UDP, Engine: engine, Pick: RoundRobin}
	for _, s := range servers {
		c.Servers = append(c.Servers, ServerConfig{Address: s.address})
	}
	return c
}

// udpClient is a client's socket.
type udpClient struct {
	t testing.TB
	*net.UDPConn
}

func (r *rig) udpClient() *udpClient {
	r.t.Helper()
	c, err := net.Dial("udp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return &udpClient{r.t, c.(*net.UDPConn)}
}

// ask sends until there is an answer to what was sent, and gives the server's name.
func (c *udpClient) ask(text string) string {
	c.t.Helper()
	buffer := make([]byte, datagramSize)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := c.Write([]byte(text)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		for {
			n, err := c.Read(buffer)
			if err != nil {
				break
			}
			if name, rest, ok := strings.Cut(string(buffer[:n]), " "); ok && rest == text {
				return name
			}
		}
	}
	c.t.Fatalf("no answer to %.20q", text)
	return ""
}

// eachDatagramEngine runs a test with all engines of the proxy plane.
func eachDatagramEngine(t *testing.T, test func(t *testing.T, engine string)) {
	for _, engine := range Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(t, engine)
		})
	}
}

// A client stays with its server, and clients are spread.
func TestSessions(t *testing.T) {
	eachDatagramEngine(t, func(t *testing.T, engine string) {
		one, two := newEchoServer(t, "one"), newEchoServer(t, "two")
		r := newRig(t, datagramConfig(engine, one, two), nil)
		got := map[string]int{}
		for i := range 20 {
			c := r.udpClient()
			name := c.ask(fmt.Sprint(i))
			got[name]++
			for j := range 5 {
				if again := c.ask(fmt.Sprint(i, j)); again != name {
					t.Errorf("client %d went from %s to %s", i, name, again)
				}
			}
		}
		if got["one"] != 10 || got["two"] != 10 {
			t.Errorf("%v", got)
		}
		if one.sessions() != 10 || two.sessions() != 10 {
			t.Errorf("sockets: %d, %d", one.sessions(), two.sessions())
		}
		s := r.Status()[0]
		if s.Open != 20 || s.Counters.Accepted != 20 || s.Servers[0].Total != 10 || s.Servers[0].BytesUp == 0 || s.Servers[0].BytesDown <= s.Servers[0].BytesUp || s.Servers[0].Latency == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// All sizes go through whole, the largest and none at all.
func TestDatagramSizes(t *testing.T) {
	eachDatagramEngine(t, func(t *testing.T, engine string) {
		r := newRig(t, datagramConfig(engine, newEchoServer(t, "s")), nil)
		c := r.udpClient()
		for _, n := range []int{0, 1, 1472, 9000, 65507 - 2} {
			c.ask(strings.Repeat("x", n))
		}
	})
}

// Sessions end when they were idle, and not before.
func TestSessionsEnd(t *testing.T) {
	eachDatagramEngine(t, func(t *testing.T, engine string) {
		s := newEchoServer(t, "s")
		cfg := datagramConfig(engine, s)
		cfg.IdleTimeout = 200 * time.Millisecond
		r := newRig(t, cfg, nil)
		c := r.udpClient()
		c.ask("a")
		// One more if the first answer came so late that the client asked again.
		eventually(t, "the session's end", func() bool { st := r.Status()[0]; return st.Open == 0 && st.Counters.TimedOut >= 1 })
		before := r.Status()[0].Counters.Accepted
		if got := r.Status()[0].Servers[0].Connections; got != 0 { // a session leaves its server before its frontend
			t.Errorf("%d at the server", got)
		}
		c.ask("b")
		if got := r.Status()[0].Counters.Accepted; got <= before {
			t.Errorf("%d sessions, and %d before: want a new one", got, before)
		}
	})
}

// With responses the last answer ends the session.
func TestResponses(t *testing.T) {
	eachDatagramEngine(t, func(t *testing.T, engine string) {
		s := newEchoServer(t, "s")
		s.mu.Lock()
		s.times = 2
		s.mu.Unlock()
		cfg := datagramConfig(engine, s)
		cfg.Responses = 2
		r := newRig(t, cfg, nil)
		c := r.udpClient()
		c.ask("a")
		eventually(t, "the session's end", func() bool { st := r.Status()[0]; return st.Open == 0 && st.Counters.TimedOut == 0 })
	})
}

// A server that is gone (ICMP says so) or drained loses its sessions to the others.
func TestSessionsMove(t *testing.T) {
	eachDatagramEngine(t, func(t *testing.T, engine string) {
		one, two := newEchoServer(t, "one"), newEchoServer(t, "two")
		r := newRig(t, datagramConfig(engine, one, two), nil)
		var clients []*udpClient
		for i := range 10 {
			clients = append(clients, r.udpClient())
			clients[i].ask("first")
		}
		one.kill()
		for _, c := range clients {
			if got := c.ask("after the kill"); got != "two" {
				t.Errorf("answered by %s", got)
			}
		}
		if st := r.Status()[0]; st.Servers[0].Failures == 0 {
			t.Errorf("%+v", st.Servers[0])
		}
		one.start()
		eventually(t, "the server's return", func() bool { return r.Status()[0].Available == 2 })
		if err := r.Drain("www", two.address, 0); err != nil {
			t.Fatal(err)
		}
		for _, c := range clients {
			if got := c.ask("after the drain"); got != "one" {
				t.Errorf("answered by %s", got)
			}
		}
		// A session that was left ends by its own goroutine, which the client does not wait for.
		eventually(t, "no session left at the drained server", func() bool { return r.Status()[0].Servers[1].Connections == 0 })
	})
}

// Bounds: of the frontend, of a client network, of who may come.
func TestSessionBounds(t *testing.T) {
	eachDatagramEngine(t, func(t *testing.T, engine string) {
		cfg := datagramConfig(engine, newEchoServer(t, "s"))
		cfg.MaxConnections = 2
		r := newRig(t, cfg, nil)
		one, two, three := r.udpClient(), r.udpClient(), r.udpClient()
		one.ask("1")
		two.ask("2")
		three.Write([]byte("3"))
		eventually(t, "a drop", func() bool { c := r.Status()[0].Counters; return c.Dropped == 1 && c.QueueFull == 1 })
		one.ask("1 again")
	})
}

// A change of the configuration, and of the engine, loses no session that it need not.
func TestSessionsSurviveReload(t *testing.T) {
	one, two := newEchoServer(t, "one"), newEchoServer(t, "two")
	cfg := datagramConfig(Engines()[0], one)
	cfg.Listen = []string{bed.FreeAddress(t)}
	r := newRig(t, cfg, nil)
	c := r.udpClient()
	c.ask("a")
	cfg.Servers = append(cfg.Servers, ServerConfig{Address: two.address})
	if err := r.Apply([]Config{cfg}, nil); err != nil {
		t.Fatal(err)
	}
	if got := c.ask("b"); got != "one" || one.sessions() != 1 {
		t.Errorf("%s, %d sockets", got, one.sessions())
	}
	for _, engine := range slices.Backward(Engines()) {
		cfg.Engine, cfg.Threads = engine, 0
		if err := r.Apply([]Config{cfg}, nil); err != nil {
			t.Fatal(err)
		}
		c.ask("with " + engine)
	}
	cfg.Servers = cfg.Servers[1:]
	if err := r.Apply([]Config{cfg}, nil); err != nil {
		t.Fatal(err)
	}
	if got := c.ask("c"); got != "two" {
		t.Errorf("answered by a server that was removed: %s", got)
	}
	// Somebody else has the address: everything stays as it was.
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bad := cfg
	bad.Listen = []string{taken.LocalAddr().String()}
	if err := r.Apply([]Config{bad}, nil); err == nil {
		t.Error("an address that is taken was listened at")
	}
	c.ask("d")
}

// On a listener for all addresses, answers leave from the one that was asked: a
// client's connected socket takes no others.
func TestDatagramsOfAllAddresses(t *testing.T) {
	eachDatagramEngine(t, func(t *testing.T, engine string) {
		if engine == EnginePortable {
			t.Skip("answers leave from the address that the system chooses")
		}
		for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
			cfg := datagramConfig(engine, newEchoServer(t, "s"))
			cfg.Listen = []string{listen}
			r := newRig(t, cfg, nil)
			_, port, _ := net.SplitHostPort(r.address)
			hosts := []string{"127.0.0.1", "127.0.0.77"}
			switch listen {
			case "[::]:0":
				hosts = []string{"::1"}
			case ":0":
				hosts = append(hosts, "::1")
			}
			for _, host := range hosts {
				if l, err := net.ListenPacket("udp", net.JoinHostPort(host, "0")); err != nil {
					t.Logf("no %s here", host)
					continue
				} else {
					l.Close()
				}
				r.address = net.JoinHostPort(host, port)
				r.udpClient().ask("at " + host)
			}
			r.stop()
		}
	})
}

// Ten thousand sessions at once, each with its own server's answers, of as many clients. These
// share a socket, which sends from their addresses, so that a session costs this process one descriptor.
func TestManySessions(t *testing.T) {
	const most = 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < most+2000 {
		t.Skipf("needs %d descriptors; the limit is %d (%v)", most+2000, limit.Cur, err)
	}
	eachDatagramEngine(t, func(t *testing.T, engine string) {
		if engine == EnginePortable {
			t.Skip("a goroutine for each")
		}
		one, two := newEchoServer(t, "one"), newEchoServer(t, "two")
		cfg := datagramConfig(engine, one, two)
		cfg.IdleTimeout = time.Hour // the first is asked again when all others are there
		r := newRig(t, cfg, nil)
		c := newCrowd(t, r.address)
		first := c.ask(most)
		if got := r.Status()[0].Open; got != most {
			t.Errorf("%d sessions", got)
		}
		for i, server := range c.ask(most) {
			if server != first[i] {
				t.Fatalf("client %d: server %q, and before %q", i, server, first[i])
			}
		}
		if got := r.Status()[0].Open; got != most {
			t.Errorf("%d sessions, when each had asked twice", got)
		}
	})
}

// crowd is clients by the thousand, at addresses of 127.1.0.0/16, which share a socket.
type crowd struct {
	t testing.TB
	*ipv4.PacketConn
	to net.Addr
}

func newCrowd(t testing.TB, to string) *crowd {
	t.Helper()
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadBuffer(4 << 20)
	c := &crowd{t, ipv4.NewPacketConn(conn), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))}
	if err := c.SetControlMessage(ipv4.FlagDst, true); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask has each of n clients ask until it has an answer to its own question, and gives the servers' names.
func (c *crowd) ask(n int) []string {
	c.t.Helper()
	names, missing := make([]string, n), n
	buffer := make([]byte, datagramSize)
	for end := time.Now().Add(patience); missing > 0; {
		if time.Now().After(end) {
			c.t.Fatalf("%d of %d clients have no answer", missing, n)
		}
		asked := 0
		for i := range names {
			if names[i] != "" {
				continue
			}
			from := net.IPv4(127, 1, byte(i>>8), byte(i))
			if _, err := c.WriteTo([]byte(from.String()), &ipv4.ControlMessage{Src: from}, c.to); err != nil {
				c.t.Fatal(err)
			}
			if asked++; asked == 64 { // no more than fits in the sockets on the way
				break
			}
		}
		for c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); asked > 0; {
			size, at, _, err := c.ReadFrom(buffer)
			if err != nil {
				break // some was lost, or is late
			}
			name, question, _ := strings.Cut(string(buffer[:size]), " ")
			to := at.Dst.To4()
			i := int(to[2])<<8 | int(to[3])
			if question != to.String() || i >= n {
				c.t.Fatalf("%v has the answer to %q", to, question)
			}
			if names[i] == "" {
				names[i] = name
				missing--
				asked--
			}
		}
	}
	return names
}

func TestDatagramConfig(t *testing.T) {
	for _, test := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.ConnectTimeout = time.Second }, "connect_timeout"},
		{func(c *Config) { c.CloseTimeout = time.Second }, "close_timeout"},
		{func(c *Config) { c.Queue = 5 }, "queue"},
		{func(c *Config) { c.QueueTimeout = time.Second }, "queue_timeout"},
		{func(c *Config) { c.Responses = -1 }, "responses"},
		{func(c *Config) { c.Protocol, c.Responses = TCP, 1 }, "responses"},
		{func(c *Config) { c.Protocol = "sctp" }, "protocol"},
		{func(*Config) {}, ""},
	} {
		c := Config{Name: "www", Listen: []string{"127.0.0.1:53"}, Protocol: UDP, Servers: []ServerConfig{{Address: "127.0.0.1:54"}}}
		test.change(&c)
		var keys []string
		c.Validate(func(key, _ string) { keys = append(keys, key) })
		if got := strings.Join(keys, " "); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
		if test.want == "" {
			c.WithDefaults().Validate(func(key, msg string) { t.Errorf("with defaults: %s %s", key, msg) })
		}
	}
}
