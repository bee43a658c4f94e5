package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gslb/balancer/kernel"
	"gslb/test/bed"
)

// TestSite has real clients and servers talk through each way and tunnel.
func TestSite(t *testing.T) {
	for _, way := range []kernel.Way{TCX, XDP} {
		t.Run(way.Name, func(t *testing.T) {
			s := newSite(t, 3)
			if way.Name == modeXDP {
				bed.TakesXDP(t, s.router, "leg0")
			}
			s.serve(t)
			e := s.open(t, s.balancer, way, kernel.Options{})
			t.Cleanup(func() {
				if err := e.Close(false); err != nil {
					t.Error(err)
				}
			})
			t.Run("tunnels", func(t *testing.T) { s.tunnels(t, e) })
			t.Run("another balancer", func(t *testing.T) { s.takesOver(t, e) })
			t.Run("ten thousand sessions", func(t *testing.T) { s.sessions(t, e) })
			for _, vip := range siteVIPs {
				family := map[bool]string{true: "IPv6", false: "IPv4"}[vip.Addr().Is6()]
				t.Run("admission by "+family, func(t *testing.T) { s.admits(t, e, vip) })
				t.Run(family, func(t *testing.T) { s.follows(t, e, vip) })
			}
		})
	}
}

// services are frontends for both VIPs, with the same table.
func (s *site) services(in ...int) []kernel.Service {
	return []kernel.Service{s.service(siteVIPs[0], kernel.TCP, in...), s.service(siteVIPs[1], kernel.TCP, in...)}
}

// takesOver has another balancer get the packets of connections that it has not
// seen begin: its servers are the same.
func (s *site) takesOver(t *testing.T, e kernel.Engine) {
	s.apply(t, e, s.services(0, 1, 2)...)
	if got := s.echoes(t); got != 2 {
		t.Errorf("%d of 2 echo requests to VIPs were answered", got)
	}
	var held []conn
	for range 10 {
		for _, vip := range siteVIPs {
			c, err := s.dial(t, vip, "")
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, c)
		}
	}
	other := s.open(t, s.another, TCX, kernel.Options{})
	defer other.Close(false)
	s.applyAt(t, s.another, other, s.services(0, 1, 2)...)
	bed.IPBatch(t, s.router, "route replace 192.0.2.10/32 via 10.0.0.2", "route replace 2001:db8:2::10/128 via fd00::2")
	defer bed.IPBatch(t, s.router, "route replace 192.0.2.10/32 via 10.0.0.1", "route replace 2001:db8:2::10/128 via fd00::1")
	for _, c := range held {
		if err := c.fetch(100); err != nil {
			t.Errorf("a connection from %v to server %d, by another balancer: %v", c.LocalAddr(), c.server, err)
		}
	}
	seen := map[string]bool{}
	if err := other.Flows(func(f kernel.Flow) bool { seen[f.Client.String()] = true; return true }); err != nil {
		t.Error(err)
	}
	for _, c := range held {
		if !seen[c.LocalAddr().String()] {
			t.Errorf("the other balancer does not list the connection from %v", c.LocalAddr())
		}
	}
}

// TestKeep: what is in force outlives the engine if that is asked for, and the next one takes it over.
func TestKeep(t *testing.T) {
	for _, way := range []kernel.Way{TCX, XDP} {
		t.Run(way.Name, func(t *testing.T) {
			s := newSite(t, 3)
			if way.Name == modeXDP {
				bed.TakesXDP(t, s.router, "leg0")
			}
			s.serve(t)
			fs := t.TempDir()
			if err := unix.Mount("bpf", fs, "bpf", 0, ""); err != nil {
				bed.Missing(t, "a BPF file system cannot be mounted: %v", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(fs, unix.MNT_DETACH) })
			opts := kernel.Options{Node: "n1/é", BPFFS: fs}
			e := s.open(t, s.balancer, way, opts)
			s.apply(t, e, s.services(0)...)
			var held []conn
			dial := func(want int) {
				t.Helper()
				for _, vip := range siteVIPs {
					c, err := s.dial(t, vip, "")
					if err != nil || c.server != want {
						t.Fatalf("a connection to %v: server %d, %v; want %d", vip, c.server, err, want)
					}
					held = append(held, c)
				}
			}
			talk := func(when string) {
				t.Helper()
				for _, c := range held {
					if err := c.fetch(100); err != nil {
						t.Errorf("a connection of server %d %s: %v", c.server, when, err)
					}
				}
			}
			dial(0)
			talk("before")
			pinned := func(want bool) {
				t.Helper()
				files, err := os.ReadDir(pinFolder(opts, way.Name))
				if got := len(files) > 0; got != want {
					t.Fatalf("pinned: %v, want %v: %v, %v", got, want, files, err)
				}
			}
			for _, keep := range []bool{false, true, false, true} { // as reloads have it
				e.Keep(keep)
				pinned(keep)
				talk(fmt.Sprintf("after Keep(%v)", keep))
			}
			dial(0)
			e.Keep(false)
			if err := e.Close(true); err != nil {
				t.Fatal(err)
			}
			talk("with nobody there")
			dial(0)
			pins := pinFolder(opts, way.Name)
			for _, name := range []string{"guards", "networks", "buckets", "refused"} { // as a version leaves it that has none
				if err := os.Remove(filepath.Join(pins, "map-"+name)); err != nil {
					t.Fatal(err)
				}
			}
			e = s.open(t, s.balancer, way, opts)
			talk("after the next has come")
			s.apply(t, e, s.services(1, 2)...)
			talk("under the next one's table")
			listed := s.services(1)
			listed[0].Admission = &kernel.Admission{Deny: prefixes("203.0.113.0/24")}
			s.apply(t, e, listed...)
			dial(1)
			if n := e.(*engine).sizes(t); n != 4+6 {
				t.Errorf("%d entries in the maps, want 2 for each VIP and 1 for each server of each", n)
			}
			if err := e.Close(true); err != nil {
				t.Fatal(err)
			}
			e = s.open(t, s.balancer, way, opts)
			s.apply(t, e, listed...)
			if n := len(e.(*engine).networks(t)); n != 1+2 {
				t.Errorf("%d networks in the map, want the one that is listed and all of each family", n)
			}
			if err := e.Close(true); err != nil {
				t.Fatal(err)
			}
			// A process of another layout left its program, which must not stay in front.
			if err := os.Rename(pins, strings.TrimSuffix(pins, strconv.Itoa(layout))+"0"); err != nil {
				t.Fatal(err)
			}
			e = s.open(t, s.balancer, way, opts)
			s.apply(t, e, s.services(1)[0])
			if n := s.attachedPrograms(t); n != 1 {
				t.Errorf("%d programs are attached, want this process's alone", n)
			}
			held = held[len(held)-2:][:1] // of the server that there was, and of the frontend that is left
			talk("after a process of another layout")
			dialled, err := s.dial(t, siteVIPs[0], "")
			if err != nil || dialled.server != 1 {
				t.Errorf("a connection after a process of another layout: server %d, %v", dialled.server, err)
			}
			if n := e.(*engine).sizes(t); n != 2+3 {
				t.Errorf("%d entries in the maps with one frontend less, want %d", n, 2+3)
			}
			if err := e.Close(false); err != nil {
				t.Error(err)
			}
			if left, err := filepath.Glob(filepath.Join(fs, "gslb*")); err != nil || len(left) > 0 {
				t.Errorf("left in the BPF file system: %v, %v", left, err)
			}
			if n := s.attachedPrograms(t); n != 0 {
				t.Errorf("%d programs are still attached", n)
			}
		})
	}
}

// attachedPrograms counts the programs at the balancer's interface, of either way.
func (s *site) attachedPrograms(t *testing.T) (n int) {
	t.Helper()
	bed.Inside(t, s.balancer, func() {
		eth, err := netlink.LinkByName("eth0")
		if err != nil {
			t.Error(err)
			return
		}
		at, err := link.QueryPrograms(link.QueryOptions{Target: eth.Attrs().Index, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			t.Error(err)
			return
		}
		if n = len(at.Programs); eth.Attrs().Xdp.Attached {
			n++
		}
	})
	return n
}

// networks are the keys of all lists in the kernel.
func (e *engine) networks(t *testing.T) (out []networkKey) {
	t.Helper()
	var key networkKey
	for all := e.programs.maps["networks"].Iterate(); all.Next(&key, new(uint32)); {
		out = append(out, key)
	}
	return out
}

// admits denies the client, who keeps what it has, and allows it again.
func (s *site) admits(t *testing.T, e kernel.Engine, vip netip.AddrPort) {
	tcp, udp := s.service(vip, kernel.TCP, 0, 1, 2), s.service(vip, kernel.UDP, 0, 1, 2)
	s.apply(t, e, tcp, udp)
	held, err := s.dial(t, vip, "")
	if err != nil {
		t.Fatal(err)
	}
	refused := func() (r kernel.Refused) {
		t.Helper()
		if err := e.Refused(func(_ string, one kernel.Refused) { r = addRefused(r, one) }); err != nil {
			t.Fatal(err)
		}
		return r
	}
	deny := &kernel.Admission{Deny: prefixes("198.51.100.0/24", "2001:db8:1::/64"), Allow: prefixes("0.0.0.0/0", "::/0")}
	tcp.Admission, udp.Admission = deny, deny
	before := refused()
	s.apply(t, e, tcp, udp)
	for range 3 {
		if _, err := s.dial(t, vip, ""); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("one who is denied: %v, want to be refused", err)
		}
	}
	if r := refused(); r.Denied-before.Denied < 3 || r.OverRate != before.OverRate {
		t.Errorf("refused %+v, before %+v, want 3 more that are denied", r, before)
	}
	if err := held.fetch(1000); err != nil {
		t.Errorf("a connection from before the client was denied: %v", err)
	}
	before = refused()
	for end := time.Now().Add(patience); refused() == before; time.Sleep(time.Millisecond) {
		var c net.Conn // each time from another port: one of the ten thousand sessions would still be let through
		bed.Inside(t, s.client, func() { c, err = net.Dial("udp", vip.String()) })
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte{0})
		c.Close()
		if time.Now().After(end) {
			t.Fatal("no datagram is counted as denied")
		}
	}
	allow := &kernel.Admission{Allow: prefixes("198.51.100.7/32", "2001:db8:1::7/128"), Deny: deny.Deny}
	tcp.Admission, udp.Admission = allow, allow
	s.apply(t, e, tcp, udp)
	if n := len(e.(*engine).networks(t)); n != 2*(4+2) {
		t.Errorf("%d networks in the map, want 4 and all of each family, for each frontend", n)
	}
	if _, err := s.dial(t, vip, ""); err != nil {
		t.Errorf("allowed again: %v", err)
	}
	if got := s.datagram(t, vip); got < 0 {
		t.Error("allowed again: no answer to a datagram")
	}
	s.apply(t, e)
	if n := len(e.(*engine).networks(t)); n != 0 {
		t.Errorf("%d networks are left in the map", n)
	}
}

// follows takes one VIP through the life of its servers.
func (s *site) follows(t *testing.T, e kernel.Engine, vip netip.AddrPort) {
	s.apply(t, e, s.service(vip, kernel.TCP, 0, 1, 2), s.service(vip, kernel.UDP, 0, 1, 2))
	held := make([]conn, 3)
	for found, i := 0, 0; found < len(held); i++ {
		if i == 200 {
			t.Fatalf("after %d connections not all servers had one", i)
		}
		c, err := s.dial(t, vip, "")
		if err != nil {
			t.Fatal(err)
		}
		if held[c.server].Conn == nil {
			held[c.server] = c
			found++
		}
	}
	fetch := func(c conn, what string) {
		t.Helper()
		if err := c.fetch(300_000); err != nil { // more than the narrow link takes: ICMP errors find the server
			t.Errorf("%s: server %d: %v", what, c.server, err)
		}
	}
	for _, c := range held {
		fetch(c, "data over a narrow link")
	}
	if got := s.datagram(t, vip); got < 0 || got > 2 {
		t.Errorf("datagram: answered by %d", got)
	}
	t.Run("drain", func(t *testing.T) {
		s.apply(t, e, s.service(vip, kernel.TCP, 1, 2), s.service(vip, kernel.UDP, 1, 2))
		fetch(held[0], "an old connection of a draining server")
		for range 20 {
			if c, err := s.dial(t, vip, ""); err != nil || c.server == 0 {
				t.Fatalf("a new connection: server %d, %v; want 1 or 2", c.server, err)
			}
		}
	})
	t.Run("down", func(t *testing.T) {
		down := s.service(vip, kernel.TCP, 1, 2)
		down.Servers[0].Gone = true
		s.apply(t, e, down)
		if err := held[0].fetch(10); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("an old connection of a server that is down: %v, want a reset by another server", err)
		}
		fetch(held[1], "a connection of another server")
		fetch(held[2], "a connection of another server")
	})
	t.Run("counters", func(t *testing.T) {
		seen := map[int]kernel.Counters{}
		if err := e.Count(func(_ string, server netip.AddrPort, c kernel.Counters) {
			for i := range s.servers {
				if server.Addr() == serverAddr(i, vip.Addr().Is6()) {
					seen[i] = c
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < 3; i++ {
			if c := seen[i]; c.Connections < 1 || c.Open < 1 || c.BytesUp < 1000 {
				t.Errorf("server %d: %+v", i, c)
			}
		}
		if n := seen[1].Connections + seen[2].Connections; n < 22 { // 2 that are held, 20 of the drain
			t.Errorf("%d connections counted, want at least 22", n)
		}
		var found int
		if err := e.Flows(func(f kernel.Flow) bool {
			if f.Client.String() != held[1].LocalAddr().String() {
				return true
			}
			if found++; f.Virtual != vip || f.Server.Addr() != serverAddr(1, vip.Addr().Is6()) || f.Protocol != kernel.TCP || f.State != "" {
				t.Errorf("flow %+v", f)
			}
			return true
		}); err != nil || found != 1 {
			t.Errorf("the connection from %v: %d times among the flows (%v)", held[1].LocalAddr(), found, err)
		}
	})
	t.Run("removed", func(t *testing.T) {
		left := s.service(vip, kernel.TCP)
		left.Listen = nil
		s.apply(t, e, left)
		fetch(held[1], "an old connection of a frontend that was removed")
		s.apply(t, e)
		if n := e.(*engine).sizes(t); n != 0 {
			t.Errorf("%d entries are left in the maps", n)
		}
	})
}

func (e *engine) reasons(t *testing.T) map[Reason]uint64 {
	t.Helper()
	out := map[Reason]uint64{}
	if err := e.Reasons(func(r Reason, n uint64) { out[r] = n }); err != nil {
		t.Fatal(err)
	}
	return out
}

// sizes counts the VIPs and servers in the maps.
func (e *engine) sizes(t *testing.T) (n int) {
	t.Helper()
	var key vipKey
	var vip vipValue
	for all := e.programs.maps["vips"].Iterate(); all.Next(&key, &vip); {
		n++
	}
	var index uint32
	var server serverValue
	for all := e.programs.maps["servers"].Iterate(); all.Next(&index, &server); {
		if server.Serial != 0 {
			n++
		}
	}
	return n
}

// tunnels sends through tunnels of each kind, small packets and such as do not fit.
func (s *site) tunnels(t *testing.T, e kernel.Engine) {
	for _, c := range []struct {
		name   string
		vip    netip.AddrPort
		tunnel kernel.Tunnel
		size   int32
		outer  map[int16]byte // where in the frame is which octet
	}{
		{"IPIP in IPv4", siteVIPs[0], kernel.IPIP, 20, map[int16]byte{12: 8, 23: protoIPIP}},
		{"IPIP in IPv6", siteVIPs[1], kernel.IPIP, 40, map[int16]byte{12: 0x86, 20: protoIPv6}},
		{"GUE in IPv4", siteVIPs[0], kernel.GUE, 28, map[int16]byte{12: 8, 23: protoUDP, 36: 6080 >> 8, 37: 6080 & 0xff}},
		{"GUE in IPv6", siteVIPs[1], kernel.GUE, 48, map[int16]byte{12: 0x86, 20: protoUDP, 56: 6080 >> 8, 57: 6080 & 0xff}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, ns := range s.servers {
				bed.Decapsulate(t, ns, c.size, c.outer)
			}
			service := s.service(c.vip, kernel.TCP, 0, 1, 2)
			service.Tunnel, service.TunnelPort = c.tunnel, 6080
			s.apply(t, e, service)
			before := e.(*engine).reasons(t)
			const clients = 5
			for range clients {
				s.forgetMTUs(t)
				conn, err := s.dial(t, c.vip, "")
				if err != nil {
					t.Fatal(err)
				}
				// Full segments do not fit in the tunnel: the client is told, and sends smaller ones.
				// (The server sends an octet: it must not learn of the narrow link, and ask for less itself.)
				if err := conn.push(400_000); err != nil {
					t.Error(err)
				}
				// The server is told of the narrow link, through the tunnel.
				if err := conn.fetch(300_000); err != nil {
					t.Error(err)
				}
				conn.Close()
			}
			after := e.(*engine).reasons(t)
			if after[TooBig]-before[TooBig] < clients && e.(*engine).mode == modeXDP {
				t.Errorf("packets that were too big: %d, want some for each of %d clients", after[TooBig]-before[TooBig], clients)
			}
			if after[Errors] == before[Errors] {
				t.Error("no ICMP error was handed to a server")
			}
		})
	}
	s.apply(t, e)
}

// forgetMTUs has the client and the servers know nothing of paths again.
func (s *site) forgetMTUs(t *testing.T) {
	t.Helper()
	for _, ns := range append([]string{s.client}, s.servers...) {
		bed.Sysctl(t, ns, "net.ipv4.route.flush=1")
		bed.IP(t, "-n", ns, "-6", "route", "flush", "cache")
	}
}

// push sends n octets, and waits for the server to have them.
func (c conn) push(n int) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, toServer|uint32(n)), make([]byte, n)...)); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// datagram returns who answers one; -1: nobody.
func (s *site) datagram(t *testing.T, vip netip.AddrPort) int {
	t.Helper()
	var c net.Conn
	var err error
	bed.Inside(t, s.client, func() { c, err = net.Dial("udp", vip.String()) })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return asks(c)
}

// echoes pings both VIPs, and returns how many were answered.
func (s *site) echoes(t *testing.T) (answered int) {
	t.Helper()
	for _, vip := range siteVIPs {
		network, message := "ip4:icmp", icmp(client4.Addr(), vip4.Addr(), 8, 0, 7<<16|1, []byte("hello")).payload
		if vip.Addr().Is6() {
			network, message = "ip6:ipv6-icmp", []byte{128, 0, 0, 0, 0, 7, 0, 1, 'h', 'i'} // the kernel sums
		}
		var c net.Conn
		var err error
		bed.Inside(t, s.client, func() { c, err = net.Dial(network, vip.Addr().String()) })
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(message); err != nil {
			t.Fatal(err)
		}
		for b := make([]byte, 1500); ; {
			n, _, err := c.(*net.IPConn).ReadFrom(b) // without the IP header
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if n > 0 && (b[0] == 0 || b[0] == 129) {
				answered++
				break
			}
		}
	}
	return answered
}
