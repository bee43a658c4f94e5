package balancer

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"gslb/test/bed"
)

// A listener goes from engine to engine by a new configuration, and its open
// connections and those who wait in its queue stay.
func TestListenerMovesBetweenEngines(t *testing.T) {
	a := newBackend(t, "a", nil)
	cfg := config(a)
	cfg.Listen = []string{bed.FreeAddress(t)}
	r := newRig(t, cfg, nil)
	s := r.stream(2)
	var held []*client
	for _, engine := range []string{EnginePortable, EngineEpoll, EnginePortable} {
		held = append(held, r.mustConnect())
		cfg.Engine = engine
		if err := r.Apply([]Config{cfg}, nil); err != nil {
			t.Fatal(err)
		}
		served := s.served.Load()
		eventually(t, "more connections", func() bool { return s.served.Load() > served+10 })
	}
	s.stop()
	if got := s.failed.Load(); got != 0 {
		t.Errorf("%d connections failed as the listener moved, want 0", got)
	}
	for i, c := range held {
		if err := c.echo("x"); err != nil {
			t.Errorf("connection %d, made before a change of engine: %v", i, err)
		}
	}
}

// loopsOf returns the event loops of a balancer.
func loopsOf(r *rig) []*loop {
	for _, p := range r.planes {
		if p, ok := p.(*proxy); ok {
			return p.engines[engineKey{TCP, EngineEpoll}].(*loops).all
		}
	}
	return nil
}

// A loop that panics resets its connections and goes on with its listeners.
func TestLoopGoesOnAfterAPanic(t *testing.T) {
	a := newBackend(t, "a", nil)
	cfg := config(a)
	cfg.Threads = 1
	r := newRig(t, cfg, nil)
	held := r.mustConnect()
	loopsOf(r)[0].post(func() { panic("for the test") })
	if err := held.echo("x"); err == nil {
		t.Error("a connection of a loop that has panicked goes on")
	}
	if err := r.mustConnect().echo("x"); err != nil {
		t.Errorf("a connection after the panic: %v", err)
	}
	eventually(t, "the first connection's place free", func() bool { return r.Status()[0].Open == 1 && r.server(a.address).Connections == 1 })
}

// A read stops at urgent data, so a short one does not mean that there is no more.
func TestUrgentDataHoldsNothingUp(t *testing.T) {
	eachWay(t, nil, func(t *testing.T, p *pipe, from, to *net.TCPConn) {
		for range 20 {
			send(t, from, "before")
			onSocket(from, func(fd int) { sendUrgent(t, fd, "!") })
			send(t, from, "behind")
		}
		from.CloseWrite()
		got, err := io.ReadAll(to)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, b := range got {
			if b != '!' {
				n++
			}
		}
		if n != 20*len("beforebehind") {
			t.Errorf("%d bytes arrived besides urgent ones, want %d", n, 20*len("beforebehind"))
		}
	})
}

// A client that leaves the queue frees its place there.
func TestClientLeavesTheQueue(t *testing.T) {
	a := newBackend(t, "a", nil)
	cfg := config(a)
	cfg.Servers[0].MaxConnections, cfg.QueueTimeout = 1, time.Minute
	r := newRig(t, cfg, nil)
	held := r.mustConnect()
	waits, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a client in the queue", func() bool { return r.Status()[0].Queued == 1 })
	reset(waits.(*net.TCPConn))
	eventually(t, "an empty queue", func() bool { return r.Status()[0].Queued == 0 && r.Status()[0].Open == 1 })
	held.Close()
	if err := r.mustConnect().echo("x"); err != nil {
		t.Error(err)
	}
}

// A server whose address is a name is reached, too.
func TestServerByName(t *testing.T) {
	a := newBackend(t, "a", nil)
	_, port, _ := net.SplitHostPort(a.address)
	cfg := config(a)
	cfg.Servers[0].Address = "localhost:" + port
	r := newRig(t, cfg, nil)
	if err := r.mustConnect().echo("x"); err != nil {
		t.Error(err)
	}
}

// Every time-out comes, and not before its time.
func TestWheel(t *testing.T) {
	for _, unit := range []int64{fineUnit, coarseUnit} {
		l, w := &loop{now: 5 * unit}, &wheel{unit: unit}
		begun := l.now
		conns, came := make([]loopConn, 500), 0
		due := func(i int) int64 { return begun + int64(i*i)*unit/7 } // far beyond the ring's length
		for i := range conns {
			conns[i].due = due(i)
			w.add(&conns[i], l.now)
		}
		for i := 0; i < len(conns); i += 3 {
			w.remove(&conns[i])
		}
		for w.count > 0 {
			first := w.first()
			if first <= l.now-unit {
				t.Fatalf("the first is due at %d, and it is %d", first, l.now)
			}
			var in []int
			for i := range conns {
				if conns[i].timer.in != nil {
					in = append(in, i)
				}
			}
			l.now = max(first, l.now)
			w.expire(l) // the connections are in stateFree: nothing else happens
			for _, i := range in {
				if conns[i].timer.in == nil {
					came++
					if late := l.now - due(i); late < 0 || late > 2*unit {
						t.Errorf("time-out %d came %d ns late, the unit is %d", i, late, unit)
					}
				}
			}
		}
		if want := 500 - 167; came != want {
			t.Errorf("%d time-outs came, want %d", came, want)
		}
	}
}

func sendUrgent(t *testing.T, fd int, data string) {
	t.Helper()
	if err := syscall.Sendto(fd, []byte(data), syscall.MSG_OOB, nil); err != nil {
		t.Fatal(err)
	}
}
