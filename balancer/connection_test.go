package balancer

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestBucketOf(t *testing.T) {
	bound := func(i int) time.Duration { // of bucket i, in nanoseconds, by another way than bucketOf
		x := 1e9
		for n := i + histogramFirst; n > 0; n-- {
			x *= roots4
		}
		for n := i + histogramFirst; n < 0; n++ {
			x /= roots4
		}
		return time.Duration(x)
	}
	for i := 1; i < histogramBuckets-1; i++ {
		if low, high := bucketOf(bound(i-1)+10), bucketOf(bound(i)-10); bound(i)-bound(i-1) > 40 && (low != i || high != i) {
			t.Errorf("bucket %d, %v to %v: its ends are in %d and %d", i, bound(i-1), bound(i), low, high)
		}
	}
	for d, want := range map[time.Duration]int{-1: 0, 0: 0, 1: 0, 100 * time.Hour: histogramBuckets - 1, time.Second: -histogramFirst, time.Second + 1: -histogramFirst + 1} {
		if got := bucketOf(d); got != want {
			t.Errorf("%v is in bucket %d, want %d", d, got, want)
		}
	}
}

const roots4 = 1.189207115002721 // the fourth root of 2

// What people read as the end of a connection, for each way that it may end.
func TestEndings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*Config)
		do     func(p *pipe)
		want   ending
	}{
		{"the client finishes first", nil, func(p *pipe) { p.client.CloseWrite(); p.read(p.server); p.server.Close() }, endClient},
		{"the server finishes first", nil, func(p *pipe) { p.server.CloseWrite(); p.read(p.client); p.client.Close() }, endServer},
		{"the client resets", nil, func(p *pipe) { reset(p.client) }, endClientReset},
		{"the server resets", nil, func(p *pipe) { reset(p.server) }, endServerReset},
		{"the client finishes, then the server resets", nil, func(p *pipe) { p.client.CloseWrite(); p.read(p.server); reset(p.server) }, endServerReset},
		{"nobody says anything", func(c *Config) { c.IdleTimeout = 100 * time.Millisecond }, func(*pipe) {}, endIdle},
		{"half-closed and forgotten", func(c *Config) { c.CloseTimeout = 100 * time.Millisecond }, func(p *pipe) { p.client.CloseWrite() }, endHalf},
		{"cut", nil, func(p *pipe) { p.rig.Drain("www", p.rig.Status()[0].Servers[0].Address, true) }, endCut},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPipe(t, tt.change)
			c := p.rig.only()
			tt.do(p)
			eventually(t, "the end", func() bool {
				return len(p.rig.fronts[0].pool.servers[0].carried.all()) == 0 && p.rig.Status()[0].Open == 0
			})
			if got := ending(c.how.Load() & endingMask); got != tt.want {
				t.Errorf("ended by %q, want %q", got, tt.want)
			}
		})
	}
}

func (p *pipe) read(c *net.TCPConn) { io.Copy(io.Discard, struct{ io.Reader }{c}) }

// only waits for the one connection that there is.
func (r *rig) only() *connection {
	r.t.Helper()
	var c *connection
	eventually(r.t, "a connection", func() bool {
		if all := r.fronts[0].pool.servers[0].carried.all(); len(all) == 1 {
			c = all[0]
		}
		return c != nil
	})
	return c
}

// A server that accepts and resets is isolated, as one that does not accept is;
// one that a client leaves, or that answers now and then, is not.
func TestResetsIsolate(t *testing.T) {
	t.Parallel()
	bad := newBackend(t, "bad", func(c *net.TCPConn) { reset(c) })
	good := newBackend(t, "good", nil)
	cfg := config(bad, good)
	cfg.Pick = RoundRobin
	r := newRig(t, cfg, nil)
	for i := 0; !r.happened(EventIsolated, bad.address); i++ {
		if i == 1000 {
			t.Fatal("a server that resets every connection is not isolated")
		}
		if c, err := net.Dial("tcp", r.address); err == nil {
			c.Read(make([]byte, 100)) // of the good one its name, of the bad one the end
			c.Close()
		}
	}
	for range 20 {
		if c := r.mustConnect(); c.from != "good" {
			t.Fatalf("a connection went to %q after the isolation", c.from)
		}
	}
	if s := r.server(bad.address); s.Broken < passiveResets {
		t.Errorf("%d resets before a first byte counted, want %d or more", s.Broken, passiveResets)
	}
}

func TestClientsThatLeaveIsolateNobody(t *testing.T) {
	t.Parallel()
	// The server closes with unread data, which is a reset, once its client has finished.
	a, b := newBackend(t, "a", func(c *net.TCPConn) { io.Copy(io.Discard, struct{ io.Reader }{c}); reset(c) }), newBackend(t, "b", nil)
	r := newRig(t, config(a, b), nil)
	for range 40 {
		c, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
	}
	if s := r.server(a.address); r.happened(EventIsolated, a.address) || s.Total < 5 {
		t.Errorf("isolated, or has %d connections only: %s", s.Total, s.Detail)
	}
}

func TestAdmission(t *testing.T) {
	t.Parallel()
	networks := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	a := newBackend(t, "a", nil)
	cfg := config(a)
	cfg.Deny = networks("127.0.2.0/24")
	cfg.NetworkConnections, cfg.NetworkExempt = 3, networks("127.0.9.0/24")
	r := newRig(t, cfg, nil)
	from := func(ip string) (*client, error) {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		conn, err := d.Dial("tcp", r.address)
		if err != nil {
			return nil, err
		}
		return r.greeted(conn)
	}
	if _, err := from("127.0.2.1"); err == nil {
		t.Error("a denied client is served")
	}
	var held []*client
	for i := range 4 {
		c, err := from("127.0.1." + string(rune('1'+i))) // one network
		if (err == nil) != (i < 3) {
			t.Fatalf("connection %d of a network that may have 3: %v", i+1, err)
		}
		if err == nil {
			held = append(held, c)
		}
	}
	if _, err := from("127.0.3.1"); err != nil {
		t.Errorf("another network: %v", err)
	}
	for range 5 {
		if _, err := from("127.0.9.1"); err != nil {
			t.Errorf("an exempt network: %v", err)
		}
	}
	held[0].Close()
	eventually(t, "room for the network after one has left", func() bool { _, err := from("127.0.1.9"); return err == nil })
	if got := r.Status()[0].Counters; got.Denied != 1 || got.OverCount < 1 || got.OverRate != 0 {
		t.Errorf("counted %d denied, %d over the count, %d over the rate", got.Denied, got.OverCount, got.OverRate)
	}

	cfg.NetworkConnections, cfg.NetworkRate = 0, 2
	if err := r.Apply([]Config{cfg}, nil); err != nil {
		t.Fatal(err)
	}
	served := 0
	for range 50 {
		if _, err := from("127.0.4.1"); err == nil {
			served++
		}
	}
	if served < 4 || served == 50 {
		t.Errorf("%d of 50 connections of a network that may make 2 a second, and 4 at first, were served", served)
	}
	if got := r.Status()[0].Counters.OverRate; got != int64(50-served) {
		t.Errorf("%d over the rate counted, %d were refused", got, 50-served)
	}
	if err := held[1].echo("still here"); err != nil {
		t.Errorf("a connection from before the change: %v", err)
	}
}

func TestBlame(t *testing.T) {
	for _, tt := range []struct{ said, want []ending }{
		{[]ending{endClient, endServer}, []ending{endClient}},
		{[]ending{endServer, endClientReset}, []ending{endClientReset}},
		{[]ending{endServerReset, endClientReset, endServer, endIdle}, []ending{endServerReset}},
		{[]ending{endCut, endClient}, []ending{endCut}},
	} {
		var c connection
		for _, e := range tt.said {
			c.blame(e)
		}
		if got := ending(c.how.Load() & endingMask); got != tt.want[0] {
			t.Errorf("%v: ended by %q, want %q", tt.said, got, tt.want[0])
		}
		if got := c.how.Load()&clientFinished != 0; got != slices.Contains(tt.said, endClient) {
			t.Errorf("%v: the client has finished: %v", tt.said, got)
		}
	}
}
