package balancer

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gslb/test/bed"
)

// holding is what a process holds.
type holding struct {
	Heap, Stack, Resident int // octets
	Sockets, Pipes        int // pipes: ends of them
	Widest                int // what the largest pipe can take
	InPipes               int // octets that are in pipes
}

func (h holding) memory() int { return h.Heap + h.Stack }

// hold says what this process holds.
func hold() (h holding, err error) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h.Heap, h.Stack = int(m.HeapAlloc), int(m.StackInuse)
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return h, err
	}
	for line := range strings.Lines(string(text)) {
		if n, err := fmt.Sscanf(line, "RssAnon: %d kB", &h.Resident); n == 1 && err == nil {
			h.Resident <<= 10
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		to, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err != nil {
			continue // that of the folder itself
		}
		n := 0
		fmt.Sscan(fd.Name(), &n)
		switch {
		case n <= 2: // the test's own
		case strings.HasPrefix(to, "socket:"):
			h.Sockets++
		case strings.HasPrefix(to, "pipe:"):
			size, _ := unix.FcntlInt(uintptr(n), unix.F_GETPIPE_SZ, 0)
			inside, _ := unix.IoctlGetInt(n, unix.TIOCINQ)
			h.Pipes++
			h.Widest = max(h.Widest, size)
			h.InPipes += inside / 2 // both ends tell
		}
	}
	return h, err
}

// TestHoldingWithin is no test but the balancer of TestHolding: it says what it holds
// for each line that it gets.
func TestHoldingWithin(t *testing.T) {
	engine := os.Getenv("BALANCER_HOLDING")
	if engine == "" {
		return
	}
	cfg := Config{Name: "f", Engine: engine, Listen: []string{"127.0.0.1:0"}, Servers: []ServerConfig{{Address: os.Getenv("BALANCER_SERVER")}}}
	if engine == EngineEpoll {
		cfg.Threads = 1
	}
	b, err := New([]Config{cfg}, nil, slog.New(slog.DiscardHandler), Options{Node: "lb"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx, nil) }()
	fmt.Println("AT", b.Status()[0].Listen[0])
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		h, err := hold()
		text, _ := json.Marshal(h)
		fmt.Println("HOLDS", string(text), err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// What connections can hold on to is bounded as docs/operations.md has it: while they are
// idle, and while an end takes nothing, each way. The test is this program again, in a
// namespace whose sockets have small buffers: what goes into those by itself is much.
func TestHolding(t *testing.T) {
	if bed.RaceDetector {
		t.Skip("it measures memory, of which the race detector takes much")
	}
	if os.Getenv("BALANCER_NARROW") == "" {
		ns := bed.Netns(t, "holding")[0]
		bed.IPBatch(t, ns, "link set lo up")
		bed.Sysctl(t, ns, "net.ipv4.tcp_rmem=4096 16384 65536", "net.ipv4.tcp_wmem=4096 16384 65536")
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("ip", "netns", "exec", ns, self, "-test.run", "^TestHolding$", "-test.v")
		cmd.Env = append(os.Environ(), "BALANCER_NARROW=1")
		out, err := cmd.CombinedOutput()
		if t.Logf("%s", out); err != nil {
			t.Error(err)
		}
		return
	}
	for engine, most := range map[string]holdingMost{
		EngineEpoll:    {500, 1 << 10, 20 << 10, pipeSize}, // a buffer of 16 KiB takes 18 by the runtime's classes
		EnginePortable: {200, 24 << 10, 64 << 10, 1 << 20}, // goroutines, and pipes of the standard library
	} {
		t.Run(engine, func(t *testing.T) { testHolding(t, engine, most) })
	}
}

// holdingMost is what each of so many connections may hold: memory of the process while it
// is idle and while one way is stuck, and what a pipe may take.
type holdingMost struct{ connections, idle, stuck, pipe int }

const (
	heldVolume      = 1 << 19 // that one end sends and the other does not take
	holdingPatience = 2 * time.Minute
)

func testHolding(t *testing.T, engine string, most holdingMost) {
	connections := most.connections
	s := newHoldingServer(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	within := exec.Command(self, "-test.run", "^TestHoldingWithin$", "-test.v")
	within.Env = append(os.Environ(), "BALANCER_HOLDING="+engine, "BALANCER_SERVER="+s.address)
	within.Stderr = os.Stderr
	ask, _ := within.StdinPipe()
	out, _ := within.StdoutPipe()
	if err := within.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ask.Close(); within.Wait() })
	lines := bufio.NewReader(out)
	says := func(word string) string {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("the balancer: %v", err)
			}
			if rest, ok := strings.CutPrefix(line, word+" "); ok {
				return strings.TrimSpace(rest)
			}
		}
	}
	at := says("AT")
	measure := func() (h holding) {
		t.Helper()
		fmt.Fprintln(ask)
		text, fault, _ := strings.Cut(says("HOLDS"), "} ")
		if err := json.Unmarshal([]byte(text+"}"), &h); err != nil || fault != "<nil>" {
			t.Fatalf("%v, %s", err, fault)
		}
		return h
	}
	each := func(conns []*net.TCPConn, f func(int, *net.TCPConn) error) {
		t.Helper()
		var wg sync.WaitGroup
		for i, c := range conns {
			wg.Go(func() {
				if err := f(i, c); err != nil {
					t.Errorf("connection %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	open := func(n int) []*net.TCPConn {
		conns := make([]*net.TCPConn, n)
		for i := range conns {
			conn, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			conns[i] = conn.(*net.TCPConn)
			conns[i].SetDeadline(time.Now().Add(holdingPatience))
			conns[i].SetReadBuffer(8 << 10)
			conns[i].SetWriteBuffer(8 << 10)
		}
		each(conns, func(_ int, c *net.TCPConn) error { return exchange1(c, 'i') })
		return conns
	}
	// stick has one end of each connection send what the other does not take: the server
	// of every other one, the client of the rest. It returns how much they could send.
	var sent atomic.Int64
	stick := func(conns []*net.TCPConn) *sync.WaitGroup {
		var clients sync.WaitGroup
		for i, c := range conns {
			if i%2 == 0 {
				c.Write([]byte{'d'})
				continue
			}
			clients.Go(func() {
				c.Write([]byte{'u'})
				if err := pour(&sent, c); err != nil {
					t.Errorf("connection %d: %v", i, err)
				}
			})
		}
		return &clients
	}
	loosen := func(conns []*net.TCPConn, clients *sync.WaitGroup) {
		t.Helper()
		for range len(conns) / 2 {
			s.take <- struct{}{}
		}
		each(conns, func(i int, c *net.TCPConn) error {
			if i%2 == 0 {
				_, err := io.CopyN(io.Discard, struct{ io.Reader }{c}, heldVolume)
				return err
			}
			return expect1(c, 'u')
		})
		clients.Wait()
	}

	own := measure() // with nobody there
	warm := open(2)
	loosen(warm, stick(warm))
	before := measure()
	conns := open(connections)
	resting := measure()
	if got := resting.Sockets - before.Sockets; got != 2*connections {
		t.Errorf("idle: %d sockets, want %d", got, 2*connections)
	}
	if resting.Pipes > before.Pipes {
		t.Errorf("idle: %d ends of pipes more", resting.Pipes-before.Pipes)
	}
	if got := (resting.memory() - before.memory()) / connections; got > most.idle {
		t.Errorf("idle: %d octets of memory for each connection, want at most %d", got, most.idle)
	}

	clients := stick(conns)
	var held holding
	was := int64(-1)
	for end := time.Now().Add(holdingPatience); ; time.Sleep(200 * time.Millisecond) { // until nothing goes on any more, and something is held
		now := sent.Load() + s.sent.Load()
		if now == was {
			if held = measure(); held.InPipes > 0 || engine == EnginePortable && now > 0 {
				break
			}
		}
		if was = now; time.Now().After(end) {
			t.Fatalf("after %v: %d octets sent, %+v", holdingPatience, now, held)
		}
	}
	all := int64(connections) * heldVolume
	if got := sent.Load() + s.sent.Load() - 2*heldVolume; got > all*9/10 {
		t.Errorf("%d octets of %d were sent, though nobody takes them: the test shows nothing", got, all)
	}
	if got := held.Pipes - before.Pipes; got > 2*connections {
		t.Errorf("stuck: %d ends of pipes more, want at most one pipe for each of %d ways", got, connections)
	}
	if held.Widest > most.pipe {
		t.Errorf("stuck: a pipe takes %d octets, want at most %d", held.Widest, most.pipe)
	}
	if got := (held.memory() - before.memory()) / connections; got > most.stuck {
		t.Errorf("stuck: %d octets of memory for each connection, want at most %d", got, most.stuck)
	}
	// What the kernel gives the process is more than that by what the collector leaves, but not by far.
	if got, far := held.Resident-before.Resident, 2*most.stuck*connections+8<<20; got > far && !bed.RaceDetector {
		t.Errorf("stuck: %d octets more are resident, want at most %d", got, far)
	}
	t.Logf("each of %d connections: idle %d octets, stuck %d and %d in pipes; resident %d, %d", connections, (resting.memory()-before.memory())/connections,
		(held.memory()-before.memory())/connections, held.InPipes/connections, (resting.Resident-before.Resident)/connections, (held.Resident-before.Resident)/connections)

	loosen(conns, clients)
	const kept = 2 * 64 // ends of the pipes that one event loop keeps
	var after holding
	eventually(t, fmt.Sprintf("idle again, with at most %d pipes and %d octets of memory for each connection", kept, most.idle), func() bool {
		after = measure()
		return after.Pipes-own.Pipes <= kept && (after.memory()-before.memory()-64*bufferSize)/connections <= most.idle
	})
}

// holdingServer answers 'i' with 'i', sends much after 'd', and after 'u' takes as much and
// says 'u', with a token of take.
type holdingServer struct {
	address string
	sent    atomic.Int64
	take    chan struct{}
}

func newHoldingServer(t *testing.T) *holdingServer {
	t.Helper()
	s := &holdingServer{take: make(chan struct{})}
	b := newBackend(t, "s", func(c *net.TCPConn) {
		defer c.Close()
		c.SetWriteBuffer(8 << 10)
		c.SetReadBuffer(8 << 10)
		for b := make([]byte, 1); ; {
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			switch b[0] {
			case 'd':
				if pour(&s.sent, c) != nil {
					return
				}
				continue
			case 'u':
				<-s.take
				if _, err := io.CopyN(io.Discard, struct{ io.Reader }{c}, heldVolume); err != nil {
					return
				}
			}
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	})
	s.address = b.address
	return s
}

// pour writes heldVolume octets, and counts them.
func pour(n *atomic.Int64, c net.Conn) error {
	var part [64 << 10]byte
	for range heldVolume / len(part) {
		m, err := c.Write(part[:])
		n.Add(int64(m))
		if err != nil {
			return err
		}
	}
	return nil
}

func exchange1(c net.Conn, b byte) error {
	if _, err := c.Write([]byte{b}); err != nil {
		return err
	}
	return expect1(c, b)
}

func expect1(c net.Conn, b byte) error {
	var got [1]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return err
	}
	if got[0] != b {
		return fmt.Errorf("got %q, want %q", got[0], b)
	}
	return nil
}
