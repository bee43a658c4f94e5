package test

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gslb/bgp"
	"gslb/test/bed"
	"gslb/tools/l4bed"
)

// birdRouter is BIRD in the router of a vipSite: it takes routes of both balancers, in
// both families, and uses all that are as good.
type birdRouter struct {
	s      *vipSite
	socket string
}

func startBIRD(s *vipSite) *birdRouter {
	s.t.Helper()
	text := `log stderr all;
router id 10.78.2.1;
protocol device { scan time 60; }
protocol kernel kernel4 { merge paths on; ipv4 { import none; export all; }; }
protocol kernel kernel6 { merge paths on; ipv6 { import none; export all; }; }
template bgp balancer { local as 65000; password "s3cret"; connect delay time 1; connect retry time 1; error wait time 1, 1; graceful restart on; }
`
	for _, lb := range s.lbs {
		text += fmt.Sprintf("protocol bgp %sv4 from balancer { neighbor %s as 65010; ipv4 { import all; export none; }; }\n", lb.name, lb.address4)
		text += fmt.Sprintf("protocol bgp %sv6 from balancer { neighbor %s as 65010; ipv6 { import all; export none; }; }\n", lb.name, lb.six)
	}
	return startBIRDAt(s, s.router, text)
}

// startBIRDAt starts BIRD in a namespace, and waits until it can be asked.
func startBIRDAt(s *vipSite, ns, text string) *birdRouter {
	s.t.Helper()
	dir := s.t.TempDir()
	b := &birdRouter{s, filepath.Join(dir, "bird.ctl")}
	config := write(s.t, dir, "bird.conf", text)
	start(s.t, "bird", nil, l4bed.Exec(ns, "bird", "-f", "-c", config, "-s", b.socket, "-P", filepath.Join(dir, "bird.pid"))...)
	until(s.t, patience, func() error {
		if r := run(s.t, patience, "birdc", "-s", b.socket, "show", "status"); r.code != 0 {
			return fmt.Errorf("birdc: %s%s", r.out, r.err)
		}
		return nil
	})
	return b
}

// show is what birdc says.
func (b *birdRouter) show(words ...string) string {
	return run(b.s.t, patience, append([]string{"birdc", "-s", b.socket, "show"}, words...)...).out
}

// sees waits until the routes to both virtual addresses are by these balancers, in BIRD
// and in the router's kernel.
func (b *birdRouter) sees(what string, want ...*vipBalancer) {
	b.s.t.Helper()
	b.s.poll(func() error {
		bird := b.show("route", "all")
		for _, lb := range b.s.lbs {
			wanted := false
			for _, w := range want {
				wanted = wanted || w == lb
			}
			for family, proto := range map[string]string{b.s.vip4 + "/32": lb.name + "v4", b.s.vip6 + "/128": lb.name + "v6"} {
				if has := strings.Contains(bird, "["+proto+" "); has != wanted {
					return fmt.Errorf("%s: %s by %s: %v, want %v:\n%s", what, family, lb.name, has, wanted, bird)
				}
			}
		}
		kernel := must(b.s.t, "ip", "-n", b.s.router, "route", "show", b.s.vip4) + must(b.s.t, "ip", "-n", b.s.router, "-6", "route", "show", b.s.vip6)
		for _, lb := range b.s.lbs {
			for _, hop := range []string{lb.address4, lb.six} {
				wanted := false
				for _, w := range want {
					wanted = wanted || w == lb
				}
				if has := strings.Contains(kernel, "via "+hop+" "); has != wanted {
					return fmt.Errorf("%s: next hop %s in the kernel: %v, want %v:\n%s", what, hop, has, wanted, kernel)
				}
			}
		}
		return nil
	})
}

// bgpTables is [bgp] of a balancer, with a router in each family. A machine that stands
// still for some seconds breaks no session.
func bgpTables(lb *vipBalancer, as4, as6 int, password string) string {
	return fmt.Sprintf(`
[bgp]
as = 65010
router_id = %q
communities = ["65010:7", "65010:1:2"]
med = 5
announce_after = "100ms"
announce_after_most = "200ms"

[[bgp.neighbor]]
hold_time = "1m"
address = "10.78.2.1"
as = %d
password = %q

[[bgp.neighbor]]
hold_time = "1m"
address = "fd78:2::1"
as = %d
password = "s3cret"
`, lb.address4, as4, password, as6)
}

// TestBGP: a router (BIRD) hears of the virtual addresses of two balancers, in both
// families, uses both, and hears at once when one of them can do nothing for its users.
func TestBGP(t *testing.T) {
	needLong(t)
	needTool(t, "ip", "bird", "birdc")
	t.Parallel()
	s := newVIPSite(t, "192.0.2.10", "2001:db8:2::10")
	bird := startBIRD(s)
	one, two := s.lbs[0], s.lbs[1]
	for _, lb := range s.lbs {
		bed.IPBatch(t, lb.ns, "addr add "+s.vip4+"/32 dev lo", "addr add "+s.vip6+"/128 dev lo nodad")
		lb.configure("announce = true", bgpTables(lb, 65000, 65000, "s3cret"))
		lb.start()
	}
	bird.sees("both serve", one, two)
	s.served("both serve")
	if text := bird.show("route", "all", "for", s.vip4); !strings.Contains(text, "(65010,7)") || !strings.Contains(text, "(65010, 1, 2)") || !strings.Contains(text, "med: 5") {
		t.Errorf("the route has not its attributes:\n%s", text)
	}
	if st, problems := one.bgp(); len(st.Addresses) != 2 || !st.Addresses[0].Announced || !st.Addresses[1].Announced || len(problems) > 0 {
		t.Errorf("%+v, problems %q", st, problems)
	}

	one.reach(false)
	one.await("not ready")
	bird.sees("the first reaches no server", two)
	s.served("the first reaches no server")
	s.poll(func() error {
		if _, problems := one.bgp(); len(problems) == 0 || !strings.Contains(strings.Join(problems, "\n"), "BGP: "+s.vip4+" is not announced: frontend www: ") {
			return fmt.Errorf("problems: %q", problems)
		}
		return nil
	})
	one.reach(true)
	one.await("ready")
	bird.sees("it reaches them again", one, two)

	// An end that was asked for is heard of before anything ends.
	replaceText(t, two.config, "[node]\n", "[node]\nshutdown_wait = \"10m\"\n")
	two.gslb.Kill()
	bird.sees("the second was killed", one)
	s.served("the second was killed")
	two.start()
	bird.sees("the second is back", one, two)
	two.gslb.Signal(syscall.SIGTERM)
	bird.sees("the second is about to end", one)
	s.asked(two.ns, s.vip4) // it serves on for those who have not heard
	two.await("about to end")
	two.gslb.Kill()

	// What is wrong is said.
	one.gslb.Kill()
	one.configure("announce = true", bgpTables(one, 65000, 64999, "another")+one.alsoDNS())
	replaceText(t, one.config, `roles = ["balancer"]`, `roles = ["dns", "balancer"]`)
	one.start()
	s.poll(func() error {
		st, _ := one.bgp()
		if n := st.Neighbors[0]; n.State == bgp.Established || !strings.Contains(n.Error, "another password") {
			return fmt.Errorf("another password: %+v", n)
		}
		if n := st.Neighbors[1]; n.State == bgp.Established || !strings.Contains(n.Error, "of another AS than 64999") {
			return fmt.Errorf("another AS: %+v", n)
		}
		return nil
	})

	// And put right by a reload.
	one.reload(`as = 64999`, `as = 65000`, `"another"`, `"s3cret"`)
	bird.sees("put right", one)
	one.reconfigured(bird)
}
