package balancer

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
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
	for _, engine := range Engines() {
		t.Run(engine, func(t *testing.T) { testEndings(t, engine) })
	}
}

func testEndings(t *testing.T, engine string) {
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
		{"nobody says anything", func(c *Config) { c.IdleTimeout = 2 * time.Second }, func(*pipe) {}, endIdle},
		{"half-closed and forgotten", func(c *Config) { c.CloseTimeout = 100 * time.Millisecond }, func(p *pipe) { p.client.CloseWrite() }, endHalf},
		{"the client says nothing", func(c *Config) { c.FirstByteTimeout = 2 * time.Second }, func(*pipe) {}, endSilent},
		{"bytes come too slowly", func(c *Config) { c.MinRate, c.MinRateTime = 1<<20, 100*time.Millisecond }, func(p *pipe) {
			for { // until it is reset
				if _, err := p.client.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		}, endSlow},
		{"cut", nil, func(p *pipe) { p.rig.Drain("www", p.rig.Status()[0].Servers[0].Address, 0) }, endCut},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPipe(t, func(c *Config) {
				c.Engine = engine
				if tt.change != nil {
					tt.change(c)
				}
			})
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
		c, err := r.connect()
		if err != nil && r.happened(EventRecovered, bad.address) {
			break // this took so long that it was tried again, and accepted
		}
		if err != nil || c.from != "good" {
			t.Fatalf("a connection after the isolation did not go to the good server: %v", err)
		}
		defer c.Close()
	}
	if s := r.server(bad.address); s.Broken < 5 {
		t.Errorf("%d resets before a first byte counted, want %d or more", s.Broken, 5)
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
		t.Cleanup(func() { conn.Close() }) // or the balancer's end would wait for it
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
	var served atomic.Int64
	var wg sync.WaitGroup
	for range 50 { // all at once: one after the other they may take long enough on a busy machine
		wg.Go(func() {
			if _, err := from("127.0.4.1"); err == nil {
				served.Add(1)
			}
		})
	}
	wg.Wait()
	if n := served.Load(); n < 4 || n == 50 {
		t.Errorf("%d of 50 connections of a network that may make 2 a second, and 4 at first, were served", n)
	}
	eventually(t, "those over the rate counted", func() bool { return r.Status()[0].Counters.OverRate == 50-served.Load() })
	if err := held[1].echo("still here"); err != nil {
		t.Errorf("a connection from before the change: %v", err)
	}
}

// A client that says nothing is not handed over by the kernel, if that is wanted;
// a change of that counts for the listener that there is.
func TestDeferAccept(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has TCP_DEFER_ACCEPT")
	}
	a := newBackend(t, "a", nil)
	cfg := config(a)
	r := newRig(t, cfg, nil)
	r.mustConnect() // who does not speak first is greeted
	cfg.DeferAccept = true
	if err := r.Apply([]Config{cfg}, nil); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	speaks, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer speaks.Close()
	send(t, speaks.(*net.TCPConn), "x")
	if _, err := r.greeted(speaks); err != nil {
		t.Fatal(err)
	}
	if got := r.Status()[0].Counters.Accepted; got != 2 { // the first one, and the one that speaks
		t.Errorf("%d connections were taken, want 2: not the silent one", got)
	}
}

// A server that is isolated by what its connections say: how many at once, and
// when so few are left that nobody's health is believed.
func TestMaxEjectedAndPanicBelow(t *testing.T) {
	for _, tt := range []struct {
		ejected, below float64
		fail           string
		want           string // who takes new connections
	}{
		{0.5, 0, "abc", "cd"},
		{0.25, 0, "abc", "bcd"},
		{1, 0, "abcd", "d"},
		{1, 0.5, "abc", "abcd"},
		{0.75, 0.25, "abc", "d"},
		{0.2, 0, "a", "abcd"},
	} {
		cfg := named("abcd", "")
		cfg.MaxEjected, cfg.PanicBelow = tt.ejected, tt.below
		b := newBench(t, cfg, nil)
		for _, name := range tt.fail {
			for range 2 {
				b.failed(b.server(string(name)), errors.New("refused"))
			}
		}
		b.want(tt.want)
	}
	cfg := named("ab", "")
	cfg.PassiveFailures, cfg.PassiveResets = -1, 3
	b := newBench(t, cfg, nil)
	for range 100 {
		b.failed(b.server("a"), errors.New("refused"))
	}
	b.want("ab")
	for range 3 {
		b.want("ab")
		b.broke(b.server("a"))
	}
	b.want("b")
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

// Each row is how many bytes go up and down and are acknowledged until a look, and what that look says.
func TestVigil(t *testing.T) {
	type look struct {
		up, down, acked int64
		half            bool
		want            ending
	}
	l := limits{idle: 40 * time.Second, close: 8 * time.Second}
	speaking, hasty := l, l
	speaking.first = 20 * time.Second               // looks every 5 s
	hasty.rate, hasty.rateTime = 10, 30*time.Second // looks every 7.5 s: 75 bytes are enough
	quiet, half := look{}, look{half: true}
	for name, tt := range map[string]struct {
		limits
		looks []look
	}{
		"silent":                          {l, []look{quiet, quiet, quiet, {want: endIdle}}},
		"now and then a byte":             {l, []look{quiet, quiet, quiet, {up: 1}, quiet, quiet, quiet, {want: endIdle}}},
		"a slow reader":                   {l, []look{{down: 9}, quiet, quiet, {acked: 1}, quiet, quiet, {acked: 1}, quiet, quiet}},
		"half-closed":                     {l, []look{quiet, half, half, half, {half: true, want: endHalf}}},
		"the client says nothing":         {speaking, []look{quiet, quiet, quiet, {want: endSilent}}},
		"only the server speaks":          {speaking, []look{{down: 5}, {down: 5}, {down: 5}, {down: 5, want: endSilent}}},
		"the client speaks in time":       {speaking, []look{quiet, quiet, {up: 1}, quiet, quiet, quiet, quiet, quiet, quiet}},
		"one byte at a time":              {hasty, []look{{up: 1}, {up: 1}, {up: 1}, {up: 1, want: endSlow}}},
		"one byte at a time, with breaks": {hasty, []look{{up: 1}, quiet, {up: 1}, quiet, {up: 1}, quiet, {up: 1, want: endSlow}}},
		"enough once":                     {hasty, []look{{up: 1}, {up: 1}, {up: 1}, {down: 75}, {up: 1}, {up: 1}, {up: 1}, {up: 75}}},
		"an idle one is not slow":         {hasty, []look{{up: 75}, quiet, quiet, quiet, quiet}},
		"a reader that takes one byte":    {hasty, []look{{down: 900}, {acked: 1}, {acked: 1}, {acked: 1}, {acked: 1, want: endSlow}}},
	} {
		t.Run(name, func(t *testing.T) {
			var c connection
			var v vigil
			var acked uint64
			for i, k := range tt.looks {
				if k.half && i > 0 && !tt.looks[i-1].half {
					v.turned()
				}
				c.up.Add(k.up)
				c.down.Add(k.down)
				acked += uint64(k.acked)
				if got := v.look(&c, tt.limits, k.half, acked); got != k.want {
					t.Fatalf("look %d says %q, want %q", i+1, got, k.want)
				}
			}
		})
	}
}

func TestConnectionsAreSeenAndLogged(t *testing.T) {
	t.Parallel()
	a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
	cfg := config(a, b)
	file := filepath.Join(t.TempDir(), "connections.jsonl")
	cfg.Pick, cfg.LogConnections, cfg.ConnectionLog, cfg.ConnectionLogSize = RoundRobin, 1, file, 1000
	r := newRig(t, cfg, nil)
	from := func(ip string) *client {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		conn, err := d.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.greeted(conn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	first := from("127.0.1.1")
	for _, ip := range []string{"127.0.1.2", "127.0.1.3", "127.0.2.1"} {
		from(ip)
	}
	if err := first.echo("hello"); err != nil {
		t.Fatal(err)
	}
	want := first.LocalAddr().String()
	eventually(t, "the bytes of the first connection", func() bool {
		all, n := r.Connections(ConnectionFilter{})
		return n == 4 && len(all) == 4 && all[0].Client == want && all[0].Up == 6 && all[0].Down == 8 && all[0].Server != "" && all[0].Age >= all[3].Age
	})
	for _, tt := range []struct {
		name string
		want ConnectionFilter
		n    int
	}{
		{"of a network", ConnectionFilter{Client: netip.MustParsePrefix("127.0.1.0/24")}, 3},
		{"of a server", ConnectionFilter{Server: a.address}, 2},
		{"of another frontend", ConnectionFilter{Frontend: "mail"}, 0},
		{"old ones", ConnectionFilter{MinAge: time.Hour}, 0},
	} {
		if all, n := r.Connections(tt.want); n != tt.n || len(all) != n {
			t.Errorf("%s: %d of %d, want %d", tt.name, len(all), n, tt.n)
		}
	}
	if all, n := r.Connections(ConnectionFilter{Limit: 1, Sort: "bytes"}); n != 4 || len(all) != 1 || all[0].Client != want {
		t.Errorf("the one with most bytes of %d is %v", n, all)
	}
	top, _ := r.TopConnections(ConnectionFilter{}, "network")
	if len(top) != 2 || top[0].Of != "127.0.1.0/24" || top[0].Open != 3 {
		t.Errorf("by network: %+v", top)
	}
	first.Close()
	var line LoggedConnection
	eventually(t, "a line in the log", func() bool {
		text, _ := os.ReadFile(file)
		return json.Unmarshal(bytes.TrimSpace(text), &line) == nil
	})
	if line.Client != want || line.Up != 6 || line.Down != 8 || line.End != "client" || line.First <= 0 || line.Duration < line.First || line.Frontend != "www" || line.Server == "" {
		t.Errorf("logged as %+v", line)
	}
	for range 20 { // 1000 octets are some lines only
		from("127.0.3.1").Close()
	}
	eventually(t, "a file that was moved away", func() bool {
		now, err1 := os.Stat(file)
		old, err2 := os.Stat(file + ".1")
		return err1 == nil && err2 == nil && now.Size() <= 1000 && old.Size() <= 1000
	})
}

// The log never holds up a connection: what it cannot take is counted.
func TestLogThatIsNotTaken(t *testing.T) {
	f := &frontend{name: "www", entries: make(chan entry, 2)}
	cfg := Config{LogConnections: 1}.WithDefaults()
	f.cfg.Store(&cfg)
	for range 5 {
		f.log(&connection{front: f}, endClient, 1)
	}
	if got := f.unlogged.Load(); got != 3 {
		t.Errorf("%d were counted as not logged, want 3", got)
	}
}
