package dnsserver

import (
	"context"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	spareP()
	b.hold()
	t.Cleanup(b.release)
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
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: not done after 20s", what)
	}
}

// A worker that waits in the kernel without the runtime's knowledge does not
// keep it from stopping the world.
func TestHoldLetsTheWorldStop(t *testing.T) {
	b := held(t)
	if !b.holding {
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

// One P stays for everybody else, however many workers are busy.
func TestHoldLeavesOne(t *testing.T) {
	before := holders.Load()
	all := make([]batchSocket, 2*runtime.GOMAXPROCS(0))
	n := 0
	for i := range all {
		if all[i].hold(); all[i].holding {
			n++
		}
	}
	if most := runtime.GOMAXPROCS(0) - 1; n+int(before) > most {
		t.Errorf("%d of %d keep their P", n, most+1)
	}
	for i := range all {
		all[i].release()
	}
	if holders.Load() != before {
		t.Errorf("%d holders, %d before", holders.Load(), before)
	}
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
			base, _ := server(t, nil)
			s := New(Config{Listen: []string{"127.0.0.1:0"}}, discard())
			s.Swap(base.Generation())
			if err := s.Listen(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Serve(ctx) }()
			c, err := net.Dial("udp4", s.Addrs()[0].String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			stop := make(chan struct{})
			defer close(stop)
			load(stop, c)
			cancel()
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
