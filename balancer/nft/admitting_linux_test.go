package nft

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"gslb/balancer/kernel"
	"gslb/tools/l4bed"
)

// guest is a second client of each family, in networks of their own by bits 32 and 64… of the
// addresses' ends.
var guest = map[bool]string{true: "10.77.9.3", false: "fd77:9::3"}

// visit is one end of a connection that a client makes: from an address to the virtual one.
type visit struct {
	v4    bool
	guest bool
}

var visits = []visit{{true, false}, {true, true}, {false, false}, {false, true}}

func (v visit) String() string { return fmt.Sprintf("IPv4 %v, the guest %v", v.v4, v.guest) }

func (v visit) ends() (from net.IP, to netip.Addr) {
	own, vip := l4bed.Client6, l4bed.VIP6
	if v.v4 {
		own, vip = l4bed.Client4, l4bed.VIP4
	}
	if v.guest {
		own = guest[v.v4]
	}
	return net.ParseIP(own), netip.MustParseAddr(vip)
}

// admissionBed is a site and an engine with a service of each transport.
type admissionBed struct {
	*testing.T
	site   *l4bed.Site
	engine kernel.Engine
}

// apply has both services admit so.
func (b *admissionBed) apply(a *kernel.Admission) {
	b.Helper()
	tcp, udp := www(kernel.TCP), www(kernel.UDP)
	udp.Name = "datagrams"
	tcp.Admission, udp.Admission = a, a
	within(b.T, b.site.Balancer, func() error { return b.engine.Apply([]kernel.Service{tcp, udp}) })
}

// refused reads what a service has refused.
func (b *admissionBed) refused(service string) (out kernel.Refused) {
	b.Helper()
	within(b.T, b.site.Balancer, func() error {
		return b.engine.Refused(func(name string, r kernel.Refused) {
			if name == service {
				out = r
			}
		})
	})
	return out
}

// counted tells whether so many connections were refused for each reason, or, where a SYN had to
// be sent again, more; and those before count still.
func (b *admissionBed) counted(want kernel.Refused) {
	b.Helper()
	r := b.refused("www")
	if r.Denied < want.Denied || r.OverRate < want.OverRate || r.OverCount < want.OverCount || want.OverRate == 0 && r.OverRate > 0 || want.OverCount == 0 && r.OverCount > 0 {
		b.Errorf("refused %+v, want %+v", r, want)
	}
}

// connect connects by TCP; a refusal is an error.
func (b *admissionBed) connect(v visit) (conn net.Conn, err error) {
	b.Helper()
	from, to := v.ends()
	within(b.T, b.site.Client, func() error {
		d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: from}}
		conn, err = d.Dial("tcp", netip.AddrPortFrom(to, port).String())
		return nil
	})
	if err != nil {
		if !errors.Is(err, syscall.ECONNREFUSED) {
			b.Fatalf("%v: %v, want to be reset or connected\n%s", v, err, tables(b.T, b.site))
		}
		return nil, err
	}
	b.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * patience))
	for line := make([]byte, 1); line[0] != '\n'; { // the server's name
		if _, err := conn.Read(line); err != nil {
			b.Fatalf("%v: connected, and then %v", v, err)
		}
	}
	return conn, nil
}

// socket is a new one of UDP.
func (b *admissionBed) socket(v visit) (conn net.Conn) {
	b.Helper()
	from, to := v.ends()
	within(b.T, b.site.Client, func() (err error) {
		conn, err = net.DialUDP("udp", &net.UDPAddr{IP: from}, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, port)))
		return err
	})
	b.Cleanup(func() { conn.Close() })
	return conn
}

// answered asks over a socket until there is an answer.
func (b *admissionBed) answered(conn net.Conn, when string) {
	b.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		_, _ = conn.Write([]byte(" hello"))
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 16)); err == nil {
			return
		}
	}
	b.Fatalf("%s: no answer to %v\n%s", when, conn.LocalAddr(), tables(b.T, b.site))
}

// unheard asks over a socket until a datagram is counted as denied, which is never answered.
func (b *admissionBed) unheard(conn net.Conn, when string) {
	b.Helper()
	was := b.refused("datagrams").Denied
	for end := time.Now().Add(patience); ; {
		_, _ = conn.Write([]byte(" hello"))
		if b.refused("datagrams").Denied > was {
			break
		}
		if time.Now().After(end) {
			b.Fatalf("%s: datagrams of %v are not counted as refused\n%s", when, conn.LocalAddr(), tables(b.T, b.site))
		}
	}
	conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := conn.Read(make([]byte, 16)); err == nil {
		b.Fatalf("%s: %v has an answer of %d octets", when, conn.LocalAddr(), n)
	}
}

func networksOf(all ...string) (out []netip.Prefix) {
	for _, s := range all {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// TestAdmission: who is not admitted is turned away, of either transport and family, whoever has a
// connection keeps it, and all is counted, while lists and bounds change.
func TestAdmission(t *testing.T) {
	for _, plane := range planes {
		t.Run(plane.name, func(t *testing.T) {
			site := newSite(t, 2, plane.answers)
			for _, line := range []string{
				"-n " + site.Client + " addr add " + guest[true] + "/32 dev eth0", "-n " + site.Client + " addr add " + guest[false] + "/128 dev eth0 nodad",
				"-n " + site.Router + " route add " + guest[true] + "/32 via " + l4bed.Client4, "-n " + site.Router + " route add " + guest[false] + "/128 via " + l4bed.Client6,
			} {
				if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
					t.Fatalf("ip %s: %v: %s", line, err, out)
				}
			}
			b := &admissionBed{T: t, site: site, engine: open(t, site, plane.way)}
			b.apply(nil)
			var held, sockets []net.Conn
			for _, v := range visits {
				conn, err := b.connect(v)
				if err != nil {
					t.Fatal(err)
				}
				held = append(held, conn)
				sockets = append(sockets, b.socket(v))
				b.answered(sockets[len(sockets)-1], "nobody is denied")
			}
			goOn := func(when string) {
				t.Helper()
				for i := range held {
					if err := echo(held[i]); err != nil {
						t.Fatalf("%s: a connection that was there before: %v\n%s", when, err, tables(t, site))
					}
					b.answered(sockets[i], when+": a session that was there before")
				}
			}
			b.lists(goOn)
			b.rates(goOn)
			if plane.name == "nat" {
				b.counts(goOn)
			}
			b.apply(nil)
			for _, v := range visits {
				if _, err := b.connect(v); err != nil {
					t.Errorf("%v: nobody is denied any more: %v", v, err)
				}
			}
			within(t, site.Balancer, func() error { return b.engine.Close(false) })
			if left := tables(t, site); strings.Contains(left, "gslb") {
				t.Errorf("left in the kernel:\n%s", left)
			}
		})
	}
}

// lists: the longest network decides.
func (b *admissionBed) lists(goOn func(string)) {
	b.Helper()
	deny := networksOf("10.77.0.0/16", "fd77::/16", "10.77.9.0/24")
	allow := networksOf("0.0.0.0/0", "::/0", guest[true]+"/32", guest[false]+"/128")
	b.apply(&kernel.Admission{Allow: allow, Deny: deny})
	for _, v := range visits {
		if _, err := b.connect(v); (err == nil) != v.guest {
			b.Fatalf("%v: %v, and the guest alone is allowed\n%s", v, err, tables(b.T, b.site))
		}
		if v.guest {
			b.answered(b.socket(v), "allowed")
		} else {
			b.unheard(b.socket(v), "denied")
		}
	}
	b.counted(kernel.Refused{Denied: 2})
	goOn("some are denied")
	// The other way round, with as many networks as somebody may have.
	for i := range 10000 {
		deny = append(deny, netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 8), byte(i), 0}), 24+i%2))
	}
	begun := time.Now()
	b.apply(&kernel.Admission{Deny: append(deny[3:], networksOf(guest[true]+"/32", guest[false]+"/128")...)})
	b.Logf("10,000 networks of two services were put in the kernel in %v", time.Since(begun))
	for _, v := range visits {
		if _, err := b.connect(v); (err == nil) == v.guest {
			b.Fatalf("%v: %v, and the guest alone is denied", v, err)
		}
	}
	b.counted(kernel.Refused{Denied: 4})
	goOn("others are denied")
}

// rates: two are saved up, and then it is one a second for each network.
func (b *admissionBed) rates(goOn func(string)) {
	b.Helper()
	b.apply(&kernel.Admission{Rate: 1, Burst: 2 * time.Second, Bits4: 24, Bits6: 64, Exempt: networksOf(guest[true]+"/32", guest[false]+"/128")})
	for _, v := range visits {
		made := 0
		for end := time.Now().Add(patience); made < 8; made++ {
			if _, err := b.connect(v); err != nil {
				break
			}
			if !v.guest && time.Now().Before(end) {
				made = min(made, 2) // a slow machine gets more than those two
			}
		}
		if v.guest && made < 8 || !v.guest && (made < 2 || made == 8) {
			b.Fatalf("%v: %d connections at once, want 2, and of the guest, who is exempt, 8\n%s", v, made, tables(b.T, b.site))
		}
		if v.guest {
			b.answered(b.socket(v), "exempt")
			continue
		}
		was := b.refused("datagrams").OverRate
		for end := time.Now().Add(patience); b.refused("datagrams").OverRate == was; {
			_, _ = b.socket(v).Write([]byte(" hello"))
			if time.Now().After(end) {
				b.Fatalf("%v: datagrams of new sessions are not bounded\n%s", v, tables(b.T, b.site))
			}
		}
	}
	b.counted(kernel.Refused{Denied: 4, OverRate: 2})
	goOn("new connections are bounded")
}

// counts: two at once, whatever else changes, and another one once one is closed.
func (b *admissionBed) counts(goOn func(string)) {
	b.Helper()
	bound := &kernel.Admission{Connections: 2, Bits4: 24, Bits6: 64, Exempt: networksOf(guest[true] + "/32")}
	b.apply(bound)
	for _, v := range visits {
		if v.v4 && v.guest {
			continue
		}
		var first net.Conn
		for i := range 2 {
			conn, err := b.connect(v)
			if err != nil {
				b.Fatalf("%v: connection %d of 2: %v\n%s", v, i+1, err, tables(b.T, b.site))
			}
			first = conn
		}
		listed := *bound
		listed.Deny = networksOf("203.0.113.0/24")
		b.apply(&listed)
		if _, err := b.connect(v); err == nil {
			b.Fatalf("%v: a third connection; the bound is 2\n%s", v, tables(b.T, b.site))
		}
		first.Close()
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			if _, err := b.connect(v); err == nil {
				break
			} else if time.Now().After(end) {
				b.Fatalf("%v: one was closed, and no other may come: %v\n%s", v, err, tables(b.T, b.site))
			}
		}
		b.apply(bound)
	}
	b.counted(kernel.Refused{Denied: 4, OverRate: 2, OverCount: 3})
	goOn("open ones are bounded")
	// The next process finds who has how many.
	within(b.T, b.site.Balancer, func() error { return b.engine.Close(true) })
	b.engine = open(b.T, b.site, NAT)
	b.apply(bound)
	for _, v := range visits {
		if _, err := b.connect(v); err == nil && !(v.v4 && v.guest) {
			b.Fatalf("%v: a third connection, after a new process has taken over\n%s", v, tables(b.T, b.site))
		}
	}
	// A service at all addresses of the machine.
	all := www(kernel.TCP)
	all.Listen = []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:80"), netip.MustParseAddrPort("[::]:80")}
	all.Admission = &kernel.Admission{Allow: networksOf(guest[true]+"/32", guest[false]+"/128")}
	within(b.T, b.site.Balancer, func() error { return b.engine.Apply([]kernel.Service{all}) })
	for _, v := range visits {
		if _, err := b.connect(v); (err == nil) != v.guest {
			b.Fatalf("%v: %v, at a service at all addresses that the guest alone may have\n%s", v, err, tables(b.T, b.site))
		}
	}
}
