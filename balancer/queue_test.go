package balancer

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// bounded makes a pool of servers that take one connection each.
func bounded(t *testing.T, servers string, queue int) *bench {
	cfg := named(servers, "")
	for i := range cfg.Servers {
		cfg.Servers[i].MaxConnections = 1
	}
	cfg.Queue, cfg.Pick = queue, RoundRobin
	return newBench(t, cfg, nil)
}

// arrive takes a place for a client or queues it, and returns where its server will come.
func (b *bench) arrive() <-chan *server {
	got := make(chan *server, 1)
	s, full := b.take(flow{}, nil)
	if s != nil || full == nil {
		got <- s
		return got
	}
	var c counters
	before := b.queue.length.Load()
	go func() { got <- b.wait(flow{}, nil, full, time.Minute, &c) }()
	eventually(b.t, "the client in the queue", func() bool { return b.queue.length.Load() > before || len(got) > 0 })
	return got
}

func TestQueueIsFirstComeFirstServed(t *testing.T) {
	b := bounded(t, "ab", 3)
	a1, b1 := <-b.arrive(), <-b.arrive()
	if a1 == b1 {
		t.Fatalf("both connections went to %s", a1.address)
	}
	first, second, third := b.arrive(), b.arrive(), b.arrive()
	if s := <-b.arrive(); s != nil {
		t.Errorf("the fourth got %s, though the queue has room for three", s.address)
	}
	b.release(a1)
	if s := <-first; s != a1 {
		t.Errorf("the first in the queue did not get the place: %v", s)
	}
	b.release(b1)
	if s := <-second; s != b1 {
		t.Errorf("the second in the queue did not get the place: %v", s)
	}
	if len(third) > 0 {
		t.Error("the third was served before its turn")
	}
	for _, s := range []*server{a1, b1} {
		if n := s.open.Load(); n != 1 {
			t.Errorf("%s has %d connections, may have 1", s.address, n)
		}
	}
	cfg := named("abc", "") // a server that joins, without a bound
	for i := range cfg.Servers[:2] {
		cfg.Servers[i].MaxConnections = 1
	}
	b.configure(cfg.WithDefaults(), nil)
	if s := <-third; s.address != "c" {
		t.Errorf("the third got %s, want the new server", s.address)
	}
	if n := b.queue.length.Load() + a1.queued.Load() + b1.queued.Load(); n != 0 {
		t.Errorf("the empty queue is counted as %d", n)
	}
}

func TestQueueTimesOut(t *testing.T) {
	b := bounded(t, "a", 3)
	a := <-b.arrive()
	var c counters
	if s := b.wait(flow{}, nil, a, 10*time.Millisecond, &c); s != nil || c.queueTimeouts.Load() != 1 || a.queueTimeouts.Load() != 1 || a.queued.Load() != 0 {
		t.Errorf("got %v, %d and %d time-outs, %d in the queue", s, c.queueTimeouts.Load(), a.queueTimeouts.Load(), a.queued.Load())
	}
	waits := b.arrive()
	b.queue.giveUp()
	if s := <-waits; s != nil {
		t.Error("a queue that was given up gave a server")
	}
}

// Nobody is forgotten in the queue, and no server has more than it may, however
// places come and go.
func TestQueueUnderLoad(t *testing.T) {
	b := bounded(t, "abc", 1000)
	var wg sync.WaitGroup
	var c counters
	for range 30 {
		wg.Go(func() {
			for range 200 {
				s, full := b.take(flow{}, nil)
				if s == nil {
					s = b.wait(flow{}, nil, full, time.Minute, &c)
				}
				if n := s.open.Load(); n != 1 {
					t.Errorf("%s has %d connections, may have 1", s.address, n)
				}
				b.release(s)
			}
		})
	}
	wg.Wait()
	if b.queue.length.Load() != 0 || b.server("a").open.Load() != 0 {
		t.Error("somebody is left")
	}
}

// A client whose picked server is full goes to another, and waits only if all are.
func TestFullServersArePassedOver(t *testing.T) {
	for _, pick := range Picks() {
		cfg := named("abc", "")
		cfg.Pick = pick
		cfg.Servers[0].MaxConnections, cfg.Servers[1].MaxConnections = 2, 3
		b := newBench(t, cfg, nil)
		for range 20 {
			if s, _ := b.take(flow{client: netip.MustParseAddrPort("192.0.2.7:80")}, nil); s == nil {
				t.Fatalf("%s: no server, though one has no bound", pick)
			}
		}
		if x, y := b.server("a").open.Load(), b.server("b").open.Load(); x > 2 || y > 3 {
			t.Errorf("%s: %d and %d connections, may have 2 and 3", pick, x, y)
		}
	}
}

func TestZoneIsPreferred(t *testing.T) {
	cfg := named("abcd", "")
	cfg.Servers[0].Zone, cfg.Servers[1].Zone, cfg.Servers[2].Zone = "near", "near", "far"
	cfg.PreferZone = "near"
	cfg.Servers[0].MaxConnections, cfg.Servers[1].MaxConnections = 1, 1
	b := newBench(t, cfg, nil)
	b.want("ab")
	for i, want := range []string{"near", "near", "far or none"} {
		s, _ := b.take(flow{}, nil)
		if s == nil || (s.Zone == "near") != (want == "near") {
			t.Errorf("connection %d went to %+v, want zone %s", i, s, want)
		}
	}
	if err := errors.Join(b.drainServer("a", true, 0), b.drainServer("b", true, 0)); err != nil {
		t.Fatal(err)
	}
	b.want("cd")
	if err := b.drainServer("a", false, 0); err != nil {
		t.Fatal(err)
	}
	b.want("acd") // in slow start it is not to take everything
	b.pass(11 * time.Second)
	b.want("a")
}

// Through the proxy: the queue's time-out resets the client, and a place that
// comes free serves the one who waits.
func TestBoundOfAServer(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		t.Parallel()
		a := newBackend(t, "a", nil)
		cfg := config(a)
		cfg.Servers[0].MaxConnections, cfg.QueueTimeout = 1, 100*time.Millisecond
		r := newRig(t, cfg, nil)
		held := r.mustConnect()
		if c, err := r.connect(); err == nil {
			t.Errorf("a second connection was given to %s", c.from)
		}
		eventually(t, "it counted", func() bool {
			f := r.Status()[0]
			return f.Counters.QueueTimeouts == 1 && f.Counters.Refused == 1 && f.Servers[0].QueueTimeouts == 1 && f.Servers[0].Connections == 1 &&
				strings.Contains(f.Servers[0].Detail, "0 clients wait for it, 1 have waited in vain")
		})
		cfg.QueueTimeout = time.Minute
		if err := r.Apply([]Config{cfg}, nil); err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() {
			c, err := r.connect()
			if err == nil {
				err = c.echo("at last")
				c.Close()
			}
			served <- err
		}()
		eventually(t, "a client in the queue", func() bool { return r.Status()[0].Queued == 1 && r.Status()[0].Servers[0].Queued == 1 })
		held.Close()
		if err := <-served; err != nil {
			t.Errorf("the client in the queue: %v", err)
		}
	})
}
