package balancer

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRegister(t *testing.T) {
	t.Parallel()
	a, clone, third := newBackend(t, "a", nil), newBackend(t, "clone", nil), newBackend(t, "third", nil)
	cfg := config(a)
	cfg.Pick, cfg.DrainTimeout, cfg.SlowStart = RoundRobin, 2*patience, 10*time.Millisecond
	file := filepath.Join(t.TempDir(), "registered.json")
	r := newRigWith(t, Options{File: file, ReportEvery: 20 * time.Millisecond}, cfg, nil)
	held := r.mustConnect()
	if err := r.Register(Registration{Frontend: "www", Address: clone.address, Who: "clone", Why: "test"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a connection to the clone", func() bool { return r.mustConnect().from == "clone" })
	if err := r.Apply([]Config{cfg}, nil); err != nil { // a reload does not know of it
		t.Fatal(err)
	}
	if s := r.server(clone.address); !s.InService || !s.Registered {
		t.Errorf("after a reload the clone is %+v", s)
	}
	if got := r.Status()[0].MinServers; got != 1 {
		t.Errorf("%d servers are wanted, want 1 as before", got)
	}
	for _, tt := range []struct {
		registration Registration
		want         string
		is           error
	}{
		{Registration{Frontend: "mail", Address: clone.address}, `"www"`, ErrUnknown},
		{Registration{Frontend: "www", Address: a.address}, "configuration", ErrConfigured},
		{Registration{Frontend: "www", Address: "10.0.0.1"}, "host:port", nil},
		{Registration{Frontend: "www", Address: third.address, Capacity: 5}, "capacity", nil},
	} {
		if err := r.Register(tt.registration); err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%+v: %v, want %q", tt.registration, err, tt.want)
		}
	}

	// It is there after a restart, unless it does not go with what is configured by then.
	again, err := New([]Config{cfg}, nil, slog.New(slog.DiscardHandler), Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Registered(); len(got) != 1 || got[0].Address != clone.address || got[0].Why != "test" {
		t.Errorf("after a restart: %+v", got)
	}
	other := config(a)
	other.Name = "mail"
	if again, err = New([]Config{other}, nil, slog.New(slog.DiscardHandler), Options{File: file}); err != nil || len(again.Status()[0].Servers) != 1 {
		t.Errorf("with another frontend: %v, %+v", err, again.Status())
	}

	// One that is not renewed goes; its connections finish.
	if err := r.Register(Registration{Frontend: "www", Address: third.address, Until: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	var last *client
	eventually(t, "a connection to the third", func() bool { last = r.mustConnect(); return last.from == "third" })
	if err := r.Register(Registration{Frontend: "www", Address: third.address, Until: time.Now().Add(-time.Second)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the third removed", func() bool { return r.happened(EventRemoved, third.address) })
	if err := errors.Join(last.echo("still here"), held.echo("still here")); err != nil {
		t.Errorf("a connection was lost: %v", err)
	}
	if err := r.Deregister("www", clone.address); err != nil {
		t.Fatal(err)
	}
	if err := r.Deregister("www", clone.address); !errors.Is(err, ErrUnknown) {
		t.Errorf("taken out twice: %v", err)
	}
	if err := r.Deregister("www", a.address); !errors.Is(err, ErrConfigured) {
		t.Errorf("of the configuration: %v", err)
	}
	for range 10 {
		if from := r.mustConnect().from; from != "a" {
			t.Fatalf("a connection went to %q", from)
		}
	}
}

// A drain has a time-out of its own, and tells how far it is.
func TestDrainWithADeadline(t *testing.T) {
	b := newBench(t, named("ab", ""), nil)
	a, conn := b.server("a"), new(fakeConn)
	a.open.Store(2)
	a.carried.add(conn.connection())
	if err := b.drainServer("a", true, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	a.open.Store(1)
	d := b.drainOf(a)
	if d == nil || d.Begun != 2 || d.Left != 1 || d.Until.Sub(d.Since) != 5*time.Second {
		t.Fatalf("draining as %+v", d)
	}
	b.pass(4 * time.Second)
	if conn.aborted != 0 {
		t.Error("cut before the deadline")
	}
	b.drainServer("a", true, 10*time.Second) // later, as ordered
	b.pass(4 * time.Second)
	if conn.aborted != 0 {
		t.Error("cut before the deadline that was ordered later")
	}
	b.pass(3 * time.Second)
	if conn.aborted != 1 {
		t.Errorf("cut %d times after the deadline, want once", conn.aborted)
	}
	a.open.Store(0)
	b.pass(time.Second)
	var told []string
	for _, e := range b.log.events() {
		told = append(told, e.What+": "+e.Why)
	}
	text := strings.Join(told, "\n")
	for _, want := range []string{"draining: by order, within 5s, with 2 connections", "cut: 1 connections of 2 were open after 10s", "drained: the last of its 2 connections ended"} {
		if !strings.Contains(text, want) {
			t.Errorf("events:\n%s\nwant %q", text, want)
		}
	}
	if b.drainServer("a", false, 0); b.drainOf(a) != nil {
		t.Error("still draining after it was taken back")
	}
}

func TestQuantiles(t *testing.T) {
	var h histogram
	for i := range 1000 {
		h.observe(time.Duration(i+1) * time.Millisecond)
	}
	var all Histogram
	all.add(&h)
	for q, want := range map[float64]float64{0.5: 0.5, 0.9: 0.9, 0.99: 0.99} {
		if got := all.quantile(q); got < 0.88*want || got > 1.12*want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if all.Count() != 1000 || all.Sum != 500500*time.Millisecond {
		t.Errorf("%d counted, sum %v", all.Count(), all.Sum)
	}
}
