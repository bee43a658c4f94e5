package afxdp

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gslb/test/bed"
)

// echo answers every query with itself as a response, but for names that begin
// with "silent"; "panic" panics.
type echo struct{ out []byte }

func (e *echo) Answered() {}

func (e *echo) Answer(q []byte, src netip.AddrPort, limit int) []byte {
	if bytes.Contains(q, []byte("silent")) {
		return nil
	}
	if bytes.Contains(q, []byte("panic")) {
		panic("as asked")
	}
	if bytes.Contains(q, []byte("long")) {
		q = append(bytes.Clone(q), make([]byte, limit-len(q))...)
	}
	e.out = append(e.out[:0], q...)
	e.out[2] |= 0x80
	return e.out
}

// served is what the ports of these tests take.
var served = []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:53"), netip.MustParseAddrPort("[::]:53")}

// run runs a port at the server's end until the test ends, and waits until it
// serves.
func (v veth) run(t testing.TB) *Port {
	t.Helper()
	p := New(Config{Interface: "eth0", Served: served, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Handler: func(int) Handler { return new(echo) }})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		inside(t, v.server, func() { _ = p.Run(ctx) })
	}()
	t.Cleanup(func() { stop(); <-ended })
	v.await(t, p, "")
	return p
}

// patience is how long what must happen may take, on however busy a machine.
const patience = time.Minute

// await waits until the port's problem contains a text; "" waits until it has none.
func (v veth) await(t testing.TB, p *Port, problem string) {
	t.Helper()
	var st Status
	for end := time.Now().Add(patience); time.Now().Before(end); {
		st = p.Status()
		if problem == "" && st.Problem == "" || problem != "" && strings.Contains(st.Problem, problem) {
			return
		}
		if strings.Contains(st.Problem, "built without AF_XDP") || strings.Contains(st.Problem, "operation not permitted") {
			bed.Missing(t, "the kernel refuses: %s", st.Problem)
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("problem %q, want %q", st.Problem, problem)
}

// dial opens a socket at the client's end.
func (v veth) dial(t testing.TB, network, to string) net.Conn {
	t.Helper()
	var c net.Conn
	var err error
	inside(t, v.client, func() { c, err = net.Dial(network, to) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends a query and gives the answer; nil when none comes in time.
func ask(t testing.TB, c net.Conn, q []byte) []byte {
	t.Helper()
	if _, err := c.Write(q); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	n, err := c.Read(buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

func withName(label string) []byte {
	q := append(bytes.Clone(query[:12]), byte(len(label)))
	return append(append(q, label...), 0, 0, 1, 0, 1)
}

func TestPortAnswersOverVeth(t *testing.T) {
	v := newVeth(t, 1)
	p := v.run(t)
	if st := p.Status(); !st.Native {
		t.Errorf("not in the driver: %+v", st)
	}
	for _, to := range []string{"198.51.100.53:53", "[2001:db8:1::53]:53"} {
		c := v.dial(t, "udp", to)
		for i := range 3000 { // more than there are frames
			q := bytes.Clone(query)
			q[0], q[1] = byte(i>>8), byte(i)
			want := bytes.Clone(q)
			want[2] |= 0x80
			if got := ask(t, c, q); !bytes.Equal(got, want) {
				t.Fatalf("%s, query %d: %x, want %x", to, i, got, want)
			}
		}
		if got := ask(t, c, withName("long")); len(got) != 1452 {
			t.Errorf("%s: an answer of %d octets, want 1452", to, len(got))
		}
	}
	st := p.Status()
	if q := st.Queues[0]; q.Received != 6002 || q.Lost != 0 || q.Unsent != 0 {
		t.Errorf("%+v", q)
	}
}

func TestPortIsSilentWhereTheHandlerIs(t *testing.T) {
	v := newVeth(t, 1)
	p := v.run(t)
	c := v.dial(t, "udp", "198.51.100.53:53")
	for range 10 {
		if _, err := c.Write(withName("silent")); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(t, c, query); got == nil || got[2] != 0x81 {
		t.Fatalf("%x", got)
	}
	if q := p.Status().Queues[0]; q.Received != 11 {
		t.Errorf("%+v", q)
	}
}

func TestPortServesEachQueue(t *testing.T) {
	v := newVeth(t, 2)
	p := v.run(t)
	if n := len(p.Status().Queues); n != 2 {
		t.Skipf("%d queues are in use, not 2", n)
	}
	// The client's queue, which is the server's, comes from the flow's hash.
	for range 200 {
		c := v.dial(t, "udp", "198.51.100.53:53")
		if ask(t, c, query) == nil {
			t.Fatal("no answer")
		}
		c.Close()
		if st := p.Status(); st.Queues[0].Received > 0 && st.Queues[1].Received > 0 {
			return
		}
	}
	t.Errorf("one queue got all: %+v", p.Status().Queues)
}

func TestPortLeavesTheRestToTheSystem(t *testing.T) {
	v := newVeth(t, 1)
	p := v.run(t)
	ordinary := make(map[string]net.PacketConn)
	inside(t, v.server, func() {
		for _, a := range []string{"198.51.100.53:53", "198.51.100.53:54", "[2001:db8:1::53]:53"} {
			c, err := net.ListenPacket("udp", a)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { c.Close() })
			ordinary[a] = c
		}
	})
	notify := bytes.Clone(query)
	notify[2] = 4 << 3
	response := bytes.Clone(query)
	response[2] |= 0x80
	for _, c := range []struct {
		name, to string
		message  []byte
	}{
		{"another port", "198.51.100.53:54", query},
		{"a NOTIFY", "198.51.100.53:53", notify},
		{"a response", "198.51.100.53:53", response},
		{"a response", "[2001:db8:1::53]:53", response},
		{"fragments", "198.51.100.53:53", append(bytes.Clone(query), make([]byte, 3000)...)},
		{"fragments", "[2001:db8:1::53]:53", append(bytes.Clone(query), make([]byte, 3000)...)},
		{"less than a header", "198.51.100.53:53", query[:11]},
	} {
		if _, err := v.dial(t, "udp", c.to).Write(c.message); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 8192)
		_ = ordinary[c.to].SetReadDeadline(time.Now().Add(patience))
		n, _, err := ordinary[c.to].ReadFrom(buf)
		if err != nil || !bytes.Equal(buf[:n], c.message) {
			t.Errorf("%s to %s: %x, %v", c.name, c.to, buf[:min(n, 40)], err)
		}
	}
	if q := p.Status().Queues[0]; q.Received != 0 {
		t.Errorf("%+v", q)
	}
	if out, err := exec.Command("ip", "netns", "exec", v.client, "ping", "-c1", "-W20", "198.51.100.53").CombinedOutput(); err != nil {
		if _, look := exec.LookPath("ping"); look == nil {
			t.Errorf("ping: %v: %s", err, out)
		}
	}
}

func TestPortFollowsTheLocalAddresses(t *testing.T) {
	v := newVeth(t, 1)
	p := v.run(t)
	c := v.dial(t, "udp", "198.51.100.99:53")
	// taken waits until queries to the address are taken, or not.
	taken := func(want bool) {
		t.Helper()
		for end := time.Now().Add(patience); time.Now().Before(end); {
			before := p.Status().Queues[0].Received
			_, _ = c.Write(query) // refused while nobody listens
			time.Sleep(50 * time.Millisecond)
			if got := p.Status().Queues[0].Received > before; got == want {
				return
			}
		}
		t.Errorf("taken is not %v", want)
	}
	ip(t, "-n", v.server, "addr", "add", "198.51.100.99/24", "dev", "eth0")
	taken(true)
	ip(t, "-n", v.server, "addr", "del", "198.51.100.99/24", "dev", "eth0")
	taken(false)
}

func TestPortSurvivesItsInterface(t *testing.T) {
	v := newVeth(t, 1)
	p := v.run(t)
	ask4 := func() []byte { return ask(t, v.dial(t, "udp", "198.51.100.53:53"), query) }
	if ask4() == nil {
		t.Fatal("no answer")
	}
	ip(t, "-n", v.server, "link", "set", "eth0", "down")
	v.await(t, p, "down")
	ip(t, "-n", v.server, "link", "set", "eth0", "up")
	v.await(t, p, "")
	if ask4() == nil {
		t.Fatal("no answer after it was down")
	}
	ip(t, "-n", v.server, "link", "del", "eth0")
	v.await(t, p, "no such interface")
	ip(t, "link", "add", "eth0", "netns", v.server, "type", "veth", "peer", "name", "eth0", "netns", v.client)
	v.address(t)
	v.await(t, p, "")
	if ask4() == nil {
		t.Fatal("no answer after it was gone")
	}
	if q := p.Status().Queues[0]; q.Received != 3 {
		t.Errorf("the counts of before are lost: %+v", q)
	}
}

func TestPortSurvivesAPanic(t *testing.T) {
	v := newVeth(t, 1)
	p := v.run(t)
	c := v.dial(t, "udp", "198.51.100.53:53")
	if _, err := c.Write(withName("panic")); err != nil {
		t.Fatal(err)
	}
	v.await(t, p, "as asked")
	v.await(t, p, "")
	if ask(t, c, query) == nil {
		t.Error("no answer afterwards")
	}
}

func TestPortSaysWhyItCannot(t *testing.T) {
	v := newVeth(t, 1)
	for name, want := range map[string]string{"lo": "not an Ethernet interface", "eth9": "no such interface"} {
		inside(t, v.server, func() {
			if _, err := readLink(name); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		})
	}
	v.run(t)
	second := New(Config{Interface: "eth0", Served: served, Log: slog.New(slog.DiscardHandler), Handler: func(int) Handler { return new(echo) }})
	inside(t, v.server, func() {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		err := second.session(ctx, func() { t.Error("a second port serves the interface") })
		if err == nil || !strings.Contains(err.Error(), "another XDP program") {
			t.Errorf("%v", err)
		}
	})
}

// Frames of that size are too large for the driver's program, so that the
// network stack runs it.
func TestPortFallsBackToTheNetworkStack(t *testing.T) {
	v := newVeth(t, 1)
	for _, ns := range []string{v.server, v.client} {
		ip(t, "-n", ns, "link", "set", "eth0", "mtu", "9000")
	}
	p := v.run(t)
	if st := p.Status(); st.Native || st.Note == "" || st.Queues[0].ZeroCopy {
		t.Errorf("%+v", st)
	}
	for _, to := range []string{"198.51.100.53:53", "[2001:db8:1::53]:53"} {
		c := v.dial(t, "udp", to)
		for range 100 {
			if got := ask(t, c, query); got == nil || got[2] != 0x81 {
				t.Fatalf("%s: %x", to, got)
			}
		}
		if got := ask(t, c, withName("long")); len(got) != 1452 {
			t.Errorf("%s: an answer of %d octets, want 1452", to, len(got))
		}
	}
	if q := p.Status().Queues[0]; q.Received != 202 {
		t.Errorf("%+v", q)
	}
}
