package test

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gslb/bgp"
	"gslb/test/bed"
	"gslb/tools/l4bed"
)

// What a balancer tells BIRD at the other side of the router, by sessions of each kind, and what a
// reload of [bgp] does. All of it is one more part of TestBGP, whose balancers it goes on with.

const anycast = "192.0.2.53" // an address of the DNS service

// alsoDNS is what a node needs to be a DNS server, too.
func (lb *vipBalancer) alsoDNS() string {
	zone := write(lb.s.t, filepath.Dir(lb.config), "example.zone", "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A "+anycast+"\n")
	return fmt.Sprintf("\n[dns]\nlisten = [\"127.0.0.1:53\"]\n\n[[zone]]\nname = \"example.com\"\nfile = %q\n", zone)
}

// reload replaces texts of the balancer's configuration, old and new in turns, and has it read.
func (lb *vipBalancer) reload(texts ...string) {
	lb.s.t.Helper()
	for i := 0; i < len(texts); i += 2 {
		replaceText(lb.s.t, lb.config, texts[i], texts[i+1])
	}
	must(lb.s.t, l4bed.Exec(lb.ns, binary(lb.s.t), "reload", "--api", "127.0.0.1:8053")...)
}

// established waits until all sessions of the balancer are up, and gives them.
func (lb *vipBalancer) established(what string, n int) (up []bgp.NeighborStatus) {
	lb.s.t.Helper()
	lb.s.poll(func() error {
		st, _ := lb.bgp()
		for _, one := range st.Neighbors {
			if one.State != bgp.Established {
				return fmt.Errorf("%s: %+v", what, one)
			}
		}
		if len(st.Neighbors) != n {
			return fmt.Errorf("%s: %d sessions, want %d", what, len(st.Neighbors), n)
		}
		up = st.Neighbors
		return nil
	})
	return up
}

// startFarBIRD starts BIRD in the client's namespace, two hops from the balancers: with a
// router of another AS, one of the balancers' own, and one of a third that connects to them.
func startFarBIRD(s *vipSite) *birdRouter {
	s.t.Helper()
	bed.IPBatch(s.t, s.client, "addr add 10.78.1.3/24 dev eth0", "addr add 10.78.1.4/24 dev eth0")
	return startBIRDAt(s, s.client, `log stderr all;
router id 10.78.1.2;
protocol device { scan time 60; }
template bgp balancer {
	connect delay time 1; connect retry time 1; error wait time 1, 1;
	ipv4 { import all; export none; }; ipv6 { import all; export none; };
}
protocol bgp outer from balancer { neighbor 10.78.2.2 as 65010; local 10.78.1.2 as 65001; multihop 2; passive on; }
protocol bgp inner from balancer { neighbor 10.78.2.22 as 65010; local 10.78.1.3 as 65010; passive on; password "of a file"; }
protocol bgp calling from balancer { neighbor 10.78.2.23 as 65010; local 10.78.1.4 as 65002; multihop 2; password "of two lines"; }
`)
}

// tells waits until a protocol of BIRD has a route with these texts, or has none.
func (b *birdRouter) tells(what, proto, prefix string, wants ...string) {
	b.s.t.Helper()
	b.s.poll(func() error {
		text := b.show("route", prefix, "all", "protocol", proto)
		if len(wants) == 0 && strings.Contains(text, "BGP.") {
			return fmt.Errorf("%s: %s has a route to %s, want none:\n%s", what, proto, prefix, text)
		}
		for _, want := range wants {
			if !regexp.MustCompile(want).MatchString(text) {
				return fmt.Errorf("%s: the route of %s to %s has no %q:\n%s", what, proto, prefix, want, text)
			}
		}
		return nil
	})
}

// reconfigured goes through changes of [bgp] by reloads, and a hot restart.
func (lb *vipBalancer) reconfigured(near *birdRouter) {
	s, t := lb.s, lb.s.t
	before := lb.established("before", 2)

	// What is said of routes changes over the sessions that there are.
	lb.reload("med = 5", "med = 9\nprepend = 2", `["65010:7", "65010:1:2"]`, `["65010:8"]`)
	for proto, prefix := range map[string]string{lb.name + "v4": s.vip4 + "/32", lb.name + "v6": s.vip6 + "/128"} {
		near.tells("other attributes", proto, prefix, `BGP\.med: 9`, `BGP\.as_path: 65010 65010 65010\n`, `BGP\.community: \(65010,8\)\n`)
		if text := near.show("route", prefix, "all", "protocol", proto); strings.Count(text, "BGP.med") != 1 || strings.Contains(text, "large_community") {
			t.Errorf("there is more than the new route:\n%s", text)
		}
	}
	for i, one := range lb.established("other attributes", 2) {
		if one != before[i] {
			t.Errorf("the session was %+v and is %+v: it was to stay", before[i], one)
		}
	}

	// Sessions of each kind, with both families and anycast addresses of the DNS service.
	bed.IPBatch(t, lb.ns, "addr add 10.78.2.22/24 dev eth0", "addr add 10.78.2.23/24 dev eth0") // BIRD has one session with an address
	far := startFarBIRD(s)
	file := write(t, filepath.Dir(lb.config), "bgp.password", "of a file\n")
	inner := fmt.Sprintf(`[[bgp.neighbor]] # the own AS's
hold_time = "1m"
address = "10.78.1.3"
as = 65010
local_address = "10.78.2.22"
password_file = %q
`, file)
	more := fmt.Sprintf(`next_hops = [%q, %q]
dns = [%q]
listen = ["10.78.2.23"]
[[bgp.neighbor]]
hold_time = "1m"
address = "10.78.1.2"
as = 65001
multihop = 2
%s[[bgp.neighbor]]
hold_time = "1m"
address = "10.78.1.4"
as = 65002
multihop = 2
port = 9 # nobody is there: the neighbour connects
password = "of two lines"
`, lb.address4, lb.six, anycast, inner)
	const last = "announce_after_most = \"200ms\"\n"
	lb.reload(last, last+more, "prepend = 2\n", "")
	lb.established("sessions of each kind", 5)
	for proto, path := range map[string]string{"outer": `65010\n`, "inner": `?\n`, "calling": `65010\n`} {
		far.tells("sessions of each kind", proto, s.vip4+"/32", `BGP\.next_hop: `+lb.address4+`\n`, `BGP\.as_path: `+path)
		far.tells("sessions of each kind", proto, s.vip6+"/128", `BGP\.next_hop: `+lb.six+`\n`)
		far.tells("sessions of each kind", proto, anycast+"/32", `BGP\.next_hop: `+lb.address4+`\n`)
	}
	near.sees("sessions of each kind", lb)

	// All go but the own AS's, which has a preference then.
	config := regexp.MustCompile(`(?s)\[bgp\].*?\n\[dns\]`)
	text := readFile(t, lb.config)
	own := fmt.Sprintf(`[bgp]
as = 65010
router_id = %q
announce_after = "100ms"
announce_after_most = "200ms"
local_pref = 250
graceful_restart = "60s"
%s
[dns]`, lb.address4, inner)
	lb.reload(config.FindString(text), own)
	lb.established("the own AS alone", 1)
	far.tells("the own AS alone", "inner", s.vip4+"/32", `BGP\.local_pref: 250\n`, `BGP\.as_path: ?\n`)
	far.tells("the own AS alone", "inner", anycast+"/32")
	far.tells("the own AS alone", "outer", s.vip4+"/32")
	near.sees("the own AS alone")

	// All of it goes, and comes again.
	lb.reload(own, "[dns]", "announce = true", "announce = false")
	far.tells("no BGP", "inner", s.vip4+"/32")
	lb.reload("\n[dns]", "\n"+own, "announce = false", "announce = true")
	lb.established("BGP again", 1)
	far.tells("BGP again", "inner", s.vip4+"/32", `BGP\.local_pref: 250\n`)

	// A password_file has another password in it, and then the right one again.
	replace(t, file, []byte("of another file\n"))
	lb.reload()
	s.poll(func() error {
		st, _ := lb.bgp()
		if n := st.Neighbors[0]; n.State == bgp.Established || !strings.Contains(n.Error, "another password") {
			return fmt.Errorf("another password in the file: %+v", n)
		}
		return nil
	})
	replace(t, file, []byte("of a file\n"))
	lb.reload()
	lb.established("the right password again", 1)
	far.tells("the right password again", "inner", s.vip4+"/32", `BGP\.local_pref: 250\n`)

	lb.handsOver(far)
}

// handsOver has a new process take over: the neighbour keeps the routes all the time.
func (lb *vipBalancer) handsOver(far *birdRouter) {
	s, t := lb.s, lb.s.t
	// Who takes over becomes a child of this process when its parent has ended.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	gone, stop := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			r := run(t, patience, "birdc", "-s", far.socket, "show", "route", s.vip4+"/32", "protocol", "inner")
			if !strings.Contains(r.out, "[inner ") {
				gone <- fmt.Errorf("the neighbour has lost the route:\n%s%s", r.out, r.err)
				return
			}
		}
	}()
	lb.gslb.Signal(syscall.SIGUSR2)
	lb.gslb.says("the new process serves; this one")
	pid, _ := strconv.Atoi(successorPID.FindStringSubmatch(lb.gslb.log.String())[1])
	lb.gslb.killed = true // its exit code is the ip command's, and the successor has its output
	t.Cleanup(func() {    // before that of the process before it, which waits for the end of the output
		_ = syscall.Kill(pid, syscall.SIGTERM)
		until(t, patience, func() error {
			if got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); got == pid || errors.Is(err, syscall.ECHILD) {
				return nil
			}
			return fmt.Errorf("process %d goes on", pid)
		})
	})
	lb.established("after the takeover", 1)
	s.poll(func() error {
		if text := far.show("protocols", "all", "inner"); !strings.Contains(text, "Established") || strings.Contains(text, "restart active") {
			return fmt.Errorf("the neighbour has not all routes anew:\n%s", text)
		}
		return nil
	})
	far.tells("after the takeover", "inner", s.vip4+"/32", `BGP\.local_pref: 250\n`)
	close(stop)
	if err := <-gone; err != nil {
		t.Error(err)
	}
}
