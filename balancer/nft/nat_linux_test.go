package nft

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gslb/balancer/kernel"
	"gslb/test/bed"
	"gslb/tools/l4bed"
)

// newSite makes a site whose servers say their number to who connects, and to each datagram.
func newSite(t *testing.T, servers int, answers l4bed.Return) *l4bed.Site {
	t.Helper()
	bed.Long(t)
	if os.Geteuid() != 0 {
		bed.Missing(t, "network namespaces need root")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			bed.Missing(t, "%s is not installed", tool)
		}
	}
	site, err := l4bed.New(servers, answers)
	if err != nil {
		bed.Missing(t, "a site of namespaces cannot be made here: %v", err)
	}
	t.Cleanup(func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
	for i, ns := range site.Servers {
		if err := l4bed.Within(ns, func() error { return serve(t, i) }); err != nil {
			t.Fatal(err)
		}
	}
	return site
}

const port = 80

// patience is how long what must happen may take, on however busy a machine.
const patience = time.Minute

// serve serves as server i, in the namespace of the thread, until the test ends.
func serve(t *testing.T, i int) error {
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	bed.Serve(t, l, func(conn net.Conn) { // the number and the client's address, and then each line comes back
		fmt.Fprintf(conn, "%d %s\n", i, conn.RemoteAddr())
		for in := bufio.NewScanner(conn); in.Scan(); {
			fmt.Fprintf(conn, "%s\n", in.Text())
		}
	})
	for _, network := range []string{"udp4", "udp6"} {
		// Answers must leave from the address that was asked: with dsr a virtual one.
		address := fmt.Sprintf("0.0.0.0:%d", port)
		if network == "udp6" {
			address = fmt.Sprintf("[::]:%d", port)
		}
		conn, err := listenUDP(network, address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { conn.Close() })
		go conn.answer(fmt.Sprint(i))
	}
	return nil
}

// within runs f in a namespace and fails the test with its error.
func within(t *testing.T, ns string, f func() error) {
	t.Helper()
	if err := l4bed.Within(ns, f); err != nil {
		t.Fatal(err)
	}
}

// ask connects to an address and returns which server it is, and the open connection.
func ask(address string) (server string, conn net.Conn, err error) {
	conn, err = net.DialTimeout("tcp", address, patience)
	if err != nil {
		return "", nil, err
	}
	conn.SetDeadline(time.Now().Add(2 * patience))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		conn.Close()
		return "", nil, err
	}
	return strings.TrimSpace(line), conn, nil
}

// echo asks over an open connection.
func echo(conn net.Conn) error {
	if _, err := fmt.Fprintf(conn, "hello\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "hello\n" {
		err = fmt.Errorf("echo %q", line)
	}
	return err
}

// spread connects n times, and counts the servers.
func spread(t *testing.T, site *l4bed.Site, address string, n int) map[string]int {
	t.Helper()
	seen := map[string]int{}
	within(t, site.Client, func() error {
		for range n {
			server, conn, err := ask(address)
			if err != nil {
				return err
			}
			conn.Close()
			seen[server[:1]]++
		}
		return nil
	})
	return seen
}

// www is a service of two servers of each family, at the virtual addresses.
func www(protocol uint8) kernel.Service {
	at := netip.MustParseAddrPort
	s := kernel.Service{Name: "www", Protocol: protocol, Idle: time.Minute, Close: 10 * time.Second,
		Listen: []netip.AddrPort{at(l4bed.VIP4 + ":80"), at("[" + l4bed.VIP6 + "]:80")}}
	for i := range 2 {
		s.Servers = append(s.Servers, kernel.Server{Address: at(l4bed.Server4(i) + ":80")})
	}
	for i := range 2 {
		s.Servers = append(s.Servers, kernel.Server{Address: at("[" + l4bed.Server6(i) + "]:80")})
	}
	s.Slots4, s.Slots6 = slotsFor(0, 1), slotsFor(2, 3)
	return s
}

// slotsFor parts the slots evenly.
func slotsFor(servers ...uint16) []uint16 {
	out := make([]uint16, slots(2))
	for i := range out {
		out[i] = servers[i%len(servers)]
	}
	return out
}

// open opens an engine in the balancer's namespace, and closes it with the test.
func open(t *testing.T, site *l4bed.Site, way kernel.Way) (engine kernel.Engine) {
	t.Helper()
	within(t, site.Balancer, func() error {
		opts := kernel.Options{Node: "n1", Log: slog.New(slog.DiscardHandler)}
		if err := way.Can(opts); err != nil {
			return err
		}
		var err error
		engine, err = way.Open(opts)
		return err
	})
	return engine
}

// tables returns what nft shows of all tables in the balancer's namespace.
func tables(t *testing.T, site *l4bed.Site) string {
	t.Helper()
	out, err := exec.Command("ip", "netns", "exec", site.Balancer, "nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	return string(out)
}

func TestNAT(t *testing.T) {
	site := newSite(t, 2, l4bed.ByBalancer)
	e := open(t, site, NAT)
	apply := func(services ...kernel.Service) {
		t.Helper()
		within(t, site.Balancer, func() error { return e.Apply(services) })
	}
	service := www(kernel.TCP)
	apply(service)
	for _, vip := range []string{l4bed.VIP4 + ":80", "[" + l4bed.VIP6 + "]:80"} {
		if seen := spread(t, site, vip, 20); seen["0"] != 10 || seen["1"] != 10 {
			t.Fatalf("%s: connections per server %v, want 10 each: they take turns\n%s", vip, seen, tables(t, site))
		}
	}
	var held net.Conn
	within(t, site.Client, func() (err error) {
		var who string
		who, held, err = ask(l4bed.VIP4 + ":80")
		if err == nil && !strings.Contains(who, " "+l4bed.Client4+":") {
			return fmt.Errorf("the server sees %q, want the client's address", who)
		}
		return err
	})
	defer held.Close()
	counts := map[netip.AddrPort]kernel.Counters{}
	within(t, site.Balancer, func() error {
		return e.Count(func(_ string, server netip.AddrPort, c kernel.Counters) { counts[server] = c })
	})
	total := kernel.Counters{}
	for _, c := range counts {
		total = add(total, c)
		total.Open += c.Open
	}
	if total.Connections != 41 || total.Open < 1 || total.BytesUp == 0 || total.BytesDown == 0 {
		t.Fatalf("counted %+v, want 41 connections, one of them open, and bytes both ways\n%s", counts, tables(t, site))
	}
	// One server gets no more: what it has goes on.
	service.Slots4, service.Slots6 = slotsFor(1), slotsFor(3)
	apply(service)
	if seen := spread(t, site, l4bed.VIP4+":80", 10); seen["1"] != 10 {
		t.Fatalf("after the slots of server 0 went to server 1: %v", seen)
	}
	if err := echo(held); err != nil {
		t.Fatalf("a connection that was there before: %v", err)
	}
	// It is gone: its connections are reset by whoever gets their next packet.
	service.Servers = append([]kernel.Server{}, service.Servers...)
	service.Servers[0].Gone, service.Servers[1].Gone = true, true
	apply(service)
	if err := echo(held); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a connection of a server that is gone: %v, want a reset", err)
	}
	// Nobody is left.
	service.Slots4 = nil
	apply(service)
	within(t, site.Client, func() error {
		_, _, err := ask(l4bed.VIP4 + ":80")
		if late := net.Error(nil); err == nil || errors.As(err, &late) && late.Timeout() {
			t.Errorf("without servers: %v, want to be refused", err)
		}
		return nil
	})
	within(t, site.Balancer, func() error { return e.Close(false) })
	if left := tables(t, site); strings.Contains(left, "gslb") {
		t.Fatalf("left in the kernel:\n%s", left)
	}
}
