package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"gslb/bgp"
	"gslb/test/bed"
	"gslb/tools/l4bed"
)

// vipSite is two balancers that share virtual addresses, in network namespaces:
//
//	client -- router -- bridge (in the router) -- lb1, lb2, server 0, server 1, server 2
//
// Servers have the virtual addresses as well, and keep quiet about them (direct server return).
type vipSite struct {
	t              *testing.T
	client, router string
	lbs            [2]*vipBalancer
	vip4, vip6     string
}

// vipBalancer is one of them.
type vipBalancer struct {
	s             *vipSite
	name, ns      string
	address4, six string
	config        string
	gslb          *process
}

func newVIPSite(t *testing.T, vip4, vip6 string) *vipSite {
	t.Helper()
	ns := bed.Netns(t, "client", "router", "lb1", "lb2", "server0", "server1", "server2")
	s := &vipSite{t: t, client: ns[0], router: ns[1], vip4: vip4, vip6: vip6}
	bed.IPBatch(t, s.router, "link set lo up", "link add hub type bridge", "link set hub up", "addr add 10.78.2.1/24 dev hub", "addr add fd78:2::1/64 dev hub nodad")
	join := func(ns, port, bridge string, lines ...string) {
		bed.IP(t, "link", "add", "eth0", "netns", ns, "type", "veth", "peer", "name", port, "netns", s.router)
		router := []string{"link set " + port + " up"}
		if bridge != "" {
			router = append(router, "link set "+port+" master "+bridge)
		} else {
			router = append(router, "addr add 10.78.1.1/24 dev "+port, "addr add fd78:1::1/64 dev "+port+" nodad")
		}
		bed.IPBatch(t, s.router, router...)
		bed.IPBatch(t, ns, append([]string{"link set lo up", "link set eth0 up"}, lines...)...)
	}
	join(s.client, "client", "", "addr add 10.78.1.2/24 dev eth0", "addr add fd78:1::2/64 dev eth0 nodad", "route add default via 10.78.1.1", "route add default via fd78:1::1")
	own := []string{"route add default via 10.78.2.1", "route add default via fd78:2::1"}
	for i := range s.lbs {
		lb := &vipBalancer{s: s, name: fmt.Sprintf("lb%d", i+1), ns: ns[2+i], address4: fmt.Sprintf("10.78.2.%d", 2+i), six: fmt.Sprintf("fd78:2::%d", 2+i)}
		join(lb.ns, lb.name, "hub", append([]string{"addr add " + lb.address4 + "/24 dev eth0", "addr add " + lb.six + "/64 dev eth0 nodad"}, own...)...)
		s.lbs[i] = lb
	}
	for i, ns := range ns[4:] {
		bed.Sysctl(t, ns, "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")
		join(ns, fmt.Sprintf("server%d", i), "hub", append([]string{fmt.Sprintf("addr add 10.78.2.%d/24 dev eth0", 11+i), fmt.Sprintf("addr add fd78:2::%d/64 dev eth0 nodad", 11+i),
			"addr add " + vip4 + "/32 dev lo", "addr add " + vip6 + "/128 dev lo nodad"}, own...)...)
		startHelper(t, l4bed.Exec(ns), "web", fmt.Sprint(i), ":80", ":81")
	}
	bed.Sysctl(t, s.router, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.fib_multipath_hash_policy=1", "net.ipv6.fib_multipath_hash_policy=1")
	return s
}

// configure writes the balancer's configuration: one frontend "www" at the virtual
// addresses with all servers. frontend are more lines of it, more is more tables.
func (lb *vipBalancer) configure(frontend, more string) {
	lb.s.t.Helper()
	text := nodeConfiguration(lb.name, `["balancer"]`, "embedded = true\nlisten = \"127.0.0.1:2379\"\npeer_listen = \"127.0.0.1:2380\"\n", "127.0.0.1:8053") + more + fmt.Sprintf(`
[check.web]
type = "http"
path = "/healthz"
interval = "2s"
timeout = "2s"
fall = 2
rise = 1

[[site]]
name = "kt"
addresses = ["%[1]s"]

[[frontend]]
name = "www"
site = "kt"
listen = ["%[1]s:80", "[%[2]s]:80"]
check = "web"
slow_start = "10ms"
drain_timeout = "1s"
%[3]s
`, lb.s.vip4, lb.s.vip6, frontend)
	text += serverTables(80)
	lb.config = write(lb.s.t, lb.s.t.TempDir(), lb.name+".toml", text)
}

// serverTables are all servers of a frontend.
func serverTables(port int) (text string) {
	for i := range 3 {
		text += fmt.Sprintf("[[frontend.server]]\naddress = \"10.78.2.%d:%d\"\n[[frontend.server]]\naddress = \"[fd78:2::%d]:%d\"\n", 11+i, port, 11+i, port)
	}
	return text
}

// start starts the balancer, and waits until it may have the addresses.
func (lb *vipBalancer) start() {
	lb.s.t.Helper()
	lb.gslb = start(lb.s.t, lb.name, nil, l4bed.Exec(lb.ns, binary(lb.s.t), "serve", "-config", lb.config)...)
	lb.await("ready")
}

// poll is until, for what starts processes to look.
func (s *vipSite) poll(f func() error) {
	s.t.Helper()
	until(s.t, patience, func() error {
		err := f()
		if err != nil {
			time.Sleep(200 * time.Millisecond)
		}
		return err
	})
}

// await waits until gslb ready says so.
func (lb *vipBalancer) await(want string) {
	lb.s.t.Helper()
	lb.s.poll(func() error {
		if lb.gslb.ended() {
			lb.s.t.Fatalf("%s ended: %v", lb.name, lb.gslb.cmd.ProcessState)
		}
		r := run(lb.s.t, patience, l4bed.Exec(lb.ns, binary(lb.s.t), "ready", "--api", "127.0.0.1:8053", "www")...)
		if text := r.out + r.err; !strings.Contains(text, want) {
			return fmt.Errorf("%s: gslb ready www: %s, want %q", lb.name, text, want)
		}
		return nil
	})
}

// settled waits until all servers of all frontends take connections.
func (lb *vipBalancer) settled() {
	lb.s.t.Helper()
	lb.s.poll(func() error {
		var all struct {
			Frontends []struct {
				Name      string
				Available int
			}
		}
		text := must(lb.s.t, l4bed.Exec(lb.ns, binary(lb.s.t), "servers", "--api", "127.0.0.1:8053", "--json")...)
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			lb.s.t.Fatalf("%v: %.1000s", err, text)
		}
		for _, f := range all.Frontends {
			if f.Available != 6 {
				return fmt.Errorf("%s: frontend %s has %d servers, want 6", lb.name, f.Name, f.Available)
			}
		}
		return nil
	})
}

// reach takes the servers away from the balancer, or gives them back.
func (lb *vipBalancer) reach(does bool) {
	lb.s.t.Helper()
	word := "add"
	if does {
		word = "del"
	}
	var lines []string
	for i := range 3 {
		lines = append(lines, fmt.Sprintf("route %s unreachable 10.78.2.%d/32", word, 11+i), fmt.Sprintf("route %s unreachable fd78:2::%d/128 metric 1", word, 11+i))
	}
	bed.IPBatch(lb.s.t, lb.ns, lines...)
}

// bgp is what gslb status has of it.
func (lb *vipBalancer) bgp() (st bgp.Status, problems []string) {
	lb.s.t.Helper()
	var all struct {
		BGP      *bgp.Status
		Problems []string
	}
	text := must(lb.s.t, l4bed.Exec(lb.ns, binary(lb.s.t), "status", "--api", "127.0.0.1:8053", "--json")...)
	if err := json.Unmarshal([]byte(text), &all); err != nil || all.BGP == nil {
		lb.s.t.Fatalf("%v: %.1000s", err, text)
	}
	return *all.BGP, all.Problems
}

// dial connects to an address from a namespace.
func (s *vipSite) dial(ns, address, port string) (conn net.Conn, err error) {
	err = l4bed.Within(ns, func() error {
		d := net.Dialer{Timeout: 2 * time.Second, KeepAlive: -1} // no packet while an address is nowhere
		conn, err = d.Dial("tcp", net.JoinHostPort(address, port))
		return err
	})
	return conn, err
}

// ask asks at an address, from a namespace, which server answers.
func (s *vipSite) ask(ns, address string) (server string, err error) {
	conn, err := s.dial(ns, address, "80")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return getOver(conn)
}

// asked is ask, as often as a busy machine takes too long for it.
func (s *vipSite) asked(ns, address string) (server string) {
	s.t.Helper()
	s.poll(func() (err error) {
		server, err = s.ask(ns, address)
		return err
	})
	return server
}

// served waits until clients are served at both virtual addresses.
func (s *vipSite) served(what string) {
	s.t.Helper()
	s.poll(func() error {
		_, err4 := s.ask(s.client, s.vip4)
		_, err6 := s.ask(s.client, s.vip6)
		if err := errors.Join(err4, err6); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}
