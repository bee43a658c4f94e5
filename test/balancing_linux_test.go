package test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gslb/balancer"
	"gslb/console"
	"gslb/proxyproto"
	"gslb/test/bed"
)

// balancingNode is a balancer whose servers have agents, each a process of its own:
// server 1 and 2 are in the configuration, 3 registers itself, 4 is made by a hook.
type balancingNode struct {
	*node
	t       *testing.T
	dir     string
	www     string // frontends
	web     string // port of the servers
	servers []*process
	calls   chan hookCall // of the repair hook
}

// hookCall is what hooks are told, by the names of docs/operations.md.
type hookCall struct {
	ID, Hook, Node, Site, Frontend, Server, Why string
	Healthy, Servers, Try                       int
	Capacity                                    float64
}

func (b *balancingNode) server(i int) string { return fmt.Sprintf("127.0.41.%d:%s", i, b.web) }

// figure sets what an application says of itself to its agent: 0, no load, to 1.
func (b *balancingNode) figure(i int, text string) {
	b.t.Helper()
	replace(b.t, filepath.Join(b.dir, fmt.Sprint("figure", i)), []byte(text+"\n"))
}

// agent starts the agent of a server; more are further flags.
func (b *balancingNode) agent(i int, port string, more ...string) *process {
	b.t.Helper()
	b.figure(i, "0")
	at := fmt.Sprintf("127.0.41.%d:%s", i, port)
	p := start(b.t, fmt.Sprint("agent", i), nil, append([]string{binary(b.t), "agent", "--listen", at, "--interval", "100ms", "--app", "0:1", "--least", "10",
		"--app-file", filepath.Join(b.dir, fmt.Sprint("figure", i)), "--state", filepath.Join(b.dir, fmt.Sprint("state", i))}, more...)...)
	p.says("answering agent checks")
	return p
}

func (b *balancingNode) startServer(i int) *process {
	b.t.Helper()
	return startHelper(b.t, nil, "web", fmt.Sprint(i), b.server(i))
}

// gslb runs a command at the node.
func (b *balancingNode) gslb(words ...string) string {
	b.t.Helper()
	return must(b.t, append([]string{binary(b.t)}, append(words, "--api", b.api)...)...)
}

// shows waits until what `gslb servers` shows of www is as it should be.
func (b *balancingNode) shows(good func(map[string]balancer.ServerStatus) error) {
	b.t.Helper()
	until(b.t, patience, func() error {
		text, err := get("http://" + b.api + "/api/v1/frontends")
		var l console.FrontendList
		if err == nil {
			err = json.Unmarshal([]byte(text), &l)
		}
		if err != nil {
			return err
		}
		servers := map[string]balancer.ServerStatus{}
		for _, s := range l.Frontends[0].Servers {
			servers[s.Address] = s
		}
		return good(servers)
	})
}

// share asks n times, with a connection each, and gives how often each server answered.
func (b *balancingNode) share(n int) map[string]int {
	b.t.Helper()
	got := map[string]int{}
	for range n {
		body, err := get("http://" + b.www + "/")
		if err != nil {
			b.t.Fatal(err)
		}
		name, _, _ := strings.Cut(body, " ")
		got[name]++
	}
	return got
}

// split waits until new connections are shared as they should be.
func (b *balancingNode) split(want map[string]int) {
	b.t.Helper()
	n := 0
	for _, v := range want {
		n += v
	}
	until(b.t, patience, func() error {
		got := b.share(n)
		for _, s := range []string{"1", "2", "3", "4"} {
			if d := got[s] - want[s]; d < -1 || d > 1 || (got[s] == 0) != (want[s] == 0) {
				return fmt.Errorf("connections by server: %v, want %v", got, want)
			}
		}
		return nil
	})
}

// TestBalancing: a balancer and its servers' agents, hooks, registrations and drains, and
// what is said before a server is picked (PROXY headers, server names).
func TestBalancing(t *testing.T) {
	t.Parallel()
	needLinux(t)
	needLong(t)
	b := &balancingNode{t: t, dir: t.TempDir(), calls: make(chan hookCall, 16)}
	port := func() string { _, p, _ := net.SplitHostPort(freeAddress(t)); return p }
	b.web = port()
	agents, api := port(), freeAddress(t)
	b.www = freeAddress(t)
	tlsAt, fronted := freeAddress(t), freeAddress(t)
	repair := httptest.NewServer(http.HandlerFunc(b.repair))
	defer repair.Close()
	// Who is asked for a clone starts nothing: server 4 runs, and is put behind the frontend.
	clone := write(t, b.dir, "clone", fmt.Sprintf("#!/bin/sh\ncat > %s/call.part && mv %[1]s/call.part %[1]s/call\n%s servers add %s --frontend \"$GSLB_FRONTEND\" --why \"clone for $GSLB_HOOK\" --api %s\n",
		b.dir, binary(t), b.server(4), api))
	if err := os.Chmod(clone, 0o755); err != nil {
		t.Fatal(err)
	}
	shop, blog, told := b.tlsServer("shop"), b.tlsServer("blog"), b.toldServer()
	config := write(t, b.dir, "lb1.toml", nodeConfiguration("lb1", `["balancer"]`+"\nallow_exec = true", "listen = \"127.0.0.1:0\"\n", api)+fmt.Sprintf(`
[check.alive]
type = "http"
path = "/healthz"
interval = "600ms"
timeout = "600ms"
rise = 1
fall = 4
[check.agent]
type = "agent"
port = %[1]s
interval = "600ms"
timeout = "600ms"
rise = 1
fall = 4
[check.web]
type = "all"
of = ["alive", "agent"]
[[site]]
name = "here"
addresses = ["192.0.2.1"]
[[frontend]]
name = "www"
site = "here"
listen = [%[2]q]
check = "web"
pick = "weighted"
slow_start = "10ms"
drain_timeout = "2m"
  [[frontend.server]]
  address = %[3]q
  [[frontend.server]]
  address = %[4]q
  # clone of www
  [frontend.repair]
  url = %[5]q
  secret = "k3y"
  hold = "10ms"
[[frontend]]
name = "tls"
site = "here"
listen = [%[6]q]
proxy_from = ["127.0.0.2/32"]
  [[frontend.route]]
  server_names = ["shop.example.com"]
  to = "shop"
  [[frontend.route]]
  server_names = ["*.example.com"]
  protocols = ["h2"]
  to = "blog"
[[frontend]]
name = "shop"
site = "here"
log_connections = 1
connection_log = %[10]q
  [[frontend.server]]
  address = %[7]q
[[frontend]]
name = "blog"
site = "here"
  [[frontend.server]]
  address = %[8]q
[[frontend]]
name = "told"
site = "here"
listen = [%[11]q]
proxy_from = ["127.0.0.0/8"]
send_proxy = "v2"
deny = ["198.51.100.0/24"]
fast_open = true
keepalive_idle = "7s"
  [[frontend.server]]
  address = %[9]q
`, agents, b.www, b.server(1), b.server(2), repair.URL, tlsAt, shop, blog, told, filepath.Join(b.dir, "connections.jsonl"), fronted))
	for i := 1; i <= 4; i++ {
		b.servers = append(b.servers, b.startServer(i))
	}
	b.agent(1, agents)
	b.agent(2, agents)
	b.agent(4, agents)
	b.node = &node{process: start(t, "lb1", nil, binary(t), "serve", "-config", config), api: api, config: config}
	b.waitReady()

	// What is said before a server is picked.
	b.routes(tlsAt)
	b.headers(fronted)

	// Shares go by what the applications say to their agents.
	b.split(map[string]int{"1": 10, "2": 10})
	b.figure(2, "1")
	b.split(map[string]int{"1": 20, "2": 2})
	b.figure(1, "1")
	b.figure(2, "0.5")
	b.split(map[string]int{"1": 4, "2": 22}) // 10 % and 55 %

	// An operator on the server takes it out, and back.
	held := b.hold("1")
	state := []string{"--state", filepath.Join(b.dir, "state1")}
	must(t, append([]string{binary(t), "agent", "maint", "--why", "new disk"}, state...)...)
	b.split(map[string]int{"2": 5})
	b.shows(func(s map[string]balancer.ServerStatus) error {
		if d := s[b.server(1)]; d.Drain == nil || d.Isolations != 0 || !strings.Contains(d.Why, "new disk") {
			return fmt.Errorf("server 1 does not drain for its agent: %+v", d)
		}
		return nil
	})
	if err := heldSays(held, "1"); err != nil {
		t.Errorf("a connection of a server whose agent says maint: %v", err)
	}
	must(t, append([]string{binary(t), "agent", "ready"}, state...)...)
	b.figure(1, "0")
	b.figure(2, "0")
	b.split(map[string]int{"1": 10, "2": 10})

	// An operator at the balancer does.
	if out := b.gslb("servers", "drain", b.server(1), "--within", "200ms", "--wait", "--why", "test"); !strings.Contains(out, "connections left") || !strings.Contains(out, "drained") {
		t.Errorf("gslb servers drain said:\n%s", out)
	}
	if err := heldSays(held, "1"); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a connection of a drained server: %v, want a reset", err)
	}
	b.split(map[string]int{"2": 5})
	b.gslb("servers", "undrain", b.server(1))
	b.split(map[string]int{"1": 10, "2": 10})

	// A server registers itself, and goes.
	third := b.agent(3, agents, "--register", "http://"+b.api, "--frontend", "www", "--address", b.server(3), "--weight", "2")
	b.split(map[string]int{"1": 5, "2": 5, "3": 10})
	third.Stop()
	b.split(map[string]int{"1": 10, "2": 10})

	// One is killed: somebody is asked to repair it, and for a clone.
	replaceText(t, config, "# clone of www", fmt.Sprintf("[frontend.clone]\n  exec = [%q]\n  hold = \"10ms\"", clone))
	must(t, binary(t), "reload", "--api", b.api)
	b.servers[0].Kill()
	for called := false; !called; {
		select {
		case c := <-b.calls:
			called = c.Server == b.server(1) // a slow machine may have others fail, too
			if c.Hook != "repair" || c.Frontend != "www" || c.Site != "here" || c.Node != "lb1" || c.Try < 1 || c.Why == "" || c.ID == "" {
				t.Errorf("the repair hook was told %+v", c)
			}
		case <-time.After(patience):
			t.Fatal("the repair hook was not called")
		}
	}
	b.split(map[string]int{"2": 10, "4": 10})
	text, err := os.ReadFile(filepath.Join(b.dir, "call"))
	var c hookCall
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil || c.Hook != "clone" || c.Frontend != "www" || c.Capacity > 0.5 || c.Healthy > 1 || c.Servers != 2 {
		t.Errorf("the clone hook was told %+v (%v)", c, err)
	}
	until(t, patience, func() error {
		out := b.gslb("servers", "www", "--events")
		for _, want := range []string{"clone", "repair", "on its way", b.server(4) + ": is behind it"} {
			if !strings.Contains(out, want) {
				return fmt.Errorf("gslb servers --events has no %q:\n%s", want, out)
			}
		}
		return nil
	})
	// It comes back; the clone stays until somebody removes it, over a reload, too.
	b.servers[0] = b.startServer(1)
	b.split(map[string]int{"1": 5, "2": 5, "4": 5})
	held = b.hold("2")
	replaceText(t, config, `pick = "weighted"`, `pick = "round-robin"`)
	must(t, binary(t), "reload", "--api", b.api)
	b.shows(func(s map[string]balancer.ServerStatus) error {
		if !s[b.server(4)].Registered {
			return errors.New("server 4 is gone")
		}
		return nil
	})
	b.split(map[string]int{"1": 5, "2": 5, "4": 5})
	b.gslb("servers", "remove", b.server(4))
	b.split(map[string]int{"1": 5, "2": 5})
	if err := heldSays(held, "2"); err != nil {
		t.Errorf("a connection after a reload: %v", err)
	}
}

// repair is a repair hook.
func (b *balancingNode) repair(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	mac := hmac.New(sha256.New, []byte("k3y"))
	mac.Write(body)
	if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); r.Header.Get("X-Gslb-Signature") != want {
		b.t.Errorf("the hook's signature is %q, want %q", r.Header.Get("X-Gslb-Signature"), want)
	}
	var c hookCall
	if err := json.Unmarshal(body, &c); err != nil {
		b.t.Errorf("the hook got %q: %v", body, err)
	}
	select {
	case b.calls <- c:
	default:
	}
	fmt.Fprintln(w, "somebody is on its way")
}

// hold opens a connection that a server has.
func (b *balancingNode) hold(server string) net.Conn {
	b.t.Helper()
	for range 100 {
		c, err := net.Dial("tcp", b.www)
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { c.Close() })
		if heldSays(c, server) == nil {
			return c
		}
		c.Close()
	}
	b.t.Fatalf("no connection goes to server %s", server)
	return nil
}

// heldSays asks over an open connection, which must be to this server.
func heldSays(c net.Conn, server string) error {
	got, err := getOver(c)
	if err == nil && got != server {
		err = fmt.Errorf("it is server %s's", got)
	}
	return err
}

// tlsServer says its name to each client, by TLS.
func (b *balancingNode) tlsServer(name string) string {
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS() // for its certificate
	cert := pair.TLS.Certificates
	pair.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		b.t.Fatal(err)
	}
	return bed.Serve(b.t, l, func(c net.Conn) {
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, name)
	})
}

// toldServer says which client a PROXY header of version 2 names, and what came behind it.
func (b *balancingNode) toldServer() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	return bed.Serve(b.t, l, func(c net.Conn) {
		c.SetDeadline(time.Now().Add(patience))
		in := bufio.NewReader(c)
		head, err := in.Peek(16)
		if err != nil {
			return
		}
		header := make([]byte, proxyproto.Length(head))
		if _, err := io.ReadFull(in, header); err != nil {
			return
		}
		h, _, err := proxyproto.ParseV2(header)
		line, _ := in.ReadString('\n')
		fmt.Fprintf(c, "%v %v: %s", h.Client, err, line)
	})
}

// routes sends ClientHellos with names.
func (b *balancingNode) routes(at string) {
	b.t.Helper()
	say := func(from, header, name string, protocols ...string) string {
		d := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
		raw, err := d.Dial("tcp", at)
		if err != nil {
			b.t.Fatal(err)
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(patience))
		io.WriteString(raw, header)
		text, err := io.ReadAll(tls.Client(raw, &tls.Config{ServerName: name, NextProtos: protocols, InsecureSkipVerify: true}))
		if err != nil {
			return "reset"
		}
		return string(text)
	}
	const local, fronted = "127.0.0.1:0", "127.0.0.2:0"
	for _, c := range []struct{ from, header, name, protocol, want string }{
		{local, "", "shop.example.com", "http/1.1", "shop"},
		{local, "", "SHOP.example.com", "h2", "shop"},
		{local, "", "blog.example.com", "h2", "blog"},
		{local, "", "blog.example.com", "http/1.1", "reset"},
		{local, "", "shop.example.net", "h2", "reset"},
		{fronted, "PROXY TCP4 203.0.113.9 192.0.2.10 4000 443\r\n", "shop.example.com", "h2", "shop"},
		{fronted, "", "shop.example.com", "h2", "reset"},
	} {
		if got := say(c.from, c.header, c.name, c.protocol); got != c.want {
			b.t.Errorf("%q from %s, header %q, %s: %s, want %s", c.name, c.from, c.header, c.protocol, got, c.want)
		}
	}
	until(b.t, patience, func() error { // the log has it when the connection has ended
		text, err := os.ReadFile(filepath.Join(b.dir, "connections.jsonl"))
		if err != nil || !slices.ContainsFunc(strings.Split(string(text), "\n"), func(line string) bool {
			return strings.Contains(line, `"203.0.113.9:4000"`) && strings.Contains(line, `"shop.example.com"`)
		}) {
			return fmt.Errorf("the log has not the client that a front end named: %v\n%s", err, text)
		}
		return nil
	})
}

// headers sends PROXY headers, as a front end does.
func (b *balancingNode) headers(at string) {
	b.t.Helper()
	say := func(header string) string {
		c, err := net.Dial("tcp", at)
		if err != nil {
			b.t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, header+"hello\n")
		text, err := io.ReadAll(c)
		if err != nil {
			return "reset"
		}
		return string(text)
	}
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24" + string(netip.MustParseAddr("2001:db8::7").AsSlice()) + string(netip.MustParseAddr("2001:db8::10").AsSlice()) + "\x10\x00\x00\x50"
	for _, c := range []struct{ header, want string }{
		{"PROXY TCP4 203.0.113.7 192.0.2.10 4000 80\r\n", "203.0.113.7:4000 <nil>: hello\n"},
		{v2, "[2001:db8::7]:4096 <nil>: hello\n"},
		{"PROXY TCP4 198.51.100.7 192.0.2.10 4000 80\r\n", "reset"}, // deny is for whom it names
		{"", "reset"},
	} {
		if got := say(c.header); got != c.want {
			b.t.Errorf("header %q: the server said %q, want %q", c.header, got, c.want)
		}
	}
}
