package handover

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// The test's binary is the child as well.
func TestMain(m *testing.M) {
	if how := os.Getenv("HANDOVER_TEST"); how != "" {
		child(how)
		return
	}
	os.Exit(m.Run())
}

// child takes over, and answers one connection over each socket with its name.
func child(how string) {
	fatal := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	p, err := FindParent()
	fatal(err)
	if how == "broken" {
		os.Exit(7)
	}
	s, err := p.Take()
	fatal(err)
	if how == "fails late" {
		os.Exit(8)
	}
	for _, name := range s.Names() {
		for _, f := range s.Take(name) {
			l, err := net.FileListener(f)
			fatal(err)
			f.Close()
			fatal(p.sayOnce())
			c, err := l.Accept()
			fatal(err)
			fmt.Fprint(c, name)
			c.Close()
			l.Close()
		}
	}
}

// sayOnce says it the first time.
func (p *Parent) sayOnce() error {
	if p.conn == nil {
		return nil
	}
	err := p.Serving()
	p.conn = nil
	return err
}

func listeners(t *testing.T, n int) (s *Sockets, addrs map[string]string) {
	t.Helper()
	s, addrs = new(Sockets), map[string]string{}
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("listener %03d", i)
		s.Add(name, f)
		addrs[name] = l.Addr().String()
		l.Close() // the copy stays
	}
	t.Cleanup(s.Close)
	return s, addrs
}

func start(t *testing.T, how string) (*Child, context.Context) {
	t.Helper()
	t.Setenv("HANDOVER_TEST", how)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	c, err := Start(os.Args[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, ctx
}

// More sockets than one message holds get over, each with its name, and who
// connected before is served by the child.
func TestTakesOver(t *testing.T) {
	s, addrs := listeners(t, 2*atOnce+3)
	var early []net.Conn
	for i := range len(addrs) {
		c, err := net.Dial("tcp", addrs[fmt.Sprintf("listener %03d", i)])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		early = append(early, c)
	}
	c, ctx := start(t, "well")
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Give(ctx, s); err != nil {
		t.Fatal(err)
	}
	s.Close() // only the child has them now
	for i, conn := range early {
		var b [64]byte
		conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		n, err := conn.Read(b[:])
		if want := fmt.Sprintf("listener %03d", i); err != nil || string(b[:n]) != want {
			t.Fatalf("%q, %v, want %q", b[:n], err, want)
		}
	}
	c.Release()
	<-c.ended
	if c.err != nil {
		t.Error(c.err)
	}
}

// A child that fails, early or late, has taken nothing.
func TestChildFails(t *testing.T) {
	s, addrs := listeners(t, 1)
	early, ctx := start(t, "broken")
	if err := early.Ready(ctx); err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("%v", err)
	}
	late, ctx := start(t, "fails late")
	if err := late.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if err := late.Give(ctx, s); err == nil || !strings.Contains(err.Error(), "exit status 8") {
		t.Errorf("%v", err)
	}
	l, err := net.FileListener(s.Take("listener 000")[0])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", addrs["listener 000"])
	if err != nil {
		t.Fatalf("the socket does not listen any more: %v", err)
	}
	c.Close()
}

// A child that does not get ready in time is ended.
func TestChildHangs(t *testing.T) {
	c, _ := start(t, "well")
	over, cancel := context.WithCancel(t.Context())
	if err := c.Ready(over); err != nil { // it is there
		t.Fatal(err)
	}
	cancel()
	if err := c.await(over, sayServing); err == nil {
		t.Error("a child that waits for sockets was taken to be serving")
	}
	<-c.ended
}

func TestNoParent(t *testing.T) {
	if p, err := FindParent(); p != nil || err != nil {
		t.Errorf("%v, %v", p, err)
	}
	t.Setenv(variable, "x")
	if _, err := FindParent(); err == nil || !strings.Contains(err.Error(), variable) {
		t.Errorf("%v", err)
	}
	if _, set := os.LookupEnv(variable); set {
		t.Error("children would hear of it")
	}
}
