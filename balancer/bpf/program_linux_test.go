package bpf

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"gslb/test/bed"
)

var (
	client4 = netip.MustParseAddrPort("198.51.100.7:40001")
	client6 = netip.MustParseAddrPort("[2001:db8:1::7]:40001")
	vip4    = netip.MustParseAddrPort("192.0.2.10:443")
	vip6    = netip.MustParseAddrPort("[2001:db8::10]:443")
	lb4     = netip.MustParseAddr("10.0.0.1")
	lb6     = netip.MustParseAddr("fd00::1")
	a4      = netip.MustParseAddr("10.0.1.11")
	a6      = netip.MustParseAddr("fd00::11")
)

const (
	ifindex = 1 // a test run comes in by lo
	mtu     = 1500
)

// stage is the two programs with maps that a test fills.
type stage struct {
	*programs
	progs map[string]*ebpf.Program
}

// The indexes of what every stage has: VIPs for TCP and UDP of both families, in
// the order of vips(), each with a table of its own.
func vips() []vipKey {
	var out []vipKey
	for _, a := range []netip.AddrPort{vip4, vip6} {
		for _, p := range []uint8{protoTCP, protoUDP} {
			out = append(out, vipKey{Address: addressOf(a.Addr()), Port: port(a.Port()), Protocol: p})
		}
	}
	return out
}

func newStage(t testing.TB) *stage {
	t.Helper()
	if os.Geteuid() != 0 {
		bed.Missing(t, "loading BPF programs needs root")
	}
	p, err := newPrograms(sizes{1 << 12, 1 << 12}, nil)
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, os.ErrPermission) {
		bed.Missing(t, "BPF maps cannot be made here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	s := &stage{p, map[string]*ebpf.Program{}}
	for _, name := range []string{"dsr_xdp", "dsr_tcx"} {
		prog, err := p.load(name, constant{station: us, link: ifindex})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { prog.Close() })
		s.progs[name] = prog
	}
	for i, key := range vips() {
		start := uint64(hashStart)
		if key.Address.addr().Is4() {
			start = mix(start, 0)
		}
		s.put(t, "vips", key, vipValue{Start: start, Number: uint32(i + 1), Index: uint32(i), Table: uint32(i), Flags: whole, Idle: 100})
		s.put(t, "vips", vipKey{Address: key.Address}, vipValue{})
	}
	return s
}

func (s *stage) put(t testing.TB, m string, key, value any) {
	t.Helper()
	if err := s.maps[m].Put(key, value); err != nil {
		t.Fatalf("%s: %v", m, err)
	}
}

// server puts a server there; table gives all slots of all VIPs to servers in turn.
func (s *stage) server(t testing.TB, index uint32, v serverValue) {
	t.Helper()
	if v.Serial == 0 {
		v.Serial = index + 1
	}
	if v.MTU == 0 {
		v.MTU = mtu
	}
	v.Link, v.Source, v.Resolved = ifindex, us, 1
	s.put(t, "servers", index, v)
}

func (s *stage) table(t testing.TB, servers ...uint16) {
	t.Helper()
	full := new(table)
	for i := range full.Server {
		full.Server[i] = none
		if len(servers) > 0 {
			full.Server[i] = servers[i%len(servers)]
		}
	}
	for i := range vips() {
		m, err := ebpf.NewMap(s.spec.Maps["tables"].InnerMap)
		if err != nil {
			t.Fatal(err)
		}
		s.put(t, "tables", uint32(i), m)
		if err := m.Put(uint32(0), full); err != nil {
			t.Fatal(err)
		}
		m.Close()
	}
}

// verdict is what became of a frame, in the words of both programs.
type verdict int

const (
	passed verdict = iota
	dropped
	sent
)

func (v verdict) String() string { return [...]string{"passed", "dropped", "sent"}[v] }

// run runs a frame through a program.
func (s *stage) run(t testing.TB, name string, frame []byte) (verdict, []byte) {
	t.Helper()
	out := make([]byte, len(frame)+256)
	opts := ebpf.RunOptions{Data: frame, DataOut: out}
	got, err := s.progs[name].Run(&opts)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	verdicts := map[uint32]verdict{1: dropped, 2: passed, 3: sent, 4: sent} // enum xdp_action
	if name == "dsr_tcx" {
		verdicts = map[uint32]verdict{0xffffffff: passed, 2: dropped, 7: sent} // enum tcx_action_base
	}
	v, ok := verdicts[got]
	if !ok {
		t.Fatalf("%s: verdict %d", name, int32(got))
	}
	return v, opts.DataOut
}

// forget empties what is remembered.
func (s *stage) forget(t testing.TB) {
	t.Helper()
	for _, name := range []string{"flows4", "flows6", "new4", "new6", "fragments"} {
		m := s.maps[name]
		key := make([]byte, m.KeySize())
		var all [][]byte
		for it := m.Iterate(); it.Next(&key, new([]byte)); {
			all = append(all, slices.Clone(key))
		}
		for _, k := range all {
			if err := m.Delete(k); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// reason reads one counter of what became of packets.
func (s *stage) reason(t testing.TB, which Reason) (n uint64) {
	t.Helper()
	var each []uint64
	if err := s.maps["reasons"].Lookup(uint32(which), &each); err != nil {
		t.Fatal(err)
	}
	for _, v := range each {
		n += v
	}
	return n
}

func (s *stage) each(t *testing.T, f func(t *testing.T, program string)) {
	for _, name := range []string{"dsr_xdp", "dsr_tcx"} {
		t.Run(name[4:], func(t *testing.T) {
			s.forget(t)
			f(t, name)
		})
	}
}

// TestForwards has packets forwarded in every way, and compares octet by octet.
func TestForwards(t *testing.T) {
	s := newStage(t)
	s.table(t, 0)
	const gue = 6080
	for _, way := range []struct {
		name   string
		server serverValue
		outer  func(inner []byte, clientPort uint16) []byte
	}{
		{"layer 2", serverValue{}, func(inner []byte, _ uint16) []byte { return inner }},
		{"IPIP over IPv4", serverValue{Forward: forwardIPIP, To: addressOf(a4), From: addressOf(lb4)}, func(inner []byte, _ uint16) []byte {
			return ip{from: lb4, to: a4, protocol: tunnelled(inner), df: true, tos: tosOf(inner), payload: inner}.bytes()
		}},
		{"IPIP over IPv6", serverValue{Forward: forwardIPIP, V6: 1, To: addressOf(a6), From: addressOf(lb6)}, func(inner []byte, _ uint16) []byte {
			return ip{from: lb6, to: a6, protocol: tunnelled(inner), tos: tosOf(inner), payload: inner}.bytes()
		}},
		{"GUE over IPv4", serverValue{Forward: forwardGUE, Port: port(gue), To: addressOf(a4), From: addressOf(lb4)}, func(inner []byte, clientPort uint16) []byte {
			p := ip{from: lb4, to: a4, protocol: protoUDP, df: true, tos: tosOf(inner), payload: guePayload(clientPort, gue, inner)}
			return p.bytes()
		}},
		{"GUE over IPv6", serverValue{Forward: forwardGUE, V6: 1, Port: port(gue), To: addressOf(a6), From: addressOf(lb6)}, func(inner []byte, clientPort uint16) []byte {
			p := ip{from: lb6, to: a6, protocol: protoUDP, tos: tosOf(inner), payload: guePayload(clientPort, gue, inner)}
			return p.bytes()
		}},
	} {
		way.server.State, way.server.Station = stateUp, hopA
		s.server(t, 0, way.server)
		t.Run(way.name, func(t *testing.T) {
			s.each(t, func(t *testing.T, program string) {
				for _, c := range forwarded() {
					v, out := s.run(t, program, append(arriving(c.packet), c.padding...))
					want := append(ether(hopA, us, way.outer(c.packet.hopped().bytes(), c.port)), c.padding...)
					if v != sent || !bytes.Equal(out, want) {
						t.Errorf("%s: %v\n got %x\nwant %x", c.name, v, out, want)
					}
				}
			})
		})
	}
}

func tunnelled(inner []byte) uint8 {
	if inner[0]>>4 == 6 {
		return protoIPv6
	}
	return protoIPIP
}

func tosOf(b []byte) uint8 {
	if b[0]>>4 == 6 {
		return b[0]<<4 | b[1]>>4
	}
	return b[1]
}

func guePayload(clientPort, to uint16, inner []byte) []byte {
	from, n := clientPort|0xc000, len(inner)+8
	return append([]byte{byte(from >> 8), byte(from), byte(to >> 8), byte(to), byte(n >> 8), byte(n), 0, 0}, inner...)
}

type forwardedCase struct {
	name    string
	packet  ip
	port    uint16 // of the client, 0 where it is not known
	padding []byte
}

// forwarded are packets that go to a server, in an order that matters for fragments.
func forwarded() []forwardedCase {
	with := func(p ip, change func(*ip)) ip { change(&p); return p }
	p := client4.Port()
	hbh := []byte{protoTCP, 0, 1, 4, 0, 0, 0, 0}      // options: padding
	dst := []byte{protoTCP, 1, 1, 12, 15: 0}          // 16 octets of them
	both := []byte{60, 0, 1, 4, 0, 0, 0, 0}           // hop-by-hop, then dst
	first := []byte{protoUDP, 0, 0, 1, 1, 2, 3, 4}    // fragment header, offset 0, more
	later := []byte{protoUDP, 0, 0, 0xb0, 1, 2, 3, 4} // offset 176, the last
	alone := []byte{protoTCP, 0, 0, 0, 9, 9, 9, 9}    // "atomic": RFC 6946
	ext := func(kind uint8, headers []byte) func(*ip) {
		return func(p *ip) { p.protocol, p.headers = kind, headers }
	}
	quote := func(p ip) []byte { return p.bytes()[:min(len(p.bytes()), 100)] }
	return []forwardedCase{
		{"TCP SYN", tcp(client4, vip4, syn, 0), p, nil},
		{"TCP data", tcp(client4, vip4, ack, 1000), p, nil},
		{"TCP FIN", tcp(client4, vip4, fin|ack, 0), p, nil},
		{"padding of a short frame", tcp(client4, vip4, ack, 0), p, make([]byte, 6)},
		{"UDP", udp(client4, vip4, 33), p, nil},
		{"UDP without data", udp(client4, vip4, 0), p, nil},
		{"ECN and DSCP", with(tcp(client4, vip4, ack, 10), func(p *ip) { p.tos = 0xb9 }), p, nil},
		{"the last TTL", with(tcp(client4, vip4, ack, 10), func(p *ip) { p.ttl = 2 }), p, nil},
		{"IPv4 options", with(tcp(client4, vip4, ack, 10), func(p *ip) { p.options = bytes.Repeat([]byte{1}, 12) }), p, nil},
		{"all IPv4 options", with(tcp(client4, vip4, ack, 10), func(p *ip) { p.options = bytes.Repeat([]byte{1}, 40) }), p, nil},
		{"first fragment", with(udp(client4, vip4, 168), func(p *ip) { p.id, p.more = 77, true }), p, nil},
		{"later fragment", ip{from: client4.Addr(), to: vip4.Addr(), protocol: protoUDP, id: 77, offset: 176, payload: make([]byte, 50)}, 0, nil},
		{"fragmentation needed", icmp(lb4, vip4.Addr(), 3, 4, 1280, quote(tcp(vip4, client4, ack, 500))), p, nil},
		{"port unreachable", icmp(client4.Addr(), vip4.Addr(), 3, 3, 0, quote(udp(vip4, client4, 0))), p, nil},
		{"time exceeded, about a packet with options", icmp(lb4, vip4.Addr(), 11, 0, 0,
			quote(with(tcp(vip4, client4, ack, 500), func(p *ip) { p.options = make([]byte, 8) }))), p, nil},

		{"TCP SYN over IPv6", tcp(client6, vip6, syn, 0), p, nil},
		{"TCP data over IPv6", tcp(client6, vip6, ack, 1000), p, nil},
		{"UDP over IPv6", udp(client6, vip6, 33), p, nil},
		{"traffic class", with(tcp(client6, vip6, ack, 10), func(p *ip) { p.tos = 0xb9 }), p, nil},
		{"the last hop", with(tcp(client6, vip6, ack, 10), func(p *ip) { p.ttl = 2 }), p, nil},
		{"hop-by-hop options", with(tcp(client6, vip6, ack, 10), ext(0, hbh)), p, nil},
		{"destination options", with(tcp(client6, vip6, ack, 10), ext(60, dst)), p, nil},
		{"both", with(tcp(client6, vip6, ack, 10), ext(0, slices.Concat(both, dst))), p, nil},
		{"a fragment alone", with(tcp(client6, vip6, ack, 10), ext(44, alone)), p, nil},
		{"first fragment over IPv6", with(udp(client6, vip6, 168), ext(44, first)), p, nil},
		{"later fragment over IPv6", with(udp(client6, vip6, 50), ext(44, later)), 0, nil},
		{"packet too big", icmp(lb6, vip6.Addr(), 2, 0, 1280, quote(tcp(vip6, client6, ack, 500))), p, nil},
		{"unreachable over IPv6", icmp(lb6, vip6.Addr(), 1, 4, 0, quote(udp(vip6, client6, 10))), p, nil},
	}
}

// TestPasses has everything passed that is not for a VIP, or not whole.
func TestPasses(t *testing.T) {
	s := newStage(t)
	s.server(t, 0, serverValue{State: stateUp, Station: hopA})
	s.table(t, 0)
	to := func(p ip, at netip.Addr) ip { p.to = at; return p }
	cut := func(p ip, n int) []byte { return arriving(p)[:14+n] }
	tweak := func(frame []byte, at int, v byte) []byte { frame[at] = v; return frame }
	other := netip.MustParseAddrPort("192.0.2.10:444")
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"ARP", append(slices.Concat(us[:], router[:], []byte{8, 6}), make([]byte, 46)...)},
		{"a VLAN tag", slices.Concat(us[:], router[:], []byte{0x81, 0, 0, 5, 8, 0}, tcp(client4, vip4, syn, 0).bytes())},
		{"another station", ether(hopB, router, tcp(client4, vip4, syn, 0).bytes())},
		{"broadcast", ether([6]byte{255, 255, 255, 255, 255, 255}, router, tcp(client4, vip4, syn, 0).bytes())},
		{"another address", arriving(tcp(client4, netip.AddrPortFrom(a4, 443), syn, 0))},
		{"another port", arriving(tcp(client4, other, syn, 0))},
		{"another IPv6 address", arriving(tcp(client6, netip.AddrPortFrom(a6, 443), syn, 0))},
		{"another protocol", arriving(ip{from: client4.Addr(), to: vip4.Addr(), protocol: 47, payload: make([]byte, 40)})},
		{"an IPv4 header cut short", cut(tcp(client4, vip4, syn, 0), 19)},
		{"a TCP header cut short", cut(tcp(client4, vip4, syn, 0), 39)},
		{"longer than the frame", cut(tcp(client4, vip4, syn, 100), 60)},
		{"a TCP header that is short by the length", arriving(ip{from: client4.Addr(), to: vip4.Addr(), protocol: protoTCP, payload: tcp(client4, vip4, syn, 0).payload[:19]})},
		{"a UDP header that is short by the length", arriving(ip{from: client4.Addr(), to: vip4.Addr(), protocol: protoUDP, payload: make([]byte, 7)})},
		{"a header length of 16", tweak(arriving(tcp(client4, vip4, syn, 0)), 14, 0x44)},
		{"a length below the header's", tweak(tweak(arriving(tcp(client4, vip4, syn, 0)), 16, 0), 17, 19)},
		{"version 6 in IPv4's type", tweak(arriving(tcp(client4, vip4, syn, 0)), 14, 0x65)},
		{"version 4 in IPv6's type", tweak(arriving(tcp(client6, vip6, syn, 0)), 14, 0x45)},
		{"an IPv6 header cut short", cut(tcp(client6, vip6, syn, 0), 39)},
		{"a TCP header cut short over IPv6", cut(tcp(client6, vip6, syn, 0), 59)},
		{"an extension header cut short", arriving(ip{from: client6.Addr(), to: vip6.Addr(), protocol: 0, payload: []byte{6, 0, 0}})},
		{"an extension header beyond the end", arriving(ip{from: client6.Addr(), to: vip6.Addr(), protocol: 0, payload: []byte{6, 20, 0, 0, 0, 0, 0, 0, 0, 0}})},
		{"too many extension headers", arriving(ip{from: client6.Addr(), to: vip6.Addr(), protocol: 60,
			headers: slices.Concat(bytes.Repeat([]byte{60, 0, 1, 4, 0, 0, 0, 0}, 4), []byte{6, 0, 1, 4, 0, 0, 0, 0}), payload: tcp(client6, vip6, syn, 0).payload})},
		{"a routing header", arriving(ip{from: client6.Addr(), to: vip6.Addr(), protocol: 43, headers: []byte{6, 0, 0, 0, 0, 0, 0, 0}, payload: tcp(client6, vip6, syn, 0).payload})},
		{"a fragment whose first was not seen", arriving(ip{from: client4.Addr(), to: vip4.Addr(), protocol: protoUDP, id: 1, offset: 800, payload: make([]byte, 50)})},
		{"an echo request to another address", arriving(icmp(client4.Addr(), a4, 8, 0, 7, nil))},
		{"an echo reply", arriving(icmp(client4.Addr(), vip4.Addr(), 0, 0, 7, nil))},
		{"an echo request from the VIP itself", arriving(icmp(vip4.Addr(), vip4.Addr(), 8, 0, 7, nil))},
		{"an echo request in fragments", arriving(func() ip { p := icmp(client4.Addr(), vip4.Addr(), 8, 0, 7, nil); p.more = true; return p }())},
		{"neighbour solicitation", arriving(icmp(client6.Addr(), vip6.Addr(), 135, 0, 0, make([]byte, 24)))},
		{"an error about nothing", arriving(icmp(lb4, vip4.Addr(), 3, 4, 1280, nil))},
		{"an error about a packet cut short", arriving(icmp(lb4, vip4.Addr(), 3, 4, 1280, tcp(vip4, client4, ack, 0).bytes()[:23]))},
		{"an error about another address's packet", arriving(icmp(lb4, vip4.Addr(), 3, 4, 1280, tcp(netip.AddrPortFrom(a4, 443), client4, ack, 0).bytes()))},
		{"an error about another port's packet", arriving(icmp(lb4, vip4.Addr(), 3, 4, 1280, tcp(other, client4, ack, 0).bytes()))},
		{"an error about a later fragment", arriving(icmp(lb4, vip4.Addr(), 3, 4, 1280, ip{from: vip4.Addr(), to: client4.Addr(), protocol: 6, offset: 80, payload: make([]byte, 40)}.bytes()))},
		{"an error about ICMP", arriving(icmp(lb4, vip4.Addr(), 3, 1, 0, icmp(vip4.Addr(), client4.Addr(), 0, 0, 7, make([]byte, 20)).bytes()))},
		{"an error to another address", arriving(to(icmp(lb4, a4, 3, 4, 1280, tcp(vip4, client4, ack, 0).bytes()), a4))},
		{"an IPv6 error about another address's packet", arriving(icmp(lb6, vip6.Addr(), 2, 0, 1280, tcp(netip.AddrPortFrom(a6, 443), client6, ack, 0).bytes()))},
		{"an IPv6 error cut short", arriving(icmp(lb6, vip6.Addr(), 2, 0, 1280, tcp(vip6, client6, ack, 0).bytes()[:42]))},
	} {
		s.each(t, func(t *testing.T, program string) {
			if least := map[byte]int{8: 34, 0x86: 54}[c.frame[12]]; program == "dsr_tcx" && len(c.frame) < least {
				return // the kernel's test run takes none that short
			}
			if v, out := s.run(t, program, c.frame); v != passed || !bytes.Equal(out, c.frame) {
				t.Errorf("%s: %v\n got %x\nwant %x", c.name, v, out, c.frame)
			}
		})
	}
	if s.reason(t, Malformed) == 0 || s.reason(t, FragmentLost) == 0 {
		t.Errorf("malformed packets: %d, fragments lost: %d; want both above 0", s.reason(t, Malformed), s.reason(t, FragmentLost))
	}
}

// TestAnswers has the programs answer themselves: echo requests, and what does not fit.
func TestAnswers(t *testing.T) {
	s := newStage(t)
	s.server(t, 0, serverValue{State: stateUp, Station: hopA, Forward: forwardIPIP, To: addressOf(a4), From: addressOf(lb4)})
	s.table(t, 0)
	big4, big6 := tcp(client4, vip4, ack, mtu-40), tcp(client6, vip6, ack, mtu-60)
	answer4 := icmp(vip4.Addr(), client4.Addr(), 3, 4, mtu-20, big4.bytes()[:68])
	answer4.df, answer4.tos = true, 0xc0
	data := []byte("0123456789abcdef!")
	for _, c := range []struct {
		name       string
		in, answer ip
	}{
		{"echo", icmp(client4.Addr(), vip4.Addr(), 8, 0, 0x12345678, data), icmp(vip4.Addr(), client4.Addr(), 0, 0, 0x12345678, data)},
		{"echo without data, from afar", func() ip { p := icmp(client4.Addr(), vip4.Addr(), 8, 0, 0xffffffff, nil); p.ttl = 3; return p }(), icmp(vip4.Addr(), client4.Addr(), 0, 0, 0xffffffff, nil)},
		{"echo over IPv6", icmp(client6.Addr(), vip6.Addr(), 128, 0, 0x12345678, data), icmp(vip6.Addr(), client6.Addr(), 129, 0, 0x12345678, data)},
		{"does not fit", big4, answer4},
		{"does not fit over IPv6", big6, icmp(vip6.Addr(), client6.Addr(), 2, 0, mtu-20, big6.bytes()[:112])},
	} {
		s.each(t, func(t *testing.T, program string) {
			want := ether(router, us, c.answer.bytes())
			if v, out := s.run(t, program, arriving(c.in)); v != sent || !bytes.Equal(out, want) {
				t.Errorf("%s: %v\n got %x\nwant %x", c.name, v, out, want)
			}
		})
	}
	fits4 := tcp(client4, vip4, ack, mtu-60)
	s.each(t, func(t *testing.T, program string) {
		if v, out := s.run(t, program, arriving(fits4)); v != sent || len(out) != 14+mtu {
			t.Errorf("just fits: %v, %d octets; want sent, %d", v, len(out), 14+mtu)
		}
	})
}

// TestDrops lists what is neither passed nor sent.
func TestDrops(t *testing.T) {
	s := newStage(t)
	s.table(t, 0)
	expiring := func(p ip) ip { p.ttl = 1; return p }
	unfragmented := tcp(client4, vip4, ack, mtu-40)
	unfragmented.df = false
	tunnel := serverValue{State: stateUp, Station: hopA, Forward: forwardIPIP, To: addressOf(a4), From: addressOf(lb4)}
	for _, c := range []struct {
		name   string
		server serverValue
		packet ip
		why    Reason
	}{
		{"TTL 1", serverValue{State: stateUp, Station: hopA}, expiring(tcp(client4, vip4, ack, 0)), Expired},
		{"hop limit 1", serverValue{State: stateUp, Station: hopA}, expiring(tcp(client6, vip6, ack, 0)), Expired},
		{"does not fit, and may be fragmented", tunnel, unfragmented, TooBigLost},
		{"an error that does not fit", tunnel, icmp(lb4, vip4.Addr(), 3, 4, 1280, tcp(vip4, client4, ack, mtu-68).bytes()), TooBigLost},
	} {
		s.server(t, 0, c.server)
		s.each(t, func(t *testing.T, program string) {
			before := s.reason(t, c.why)
			v, _ := s.run(t, program, arriving(c.packet))
			if n := s.reason(t, c.why) - before; v != dropped || n != 1 {
				t.Errorf("%s: %v, %d counted as %v; want dropped, 1", c.name, v, n, c.why)
			}
		})
	}
}
