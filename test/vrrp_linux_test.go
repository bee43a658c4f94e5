package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gslb/test/bed"
	"gslb/tools/l4bed"
)

// keepalivedConf is the configuration that docs/vip.md shows.
func keepalivedConf(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../docs/vip.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(data), "\n```keepalived\n")
	conf, _, closed := strings.Cut(after, "\n```\n")
	if !found || !closed {
		t.Fatal("docs/vip.md shows no configuration of keepalived")
	}
	return conf + "\n"
}

// keepalive starts keepalived beside the balancer, with what docs/vip.md shows, but for
// the site's own addresses and names.
func (lb *vipBalancer) keepalive(priority int) {
	t := lb.s.t
	t.Helper()
	conf := keepalivedConf(t)
	for from, to := range map[string]string{"router_id lb1": "router_id " + lb.name, "priority 150": fmt.Sprintf("priority %d", priority),
		"192.0.2.10/32": lb.s.vip4 + "/32", "2001:db8::10/128": lb.s.vip6 + "/128"} {
		if !strings.Contains(conf, from) {
			t.Fatalf("docs/vip.md: %q is not in its configuration of keepalived:\n%s", from, conf)
		}
		conf = strings.ReplaceAll(conf, from, to)
	}
	dir := t.TempDir()
	config := write(t, dir, "keepalived.conf", conf)
	if r := run(t, patience, l4bed.Exec(lb.ns, "keepalived", "--config-test", "-f", config)...); r.code != 0 {
		t.Fatalf("keepalived --config-test: %s%s", r.out, r.err)
	}
	start(t, "keepalived of "+lb.name, nil, l4bed.Exec(lb.ns, "keepalived", "--dont-fork", "--log-console", "--vrrp", "-f", config,
		"-p", filepath.Join(dir, "keepalived.pid"), "-r", filepath.Join(dir, "vrrp.pid"))...)
}

// holds waits until this balancer has the virtual addresses, and the other has not.
func (s *vipSite) holds(what string, want *vipBalancer) {
	s.t.Helper()
	s.poll(func() error {
		for _, lb := range s.lbs {
			has := must(s.t, "ip", "-n", lb.ns, "address", "show", "dev", "eth0")
			for _, vip := range []string{s.vip4, s.vip6} {
				if strings.Contains(has, " "+vip+"/") != (lb == want) {
					return fmt.Errorf("%s: %s has not the addresses that it should have: %s", what, lb.name, has)
				}
			}
		}
		return nil
	})
	s.served(what)
}

// TestVRRP: keepalived, configured as docs/vip.md says, moves the virtual addresses when
// the balancer that has them is killed, or reaches no server. Clients that come again get
// the server that they had, and connections by direct server return go on.
func TestVRRP(t *testing.T) {
	needLong(t)
	needTool(t, "ip", "keepalived", "curl")
	t.Parallel()
	s := newVIPSite(t, "10.78.2.100", "fd78:2::100")
	direct := fmt.Sprintf(`
[[frontend]]
name = "direct"
site = "kt"
listen = ["%s:81", "[%s]:81"]
plane = "dsr"
mode = "tcx"
interfaces = ["eth0"]
check = "web"
slow_start = "10ms"
drain_timeout = "1s"
%s`, s.vip4, s.vip6, serverTables(81))
	for i, lb := range s.lbs {
		lb.configure("freebind = true\npick = \"maglev\"", direct)
		lb.start()
		lb.keepalive(150 - 50*i)
	}
	one, two := s.lbs[0], s.lbs[1]
	s.holds("both serve", one)
	server := map[string]string{}
	for _, vip := range []string{s.vip4, s.vip6} {
		server[vip] = s.asked(s.client, vip)
	}
	// Connections that the kernel hands on; their servers differ.
	type flow struct {
		net.Conn
		server string
	}
	var flows []flow
	spread := map[string]bool{}
	for i := range 60 { // the chance that one server gets none is 1e-10
		vip := []string{s.vip4, s.vip6}[i%2]
		var f flow
		until(t, patience, func() (err error) {
			if f.Conn, err = s.dial(s.client, vip, "81"); err == nil {
				f.server, err = getOver(f.Conn)
			}
			return err
		})
		defer f.Close()
		flows = append(flows, f)
		spread[f.server] = true
	}
	if len(spread) != 3 {
		t.Errorf("60 connections went to the servers %v, want all three", spread)
	}
	moved := func(what string, to *vipBalancer) {
		t.Helper()
		s.holds(what, to)
		to.settled()
		for vip, want := range server {
			if got := s.asked(s.client, vip); got != want {
				t.Errorf("%s: %s: server %q; it was %q", what, vip, got, want)
			}
		}
		for i, f := range flows {
			if got, err := getOver(f); err != nil || got != f.server {
				t.Errorf("%s: connection %d of %d: server %q, %v; it was %q", what, i+1, len(flows), got, err, f.server)
			}
		}
	}
	one.gslb.Kill()
	moved("the first was killed", two)
	one.start()
	moved("the first is back", one)
	one.reach(false)
	one.await("not ready")
	moved("the first reaches no server", two)
	bed.IP(t, "-n", two.ns, "link", "set", "eth0", "down")
	one.reach(true)
	s.holds("the second has lost its link", one)
}
