package dnsserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/test/bed"
)

// expected is what a client gets that sends stream and then ends its side, and
// whether all of it is read before the connection is closed.
func expected(s *Server, stream []byte, from netip.AddrPort) (answers []byte, all bool) {
	w := s.responder(0, new(counters))
	out := make([]byte, 0, maxMessage+maxRecordHead)
	for len(stream) >= 2 {
		n := 2 + int(binary.BigEndian.Uint16(stream))
		if n > len(stream) {
			break
		}
		reply := s.answer(w, stream[2:n], from, true, out)
		if len(reply) == 0 {
			return answers, n == len(stream)
		}
		answers = append(answers, framed(reply)...)
		stream = stream[n:]
	}
	return answers, true
}

// converse sends stream in pieces of the given sizes, in turn, and gives what
// comes back until the server ends the connection.
func converse(t *testing.T, s *Server, stream []byte, sizes []byte) (got []byte, from netip.AddrPort) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := 0; len(stream) > 0; i++ {
			n := len(stream)
			if len(sizes) > 0 {
				size := sizes[i%len(sizes)]
				n = min(n, 1+int(size))
				if size%8 == 0 { // most pieces arrive together, some do not
					time.Sleep(50 * time.Microsecond)
				}
			}
			if _, err := conn.Write(stream[:n]); err != nil {
				return // closed, since something was not DNS
			}
			stream = stream[n:]
		}
		conn.(*net.TCPConn).CloseWrite()
	})
	got, _ = io.ReadAll(conn) // an error is the end too
	sending.Wait()
	return got, conn.LocalAddr().(*net.TCPAddr).AddrPort()
}

// checkStream has each server answer a stream, cut into pieces.
func checkStream(t *testing.T, servers []*Server, stream, sizes []byte) {
	t.Helper()
	for _, s := range servers {
		got, from := converse(t, s, stream, sizes)
		want, all := expected(s, stream, from)
		// What is not read when a connection is closed may undo what was sent before.
		if !bytes.Equal(got, want) && (all || !bytes.HasPrefix(want, got)) {
			t.Errorf("%s: a stream of %d octets: %d octets of answers, want %d, all read: %v", s.cfg.TCPEngine, len(stream), len(got), len(want), all)
		}
	}
}

// oneOfEach starts a server with each engine.
func oneOfEach(tb testing.TB) (all []*Server) {
	tb.Helper()
	base, _ := server(tb, nil)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	tb.Cleanup(func() {
		cancel()
		serving.Wait()
	})
	for _, engine := range engines() {
		s := New(Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engine, Workers: 1}, discard())
		s.Swap(base.Generation())
		if err := s.Listen(ctx); err != nil {
			tb.Fatal(err)
		}
		serving.Go(func() { s.Serve(ctx) })
		all = append(all, s)
	}
	return all
}

// Streams of queries, and of things that are not, get the same answers whatever
// the engine and however they are cut on the way.
func TestTCPStreamsCutAnywhere(t *testing.T) {
	servers := oneOfEach(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	long := new(dns.Msg).SetQuestion("static.abc.com.", dns.TypeA) // longer than any read
	long.SetEdns0(1232, false)
	long.IsEdns0().Option = append(long.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, 40000)})
	padded, err := long.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for range 60 {
		var stream []byte
		for range rng.IntN(40) {
			switch k := rng.IntN(100); {
			case k < 2:
				stream = append(stream, framed([]byte{1, 2, 3})...)
			case k < 4:
				stream = append(stream, framed(padded)...)
			case k < 8:
				stream = append(stream, framed(query(t, "none.abc.com.", dns.TypeAAAA))[:rng.IntN(20)]...) // and so it is out of step
			default:
				m := query(t, []string{"static.abc.com.", "mx.abc.com.", "none.abc.com.", "abc.com."}[rng.IntN(4)], []uint16{dns.TypeA, dns.TypeMX, dns.TypeSOA}[rng.IntN(3)])
				binary.BigEndian.PutUint16(m, uint16(rng.Uint32()))
				stream = append(stream, framed(m)...)
			}
		}
		sizes := make([]byte, rng.IntN(8))
		for i := range sizes {
			sizes[i] = byte(rng.Uint32())
		}
		checkStream(t, servers, stream, sizes)
	}
}

func FuzzTCPStream(f *testing.F) {
	servers := oneOfEach(f)
	one := framed(query(f, "static.abc.com.", dns.TypeA))
	f.Add(slices.Concat(one, one, one), []byte{0, 1, 30})
	f.Add(slices.Concat(one, []byte{0, 0}, one), []byte{8})
	f.Add(slices.Concat(one, []byte{0, 3, 1, 2, 3}), []byte{})
	f.Add(one[:len(one)-1], []byte{200})
	f.Fuzz(func(t *testing.T, stream, sizes []byte) { checkStream(t, servers, stream, sizes) })
}

// A client that asks much and reads late gets all of its answers, in order, and
// others theirs meanwhile.
func TestTCPClientThatReadsLate(t *testing.T) { eachEngine(t, testTCPClientThatReadsLate) }

func testTCPClientThatReadsLate(t *testing.T, engine string) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engine, TCPIdle: time.Hour})
	conn := dial(t, s)
	conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	conn.SetDeadline(time.Now().Add(4 * patience)) // for all of it
	const n = 250_000                              // more than the buffers of the system take
	var sending sync.WaitGroup
	var sent atomic.Int64
	sending.Go(func() {
		msg := framed(query(t, "static.abc.com.", dns.TypeA))
		var b []byte
		for i := range n {
			binary.BigEndian.PutUint16(msg[2:], uint16(i))
			if b = append(b, msg...); len(b) > 100_000 || i == n-1 {
				if _, err := conn.Write(b); err != nil {
					t.Error(err)
					return
				}
				sent.Store(int64(i + 1))
				b = b[:0]
			}
		}
	})
	// The server answers until its answers find no room, and then takes no more
	// queries, so that the client cannot go on either. A server that keeps what it
	// cannot send, however much, would answer all of them.
	var before uint64
	still := 0 // looks in a row that found nothing more answered
	waitFor(t, func() bool {
		now := s.Stats().Queries["tcp4"]
		if still++; now == 0 || now != before {
			before, still = now, 0
		}
		time.Sleep(20 * time.Millisecond)
		return still >= 15 || now >= n
	})
	if before >= n || sent.Load() >= n {
		t.Errorf("of %d queries %d were taken and %d answered, and nobody took the answers", n, sent.Load(), before)
	}
	askOn(t, dial(t, s))
	r, buf := bufio.NewReader(conn), make([]byte, 0, 512)
	for i := range n {
		m, err := readMessage(r, buf)
		if err != nil || len(m) < headerLen || binary.BigEndian.Uint16(m) != uint16(i) || m[7] != 1 {
			t.Fatalf("answer %d: %x %v", i, m, err)
		}
	}
	sending.Wait()
	askOn(t, conn)
}

// A client that asks and does not read is closed when the idle time is over, and
// holds little until then.
func TestTCPClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	eachEngine(t, testTCPClientThatDoesNotRead)
}

func testTCPClientThatDoesNotRead(t *testing.T, engine string) {
	t.Parallel()
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engine, TCPIdle: time.Second})
	var sending sync.WaitGroup
	for range 5 {
		conn := dial(t, s)
		conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		sending.Go(func() {
			msg := bytes.Repeat(framed(query(t, "static.abc.com.", dns.TypeA)), 1000)
			for {
				if _, err := conn.Write(msg); err != nil {
					return
				}
			}
		})
	}
	closed := make(chan struct{})
	go func() { sending.Wait(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatalf("still open after %v", patience)
	}
	waitFor(t, func() bool { return s.Stats().TCPOpen == 0 })
}

// Many idle connections are kept, and answered, while others come and go; all
// places are free again in the end.
func TestTCPManyIdle(t *testing.T) { eachEngine(t, testTCPManyIdle) }

func testTCPManyIdle(t *testing.T, engine string) {
	const idle, churn = 2000, 1000
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engine, TCPMax: idle + 20, TCPMaxClient: idle + 20, TCPIdle: 5 * time.Minute})
	all := make([]net.Conn, idle)
	for i := range all {
		all[i] = dial(t, s)
		askOn(t, all[i])
	}
	var coming sync.WaitGroup
	for range 4 {
		coming.Go(func() {
			for range churn / 4 {
				c, err := net.Dial("tcp", s.Addrs()[0].String())
				if err != nil {
					t.Error(err)
					return
				}
				co := &dns.Conn{Conn: c}
				co.SetDeadline(time.Now().Add(patience))
				co.WriteMsg(new(dns.Msg).SetQuestion("static.abc.com.", dns.TypeA))
				if m, err := co.ReadMsg(); err != nil || len(m.Answer) != 1 {
					t.Errorf("%v %v", m, err)
				}
				c.Close()
			}
		})
	}
	coming.Wait()
	waitFor(t, func() bool { return s.Stats().TCPOpen == idle })
	for _, c := range all {
		askOn(t, c)
	}
	if st := s.Stats(); st.TCPRefuse != 0 || st.TCPEvict != 0 || st.Queries["tcp4"] != 2*idle+churn {
		t.Errorf("stats %+v", st)
	}
	for _, c := range all {
		c.Close()
	}
	waitFor(t, func() bool { return s.Stats().TCPOpen == 0 })
	for i := range s.tcp.clients {
		c := &s.tcp.clients[i]
		c.mu.Lock()
		if len(c.n) > 0 {
			t.Errorf("counted though nobody is there: %v", c.n)
		}
		c.mu.Unlock()
	}
}

// A connection that stays is served without anything being allocated.
func TestTCPServingAllocatesNothing(t *testing.T) { eachEngine(t, testTCPServingAllocatesNothing) }

func testTCPServingAllocatesNothing(t *testing.T, engine string) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engine, Workers: 1})
	conn := dial(t, s)
	msg := framed(query(t, "www.abc.com.", dns.TypeA, subnet("10.1.2.0/24")))
	per := allocations(t, conn, msg)
	if bed.RaceDetector && engine == enginePortable {
		return // its sync.Pool drops some on purpose
	}
	if per > 0.1 {
		t.Errorf("%.2f allocations for each query", per)
	}
}
