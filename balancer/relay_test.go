package balancer

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// pipe is one connection through the balancer, seen from both ends.
type pipe struct {
	rig            *rig
	client, server *net.TCPConn
}

// newPipe is newPipeOf the default engine.
func newPipe(t *testing.T, change func(*Config)) *pipe { return newPipeOf(t, config, change) }

// newPipeOf connects through a balancer to a server that does nothing by itself.
func newPipeOf(t *testing.T, config configOf, change func(*Config)) *pipe {
	t.Helper()
	servers := make(chan *net.TCPConn, 1)
	release := make(chan struct{})
	b := newBackend(t, "silent", func(c *net.TCPConn) {
		servers <- c
		<-release
	})
	t.Cleanup(func() { close(release) })
	cfg := config(b)
	cfg.DrainTimeout = 50 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	p := &pipe{rig: newRig(t, cfg, nil)}
	conn, err := net.Dial("tcp", p.rig.address)
	if err != nil {
		t.Fatal(err)
	}
	p.client, p.server = conn.(*net.TCPConn), <-servers
	for _, c := range []*net.TCPConn{p.client, p.server} {
		c.SetDeadline(time.Now().Add(2 * patience))
		t.Cleanup(func() { c.Close() })
	}
	return p
}

// eachWay runs a test with each engine, with the ends as they are and the other way round.
func eachWay(t *testing.T, change func(*Config), test func(t *testing.T, p *pipe, from, to *net.TCPConn)) {
	eachEngine(t, func(t *testing.T, config configOf) {
		t.Run("client to server", func(t *testing.T) {
			p := newPipeOf(t, config, change)
			test(t, p, p.client, p.server)
		})
		t.Run("server to client", func(t *testing.T) {
			p := newPipeOf(t, config, change)
			test(t, p, p.server, p.client)
		})
	})
}

func send(t *testing.T, c *net.TCPConn, data string) {
	t.Helper()
	if _, err := io.WriteString(c, data); err != nil {
		t.Fatalf("write %q: %v", data, err)
	}
}

func expect(t *testing.T, c *net.TCPConn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %.100q, %v, want %.100q", got, err, want)
	}
}

// expectEnd wants the end of c: io.EOF, or syscall.ECONNRESET.
func expectEnd(t *testing.T, c *net.TCPConn, want error) {
	t.Helper()
	n, err := c.Read(make([]byte, 1))
	if n != 0 || !errors.Is(err, want) {
		t.Fatalf("read %d bytes, %v, want %v", n, err, want)
	}
}

func TestHalfCloseKeepsTheWayBack(t *testing.T) {
	eachWay(t, nil, func(t *testing.T, p *pipe, from, to *net.TCPConn) {
		send(t, from, "request")
		from.CloseWrite()
		expect(t, to, "request")
		expectEnd(t, to, io.EOF)
		send(t, to, "late ")
		time.Sleep(20 * time.Millisecond) // the answer comes in parts, after the FIN
		send(t, to, "answer")
		to.CloseWrite()
		expect(t, from, "late answer")
		expectEnd(t, from, io.EOF)
		eventually(t, "end of the connection", func() bool { return p.rig.Status()[0].Open == 0 })
	})
}

func TestBulkArrivesWholeBeforeTheEnd(t *testing.T) {
	data := make([]byte, 32<<20+12345)
	rand.NewChaCha8([32]byte{}).Read(data)
	eachWay(t, nil, func(t *testing.T, p *pipe, from, to *net.TCPConn) {
		go func() {
			from.Write(data)
			from.CloseWrite() // with much of it still on the way
		}()
		sum := sha256.New()
		n, err := io.Copy(sum, to)
		if err != nil || n != int64(len(data)) || !bytes.Equal(sum.Sum(nil), sha256of(data)) {
			t.Errorf("%d bytes of %d arrived, %v, or were changed", n, len(data), err)
		}
		to.CloseWrite()
		expectEnd(t, from, io.EOF)
		if p.rig.Status()[0].Counters.Spliced < int64(len(data))/2 {
			t.Errorf("only %d of %d bytes were spliced", p.rig.Status()[0].Counters.Spliced, len(data))
		}
	})
}

func sha256of(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}

func TestBulkThenTalk(t *testing.T) {
	t.Parallel()
	eachWay(t, func(c *Config) { c.CloseTimeout = 400 * time.Millisecond }, func(t *testing.T, p *pipe, from, to *net.TCPConn) {
		block := string(make([]byte, 4<<20))
		for range 3 { // into splicing and out of it again
			go io.WriteString(from, block)
			expect(t, to, block)
			time.Sleep(100 * time.Millisecond) // longer than splicing waits
			for range 3 {
				send(t, from, "small")
				expect(t, to, "small")
			}
		}
	})
}

func TestResetIsPassedOnAsReset(t *testing.T) {
	eachWay(t, nil, func(t *testing.T, p *pipe, from, to *net.TCPConn) {
		send(t, from, "hello")
		expect(t, to, "hello")
		reset(from)
		expectEnd(t, to, syscall.ECONNRESET)
		eventually(t, "count of the reset", func() bool { return p.rig.Status()[0].Counters.Resets == 1 })
	})
}

func TestResetAfterHalfClose(t *testing.T) {
	eachWay(t, nil, func(t *testing.T, p *pipe, from, to *net.TCPConn) {
		to.CloseWrite()
		expectEnd(t, from, io.EOF)
		reset(from)
		expectEnd(t, to, syscall.ECONNRESET)
	})
}

func TestResetComesAfterTheBytesBeforeIt(t *testing.T) {
	eachWay(t, nil, func(t *testing.T, p *pipe, from, to *net.TCPConn) {
		// What a server does that answers early, while the client still sends:
		// it closes with bytes unread, so that its kernel sends a reset.
		send(t, to, "a request that is never read")
		eventually(t, "arrival", func() bool { return p.bytes() > 0 })
		time.Sleep(10 * time.Millisecond)
		send(t, from, "early answer")
		from.Close()
		expect(t, to, "early answer")
	})
}

func (p *pipe) bytes() int64 {
	s := p.rig.Status()[0].Servers[0]
	return s.BytesUp + s.BytesDown
}

func TestWriteToADeadEndStillDeliversTheRest(t *testing.T) {
	eachWay(t, nil, func(t *testing.T, p *pipe, from, to *net.TCPConn) {
		// to is slow to read a long answer. from sends it, and is gone when more
		// comes for it.
		answer := string(make([]byte, 1<<20))
		send(t, from, answer)
		from.Close()
		time.Sleep(20 * time.Millisecond)
		to.Write([]byte("more"))
		to.Write([]byte("and more"))
		expect(t, to, answer)
	})
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	const limit = 200 * time.Millisecond
	eachWay(t, func(c *Config) { c.IdleTimeout = limit }, func(t *testing.T, p *pipe, from, to *net.TCPConn) {
		// One direction is busy for longer than the limit: the silent one does not count.
		last, busy := time.Now(), 0*limit
		wrote := last // before the last byte went out
		for busy < 2*limit {
			wrote = time.Now()
			_, err := io.WriteString(from, "x")
			if err == nil {
				_, err = io.ReadFull(to, make([]byte, 1))
			}
			gap := time.Since(last)
			last, busy = last.Add(gap), busy+gap
			if err != nil && gap < limit/2 {
				t.Fatalf("cut off though there was something %v ago: %v", gap, err)
			}
			if err != nil { // this machine is so busy that the test was as good as idle
				t.Skip("the test itself stood still for ", gap)
			}
			time.Sleep(limit / 10)
		}
		expectEnd(t, to, syscall.ECONNRESET) // not EOF: from did not finish
		expectEnd(t, from, syscall.ECONNRESET)
		if took := time.Since(wrote); took < limit/2 {
			t.Errorf("idle for %v only", took)
		}
		eventually(t, "a time-out counted", func() bool { return p.rig.Status()[0].Counters.TimedOut == 1 })
	})
}

// ofIdle has f tried again with a longer idle time-out where it fails: a machine may stand
// still for as long as the shortest one.
func ofIdle(t *testing.T, shortest time.Duration, f func(idle time.Duration) error) {
	t.Helper()
	for idle := shortest; ; idle *= 4 {
		err := f(idle)
		if err == nil {
			return
		}
		if idle > 10*shortest {
			t.Fatalf("with an idle time-out of %v: %v", idle, err)
		}
		t.Logf("with an idle time-out of %v: %v; again with a longer one", idle, err)
	}
}

func TestIdleTimeoutWhileSplicing(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		t.Parallel()
		ofIdle(t, 2*time.Second, func(idle time.Duration) error {
			p := newPipeOf(t, config, func(c *Config) { c.IdleTimeout = idle })
			block := make([]byte, 4<<20)
			go p.server.Write(block)
			if _, err := io.ReadFull(p.client, make([]byte, len(block))); err != nil {
				return err
			}
			expectEnd(t, p.client, syscall.ECONNRESET)
			return nil
		})
	})
}

func TestCloseTimeoutIsApart(t *testing.T) {
	t.Parallel()
	eachWay(t, func(c *Config) { c.CloseTimeout = 100 * time.Millisecond }, func(t *testing.T, p *pipe, from, to *net.TCPConn) {
		time.Sleep(150 * time.Millisecond) // open: only the idle time-out of 5 minutes counts
		from.CloseWrite()
		expectEnd(t, to, io.EOF)
		expectEnd(t, from, syscall.ECONNRESET)
	})
}

func TestSlowReaderIsNotIdle(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		t.Parallel()
		if testing.Short() {
			t.Skip("takes seconds")
		}
		ofIdle(t, 1500*time.Millisecond, func(idle time.Duration) error {
			p := newPipeOf(t, config, func(c *Config) { c.IdleTimeout = idle })
			p.client.SetReadBuffer(64 << 10) // of more than one segment: else bytes come by the sender's persist timer, ever later
			go io.Copy(p.server, zeros{})    // fills every buffer on the way, then moves now and then
			buf := make([]byte, 16<<10)
			for end := time.Now().Add(2 * idle); time.Now().Before(end); time.Sleep(40 * time.Millisecond) {
				if _, err := io.ReadFull(p.client, buf); err != nil {
					return fmt.Errorf("slow reader was cut off: %w", err)
				}
			}
			return nil
		})
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestBackPressureIsBounded(t *testing.T) {
	t.Parallel()
	eachWay(t, nil, func(t *testing.T, p *pipe, from, to *net.TCPConn) {
		var sent atomic.Int64
		go func() {
			block := make([]byte, 64<<10)
			for {
				n, err := from.Write(block)
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
		last := int64(-1) // nobody reads: sooner or later nothing more is taken
		for last != sent.Load() {
			last = sent.Load()
			time.Sleep(300 * time.Millisecond)
		}
		const most = 64 << 20 // four sockets' buffers and a pipe; without back pressure there is no end
		if last > most {
			t.Errorf("%d bytes were taken in that nobody reads, want at most %d", last, most)
		}
		moved := p.bytes()
		from.SetLinger(0)
		from.Close()
		t.Logf("%d bytes taken, %d of them counted as moved", last, moved)
	})
}

func TestIdleConnectionHoldsTwoDescriptors(t *testing.T) {
	eachEngine(t, func(t *testing.T, config configOf) {
		fds := func() int {
			entries, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Skip("no /proc/self/fd here")
			}
			return len(entries)
		}
		a := newBackend(t, "a", nil)
		r := newRig(t, config(a), nil)
		r.mustConnect().Close()
		eventually(t, "an empty balancer", func() bool { return r.Status()[0].Open == 0 })
		before := fds()
		const n = 50
		var clients []*client
		for range n {
			c := r.mustConnect()
			if err := c.echo("hello"); err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
		}
		if got := fds() - before; got > 4*n+4 { // 2 of the balancer, 1 of the client, 1 of the server
			t.Errorf("%d descriptors for %d connections, want 4 each, both ends included", got, n)
		}
		for _, c := range clients {
			c.Close()
		}
		eventually(t, "all descriptors closed", func() bool { return fds() <= before })
	})
}
