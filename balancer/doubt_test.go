package balancer

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gslb/test/bed"
)

// Clients' connects to a server of a plane in the kernel look as if they failed. That has
// the manager connect at most once a second, and only what it meets itself isolates.
func TestDoubt(t *testing.T) {
	var accepted, others atomic.Int64
	listen := func(address string) net.Listener {
		l, err := (&net.ListenConfig{Control: bed.ReuseAddress}).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	open := bed.Serve(t, listen("127.0.0.1:0"), func(net.Conn) { accepted.Add(1) })
	other := bed.Serve(t, listen("127.0.0.1:0"), func(net.Conn) { others.Add(1) })
	closed := bed.Reserve(t, "tcp")
	for _, test := range []struct {
		name     string
		change   func(*Config)
		address  string // of the server that is suspect
		isolated bool
		connects int // of the manager's, by their counts of failure
	}{
		{"it accepts", func(*Config) {}, open, false, 0},
		{"it refuses", func(*Config) {}, closed, true, 2},
		{"one is enough", func(c *Config) { c.PassiveFailures = 1 }, closed, true, 1},
		{"never", func(c *Config) { c.PassiveFailures = -1 }, closed, false, 0},
		{"as many as may be are out", func(c *Config) { c.MaxEjected = 0.4 }, closed, false, 4},
		{"it refuses, and maybe does not listen there", func(c *Config) { c.Plane = PlaneDSR }, closed, false, 0},
		{"a proxy sees for itself", func(c *Config) { c.Plane = PlaneProxy }, closed, false, 0},
		{"udp", func(c *Config) { c.Protocol = UDP }, closed, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := Config{Name: "www", Plane: PlaneNAT, Servers: []ServerConfig{{Address: test.address}, {Address: other}}}
			test.change(&cfg)
			b := newBench(t, cfg, nil)
			s, before := b.server(test.address), accepted.Load()
			b.suspected(s, 3*time.Second)
			if got := s.isolation.has(causePassive); got != test.isolated {
				t.Errorf("isolated: %v, want %v (%q)", got, test.isolated, s.isolation.why)
			}
			if got := s.failures.Load(); got != int64(test.connects) {
				t.Errorf("%d connects failed, want %d", got, test.connects)
			}
			if test.isolated && !strings.Contains(s.isolation.why, "refused") {
				t.Errorf("isolated since %q", s.isolation.why)
			}
			if test.address == open {
				eventually(t, "one connect a second", func() bool { return accepted.Load() == before+3 })
			}
		})
	}
	// With direct server return one that has accepted and then refuses is judged by that.
	address := bed.Reserve(t, "tcp")
	l := listen(address)
	b := newBench(t, Config{Name: "www", Plane: PlaneDSR, Servers: []ServerConfig{{Address: address}, {Address: other}}}, nil)
	b.suspected(nil, tick)
	l.Close()
	b.suspected(b.server(address), 3*time.Second)
	b.want(other)
}

// suspected has clients' connects speak against s for so long; nil: against nobody.
func (b *bench) suspected(s *server, d time.Duration) {
	for end := b.at.Add(d); b.at.Before(end); b.at = b.at.Add(tick) {
		if s != nil {
			b.doubt(s)
		}
		for _, one := range b.doubtful(b.at) {
			b.prove(b.t.Context(), one)
		}
	}
}
