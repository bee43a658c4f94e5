package balancer

import (
	"fmt"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gslb/health"
	"gslb/health/probe"
	"gslb/test/bed"
)

func (b *bench) wish(name string, state health.State, w probe.Wish) {
	b.observe(name, state, w, "agent: said so", b.at)
}

func TestWishToDrainIsNoFailure(t *testing.T) {
	cfg := named("ab", "")
	cfg.OnIsolate = ResetIsolated
	b := newBench(t, cfg, everySecond)
	b.check("a", health.Up)
	a := b.server("a")
	a.open.Store(3)
	held := new(held)
	a.carried.add(&connection{ender: held})
	drain := probe.Wish{Share: 1, Drain: true}
	b.wish("a", health.Down, drain)
	b.want("b")
	b.pass(2 * time.Minute)
	if line := b.line(a); line.State != health.Up || !line.Draining || held.aborted {
		t.Errorf("a server that asked to be drained is %v, draining %v, its connection was cut: %v", line.State, line.Draining, held.aborted)
	}
	b.wish("b", health.Down, drain)
	b.want("ab") // everybody wants to be left alone: somebody has to serve
	b.wish("b", health.Up, probe.Wish{Share: 1})
	b.want("b")
	b.wish("a", health.Up, drain) // by a check that has other parts as well
	b.want("b")
	if err := b.drainServer("a", true, 0); err != nil { // an order beside it …
		t.Fatal(err)
	}
	b.wish("a", health.Up, probe.Wish{Share: 1})
	b.want("b") // … outlives it
	b.pass(31 * time.Second)
	if !held.aborted {
		t.Error("the drain by order did not end with its time-out")
	}
	if err := b.drainServer("a", false, 0); err != nil {
		t.Fatal(err)
	}
	b.want("ab")
	b.wantEvents("draining a", "draining b", "panic", "undrained b", "panic over", "cut a", "undrained a")
	b.wish("a", health.Down, probe.Wish{Share: 1}) // "down" is a failure
	b.want("b")
	if b.line(a).State != health.Down {
		t.Error("a server that says it is down is not")
	}
}

type held struct{ aborted bool }

func (h *held) abort() { h.aborted = true }

func TestWishForAShare(t *testing.T) {
	for pick, steps := range map[string][]float64{Weighted: {0.3, 0.3}, Maglev: {5. / 16, 5. / 16}, LeastLoad: {1, 0.3}} {
		cfg := named("ab", "")
		cfg.Pick = pick
		cfg.Servers[0].Weight = 10
		b := newBench(t, cfg, everySecond)
		b.pass(time.Second)
		b.wish("a", health.Up, probe.Wish{Share: 0.3})
		for i, want := range steps { // at once, and when it has settled
			if got := b.table.Load().candidates[0].size / 10; math.Abs(got-want) > 0.01 {
				t.Errorf("%s: after %v the server has %.3f of its weight, want %.3f", pick, time.Duration(i)*20*time.Second, got, want)
			}
			b.pass(20 * time.Second)
		}
		b.wish("a", health.Up, probe.Wish{Share: 1})
		b.pass(20 * time.Second)
		if got := b.table.Load().candidates[0].size; math.Abs(got-10) > 0.1 {
			t.Errorf("%s: without a wish the server's size is %g, want its weight 10", pick, got)
		}
	}
}

func TestWishForABound(t *testing.T) {
	cfg := named("ab", "")
	cfg.Servers[1].MaxConnections = 20
	b := newBench(t, cfg, everySecond)
	for _, test := range []struct {
		name  string
		wish  int
		bound int64
	}{{"a", 30, 30}, {"a", 0, 0}, {"b", 30, 20}, {"b", 7, 7}, {"b", 0, 20}} {
		b.wish(test.name, health.Up, probe.Wish{Share: 1, Connections: test.wish})
		if got := b.server(test.name).most.Load(); got != test.bound {
			t.Errorf("%s wishes for %d: bound %d, want %d", test.name, test.wish, got, test.bound)
		}
	}
}

// An agent over the network: what it says becomes the server's weight, bound and drain.
func TestAgentIsHeeded(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		agent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var line atomic.Value
		line.Store("ready 100%")
		bed.Serve(t, agent, func(c net.Conn) { fmt.Fprintf(c, "%s\n", line.Load()) })
		a := newBackend(t, "a", nil)
		cfg := config(a)
		cfg.Check = "agent"
		r := newRig(t, cfg, map[string]probe.Config{"agent": {
			Type: "agent", Port: agent.Addr().(*net.TCPAddr).Port, Interval: 50 * time.Millisecond, Timeout: 10 * time.Second, Rise: 1, Fall: 100,
		}})
		eventually(t, "up", func() bool { return r.server(a.address).State == health.Up })
		line.Store("ready 40% maxconn:7")
		eventually(t, "the bound", func() bool { return r.server(a.address).Most == 7 })
		if d := r.server(a.address).Detail; !strings.Contains(d, "40 % of its weight and 7 connections") {
			t.Errorf("detail %q", d)
		}
		line.Store("maint")
		eventually(t, "the drain", func() bool { s := r.server(a.address); return s.Draining && s.State == health.Up })
		line.Store("ready maxconn:9")
		eventually(t, "the end of the drain", func() bool { s := r.server(a.address); return !s.Draining && s.Most == 9 })
		line.Store("no words of the protocol") // and so no wish: the last one is too old soon
		eventually(t, "the end of the wish", func() bool { return r.server(a.address).Most == 0 })
		if !r.happened(EventDraining, a.address) || r.happened(EventIsolated, a.address) {
			t.Errorf("events %+v", r.Events())
		}
	})
}
