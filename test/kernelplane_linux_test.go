package test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

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
	gslb    *process
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
	s := &kernelSite{t: t, Site: site}
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
	s.gslb = start(s.t, "lb1", nil, l4bed.Exec(s.Balancer, binary(s.t), "serve", "-config", s.config)...)
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
func (s *kernelSite) dial(vip string) (conn net.Conn, err error) {
	err = l4bed.Within(s.Client, func() error {
		conn, err = net.DialTimeout("tcp", net.JoinHostPort(vip, "80"), 10*time.Second)
		return err
	})
	return conn, err
}

// get asks over an open connection which server it is.
func getOver(conn net.Conn) (string, error) {
	conn.SetDeadline(time.Now().Add(answerWithin))
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: www\r\n\r\n"); err != nil {
		return "", err
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	line, err := bufio.NewReader(r.Body).ReadString('\n')
	server, _, _ := strings.Cut(line, " ")
	return server, err
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

// TestKernelPlanes: a server is killed and its spare goes in, the balancer is killed and
// started again under open connections, and leaves nothing at its end: with each plane in
// the kernel, over both families.
func TestKernelPlanes(t *testing.T) {
	needLong(t)
	for _, plane := range []struct {
		name, config string
		answers      l4bed.Return
	}{
		{"nat", `plane = "nat"`, l4bed.ByBalancer},
		{"dsr", "plane = \"dsr\"\nmode = \"nft\"", l4bed.ByRouter},
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
			// Killed, and started again: who is connected does not know of it.
			var held []net.Conn
			for range 20 {
				conn, err := s.dial(l4bed.VIP4)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := getOver(conn); err != nil {
					t.Fatal(err)
				}
				held = append(held, conn)
			}
			alive := func(when string) {
				t.Helper()
				for i, conn := range held {
					if _, err := getOver(conn); err != nil {
						t.Fatalf("%s: connection %d of %d: %v", when, i+1, len(held), err)
					}
				}
			}
			s.lists(held)
			s.gslb.Kill()
			alive("the balancer is dead")
			if _, err := s.retried(l4bed.VIP6); err != nil {
				t.Fatalf("the balancer is dead: a new connection: %v", err)
			}
			s.start()
			alive("the balancer was started again")
			s.see(l4bed.VIP4, "1", "2")
			alive("the balancer has found out again which server is dead")
			s.servers[0] = s.startServer(0)
			until(t, patience, func() error {
				if server, err := s.retried(l4bed.VIP4); err != nil || server != "0" {
					return fmt.Errorf("server %q, %v", server, err)
				}
				return nil
			})
			alive("a server has come back")

			// One is drained by order: it keeps what it has, and gets nothing new.
			drained := net.JoinHostPort(l4bed.Server4(1), "80")
			s.command("servers", "drain", drained, "--within", "1h")
			s.avoids("1")
			alive("a server drains")
			s.command("servers", "undrain", drained)
			until(t, patience, func() error {
				if server, err := s.retried(l4bed.VIP4); err != nil || server != "1" {
					return fmt.Errorf("server %q, %v", server, err)
				}
				return nil
			})
			// The configuration changes: another pick, and a server less.
			replaceText(t, s.config, `pick = "round-robin"`, `pick = "maglev"`)
			replaceText(t, s.config, fmt.Sprintf("[[frontend.server]]\naddress = \"%s:80\"\n", l4bed.Server4(0)), "")
			s.command("reload")
			s.avoids("0")
			alive("the configuration has changed")
			for _, conn := range held {
				conn.Close()
			}
			s.gslb.Signal(syscall.SIGTERM)
			until(t, patience, func() error {
				if !s.gslb.ended() {
					return errors.New("the balancer goes on")
				}
				return nil
			})
			if left := s.tables(); strings.Contains(left, "gslb") {
				t.Errorf("left in the kernel:\n%s", left)
			}
		})
	}
}
