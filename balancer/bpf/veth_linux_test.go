package bpf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"gslb/balancer/kernel"
	"gslb/test/bed"
)

// A site in network namespaces:
//
//	client --- router === bridge --- balancer, another
//	                       |  |  |
//	                       servers, which have the VIPs on lo
//
// The router sends packets for the VIPs to the first balancer; balancers have no such
// address. The router takes the way to the client for one of packets of 1400 octets at
// most, which the client does not know: what servers send it that is longer comes
// back as an ICMP error to the VIP. (It is the route's MTU, not the interface's: a
// veth drops what comes that is longer than its own MTU, unless it is segments that
// were put together, and tells nobody but its counter.)
type site struct {
	client, router    string
	balancer, another string
	servers           []string
}

const narrow = 1400

var siteVIPs = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.10:80"), netip.MustParseAddrPort("[2001:db8:2::10]:80")}

func serverAddr(i int, v6 bool) netip.Addr {
	if v6 {
		return netip.MustParseAddr(fmt.Sprintf("fd00::%d", 11+i))
	}
	return netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + i)})
}

func newSite(t *testing.T, servers int) *site {
	t.Helper()
	bed.Long(t)
	words := []string{"client", "router", "lb", "lb2"}
	for i := range servers {
		words = append(words, fmt.Sprint("s", i))
	}
	ns := bed.Netns(t, words...)
	s := &site{ns[0], ns[1], ns[2], ns[3], ns[4:]}
	legs := []string{"link add br0 type bridge", "link set br0 up", "addr add 10.0.0.254/24 dev br0", "addr add fd00::254/64 dev br0 nodad"}
	for i, n := range slices.Concat([]string{s.balancer, s.another}, s.servers) {
		leg := fmt.Sprint("leg", i)
		legs = append(legs, fmt.Sprintf("link add %s type veth peer name eth0 netns %s", leg, n), fmt.Sprintf("link set %s master br0 up", leg))
	}
	legs = append(legs, "link add out mtu 1500 type veth peer name eth0 netns "+s.client, "addr add 198.51.100.1/24 dev out noprefixroute", "addr add 2001:db8:1::1/64 dev out nodad noprefixroute", "link set out up",
		fmt.Sprintf("route add 198.51.100.0/24 dev out mtu lock %d", narrow), fmt.Sprintf("route add 2001:db8:1::/64 dev out mtu lock %d", narrow),
		"route add 192.0.2.10/32 via 10.0.0.1", "route add 2001:db8:2::10/128 via fd00::1")
	bed.IPBatch(t, s.router, legs...)
	bed.Sysctl(t, s.router, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	bed.IPBatch(t, s.client, "link set lo up", "addr add 198.51.100.7/24 dev eth0", "addr add 2001:db8:1::7/64 dev eth0 nodad", "link set eth0 up",
		"route add default via 198.51.100.1", "route add ::/0 via 2001:db8:1::1")
	for i, n := range []string{s.balancer, s.another} {
		bed.IPBatch(t, n, "link set lo up", fmt.Sprintf("addr add 10.0.0.%d/24 dev eth0", i+1), fmt.Sprintf("addr add fd00::%d/64 dev eth0 nodad", i+1), "link set eth0 up",
			"route add default via 10.0.0.254", "route add ::/0 via fd00::254")
	}
	for i, n := range s.servers {
		bed.IPBatch(t, n, "link set lo up", "addr add "+serverAddr(i, false).String()+"/24 dev eth0", "addr add "+serverAddr(i, true).String()+"/64 dev eth0 nodad", "link set eth0 up",
			"addr add 192.0.2.10/32 dev lo", "addr add 2001:db8:2::10/128 dev lo nodad",
			"route add default via 10.0.0.254", "route add ::/0 via fd00::254")
		bed.Sysctl(t, n, "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")
	}
	return s
}

// toServer in a request: so many octets follow, and one is the answer.
const toServer = 1 << 31

// serve starts the servers of a kind: to a TCP client they say who they are; then
// they send as many octets as each request asks for, or take as many. Datagrams they answer with who they are.
func (s *site) serve(t *testing.T) {
	t.Helper()
	for i, n := range s.servers {
		for _, vip := range siteVIPs {
			bed.Inside(t, n, func() {
				l, err := net.Listen("tcp", vip.String())
				if err != nil {
					t.Error(err)
					return
				}
				bed.Serve(t, l, func(c net.Conn) { answer(c, i) })
				p, err := net.ListenPacket("udp", vip.String())
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { p.Close() })
				go func() {
					b := make([]byte, 4096)
					for {
						_, from, err := p.ReadFrom(b)
						if err != nil {
							return
						}
						_, _ = p.WriteTo([]byte{byte(i)}, from)
					}
				}()
			})
		}
	}
}

func answer(c net.Conn, i int) {
	if _, err := c.Write([]byte{byte(i)}); err != nil {
		return
	}
	for r := bufio.NewReader(c); ; {
		var n uint32
		if binary.Read(r, binary.BigEndian, &n) != nil {
			return
		}
		if n&toServer != 0 {
			if _, err := io.CopyN(io.Discard, r, int64(n&^toServer)); err != nil {
				return
			}
			n = 1
		}
		if _, err := c.Write(make([]byte, n)); err != nil {
			return
		}
	}
}

// patience is how long a test waits for what must happen.
const patience = time.Minute

// conn is a client's connection, and the server that has it.
type conn struct {
	net.Conn
	server int
}

func (s *site) dial(t *testing.T, vip netip.AddrPort, from string) (c conn, err error) {
	t.Helper()
	bed.Inside(t, s.client, func() {
		d := net.Dialer{Timeout: patience}
		if from != "" {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))
		}
		c.Conn, err = d.Dial("tcp", vip.String())
	})
	if err != nil {
		return c, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	var who [1]byte
	_, err = io.ReadFull(c, who[:])
	c.server = int(who[0])
	return c, err
}

// fetch has the server send n octets.
func (c conn) fetch(n int) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if err := binary.Write(c, binary.BigEndian, uint32(n)); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c, int64(n))
	return err
}

// service is a frontend with all of the site's servers in turn in its table.
func (s *site) service(vip netip.AddrPort, protocol uint8, in ...int) kernel.Service {
	out := kernel.Service{Name: fmt.Sprint(vip, protocol), Protocol: protocol, Listen: []netip.AddrPort{vip}, By: kernel.ByConnection, Idle: time.Minute}
	for i := range s.servers {
		out.Servers = append(out.Servers, kernel.Server{Address: netip.AddrPortFrom(serverAddr(i, vip.Addr().Is6()), vip.Port())})
	}
	if len(in) == 0 {
		return out
	}
	list := make([]uint16, slots)
	for i := range list {
		list[i] = uint16(in[i%len(in)])
	}
	if vip.Addr().Is6() {
		out.Slots6 = list
	} else {
		out.Slots4 = list
	}
	return out
}

func (s *site) open(t *testing.T, at string, way kernel.Way, opts kernel.Options) (e kernel.Engine) {
	t.Helper()
	opts.Interfaces, opts.Log = []string{"eth0"}, slog.New(slog.NewTextHandler(t.Output(), nil))
	var err error
	bed.Inside(t, at, func() {
		if err = way.Can(opts); err == nil {
			e, err = way.Open(opts)
		}
	})
	if err != nil {
		bed.Missing(t, "%s: %v", way.Name, err)
	}
	return e
}

// apply has the engine apply services, and waits until it knows the way to all servers.
func (s *site) apply(t *testing.T, e kernel.Engine, services ...kernel.Service) {
	t.Helper()
	s.applyAt(t, s.balancer, e, services...)
}

func (s *site) applyAt(t *testing.T, at string, e kernel.Engine, services ...kernel.Service) {
	t.Helper()
	for i := range services {
		services[i].Interfaces = []string{"eth0"}
	}
	var err error
	bed.Inside(t, at, func() { err = e.Apply(services) })
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); len(unresolved(e)) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("problems: %q", e.Problems())
		}
	}
}

func unresolved(e kernel.Engine) []string {
	return slices.DeleteFunc(e.Problems(), func(p string) bool { return !strings.HasPrefix(p, "server ") })
}
