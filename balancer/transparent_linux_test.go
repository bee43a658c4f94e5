package balancer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gslb/test/bed"
	"gslb/tools/l4bed"
)

// transparentPorts are where each engine listens in the test's namespace.
var transparentPorts = map[string]int{EngineEpoll: 80, EnginePortable: 81}

// TestTransparentWithin is no test but the balancer of TestTransparentFastOpen: sockets of its
// threads are to be in the namespace that the process was started in.
func TestTransparentWithin(t *testing.T) {
	if os.Getenv("BALANCER_WITHIN") == "" {
		return
	}
	var cfgs []Config
	for engine, port := range transparentPorts {
		for _, family := range [][2]string{{l4bed.VIP4, l4bed.Server4(0)}, {l4bed.VIP6, l4bed.Server6(0)}} {
			cfgs = append(cfgs, Config{Name: fmt.Sprint(engine, len(cfgs)), Engine: engine, Transparent: true, FastOpen: true,
				Listen: []string{net.JoinHostPort(family[0], fmt.Sprint(port))}, Servers: []ServerConfig{{Address: net.JoinHostPort(family[1], "80")}}})
		}
	}
	b, err := New(cfgs, nil, slog.New(slog.NewTextHandler(os.Stderr, nil)), Options{Node: "lb"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		fmt.Println("LISTENING")
		io.Copy(io.Discard, os.Stdin) // until the other process is done, however that ends
		cancel()
	}()
	if err := b.Run(ctx, nil); err != nil {
		t.Fatal(err)
	}
}

// transparentRules are those of docs/configuration.md.
const transparentRules = `table inet gslb-transparent {
	chain prerouting {
		type filter hook prerouting priority mangle; policy accept;
		meta l4proto tcp socket transparent 1 meta mark set 1
	}
}`

// Servers see the client's address, and what it sends with its SYN, by both engines, in both families.
func TestTransparentFastOpen(t *testing.T) {
	bed.Long(t)
	if os.Geteuid() != 0 {
		bed.Missing(t, "network namespaces need root")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			bed.Missing(t, "%s is not installed", tool)
		}
	}
	site, err := l4bed.New(1, l4bed.ByBalancer)
	if err != nil {
		bed.Missing(t, "a site of namespaces cannot be made here: %v", err)
	}
	t.Cleanup(func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
	in := func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.Command("ip", append([]string{"netns", "exec", site.Balancer}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	in(transparentRules, "nft", "-f", "-")
	for _, family := range []string{"-4", "-6"} {
		in("", "ip", family, "rule", "add", "fwmark", "1", "lookup", "100")
		in("", "ip", family, "route", "add", "local", "default", "dev", "lo", "table", "100")
	}
	bed.Sysctl(t, site.Balancer, "net.ipv4.tcp_fastopen=3") // for IPv6, too
	if err := l4bed.Within(site.Servers[0], func() error { return tellsClients(t) }); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	within := exec.Command("ip", "netns", "exec", site.Balancer, self, "-test.run", "^TestTransparentWithin$", "-test.v")
	within.Env = append(os.Environ(), "BALANCER_WITHIN=1")
	within.Stderr = os.Stderr
	stop, _ := within.StdinPipe()
	out, _ := within.StdoutPipe()
	if err := within.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "LISTENING" {
	}
	go io.Copy(io.Discard, out)
	t.Cleanup(func() { stop.Close(); within.Wait() })
	for engine, port := range transparentPorts {
		for vip, client := range map[string]string{l4bed.VIP4: l4bed.Client4, l4bed.VIP6: l4bed.Client6} {
			ask := func() {
				t.Helper()
				var got string
				if err := l4bed.Within(site.Client, func() (err error) {
					got, err = sendFast(net.JoinHostPort(vip, fmt.Sprint(port)), "hello")
					return err
				}); err != nil {
					t.Fatalf("%s, %s: %v", engine, vip, err)
				}
				if want := client + " hello"; got != want {
					t.Fatalf("%s, %s: the server saw %q, want %q", engine, vip, got, want)
				}
			}
			ask() // and has a cookie from now on
			before := fastOpened(t, site.Balancer)
			for end := time.Now().Add(patience); fastOpened(t, site.Balancer) == before; ask() {
				if time.Now().After(end) {
					t.Fatalf("%s, %s: data with a SYN is not taken", engine, vip)
				}
			}
		}
	}
}

// sendFast sends data to an address, with the SYN if it has its cookie, and returns the answer.
func sendFast(to, data string) (string, error) {
	d := net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if fault := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1) }); fault != nil {
			return fault
		}
		return err
	}}
	conn, err := d.Dial("tcp", to)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, data); err != nil {
		return "", err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	all, err := io.ReadAll(conn)
	return string(all), err
}

// fastOpened is how many connections a namespace has taken whose data came with their SYN.
func fastOpened(t *testing.T, ns string) string {
	t.Helper()
	var text []byte
	if err := l4bed.Within(ns, func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/netstat")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if i := slices.Index(names, "TCPFastOpenPassive"); i > 0 && fields[0] == "TcpExt:" {
			return fields[i]
		}
		names = fields
	}
	t.Fatal("the kernel does not count what comes with a SYN")
	return ""
}

// tellsClients tells each client its address and what it has sent, in the namespace of the thread.
func tellsClients(t *testing.T) error {
	l, err := net.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	bed.Serve(t, l, func(conn net.Conn) {
		sent, _ := io.ReadAll(conn)
		fmt.Fprintf(conn, "%s %s", addrPort(conn.RemoteAddr()).Addr(), sent)
	})
	return nil
}

// What is configured of sockets is on them, and a reload changes it for what comes then.
func TestSocketOptions(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		cfg := config(newBackend(t, "a", nil))
		cfg.FastOpen, cfg.KeepaliveIdle, cfg.KeepaliveInterval, cfg.KeepaliveCount = true, 7*time.Second, 3*time.Second, 2
		r := newRig(t, cfg, nil)
		options := func(want [5]int) {
			t.Helper()
			p := r.planes[0].(*proxy)
			for _, l := range p.listeners {
				sockets, err := l.sockets()
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range sockets {
					var got [5]int
					raw, _ := s.SyscallConn()
					raw.Control(func(fd uintptr) {
						for i, o := range [5][2]int{{unix.IPPROTO_TCP, unix.TCP_FASTOPEN}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
							{unix.IPPROTO_TCP, unix.TCP_KEEPCNT}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE}} {
							got[i], _ = unix.GetsockoptInt(int(fd), o[0], o[1])
						}
					})
					s.Close()
					if got != want {
						t.Errorf("the listener has %v, want %v", got, want)
					}
				}
			}
		}
		options([5]int{fastOpenMost, 7, 3, 2, 1})
		cfg.FastOpen, cfg.KeepaliveIdle, cfg.KeepaliveInterval, cfg.KeepaliveCount = false, 0, 0, 0
		cfg.Listen = []string{"127.0.0.1:0"}
		if err := r.Apply([]Config{cfg}, nil); err != nil {
			t.Fatal(err)
		}
		options([5]int{0, 30, 15, 4, 1})
	})
}
