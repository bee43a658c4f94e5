package balancer

import (
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"gslb/test/bed"
)

func TestShutdownLetsConnectionsFinish(t *testing.T) {
	eachEngine(t, func(t *testing.T, config configOf) {
		a := newBackend(t, "a", nil)
		r := newRig(t, config(a), nil)
		c := r.mustConnect()
		ended := make(chan struct{})
		go func() { r.stop(); close(ended) }()
		eventually(t, "the listener closed", func() bool {
			conn, err := net.Dial("tcp", r.address)
			if err == nil {
				conn.Close()
			}
			return err != nil
		})
		if err := c.echo("finishing"); err != nil {
			t.Errorf("connection while shutting down: %v", err)
		}
		eventually(t, "a last report of 0 healthy", func() bool { return r.lastReport().Healthy == 0 })
		select {
		case <-ended:
			t.Error("Run returned with a connection open")
		default:
		}
		c.Close()
		<-ended // as soon as the last one is gone, long before the 30 s
		if err := r.Apply([]Config{config(a)}, nil); err == nil {
			t.Error("Apply after the end has no error")
		}
	})
}

func TestShutdownIsBounded(t *testing.T) {
	eachEngine(t, func(t *testing.T, config configOf) {
		a := newBackend(t, "a", nil)
		cfg := config(a)
		cfg.DrainTimeout = 100 * time.Millisecond
		r := newRig(t, cfg, nil)
		c := r.mustConnect()
		r.stop()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after the drain: %v, want a reset", err)
		}
		if got := r.Status()[0].Counters.Cut; got != 1 {
			t.Errorf("%d cut, want 1", got)
		}
	})
}

func TestApply(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		a, b, c := newBackend(t, "a", nil), newBackend(t, "b", nil), newBackend(t, "c", nil)
		cfg := config(a, b)
		cfg.DrainTimeout = time.Minute
		r := newRig(t, cfg, nil)
		held := map[string]*client{}
		for len(held) < 2 {
			cl := r.mustConnect()
			held[cl.from] = cl
		}

		next := config(a, c)
		next.Listen, next.DrainTimeout = append(cfg.Listen, "127.0.0.1:0"), cfg.DrainTimeout
		if err := r.Apply([]Config{next}, nil); err != nil {
			t.Fatal(err)
		}
		if got := r.Addrs("www"); len(got) != 2 || got[0].String() != r.address {
			t.Errorf("listens at %v, want %s kept and another one", got, r.address)
		}
		for range 10 {
			if cl := r.mustConnect(); cl.from == "b" {
				t.Fatal("a removed server has a new connection")
			}
		}
		for name, cl := range held {
			if err := cl.echo("still here"); err != nil {
				t.Errorf("connection to %s: %v", name, err)
			}
		}
		next.DrainTimeout = 100 * time.Millisecond // from now on, for one that drains too
		if err := r.Apply([]Config{next}, nil); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the removed server drained", func() bool { return r.happened(EventDrained, b.address) })
		if err := held["b"].echo("x"); err == nil {
			t.Error("connection to the removed server outlived the drain time-out")
		}
		if err := held["a"].echo("x"); err != nil {
			t.Errorf("connection to the server that was kept: %v", err)
		}
	})
}

func TestApplyIsAllOrNothing(t *testing.T) {
	eachEngine(t, func(t *testing.T, config configOf) {
		a := newBackend(t, "a", nil)
		r := newRig(t, config(a), nil)
		taken := config(a)
		taken.Name, taken.Listen = "other", []string{"127.0.0.1:0", a.address}
		err := r.Apply([]Config{taken}, nil)
		if err == nil || !strings.Contains(err.Error(), a.address) || !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("Apply with a taken address: %v", err)
		}
		bad := config(a)
		bad.Pick = "best"
		if err := r.Apply([]Config{bad}, nil); err == nil || !strings.Contains(err.Error(), `"best"`) {
			t.Errorf("Apply with a bad pick: %v", err)
		}
		if c := r.mustConnect(); c.from != "a" {
			t.Errorf("served by %q", c.from)
		}
		if got := r.Status(); len(got) != 1 || got[0].Name != "www" {
			t.Errorf("status %+v, want www alone", got)
		}
	})
}

func TestListenerMovesBetweenFrontends(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		t.Parallel()
		a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
		cfg := config(a)
		cfg.Listen = []string{bed.FreeAddress(t)}
		cfg.DrainTimeout = 8 * time.Second // longer than a busy machine stands still
		r := newRig(t, cfg, nil)
		s := r.stream(2)
		held := r.mustConnect()
		renamed := config(b)
		renamed.Name, renamed.Listen = "web", cfg.Listen
		if err := r.Apply([]Config{renamed}, nil); err != nil {
			t.Fatal(err)
		}
		if c := r.mustConnect(); c.from != "b" {
			t.Errorf("served by %q, want b", c.from)
		}
		if err := held.echo("x"); err != nil {
			t.Errorf("connection of the removed frontend: %v", err)
		}
		s.stop()
		if got := s.failed.Load(); got != 0 {
			t.Errorf("%d connections failed as the listener moved, want 0", got)
		}
		eventually(t, "the end of the removed frontend", func() bool { return held.echo("x") != nil })
	})
}

func TestTakenPortIsAClearError(t *testing.T) {
	eachEngine(t, func(t *testing.T, config configOf) {
		a := newBackend(t, "a", nil)
		cfg := config(a)
		cfg.Listen = []string{a.address}
		b, err := New([]Config{cfg}, nil, slog.New(slog.DiscardHandler), Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = b.Run(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), `frontend "www"`) || !strings.Contains(err.Error(), a.address) {
			t.Errorf("Run: %v, want the frontend and the address", err)
		}
	})
}

func TestNothingIsLeftBehind(t *testing.T) {
	eachEngine(t, func(t *testing.T, config configOf) {
		before := runtime.NumGoroutine()
		a, spare := newBackend(t, "a", nil), newBackend(t, "spare", nil)
		cfg := config(a)
		cfg.Spares = []ServerConfig{{Address: spare.address}}
		cfg.Check, cfg.DrainTimeout = "web", 50*time.Millisecond
		r := newRig(t, cfg, tcpCheck)
		for range 20 {
			r.mustConnect()
		}
		r.stop()
		a.kill()
		spare.kill()
		eventually(t, "no goroutines left", func() bool { return runtime.NumGoroutine() <= before })
	})
}
