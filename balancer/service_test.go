package balancer

import (
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gslb/health"
	"gslb/health/probe"
	"gslb/test/bed"
)

// stream makes connections until its stop is called, and counts what becomes of them.
type stream struct {
	served, failed atomic.Int64
	rounds         []atomic.Int64 // connections made and ended, by client
	stop           func()
}

// settle waits until every connection has ended that is under way.
func (s *stream) settle(t *testing.T) {
	t.Helper()
	for i := range s.rounds {
		before := s.rounds[i].Load()
		eventually(t, "another connection of each client", func() bool { return s.rounds[i].Load() > before })
	}
}

func (r *rig) stream(clients int) *stream {
	s := &stream{rounds: make([]atomic.Int64, clients)}
	end := make(chan struct{})
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				c, err := r.connect()
				if err != nil {
					s.failed.Add(1)
				} else {
					c.Close()
					s.served.Add(1)
				}
				s.rounds[i].Add(1)
			}
		})
	}
	s.stop = sync.OnceFunc(func() { close(end); wg.Wait() })
	r.t.Cleanup(s.stop)
	return s
}

// tcpCheck is an active check quick enough for tests.
var tcpCheck = map[string]probe.Config{"web": {
	Type: "tcp", Port: 1, Interval: 100 * time.Millisecond, Timeout: 3 * time.Second, Rise: 2, Fall: 4, // a dead server refuses at once; on a busy machine others are late
}}

func TestSpareComesInAndGoesOut(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		t.Parallel()
		a, b, spare := newBackend(t, "a", nil), newBackend(t, "b", nil), newBackend(t, "spare", nil)
		cfg := config(a, b)
		cfg.Spares = []ServerConfig{{Address: spare.address}}
		cfg.Check, cfg.SlowStart, cfg.SpareHold = "web", 100*time.Millisecond, 300*time.Millisecond
		r := newRig(t, cfg, tcpCheck)
		eventually(t, "verdicts", func() bool {
			return r.server(a.address).State == health.Up && r.server(spare.address).State == health.Up
		})
		r.mustConnect() // held open throughout
		s := r.stream(2)
		eventually(t, "a stream", func() bool { return s.served.Load() > 50 })
		if spare.accepted.Load() > 0 && r.server(spare.address).Total > 0 {
			t.Error("the spare has connections while it is not needed")
		}
		a.kill()
		eventually(t, "the spare in service", func() bool { return r.happened(EventSpareIn, spare.address) })
		s.settle(t)
		failed := s.failed.Load()
		eventually(t, "connections to the spare", func() bool { return r.server(spare.address).Total > 10 })
		eventually(t, "a report of 2 healthy", func() bool { return r.lastReport().Healthy == 2 })
		held := r.mustConnect()
		for held.from != "spare" {
			held = r.mustConnect()
		}
		a.start()
		eventually(t, "the spare out of service", func() bool { return r.happened(EventSpareOut, spare.address) })
		if err := held.echo("still here"); err != nil {
			t.Errorf("connection to the spare that was taken out: %v", err)
		}
		total, served := r.server(spare.address).Total, s.served.Load()
		eventually(t, "more of the stream", func() bool { return s.served.Load() > served+50 })
		s.stop()
		if got := r.server(spare.address).Total; got > total+2 { // those under way when it went out
			t.Errorf("%d new connections to the spare after it was taken out", got-total)
		}
		if got := s.failed.Load() - failed; got != 0 {
			t.Errorf("%d connections failed after the isolation, want 0", got)
		}
	})
}

func TestActiveCheckOnTheWire(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
		cfg := config(a, b)
		cfg.Check = "web"
		r := newRig(t, cfg, tcpCheck)
		eventually(t, "both up", func() bool {
			return r.server(a.address).State == health.Up && r.server(b.address).State == health.Up
		})
		a.kill() // and nobody connects: only the check can find out
		eventually(t, "a down", func() bool { return r.server(a.address).State == health.Down })
		if d := r.server(a.address).Detail; !strings.Contains(d, "refused") {
			t.Errorf("detail %q, want what the check saw", d)
		}
		b.kill()
		eventually(t, "a report of 0 healthy", func() bool {
			return r.lastReport().Healthy == 0 && r.lastReport().Total == 2 && r.Status()[0].Panic
		})
		b.start()
		eventually(t, "a report of 1 healthy", func() bool { return r.lastReport().Healthy == 1 })
	})
}

func TestDrainOnTheWire(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
		cfg := config(a, b)
		r := newRig(t, cfg, nil)
		held := map[string]*client{}
		for len(held) < 2 {
			c := r.mustConnect()
			held[c.from] = c
		}
		if err := r.Drain("www", a.address, time.Minute); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if c := r.mustConnect(); c.from == "a" {
				t.Fatal("a draining server has a new connection")
			}
		}
		if err := held["a"].echo("working"); err != nil {
			t.Errorf("established connection of a draining server: %v", err)
		}
		if err := r.Drain("www", a.address, 100*time.Millisecond); err != nil { // ordered again
			t.Fatal(err)
		}
		eventually(t, "the end of the drain", func() bool { return r.happened(EventDrained, a.address) })
		if !r.happened(EventCut, a.address) {
			t.Error("what outlived the drain time-out was not told as cut")
		}
		if err := held["a"].echo("x"); err == nil {
			t.Error("a connection outlived the drain time-out")
		}
		if err := held["b"].echo("x"); err != nil {
			t.Errorf("connection to the other server: %v", err)
		}
		if err := r.Undrain("www", a.address); err != nil {
			t.Fatal(err)
		}
		if err := r.Drain("web", a.address, 0); err == nil || !strings.Contains(err.Error(), `"web"`) {
			t.Errorf("drain in an unknown frontend: %v", err)
		}
	})
}

func TestKilledServerIsIsolatedAndNobodyRefused(t *testing.T) {
	bed.Long(t)
	eachEngine(t, func(t *testing.T, config configOf) {
		a, b, c := newBackend(t, "a", nil), newBackend(t, "b", nil), newBackend(t, "c", nil)
		for _, pick := range Picks() {
			if pick == Latency {
				continue // which server is "a" to a client depends on how busy this machine is
			}
			t.Run(pick, func(t *testing.T) {
				cfg := config(a, b, c)
				cfg.Pick, cfg.HashBy = pick, HashConnection
				r := newRig(t, cfg, nil)
				held := map[string]*client{}
				for len(held) < 3 {
					cl := r.mustConnect()
					held[cl.from] = cl
				}
				var refused, served atomic.Int64
				var isolated atomic.Bool // only connections that begin after this count as refused
				stop := make(chan struct{})
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						for {
							select {
							case <-stop:
								return
							default:
							}
							after := isolated.Load()
							cl, err := r.connect()
							if err != nil {
								// A connection that the dying server had taken is its own.
								if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
									t.Errorf("refused: %v", err)
								}
								if after {
									refused.Add(1)
								}
								continue
							}
							served.Add(1)
							cl.Close()
						}
					})
				}
				eventually(t, "a stream", func() bool { return served.Load() > 100 })
				a.kill()
				eventually(t, "isolation of a", func() bool { return r.happened(EventIsolated, a.address) })
				isolated.Store(true)
				from := served.Load()
				eventually(t, "a stream after isolation", func() bool { return served.Load() > from+200 })
				if n := refused.Load(); n != 0 {
					t.Errorf("%d connections broken after the isolation, want 0", n)
				}
				close(stop)
				wg.Wait()
				if n := r.Status()[0].Counters.Refused; n != 0 {
					t.Errorf("%d connections refused, want 0", n)
				}
				for name, cl := range held {
					if err := cl.echo("still there"); (err == nil) != (name != "a") {
						t.Errorf("established connection to %s: %v", name, err)
					}
				}
				if got := r.server(a.address); got.State != health.Down || got.Failures < 2 {
					t.Errorf("killed server: %+v", got)
				}
				eventually(t, "report of 2 healthy", func() bool { return r.lastReport().Healthy == 2 && r.lastReport().Total == 3 })
				a.start()
				eventually(t, "recovery of a", func() bool { return r.happened(EventRecovered, a.address) })
				if s := r.server(a.address); s.SlowStart >= 1 || s.State == health.Down {
					t.Errorf("recovered server is not in slow start: %+v", s)
				}
				eventually(t, "a connection to a", func() bool {
					cl := r.mustConnect()
					defer cl.Close()
					return cl.from == "a"
				})
			})
		}
	})
}
