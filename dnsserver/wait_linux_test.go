package dnsserver

import (
	"log/slog"
	"maps"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"gslb/waits"
)

// held is a socket whose worker keeps its P, without any traffic.
func held(t *testing.T) *batchSocket {
	t.Helper()
	c, err := listenUDP(t.Context(), "udp4", "127.0.0.1:0", false, false)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBatchSocket(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.free)
	waits.SpareP()
	b.Hold()
	t.Cleanup(b.Release)
	return b
}

// within fails the test when f does not come back.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: not done after %v", what, patience)
	}
}

// A worker that waits in the kernel without the runtime's knowledge does not
// keep it from stopping the world.
func TestHoldLetsTheWorldStop(t *testing.T) {
	b := held(t)
	if !b.Holding() {
		t.Skip("GOMAXPROCS leaves no P to hold")
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		m := newBatch(&udpListener{sock: b}, nil, &responder{count: new(counters)}, 4)
		for !b.stopped.Load() {
			if n, errno := b.receive(m.in); errno != unix.EAGAIN && errno != unix.EINTR {
				t.Errorf("received %d, error %v", n, errno)
			}
		}
	})
	within(t, "20 collections", func() {
		for range 20 {
			runtime.GC()
		}
	})
	b.stop()
	within(t, "the end of the worker", wg.Wait)
}

// Workers end when they are told to: idle ones, those that were busy just now,
// and those that are asked without pause.
func TestWorkersEnd(t *testing.T) {
	msg := query(t, "static.abc.com.", 1)
	for name, load := range map[string]func(stop <-chan struct{}, c net.Conn){
		"idle": func(<-chan struct{}, net.Conn) {},
		"busy": func(_ <-chan struct{}, c net.Conn) {
			for range 100 {
				c.Write(msg)
				time.Sleep(100 * time.Microsecond)
			}
		},
		"flooded": func(stop <-chan struct{}, c net.Conn) {
			go func() {
				for {
					select {
					case <-stop:
						return
					default:
						c.Write(msg)
					}
				}
			}()
			time.Sleep(50 * time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, end := begin(t, Config{Listen: []string{"127.0.0.1:0"}}, discard())
			c, err := net.Dial("udp4", s.Addrs()[0].String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			stop := make(chan struct{})
			defer close(stop)
			load(stop, c)
			done := end()
			within(t, "Serve", func() { <-done })
			// Its sockets are gone with it: the port can be had without SO_REUSEPORT.
			again, err := net.ListenPacket("udp4", s.Addrs()[0].String())
			if err != nil {
				t.Fatal(err)
			}
			again.Close()
		})
	}
}

// A pinned worker answers from the CPU that it was given, and its thread is not
// used for anything else afterwards.
func TestPin(t *testing.T) {
	all := processCPUs()
	last := all[len(all)-1]
	before := pinnedTo(t, last) // some of tests before this one end a moment after them
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, Workers: 1, Pin: strconv.Itoa(last)})
	if _, _, err := (&dns.Client{Timeout: patience}).Exchange(new(dns.Msg).SetQuestion("static.abc.com.", dns.TypeA), s.Addrs()[0].String()); err != nil {
		t.Fatal(err)
	}
	if len(all) == 1 {
		return // where all threads are as though pinned
	}
	askOn(t, dial(t, s))
	pinned := pinnedTo(t, last)
	maps.DeleteFunc(pinned, func(thread int, _ bool) bool { return before[thread] })
	if len(pinned) != 2 { // the worker for UDP and the loop for TCP
		t.Errorf("%d threads are pinned to CPU %d, want 2", len(pinned), last)
	}
}

// pinnedTo are the threads of the process that may run on the CPU alone.
func pinnedTo(t *testing.T, cpu int) map[int]bool {
	all := map[int]bool{}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		id, _ := strconv.Atoi(thread.Name())
		var set unix.CPUSet
		if unix.SchedGetaffinity(id, &set) == nil && set.Count() == 1 && set.IsSet(cpu) {
			all[id] = true
		}
	}
	return all
}

// A CPU that does not exist keeps nobody from serving: it is told in the log.
func TestPinInVain(t *testing.T) {
	var log syncBuffer
	s, end := begin(t, Config{Listen: []string{"127.0.0.1:0"}, Workers: 1, Pin: "1023"}, slog.New(slog.NewTextHandler(&log, nil)))
	defer func() { <-end() }()
	if _, _, err := (&dns.Client{Timeout: patience}).Exchange(new(dns.Msg).SetQuestion("static.abc.com.", dns.TypeA), s.Addrs()[0].String()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "cpu=1023") {
		t.Errorf("log %q", log.String())
	}
}

// The buffers are those of the configuration, where the system allows it.
func TestTuneUDP(t *testing.T) {
	c, err := listenUDP(t.Context(), "udp4", "127.0.0.1:0", false, false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const small, large = 128 << 10, mostBuffer
	if err := tuneUDP(c, Config{ReceiveBuffer: small, SendBuffer: small}, nil); err != nil {
		t.Fatal(err)
	}
	size := func(option int) (n int) {
		raw, _ := c.SyscallConn()
		raw.Control(func(fd uintptr) { n, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, option) })
		return n / 2
	}
	if r, w := size(unix.SO_RCVBUF), size(unix.SO_SNDBUF); r != small || w != small {
		t.Errorf("buffers of %d and %d, want %d", r, w, small)
	}
	err = tuneUDP(c, Config{ReceiveBuffer: large, SendBuffer: small}, nil)
	if got := size(unix.SO_RCVBUF); (got >= large) != (err == nil) {
		t.Errorf("asked for %d, got %d, error %v", large, got, err)
	}
	if err != nil && !strings.Contains(err.Error(), "net.core.rmem_max") {
		t.Error(err)
	}
}

// syncBuffer is a log that one goroutine writes and another reads.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
