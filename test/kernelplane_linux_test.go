package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gslb/test/bed"
	"gslb/tools/l4bed"
)

// kernelSite is a balancer whose frontend is carried by the kernel, and its servers,
// each a process and a namespace of its own. The last server is a spare.
type kernelSite struct {
	t *testing.T
	*l4bed.Site
	servers []*process
	config  string
	bpffs   string // what the balancer has at /sys/fs/bpf
	gslb    *process
	heir    int // process that has taken over from gslb; 0: none
}

func startKernelSite(t *testing.T, plane string, answers l4bed.Return) *kernelSite {
	t.Helper()
	needTool(t, "ip", "nft")
	if os.Geteuid() != 0 {
		bed.Missing(t, "network namespaces need root")
	}
	site, err := l4bed.New(3, answers)
	if err != nil {
		bed.Missing(t, "a site of namespaces cannot be made here: %v", err)
	}
	t.Cleanup(func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &kernelSite{t: t, Site: site, bpffs: t.TempDir()}
	if err := unix.Mount("bpf", s.bpffs, "bpf", 0, ""); err != nil {
		bed.Missing(t, "a BPF file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(s.bpffs, unix.MNT_DETACH) })
	text := nodeConfiguration("lb1", `["balancer"]`, "embedded = true\nlisten = \"127.0.0.1:2379\"\npeer_listen = \"127.0.0.1:2380\"\n", "127.0.0.1:8053") + fmt.Sprintf(`
[check.web]
type = "http"
path = "/healthz"
interval = "1s"
timeout = "1s"
fall = 3
rise = 1

[[site]]
name = "kt"
addresses = [%[1]q]

[[frontend]]
name = "www"
site = "kt"
listen = ["%[1]s:80", "[%[2]s]:80"]
check = "web"
pick = "round-robin"
min_servers = 2
slow_start = "100ms"
drain_timeout = "2s"
%[3]s
`, l4bed.VIP4, l4bed.VIP6, plane)
	for i, ns := range site.Servers {
		s.servers = append(s.servers, s.startServer(i))
		kind := "server"
		if i == len(site.Servers)-1 {
			kind = "spare"
		}
		_ = ns
		text += fmt.Sprintf("[[frontend.%s]]\naddress = \"%s:80\"\n", kind, l4bed.Server4(i))
		text += fmt.Sprintf("[[frontend.%s]]\naddress = \"[%s]:80\"\n", kind, l4bed.Server6(i))
	}
	text = strings.Replace(text, "min_servers = 2", "min_servers = 4", 1) // two of each family
	s.config = write(t, t.TempDir(), "lb1.toml", text)
	s.start()
	return s
}

func (s *kernelSite) startServer(i int) *process {
	s.t.Helper()
	return startHelper(s.t, l4bed.Exec(s.Servers[i]), "web", fmt.Sprint(i), ":80")
}

// start starts the balancer, and waits until it serves.
func (s *kernelSite) start() {
	s.t.Helper()
	s.gslb = start(s.t, "lb1", nil, l4bed.Exec(s.Balancer, "sh", "-c", `mount --bind "$0" /sys/fs/bpf && exec "$@"`, s.bpffs, binary(s.t), "serve", "-config", s.config)...)
	until(s.t, patience, func() error {
		if s.gslb.ended() {
			s.t.Fatalf("lb1 ended: %v", s.gslb.cmd.ProcessState)
		}
		_, err := s.ask(l4bed.VIP4)
		if err == nil {
			_, err = s.ask(l4bed.VIP6)
		}
		return err
	})
}

// dial connects to a virtual address, from the client's namespace.
func (s *kernelSite) dial(vip string) (net.Conn, error) { return s.dialWithin(vip, 10*time.Second) }

func (s *kernelSite) dialWithin(vip string, limit time.Duration) (conn net.Conn, err error) {
	err = l4bed.Within(s.Client, func() error {
		conn, err = net.DialTimeout("tcp", net.JoinHostPort(vip, "80"), limit)
		return err
	})
	return conn, err
}

// getOver asks over an open connection which server it is.
func getOver(conn net.Conn) (string, error) {
	line, err := lineOver(conn)
	server, _, _ := strings.Cut(line, " ")
	return server, err
}

// lineOver asks over an open connection, for the server's name, its end and the other end.
func lineOver(conn net.Conn) (string, error) {
	conn.SetDeadline(time.Now().Add(answerWithin))
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: www\r\n\r\n"); err != nil {
		return "", err
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	return bufio.NewReader(r.Body).ReadString('\n')
}

func (s *kernelSite) ask(vip string) (string, error) {
	conn, err := s.dial(vip)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return getOver(conn)
}

// retried asks as a client does that tries again a few times.
func (s *kernelSite) retried(vip string) (string, error) {
	var faults []error
	for range 8 {
		server, err := s.ask(vip)
		if err == nil {
			return server, nil
		}
		faults = append(faults, err)
	}
	return "", errors.Join(faults...)
}

// command runs a command of gslb at the balancer.
func (s *kernelSite) command(words ...string) string {
	s.t.Helper()
	return must(s.t, l4bed.Exec(s.Balancer, append(append([]string{binary(s.t)}, words...), "--api", "127.0.0.1:8053")...)...)
}

// avoids asks until a server, which is alive, has none of a dozen connections.
func (s *kernelSite) avoids(server string) {
	s.t.Helper()
	until(s.t, patience, func() error {
		for range 12 {
			got, err := s.ask(l4bed.VIP4)
			if err != nil {
				s.t.Fatal(err)
			}
			if got == server {
				return fmt.Errorf("a connection went to server %s", server)
			}
		}
		return nil
	})
}

// see asks until all of these servers have answered and no other does.
func (s *kernelSite) see(vip string, want ...string) {
	s.t.Helper()
	until(s.t, patience, func() error {
		seen := map[string]bool{}
		for range 12 {
			server, err := s.retried(vip)
			if err != nil {
				s.t.Fatalf("a request that was tried again failed: %v", err)
			}
			seen[server] = true
		}
		if len(seen) != len(want) {
			return fmt.Errorf("%s: servers %v, want %v", vip, seen, want)
		}
		for _, w := range want {
			if !seen[w] {
				return fmt.Errorf("%s: servers %v, want %v", vip, seen, want)
			}
		}
		return nil
	})
}

// tables is what nft shows in the balancer's namespace.
func (s *kernelSite) tables() string {
	s.t.Helper()
	return must(s.t, l4bed.Exec(s.Balancer, "nft", "list", "ruleset")...)
}

// lists waits until `gslb connections` has these connections, each with the address
// that it came to and its server.
func (s *kernelSite) lists(held []net.Conn) {
	s.t.Helper()
	until(s.t, patience, func() error {
		text := s.command("connections", "--limit", "100000", "--json")
		var list struct {
			Connections []struct{ Protocol, Client, At, Server string }
		}
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			s.t.Fatalf("%v: %.500s", err, text)
		}
		found := map[string]bool{}
		for _, c := range list.Connections {
			if c.Protocol == "tcp" && c.At == net.JoinHostPort(l4bed.VIP4, "80") && strings.HasSuffix(c.Server, ":80") {
				found[c.Client] = true
			}
		}
		for _, conn := range held {
			if !found[conn.LocalAddr().String()] {
				return fmt.Errorf("%v is not among the %d connections:\n%.2000s", conn.LocalAddr(), len(list.Connections), text)
			}
		}
		return nil
	})
}

// hold opens connections to a virtual address.
func (s *kernelSite) hold(vip string, n int) heldConns {
	s.t.Helper()
	var held heldConns
	for range n {
		conn, err := s.dial(vip)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { conn.Close() })
		if _, err := getOver(conn); err != nil {
			s.t.Fatal(err)
		}
		held = append(held, conn)
	}
	return held
}

// heldConns are connections that are to outlive what happens.
type heldConns []net.Conn

func (h heldConns) alive(t *testing.T, when string) {
	t.Helper()
	for i, conn := range h {
		if _, err := getOver(conn); err != nil {
			t.Fatalf("%s: connection %d of %d: %v", when, i+1, len(h), err)
		}
	}
}

// without closes the connections of a server, and returns the others.
func (h heldConns) without(t *testing.T, server string) (others heldConns) {
	t.Helper()
	for _, conn := range h {
		has, err := getOver(conn)
		if err != nil {
			t.Fatal(err)
		}
		if has == server {
			conn.Close()
		} else {
			others = append(others, conn)
		}
	}
	return others
}

func (h heldConns) close() {
	for _, conn := range h {
		conn.Close()
	}
}

// comes waits until a server that is back gets connections.
func (s *kernelSite) comes(server string) {
	s.t.Helper()
	until(s.t, patience, func() error {
		if got, err := s.retried(l4bed.VIP4); err != nil || got != server {
			return fmt.Errorf("server %q, %v", got, err)
		}
		return nil
	})
}

// outlived has the balancer killed and started again: who is connected does not know of it.
func (s *kernelSite) outlived(held heldConns) {
	s.t.Helper()
	s.gslb.Kill()
	held.alive(s.t, "the balancer is dead")
	if _, err := s.retried(l4bed.VIP6); err != nil {
		s.t.Fatalf("the balancer is dead: a new connection: %v", err)
	}
	s.start()
	// From the first answer on, which may be by what the one before has left, nobody is refused.
	for ready := false; !ready; {
		for _, vip := range []string{l4bed.VIP4, l4bed.VIP6} {
			if _, err := s.ask(vip); err != nil {
				s.t.Fatalf("the balancer starts again: %v", err)
			}
		}
		ready = run(s.t, patience, l4bed.Exec(s.Balancer, binary(s.t), "ready", "--api", "127.0.0.1:8053", "www")...).code == 0
	}
	held.alive(s.t, "the balancer was started again")
}

// by looks which plane carries the frontend, and that it does.
func (s *kernelSite) by(plane string) {
	s.t.Helper()
	if text := s.command("servers", "--json"); !strings.Contains(text, `"plane": "`+plane) {
		s.t.Errorf("the frontend is not carried by %s:\n%.500s", plane, text)
	}
	for _, vip := range []string{l4bed.VIP4, l4bed.VIP6} {
		if _, err := s.retried(vip); err != nil {
			s.t.Errorf("by %s: %v", plane, err)
		}
	}
}

// reloaded has the balancer read its configuration with old replaced by another text.
func (s *kernelSite) reloaded(old, text string) {
	s.t.Helper()
	replaceText(s.t, s.config, old, text)
	s.command("reload")
}

// TestKernelPlanes: a server is killed and its spare goes in, the balancer is killed and
// started again under open connections, and leaves nothing at its end: with each plane in
// the kernel, over both families. Then the same frontend is carried in other ways.
func TestKernelPlanes(t *testing.T) {
	needLong(t)
	for _, plane := range []struct {
		name, config string
		answers      l4bed.Return
		further      func(s *kernelSite, config string)
	}{
		{"nat", `plane = "nat"`, l4bed.ByBalancer, (*kernelSite).transparent},
		{"dsr", "plane = \"dsr\"\nmode = \"nft\"", l4bed.ByRouter, (*kernelSite).programs},
	} {
		t.Run(plane.name, func(t *testing.T) {
			t.Parallel()
			s := startKernelSite(t, plane.config, plane.answers)
			for _, vip := range []string{l4bed.VIP4, l4bed.VIP6} {
				s.see(vip, "0", "1")
			}
			s.servers[0].Kill()
			for _, vip := range []string{l4bed.VIP4, l4bed.VIP6} {
				s.see(vip, "1", "2")
			}
			held := s.hold(l4bed.VIP4, 20)
			s.lists(held)
			s.outlived(held)
			s.see(l4bed.VIP4, "1", "2")
			held.alive(t, "the balancer has found out again which server is dead")
			s.servers[0] = s.startServer(0)
			s.comes("0")
			held.alive(t, "a server has come back")

			// One is drained by order: it keeps what it has, and gets nothing new.
			drained := net.JoinHostPort(l4bed.Server4(1), "80")
			s.command("servers", "drain", drained, "--within", "1h")
			s.avoids("1")
			held.alive(t, "a server drains")
			s.command("servers", "undrain", drained)
			s.comes("1")
			held.close()
			s.doubted()
			s.slow()
			held = s.hold(l4bed.VIP4, 20).without(t, "0")
			// The configuration changes: another pick, and a server less, whose connections are cut in two seconds.
			replaceText(t, s.config, `pick = "round-robin"`, `pick = "maglev"`)
			s.reloaded(fmt.Sprintf("[[frontend.server]]\naddress = \"%s:80\"\n", l4bed.Server4(0)), "")
			s.avoids("0")
			held.alive(t, "the configuration has changed")
			s.admits(plane.config, held)
			held.close()
			plane.further(s, plane.config)
			s.end()
			s.nothingLeft()
		})
	}
}

// admits denies the client by a reload, which keeps what it has, and allows it again.
func (s *kernelSite) admits(config string, held heldConns) {
	s.t.Helper()
	denied := config + "\nallow = [\"0.0.0.0/0\", \"::/0\"]\ndeny = [\"10.77.1.0/24\", \"fd77:1::/64\"]\nnetwork_rate = 1000"
	s.reloaded(config, denied)
	for _, vip := range []string{l4bed.VIP4, l4bed.VIP6} {
		until(s.t, patience, func() error {
			conn, err := s.dial(vip)
			if err == nil {
				conn.Close()
			}
			if !errors.Is(err, syscall.ECONNREFUSED) {
				return fmt.Errorf("%s, to which the client is denied: %v", vip, err)
			}
			return nil
		})
	}
	held.alive(s.t, "the client is denied")
	until(s.t, patience, func() error {
		text := s.command("servers", "--json")
		var list struct {
			Frontends []struct {
				Counters struct{ Denied int64 }
			}
		}
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			s.t.Fatalf("%v: %.500s", err, text)
		}
		if len(list.Frontends) != 1 || list.Frontends[0].Counters.Denied < 2 {
			return fmt.Errorf("want at least 2 that were denied:\n%.500s", text)
		}
		return nil
	})
	s.reloaded(denied, config)
	for _, vip := range []string{l4bed.VIP4, l4bed.VIP6} {
		if _, err := s.retried(vip); err != nil {
			s.t.Fatalf("%s, to which the client is allowed again: %v", vip, err)
		}
	}
	held.alive(s.t, "the client is allowed again")
}

// nothingLeft looks for what the balancer has left in the kernel.
func (s *kernelSite) nothingLeft() {
	s.t.Helper()
	if left := s.tables(); strings.Contains(left, "gslb") {
		s.t.Errorf("left in the kernel:\n%s", left)
	}
	if left, err := filepath.Glob(filepath.Join(s.bpffs, "gslb*")); err != nil || len(left) > 0 {
		s.t.Errorf("left in the BPF file system: %v, %v", left, err)
	}
	if text := must(s.t, "ip", "-n", s.Balancer, "-d", "link", "show", "eth0"); strings.Contains(text, "xdp") {
		s.t.Errorf("left at the interface: %s", text)
	}
}

// hole has server 1 answer nothing, not even with a reset, over a family (ip or ip6 of nft).
func (s *kernelSite) hole(family string) (mend func()) {
	s.t.Helper()
	nft := func(text string) { s.t.Helper(); must(s.t, l4bed.Exec(s.Servers[1], "nft", text)...) }
	nft(fmt.Sprintf("add table %[1]s hole; add chain %[1]s hole in { type filter hook input priority 0; }; add rule %[1]s hole in tcp dport 80 drop", family))
	return func() { s.t.Helper(); nft("delete table " + family + " hole") }
}

// slow has a client of each family ask for much, say at once that it will ask for no
// more, and read slowly: it gets all, and then the end.
func (s *kernelSite) slow() {
	s.t.Helper()
	want := bulk()
	for _, vip := range []string{l4bed.VIP4, l4bed.VIP6} {
		conn, err := s.dial(vip)
		if err != nil {
			s.t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, "GET /bulk HTTP/1.0\r\n\r\n"); err != nil {
			s.t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			s.t.Fatal(err)
		}
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			s.t.Fatalf("%s: the answer to a client that has finished: %v", vip, err)
		}
		got := make([]byte, 0, len(want))
		for part := len(want) / 16; err == nil; time.Sleep(10 * time.Millisecond) { // which is what makes it slow
			n := 0
			n, err = io.ReadFull(r.Body, got[len(got):min(len(got)+part, cap(got))])
			if got = got[:len(got)+n]; len(got) == cap(got) {
				_, err = r.Body.Read(make([]byte, 1))
			}
		}
		if err != io.EOF || !bytes.Equal(got, want) {
			s.t.Fatalf("%s: %d of %d octets, and %v", vip, len(got), len(want), err)
		}
	}
}

// doubted has server 1 fail while nothing checks it: it answers nothing over IPv4, then it
// is killed, and refuses over IPv6. What clients meet has the balancer find out. Connects
// that were not answered go on to another server.
func (s *kernelSite) doubted() {
	s.t.Helper()
	const unchecked = "passive_failures = 1\neject_time = \"100ms\""
	s.reloaded(`check = "web"`, unchecked)
	said := func(what, address, why string) string {
		return fmt.Sprintf("msg=\"balancer: %s\" frontend=www server=%s why=\"%s1 connects in a row failed", what, net.JoinHostPort(address, "80"), why)
	}
	found := func(vip, address string, refuses bool) {
		s.t.Helper()
		until(s.t, patience, func() error {
			if strings.Contains(s.gslb.log.String(), said("isolated", address, "")) {
				return nil
			}
			conn, err := s.dialWithin(vip, patience)
			if err == nil {
				conn.Close()
			} else if !refuses {
				s.t.Fatalf("a connect is not answered by %s, and went to nobody else: %v", address, err)
			}
			return fmt.Errorf("%s is not isolated (%v)", address, err)
		})
	}
	mend := s.hole("ip")
	found(l4bed.VIP4, l4bed.Server4(1), false)
	mend()
	s.gslb.says(said("recovered", l4bed.Server4(1), "was isolated: "))
	s.servers[1].Kill()
	found(l4bed.VIP6, l4bed.Server6(1), true)
	s.servers[1] = s.startServer(1)
	s.gslb.says(said("recovered", l4bed.Server6(1), "was isolated: "))
	s.reloaded(unchecked, `check = "web"`)
}

// programs has the frontend's packets handed on by the program in eBPF, at either place: a
// server is killed, the balancer is, and connections go on.
func (s *kernelSite) programs(config string) {
	bed.TakesXDP(s.t, s.Router, "balancer")
	replaceText(s.t, s.config, "min_servers = 4", "min_servers = 5") // both spares go in
	for _, mode := range []string{"tcx", "xdp"} {
		next := fmt.Sprintf("plane = \"dsr\"\nmode = %q\nkeep_forwarding = true", mode)
		s.reloaded(config, next)
		config = next
		s.by("dsr (" + mode + ")")
		s.see(l4bed.VIP4, "1", "2")
		s.see(l4bed.VIP6, "0", "1", "2")
		held := s.hold(l4bed.VIP4, 8)
		s.lists(held)
		held = append(held, s.hold(l4bed.VIP6, 8)...)
		s.outlived(held)
		s.admits(next, held)
		held.close()
		s.slow()
		if mode == "tcx" {
			s.doubted()
			continue // the rest is the same program with the same maps
		}
		s.servers[1].Kill()
		for _, address := range []string{l4bed.Server4(1), l4bed.Server6(1)} { // until then who tries again may well meet it eight times: the hash is as good as random
			s.gslb.says(fmt.Sprintf("msg=\"balancer: isolated\" frontend=www server=%s ", net.JoinHostPort(address, "80")))
		}
		s.see(l4bed.VIP4, "2")
		s.see(l4bed.VIP6, "0", "2")
		s.servers[1] = s.startServer(1)
		s.comes("1")
	}
	// The flows that the program knows go on as those of a proxy begin.
	held := append(s.hold(l4bed.VIP4, 4), s.hold(l4bed.VIP6, 4)...)
	s.reloaded(config, `plane = "proxy"`)
	s.by("proxy")
	held.alive(s.t, "the frontend is a proxy's now")
	held.close()
	s.tunnels(`plane = "proxy"`)
}

// tunnels has server 2 be in another network than the balancer, which reaches it through
// tunnels of both kinds, over both families, by either program.
func (s *kernelSite) tunnels(config string) {
	s.t.Helper()
	server := s.Servers[2]
	bed.IPBatch(s.t, server, "addr add 10.77.3.13/32 dev lo", "addr add fd77:3::13/128 dev lo nodad")
	bed.IPBatch(s.t, s.Router, "route add 10.77.3.13/32 via "+l4bed.Server4(2), "route add fd77:3::13/128 via "+l4bed.Server6(2))
	const port = 6080
	for _, tunnel := range []struct {
		n     int32
		outer map[int16]byte // where in the frame is which octet
	}{
		{20, map[int16]byte{12: 0x08, 23: unix.IPPROTO_IPIP}},
		{40, map[int16]byte{12: 0x86, 20: unix.IPPROTO_IPV6}},
		{28, map[int16]byte{12: 0x08, 23: unix.IPPROTO_UDP, 36: port >> 8, 37: port & 0xff}},
		{48, map[int16]byte{12: 0x86, 20: unix.IPPROTO_UDP, 56: port >> 8, 57: port & 0xff}},
	} {
		bed.Decapsulate(s.t, server, tunnel.n, tunnel.outer)
	}
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	before, _, _ := strings.Cut(strings.Replace(string(text), "min_servers = 5\n", "", 1), "[[frontend.server]]")
	replace(s.t, s.config, []byte(before+"[[frontend.server]]\naddress = \"10.77.3.13:80\"\n[[frontend.server]]\naddress = \"[fd77:3::13]:80\"\n"))
	var held heldConns
	for _, tunnel := range []string{"mode = \"xdp\"\ntunnel = \"gue\"", "mode = \"tcx\"\ntunnel = \"ipip\""} {
		next := "plane = \"dsr\"\n" + tunnel
		s.reloaded(config, next)
		config = next
		held.alive(s.t, "another program takes new flows, behind the one that knows these")
		held.close()
		held = append(s.hold(l4bed.VIP4, 2), s.hold(l4bed.VIP6, 2)...)
		s.see(l4bed.VIP4, "2")
		s.see(l4bed.VIP6, "2")
		s.slow()
	}
	s.reloaded(`mode = "tcx"`, `mode = "xdp"`)
	s.see(l4bed.VIP4, "2")
	s.inherited(`mode = "xdp"`, `mode = "tcx"`)
}

// inherited has a new process take over, with old in the configuration replaced by another
// text: what the one before leaves in the kernel does not stay in force.
func (s *kernelSite) inherited(old, text string) {
	s.t.Helper()
	// Who takes over becomes a child of this process when its parent has ended.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		s.t.Fatal(err)
	}
	replaceText(s.t, s.config, old, text)
	s.gslb.Signal(syscall.SIGUSR2)
	s.gslb.says("the new process serves; this one")
	s.heir, _ = strconv.Atoi(successorPID.FindStringSubmatch(s.gslb.log.String())[1])
	s.gslb.killed = true // the heir has its output, and so its end
	s.t.Cleanup(s.end)
	s.see(l4bed.VIP4, "2")
	until(s.t, patience, func() error {
		if syscall.Kill(s.gslb.cmd.Process.Pid, 0) == nil {
			return errors.New("the process before is there still")
		}
		if left, fault := filepath.Glob(filepath.Join(s.bpffs, "gslb*")); fault != nil || len(left) > 0 {
			return fmt.Errorf("pinned still: %v, %v", left, fault)
		}
		if text := must(s.t, "ip", "-n", s.Balancer, "-d", "link", "show", "eth0"); strings.Contains(text, "xdp") {
			return fmt.Errorf("attached still: %s", text)
		}
		return nil
	})
	s.see(l4bed.VIP6, "2")
}

// end has the balancer end as asked, and waits for that.
func (s *kernelSite) end() {
	s.t.Helper()
	if s.heir == 0 {
		s.gslb.Signal(syscall.SIGTERM)
	} else {
		_ = syscall.Kill(s.heir, syscall.SIGTERM) // it may have ended
	}
	until(s.t, patience, func() error {
		if s.heir != 0 { // nobody else waits for it
			_, _ = syscall.Wait4(s.heir, nil, syscall.WNOHANG, nil)
		}
		if !s.gslb.ended() {
			return errors.New("the balancer goes on")
		}
		return nil
	})
}

// transparent has the frontend be a proxy whose servers see the client's address, with the
// commands that docs/configuration.md has for it.
func (s *kernelSite) transparent(config string) {
	s.t.Helper()
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		s.t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "\n### `transparent`\n")
	_, after, opened := strings.Cut(after, "\n```\n")
	commands, _, closed := strings.Cut(after, "\n```\n")
	if !found || !opened || !closed {
		s.t.Fatal("docs/configuration.md has no commands for transparent")
	}
	const sysctl = "sysctl() { for setting; do echo \"${setting#*=}\" > /proc/sys/$(echo ${setting%%=*} | tr . /); done; }\n" // not everybody has procps
	must(s.t, l4bed.Exec(s.Balancer, "sh", "-ec", sysctl+commands)...)
	replaceText(s.t, s.config, `pick = "maglev"`, `pick = "round-robin"`)
	held := append(s.hold(l4bed.VIP4, 4), s.hold(l4bed.VIP6, 4)...)
	s.reloaded(config, "plane = \"proxy\"\ntransparent = true")
	for vip, client := range map[string]string{l4bed.VIP4: l4bed.Client4, l4bed.VIP6: l4bed.Client6} {
		until(s.t, patience, func() error { // until the turn is a server's of the client's family: others see the balancer
			conn, err := s.dial(vip)
			if err != nil {
				return err
			}
			defer conn.Close()
			line, err := lineOver(conn)
			fields := strings.Fields(line)
			if err != nil || len(fields) != 3 {
				return fmt.Errorf("the server says %q, %v", line, err)
			}
			if host, _, _ := net.SplitHostPort(fields[2]); host != client {
				return fmt.Errorf("the server sees %s, want %s", host, client)
			}
			return nil
		})
	}
	held.alive(s.t, "the frontend is a proxy's now")
	held.close()
	s.slow()
	// A server that does not answer costs its client a time-out of connects, and no more.
	s.reloaded(`check = "web"`, "passive_failures = 1\nconnect_timeout = \"500ms\"")
	for family, at := range map[string][2]string{"ip": {l4bed.VIP4, l4bed.Server4(1)}, "ip6": {l4bed.VIP6, l4bed.Server6(1)}} {
		mend := s.hole(family)
		until(s.t, patience, func() error {
			if _, err := s.ask(at[0]); err != nil {
				s.t.Fatalf("a request while %s answers nothing: %v", at[1], err)
			}
			if !strings.Contains(s.gslb.log.String(), fmt.Sprintf("msg=\"balancer: isolated\" frontend=www server=%s why=\"1 connects in a row failed", net.JoinHostPort(at[1], "80"))) {
				return fmt.Errorf("%s is not isolated", at[1])
			}
			return nil
		})
		mend()
	}
	// Back again: the kernel has not seen the connections of the proxy begin, whose table it looks up now.
	must(s.t, l4bed.Exec(s.Balancer, "nft", "delete", "table", "inet", "gslb-transparent")...)
	const transparent, plain = "plane = \"proxy\"\ntransparent = true\n", "plane = \"proxy\"\n"
	s.reloaded(transparent, plain)
	until(s.t, patience, func() error {
		if text := s.tables(); strings.Contains(text, "gslb") {
			return fmt.Errorf("there is a table still:\n%.300s", text)
		}
		return nil
	})
	held = append(s.hold(l4bed.VIP4, 4), s.hold(l4bed.VIP6, 4)...)
	replaceText(s.t, s.config, `connect_timeout = "500ms"`, "")
	s.reloaded(plain, config+"\n")
	s.by("nat")
	held.alive(s.t, "the frontend is the kernel's again")
	held.close()
}
