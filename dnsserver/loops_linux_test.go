package dnsserver

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// When there are too many connections in all, it is the one that has been idle
// for longest that goes, whichever loop it belongs to.
func TestLoopsEvictTheLongestIdle(t *testing.T) {
	const most, more = 8, 24
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engineEpoll, Workers: 4, TCPMax: most, TCPMaxClient: 2 * most, TCPIdle: time.Minute})
	var all []net.Conn
	for i := range most + more {
		c := dial(t, s)
		askOn(t, c)
		all = append(all, c)
		if i >= most {
			closes(t, "the connection that was idle for longest", all[i-most])
		}
	}
	waitFor(t, func() bool { st := s.Stats(); return st.TCPOpen == most && st.TCPEvict == more && st.TCPRefuse == 0 })
	for _, c := range all[more:] {
		askOn(t, c)
	}
}

// A connection over which nothing comes is heard of late, and closed in the end.
func TestLoopsCloseTheSilent(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engineEpoll, TCPIdle: time.Second})
	closes(t, "a silent connection", dial(t, s))
	waitFor(t, func() bool { return s.Stats().TCPOpen == 0 })
}

// New connections cost the server no memory.
func TestLoopsAcceptAllocatesNothing(t *testing.T) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engineEpoll, Workers: 1})
	addr := s.Addrs()[0]
	to := &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	msg, buf := framed(query(t, "static.abc.com.", dns.TypeA)), make([]byte, 1500)
	exchange := func(n int) {
		for range n {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			tv := unix.Timeval{Sec: 10}
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
			if err := unix.Connect(fd, to); err != nil {
				t.Fatal(err)
			}
			unix.Write(fd, msg)
			for { // the runtime's signals
				k, err := unix.Read(fd, buf)
				if err == unix.EINTR {
					continue
				}
				if err != nil || k < len(msg) {
					t.Fatalf("%d %v", k, err)
				}
				break
			}
			unix.Close(fd)
		}
	}
	exchange(50)
	const n = 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	exchange(n)
	runtime.ReadMemStats(&after)
	if per := float64(after.Mallocs-before.Mallocs) / n; per > 0.1 {
		t.Errorf("%.2f allocations for each connection", per)
	}
}

// outOfDescriptors leaves the process without a free descriptor until the
// function that it returns is called.
func outOfDescriptors(t *testing.T) (restore func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	limit := old
	limit.Cur = uint64(len(list) + 8)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var filled []int
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break
		}
		filled = append(filled, fd)
	}
	restore = func() {
		for _, fd := range filled {
			unix.Close(fd)
		}
		filled = nil
		unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	}
	t.Cleanup(restore)
	return restore
}

// Without a free descriptor a connection that comes is told so at once, or an
// idle one makes room for it; and the log tells.
func TestLoopsOutOfDescriptors(t *testing.T) {
	var log syncBuffer
	s, end := begin(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engineEpoll, Workers: 1}, slog.New(slog.NewTextHandler(&log, nil)))
	defer func() { <-end() }()
	msg := framed(query(t, "static.abc.com.", dns.TypeA))
	first, second := dial(t, s), dial(t, s) // the server hears of them with their queries
	restore := outOfDescriptors(t)
	if _, err := first.Write(msg); err != nil {
		t.Fatal(err)
	}
	closes(t, "a connection for which there is no descriptor", first)
	if st := s.Stats(); st.TCPRefuse != 1 || st.TCPOpen != 0 {
		t.Errorf("stats %+v", st)
	}
	restore()
	idle := dial(t, s)
	askOn(t, idle)
	outOfDescriptors(t)
	askOn(t, second)
	closes(t, "an idle connection, for one for which there was no descriptor", idle)
	if st := s.Stats(); st.TCPEvict != 1 || st.TCPOpen != 1 {
		t.Errorf("stats %+v", st)
	}
	if !strings.Contains(log.String(), "cannot accept a TCP connection") || !strings.Contains(log.String(), "too many open files") {
		t.Errorf("log %q", log.String())
	}
}

// A listener that cannot accept is left alone for a while, and then serves again.
func TestLoopsLeaveAlone(t *testing.T) {
	s, _ := server(t, nil)
	l, err := newTCPLoop(s, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.free()
	fd, err := bindTCP(netip.MustParseAddrPort("127.0.0.1:0"), false, false, false)
	if err != nil {
		t.Fatal(err)
	}
	ln := &loopListener{fd: fd}
	if err := l.add(ln); err != nil {
		t.Fatal(err)
	}
	l.now = 1
	l.leaveAlone(ln, unix.ENOBUFS)
	if got := l.timeout(); got != 5 {
		t.Errorf("it waits %d ms, want 5", got)
	}
	l.now += int64(4 * time.Millisecond)
	if l.resume(); l.paused != 1 {
		t.Error("resumed too early")
	}
	l.now += int64(time.Millisecond)
	if l.resume(); l.paused != 0 || l.timeout() != -1 {
		t.Errorf("%d paused, waits %d ms", l.paused, l.timeout())
	}
	l.leaveAlone(ln, unix.ENOBUFS)
	if got := l.timeout(); got != 10 {
		t.Errorf("the second time it waits %d ms, want 10", got)
	}
}

// Connections get from their listener what they would else be told one by one.
func TestLoopSocketsInherit(t *testing.T) {
	fd, err := bindTCP(netip.MustParseAddrPort("127.0.0.1:0"), false, false, true)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	addr, err := boundTo(fd, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.Write([]byte{0})
	var conn int
	waitFor(t, func() bool { conn, _, err = unix.Accept(fd); return err == nil })
	defer unix.Close(conn)
	for _, c := range []struct {
		what               string
		level, option, get int
	}{
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_PROTOCOL", unix.SOL_SOCKET, unix.SO_PROTOCOL, unix.IPPROTO_TCP},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0},
	} {
		if got, err := unix.GetsockoptInt(conn, c.level, c.option); err != nil || got != c.get {
			t.Errorf("%s of a connection: %d %v, want %d", c.what, got, err, c.get)
		}
	}
}

// Though its listeners share their address, a second server does not get in.
func TestLoopsShareWithNobody(t *testing.T) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, TCPEngine: engineEpoll, Workers: 2})
	addr := s.Addrs()[0].String()
	for _, engine := range engines() {
		err := New(Config{Listen: []string{addr}, TCPEngine: engine, Workers: 2}, discard()).Listen(t.Context())
		if err == nil || !strings.Contains(err.Error(), "cannot listen on tcp "+addr) || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%s: error %v", engine, err)
		}
	}
}

// A loop ends soon, idle, asked, and with clients that do not read; and its
// address can be had again at once.
func TestLoopsEnd(t *testing.T) {
	s, end := begin(t, Config{Listen: []string{"127.0.0.1:0", "127.0.0.1:0"}, TCPEngine: engineEpoll, Workers: 2}, discard())
	if len(s.loops) != 2 || len(s.loops[1].listeners) != 2 {
		t.Errorf("%d loops for 2 workers", len(s.loops))
	}
	for range 20 {
		askOn(t, dial(t, s))
	}
	deaf := dial(t, s)
	go func() {
		msg := framed(query(t, "static.abc.com.", dns.TypeA))
		for {
			if _, err := deaf.Write(msg); err != nil {
				return
			}
		}
	}()
	waitFor(t, func() bool { return s.Stats().Queries["tcp4"] > 200 })
	done := end()
	within(t, "Serve", func() { <-done })
	if n := s.Stats().TCPOpen; n != 0 {
		t.Errorf("%d connections are counted after the end", n)
	}
	again, err := net.Listen("tcp4", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
