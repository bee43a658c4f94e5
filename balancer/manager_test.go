package balancer

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"gslb/health"
	"gslb/health/probe"
)

// bench is a pool without connections whose time the test sets.
type bench struct {
	*pool
	t   *testing.T
	at  time.Time
	log *journal
}

func newBench(t *testing.T, cfg Config, rule *probe.Config) *bench {
	b := &bench{t: t, at: time.Unix(1_000_000, 0)}
	b.log = &journal{log: slog.New(slog.DiscardHandler), changed: func() {}}
	b.pool = newPool("www", b.log, func() time.Time { return b.at }, seeded())
	b.pool.configure(cfg.WithDefaults(), rule)
	return b
}

// named makes a configuration of servers and spares by name ("a", "b" …).
func named(servers, spares string) Config {
	c := Config{Name: "www", Listen: []string{"127.0.0.1:0"}}
	for _, s := range servers {
		c.Servers = append(c.Servers, ServerConfig{Address: string(s)})
	}
	for _, s := range spares {
		c.Spares = append(c.Spares, ServerConfig{Address: string(s)})
	}
	return c
}

func (b *bench) server(name string) *server {
	i := slices.IndexFunc(b.servers, func(s *server) bool { return s.address == name })
	if i < 0 {
		b.t.Fatalf("no server %q", name)
	}
	return b.servers[i]
}

// pass lets time pass, tick by tick.
func (b *bench) pass(d time.Duration) {
	for end := b.at.Add(d); b.at.Before(end); {
		b.at = b.at.Add(tick)
		b.tickAt(b.at)
	}
}

// connects makes n connects to the server fail.
func (b *bench) refuse(name string, n int) {
	for range n {
		b.failed(b.server(name), errors.New("connection refused"))
	}
}

func (b *bench) check(name string, state health.State) {
	b.observe(name, state, probe.Wish{Share: 1}, "said "+state.String(), b.at)
}

// want compares the servers that take new connections.
func (b *bench) want(names string) {
	b.t.Helper()
	got := ""
	for _, c := range b.table.Load().candidates {
		got += c.address
	}
	if got != names {
		b.t.Errorf("new connections go to %q, want %q", got, names)
	}
}

func (b *bench) wantEvents(want ...string) {
	b.t.Helper()
	var got []string
	for _, e := range b.log.events() {
		got = append(got, strings.TrimSpace(e.What+" "+e.Server))
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("events %q, want %q", got, want)
	}
}

var everySecond = &probe.Config{Interval: time.Second, Timeout: time.Second, Rise: 2, Fall: 3}

func TestActiveCheckIsolates(t *testing.T) {
	b := newBench(t, named("ab", ""), everySecond)
	b.want("ab")
	b.check("a", health.Down)
	b.want("b")
	b.check("a", health.Degraded)
	b.want("ab")
	b.check("a", health.Down)
	b.check("b", health.Down) // what a check says has no ceiling …
	if !b.table.Load().panic {
		t.Error("no panic with all servers down")
	}
	b.want("ab") // … but then all are tried
	b.check("b", health.Up)
	b.want("b")
	b.wantEvents("isolated a", "recovered a", "isolated a", "isolated b", "panic", "recovered b", "panic over")
}

func TestTwoFailedConnectsIsolate(t *testing.T) {
	b := newBench(t, named("ab", ""), nil)
	b.refuse("a", 1)
	b.connected(b.server("a"), time.Millisecond)
	b.refuse("a", 1)
	b.want("ab") // not in a row
	b.refuse("a", 1)
	b.want("b")
	b.refuse("b", 10)
	b.want("b") // never the last one
	b.wantEvents("isolated a")
}

func TestGuessesIsolateHalfAtMost(t *testing.T) {
	b := newBench(t, named("abcde", ""), nil)
	for _, name := range "abcde" {
		b.refuse(string(name), 2)
	}
	b.want("cde")
	// c is still failing. As soon as there is room under the ceiling, it goes too.
	b.server("a").isolation.tried = true
	b.pass(tick)
	b.want("ade")
	b.wantEvents("isolated a", "isolated b", "recovered a", "isolated c")
}

func TestPassiveIsolationEndsByTheActiveCheck(t *testing.T) {
	b := newBench(t, named("ab", ""), everySecond)
	b.check("a", health.Up)
	b.check("b", health.Up)
	b.refuse("a", 2)
	b.pass(2 * time.Second) // rise 2 x 1 s and a time-out must pass
	b.want("b")
	b.pass(2 * time.Second)
	b.want("ab")
	if ramp := b.table.Load().candidates[0].ramp; ramp > 0.1 {
		t.Errorf("slow start at %g, want its beginning", ramp)
	}

	b.refuse("a", 2)
	b.check("a", health.Down)
	b.pass(time.Minute)
	b.want("b")
	b.check("a", health.Up) // after its rise: counts at once
	b.want("ab")
}

func TestFlappingServerWaitsLonger(t *testing.T) {
	b := newBench(t, named("ab", ""), nil)
	var waits []time.Duration
	for range 7 {
		b.refuse("a", 2)
		waits = append(waits, b.server("a").isolation.wait)
		b.server("a").isolation.tried = true
		b.pass(tick)
		b.want("ab")
	}
	want := []time.Duration{1e9, 2e9, 4e9, 8e9, 16e9, 30e9, 30e9}
	if !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	b.pass(stable + time.Second)
	b.refuse("a", 2)
	if got := b.server("a").isolation.wait; got != time.Second {
		t.Errorf("wait %v after a stable time, want %v", got, time.Second)
	}
}

func TestTriesOnlyWithoutActiveCheck(t *testing.T) {
	for _, rule := range []*probe.Config{nil, everySecond} {
		b := newBench(t, named("ab", ""), rule)
		b.refuse("a", 2)
		if try := b.tickAt(b.at.Add(time.Second / 2)); len(try) != 0 {
			t.Errorf("tried before its time")
		}
		try := b.tickAt(b.at.Add(time.Second))
		if want := rule == nil; (len(try) == 1) != want {
			t.Errorf("with check %v: %d tries", rule != nil, len(try))
		}
		if again := b.tickAt(b.at.Add(time.Second)); len(again) != 0 {
			t.Error("tried twice at once")
		}
	}
}

// A check that has not failed often enough to say down says nothing for a server: it is not
// taken back to fail again.
func TestCheckMustHaveHadTheTimeToSayDown(t *testing.T) {
	rule := probe.Config{Type: "tcp", Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 3}.WithDefaults()
	b := newBench(t, named("ab", ""), &rule)
	b.check("a", health.Up)
	b.pass(time.Second)
	b.refuse("a", 2)
	b.pass(4*time.Second - tick)
	b.want("b")
	b.pass(tick)
	b.want("ab")
}

func TestSlowStartIsLinearAndNotAtTheStart(t *testing.T) {
	b := newBench(t, named("ab", "s"), nil)
	b.pass(tick)
	for _, c := range b.table.Load().candidates {
		if c.ramp != 1 {
			t.Errorf("server %s starts at %g", c.address, c.ramp)
		}
	}
	b.check("a", health.Down)
	b.check("a", health.Up)
	for _, want := range []float64{0.25, 0.5, 0.75, 1} {
		b.pass(2500 * time.Millisecond)
		if got := b.table.Load().candidates[0].ramp; got < want-0.02 || got > want+0.02 {
			t.Errorf("at %v: ramp %g, want %g", b.at, got, want)
		}
	}
}

func TestWantedSpareAtTheStartIsNotSlow(t *testing.T) {
	cfg := named("a", "s")
	cfg.MinServers = 2
	b := newBench(t, cfg, nil)
	b.want("as")
	if got := b.table.Load().candidates[1].ramp; got != 1 {
		t.Errorf("ramp %g at process start, want 1", got)
	}
}

func TestSpares(t *testing.T) {
	b := newBench(t, named("ab", "st"), everySecond)
	for _, name := range "abst" {
		b.check(string(name), health.Up)
	}
	b.want("ab")
	b.check("s", health.Down) // spares are checked too
	b.check("a", health.Down)
	b.want("bt")
	b.check("s", health.Up)
	b.want("bt") // enough: s stays out
	b.check("b", health.Down)
	b.want("st")
	b.check("t", health.Down) // none left
	b.want("s")
	b.check("t", health.Up)
	b.check("a", health.Up)
	b.want("ast")
	b.pass(9 * time.Second)
	b.want("ast") // held
	b.check("a", health.Down)
	b.check("a", health.Up)
	b.pass(9 * time.Second)
	b.want("ast") // the hold time started again
	b.server("t").open.Store(7)
	b.pass(2 * time.Second)
	b.want("as") // the one less that is needed; its connections finish
	if got := b.server("t").drain; got.on() {
		t.Errorf("spare taken out is %+v, want it not to be cut", got)
	}
	b.check("b", health.Up)
	b.pass(11 * time.Second)
	b.want("ab")
}

func TestUnknownSpareIsSecondChoice(t *testing.T) {
	b := newBench(t, named("a", "st"), everySecond)
	b.check("t", health.Up)
	b.check("a", health.Down)
	b.want("t")
	b.check("t", health.Down)
	b.want("s") // nothing known is better than nothing
}

func TestFailedSpareIsReplaced(t *testing.T) {
	b := newBench(t, named("a", "st"), everySecond)
	for _, name := range "ast" {
		b.check(string(name), health.Up)
	}
	b.check("a", health.Down)
	b.want("s")
	b.check("s", health.Down)
	b.want("t")
	b.check("s", health.Up)
	b.check("a", health.Up)
	b.pass(11 * time.Second)
	b.want("a")
}

func TestOverload(t *testing.T) {
	cfg := named("ab", "")
	cfg.Servers[0].Capacity, cfg.Servers[1].Capacity = 10, 20
	b := newBench(t, cfg, nil)
	for _, step := range []struct {
		a, b int64
		want string
	}{
		{11, 0, "ab"}, // 110 %: below the default of 120 %
		{12, 0, "b"},
		{10, 0, "b"},  // hysteresis: 96 % is where it ends
		{10, 30, "b"}, // the last one stays, however full
		{9, 30, "a"},  // a is back, so b can go
		{9, 19, "ab"},
	} {
		b.server("a").open.Store(step.a)
		b.server("b").open.Store(step.b)
		b.pass(fullLeast + 2*tick)
		if t.Run(fmt.Sprint(step), func(t *testing.T) { b.t = t; b.want(step.want) }); t.Failed() {
			break
		}
	}
	for _, c := range b.table.Load().candidates {
		if c.ramp != 1 {
			t.Errorf("%s is in slow start after overload: it is warm", c.address)
		}
	}
}

func TestOverloadedServerKeepsItsLoadInTheReport(t *testing.T) {
	cfg := named("ab", "")
	cfg.Servers[0].Capacity, cfg.Servers[1].Capacity = 100, 100
	b := newBench(t, cfg, nil)
	report := func() (r health.Report) {
		b.addTo(&r, new(float64))
		r.Servers = nil
		return r
	}
	b.server("a").open.Store(120)
	b.server("b").open.Store(90)
	b.pass(tick)
	if got := report(); got.Load != 210 || got.Capacity != 200 || got.Healthy != 1 || got.Total != 2 || got.Connections != 210 {
		t.Errorf("full: %+v", got)
	}
	if err := b.drainServer("a", true, 0); err != nil {
		t.Fatal(err)
	}
	if got := report(); got.Load != 90 || got.Capacity != 100 || got.Connections != 210 {
		t.Errorf("draining: %+v", got)
	}
}

func TestDrain(t *testing.T) {
	b := newBench(t, named("ab", "s"), nil)
	b.server("a").open.Store(2)
	if err := b.drainServer("x", true, 0); err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("drain of an unknown server: %v", err)
	}
	if err := b.drainServer("a", true, 0); err != nil {
		t.Fatal(err)
	}
	b.want("bs")
	b.pass(20 * time.Second)
	b.server("a").open.Store(0)
	b.pass(tick)
	b.wantEvents("draining a", "spare in s", "drained a")
	b.drainServer("a", false, 0)
	b.want("abs")
	if got := b.table.Load().candidates[0].ramp; got > 0.1 {
		t.Errorf("slow start at %g after a drain, want its beginning", got)
	}
	b.drainServer("a", true, 0)
	b.drainServer("b", true, 0)
	b.drainServer("s", true, 0)
	b.want("") // an order is an order: no panic into drained servers
}

func TestDrainTimeoutCuts(t *testing.T) {
	b := newBench(t, named("ab", ""), nil)
	conn := new(fakeConn)
	b.server("a").open.Store(1)
	b.server("a").carried.add(conn.connection())
	b.drainServer("a", true, 0)
	b.pass(29 * time.Second)
	if conn.aborted != 0 {
		t.Error("cut before the drain time-out")
	}
	b.pass(2 * time.Second)
	if conn.aborted != 1 {
		t.Errorf("aborted %d times, want once", conn.aborted)
	}
	if b.server("a").carried.add(new(fakeConn).connection()) {
		t.Error("takes a late connection after the cut")
	}
	b.drainServer("a", false, 0)
	if !b.server("a").carried.add(new(fakeConn).connection()) {
		t.Error("takes no connection after the drain was taken back")
	}
}

// TestOnIsolate: what becomes of connections to a server whose check fails.
func TestOnIsolate(t *testing.T) {
	for _, tt := range []struct {
		name, order string
		down        string // the servers whose check fails
		lasts       time.Duration
		want        int // times that the connection to a is aborted
	}{
		{"keep", KeepIsolated, "a", time.Minute, 0},
		{"reset", ResetIsolated, "a", 3 * time.Second, 1},
		{"not yet", ResetIsolated, "a", time.Second, 0},
		{"another server", ResetIsolated, "b", time.Minute, 0},
		{"none available", ResetIsolated, "ab", time.Minute, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := named("ab", "")
			cfg.OnIsolate = tt.order
			b := newBench(t, cfg, everySecond)
			b.check("a", health.Up)
			b.check("b", health.Up)
			conn := new(fakeConn)
			b.server("a").carried.add(conn.connection())
			for _, name := range tt.down {
				b.check(string(name), health.Down)
			}
			b.pass(tt.lasts)
			if conn.aborted != tt.want {
				t.Errorf("aborted %d times, want %d", conn.aborted, tt.want)
			}
			if !b.server("a").carried.add(new(fakeConn).connection()) {
				t.Error("takes no connection any more, though it may come back")
			}
		})
	}
}

type fakeConn struct{ aborted int }

func (c *fakeConn) abort() { c.aborted++ }

func (c *fakeConn) connection() *connection { return &connection{ender: c} }

func TestConfigureKeepsWhatStays(t *testing.T) {
	b := newBench(t, named("ab", "s"), everySecond)
	b.check("b", health.Down)
	b.drainServer("a", true, 0)
	before := map[string]*server{"a": b.server("a"), "b": b.server("b"), "s": b.server("s")}
	before["a"].open.Store(3)

	b.configure(named("bc", "sa").WithDefaults(), everySecond)
	for name, s := range before {
		if b.server(name) != s {
			t.Errorf("server %s was made anew", name)
		}
	}
	b.want("cs") // b down, a draining by order, c new, s already in
	if ramp := b.table.Load().candidates[0].ramp; ramp > 0.1 {
		t.Errorf("new server's slow start at %g, want its beginning", ramp)
	}

	b.configure(named("c", "").WithDefaults(), everySecond)
	b.want("c")
	if len(b.leaving) != 3 {
		t.Errorf("%d servers leaving, want 3", len(b.leaving))
	}
	b.pass(tick)
	if len(b.leaving) != 1 || b.leaving[0] != before["a"] {
		t.Errorf("leaving %v, want a, which has connections", b.leaving)
	}
	b.configure(named("ac", "").WithDefaults(), everySecond)
	b.want("ac")
	if b.server("a") != before["a"] || len(b.leaving) != 0 {
		t.Error("a did not come back with its connections")
	}
}

func TestJournalKeepsTheLast(t *testing.T) {
	j := &journal{log: slog.New(slog.DiscardHandler), changed: func() {}}
	for i := range ringSize + 10 {
		j.add(Event{What: fmt.Sprint(i)})
	}
	got := j.events()
	if len(got) != ringSize || got[0].What != "10" || got[ringSize-1].What != fmt.Sprint(ringSize+9) {
		t.Errorf("%d events, %s to %s", len(got), got[0].What, got[len(got)-1].What)
	}
}
