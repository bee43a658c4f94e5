package bpf

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"gslb/balancer/kernel"
)

// at returns which server a packet went to, by the station: -1 if it was not sent.
func (s *stage) at(t testing.TB, program string, p ip) int {
	t.Helper()
	v, out := s.run(t, program, arriving(p))
	if v != sent {
		return -1
	}
	return int(out[4])<<8 | int(out[5])
}

// numbered has servers whose station tells their index.
func (s *stage) numbered(t testing.TB, n int, state uint8) {
	t.Helper()
	for i := range n {
		s.server(t, uint32(i), serverValue{State: state, Station: [6]byte{2, 0, 0, 0, byte(i >> 8), byte(i)}})
	}
}

func (s *stage) state(t testing.TB, index uint32, state uint8) {
	t.Helper()
	var v serverValue
	if err := s.maps["servers"].Lookup(index, &v); err != nil {
		t.Fatal(err)
	}
	v.State = state
	s.put(t, "servers", index, v)
}

func (s *stage) size(t testing.TB, m string) (n int) {
	t.Helper()
	key, value := make([]byte, s.maps[m].KeySize()), make([]byte, s.maps[m].ValueSize())
	for it := s.maps[m].Iterate(); it.Next(&key, &value); {
		n++
	}
	return n
}

// TestAgrees: the slot of a flow is that of package balancer's hash, in both programs.
func TestAgrees(t *testing.T) {
	s := newStage(t)
	const servers = 500
	s.numbered(t, servers, stateUp)
	all := make([]uint16, servers)
	for i := range all {
		all[i] = uint16(i)
	}
	s.table(t, all...) // slot modulo servers
	random := rand.New(rand.NewPCG(1, 2))
	address := func(n int) netip.Addr {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		a, _ := netip.AddrFromSlice(b)
		return a
	}
	for i := range 400 {
		from, to := netip.AddrPortFrom(address(4), uint16(random.Uint32())), vip4
		if i%2 == 1 {
			from, to = netip.AddrPortFrom(address(16), uint16(random.Uint32())), vip6
		}
		p, protocol := tcp(from, to, syn, 0), "tcp"
		if i%4 > 1 {
			p, protocol = udp(from, to, 10), "udp"
		}
		want := int(key(from, to) % slots % servers)
		for _, program := range []string{"dsr_xdp", "dsr_tcx"} {
			s.forget(t)
			if got := s.at(t, program, p); got != want {
				t.Fatalf("%s from %v in %s: server %d, want %d", protocol, from, program, got, want)
			}
		}
	}
	if a, b := key(client4, vip4), key(client6, vip6); a != 0xce14a3fb5d30b6b8 || b != 0xda6c69349e5f2ff9 { // TestFlowKeys of package balancer
		t.Errorf("hashes %#x and %#x are not those of package balancer", a, b)
	}
	for _, h := range []uint64{0, 1, slots - 1, slots, 1<<64 - 1, 0xffff0000ffff0000, 0x0000ffff0000ffff, 1 << 63} {
		if got := slotOf(h); got != uint32(h%slots) {
			t.Errorf("slot of %#x: %d, want %d", h, got, h%slots)
		}
	}
}

// slotOf is slot_of of program/hash.h.
func slotOf(h uint64) uint32 {
	s := uint32(uint16(h)) + uint32(uint16(h>>32)) + 2*slots - uint32(uint16(h>>16)) - uint32(uint16(h>>48))
	if s >= 2*slots {
		s -= 2 * slots
	}
	if s >= slots {
		s -= slots
	}
	return s
}

// TestRemembers follows flows through changes of the table and of servers' states.
//
//	a packet of     its server is    goes to
//	an old flow     up, draining     its server, whatever the table says
//	                down, gone       the table's
//	a new flow      -                the table's, the next one that is up
//	SYN, old flow   draining         the table's
//	UDP, idle       up               the table's
func TestRemembers(t *testing.T) {
	s := newStage(t)
	for _, family := range []struct {
		name         string
		from, to     netip.AddrPort
		flows, fresh string
	}{{"IPv4", client4, vip4, "flows4", "new4"}, {"IPv6", client6, vip6, "flows6", "new6"}} {
		opening, data := tcp(family.from, family.to, syn, 0), tcp(family.from, family.to, ack, 10)
		datagram := udp(family.from, family.to, 10)
		t.Run(family.name, func(t *testing.T) {
			s.each(t, func(t *testing.T, program string) {
				expect := func(what string, p ip, want int) {
					t.Helper()
					if got := s.at(t, program, p); got != want {
						t.Errorf("%s: server %d, want %d", what, got, want)
					}
				}
				inside := func(what string, flows, fresh int) {
					t.Helper()
					if a, b := s.size(t, family.flows), s.size(t, family.fresh); a != flows || b != fresh {
						t.Errorf("%s: %d flows remembered and %d new, want %d and %d", what, a, b, flows, fresh)
					}
				}
				s.numbered(t, 3, stateUp)
				s.table(t, 1)
				expect("SYN", opening, 1)
				expect("SYN again", opening, 1)
				inside("SYNs alone", 0, 1)
				s.table(t, 2)
				expect("the handshake's end, under another table", data, 1)
				inside("a connection", 1, 0)
				expect("data", data, 1)
				s.state(t, 1, stateDraining)
				expect("data to a draining server", data, 1)
				expect("SYN from the same port", opening, 2)
				expect("and its data", data, 2)
				s.table(t, 1)
				s.state(t, 1, stateUp)
				expect("data once the table is another", data, 2)
				s.state(t, 2, stateDown)
				expect("data to a server that is down", data, 1)
				s.state(t, 2, stateUp)
				expect("data when it is up again", data, 1)
				s.server(t, 1, serverValue{State: stateUp, Serial: 99, Station: [6]byte{2, 0, 0, 0, 0, 1}})
				s.table(t, 2)
				expect("data to a server whose place another has", data, 2)
				s.table(t, 1, 2)
				s.state(t, 1, stateDown)
				s.forget(t)
				expect("SYN before the table knows", opening, 2)
				s.table(t)
				s.forget(t)
				expect("no server", opening, -1)
				s.table(t, 1)
				s.state(t, 1, stateUp)
				s.forget(t)
				expect("a datagram", datagram, 1)
				inside("one datagram", 0, 1)
				expect("another", datagram, 1)
				inside("two datagrams", 1, 0)
				s.table(t, 2)
				expect("a third, under another table", datagram, 1)
				s.age(t, family.flows)
				expect("after a long time", datagram, 2)
				s.age(t, family.flows)
				s.forget(t)
				s.table(t, 1)
				expect("SYN", opening, 1)
				expect("data", data, 1)
				s.age(t, family.flows)
				s.table(t, 2)
				expect("TCP data after a long time", data, 1)
				expect("its end", tcp(family.from, family.to, fin|ack, 0), 1)
				expect("SYN from the same port after the end", opening, 2)
			})
		})
	}
}

// age makes all flows older than any VIP's time-out.
func (s *stage) age(t testing.TB, m string) {
	t.Helper()
	key := make([]byte, s.maps[m].KeySize())
	var v remembered
	if it := s.maps[m].Iterate(); it.Next(&key, &v) {
		v.Seen -= 1000
		s.put(t, m, key, v)
	}
}

// TestFlood: spoofed SYNs and single datagrams push out no flow of which two packets came.
func TestFlood(t *testing.T) {
	s := newStage(t)
	s.numbered(t, 2, stateUp)
	s.table(t, 0)
	const program = "dsr_xdp"
	var held []netip.AddrPort
	for i := range 100 {
		from := netip.AddrPortFrom(client4.Addr(), uint16(1000+i))
		held = append(held, from)
		s.at(t, program, tcp(from, vip4, syn, 0))
		s.at(t, program, tcp(from, vip4, ack, 0))
	}
	most := int(s.maps["flows4"].MaxEntries())
	for i := range 3 * most {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)}), 1024)
		if i%2 == 0 {
			s.at(t, program, tcp(from, vip4, syn, 0))
		} else {
			s.at(t, program, udp(from, vip4, 0))
		}
	}
	s.table(t, 1)
	for _, from := range held {
		if got := s.at(t, program, tcp(from, vip4, ack, 0)); got != 0 {
			t.Fatalf("%v after a flood: server %d, want 0, which it had", from, got)
		}
	}
}

// TestBypass: above so many new flows none are remembered, and they go by the hash.
func TestBypass(t *testing.T) {
	s := newStage(t)
	s.numbered(t, 1, stateUp)
	s.table(t, 0)
	for _, program := range []string{"dsr_xdp", "dsr_tcx"} {
		prog, err := s.load(program, constant{station: us, link: ifindex, newFlows: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer prog.Close()
		s.progs[program] = prog
	}
	s.each(t, func(t *testing.T, program string) {
		before := s.reason(t, Unremembered)
		const flows = 4000
		for i := range flows {
			from := netip.AddrPortFrom(client4.Addr(), uint16(1+i))
			if s.at(t, program, udp(from, vip4, 0)) != 0 {
				t.Fatal("a new flow was not forwarded")
			}
		}
		kept, passed := s.size(t, "new4"), int(s.reason(t, Unremembered)-before)
		if passed == 0 || kept+passed != flows {
			t.Errorf("%d flows remembered and %d not, want %d together and some of these", kept, passed, flows)
		}
	})
}

// BenchmarkProgram is what a packet of a remembered flow costs, by the kernel's own
// clock (BPF_PROG_TEST_RUN), and the first one of a flow that is refused; all with 10,000 networks listed. The frame stays as the program left it for its next run:
// so the server's station is the balancer's, and a run ends before the TTL does.
func BenchmarkProgram(b *testing.B) {
	s := newStage(b)
	s.server(b, 0, serverValue{State: stateUp, Station: us})
	s.table(b, 0)
	deny := prefixes("203.0.113.0/24")
	for i := range 10000 {
		deny = append(deny, netip.PrefixFrom(netip.AddrFrom4([4]byte{100 + byte(i>>12), byte(i >> 4), byte(i << 4), 0}), 20+i%5))
	}
	s.admit(b, &kernel.Admission{Deny: deny})
	const repeat = 250
	old := func(p ip) ip { p.ttl = 255; return p }
	for _, c := range []struct {
		name   string
		packet ip
	}{
		{"TCP over IPv4", old(tcp(client4, vip4, ack, 0))}, {"UDP over IPv4", old(udp(client4, vip4, 18))},
		{"TCP over IPv6", old(tcp(client6, vip6, ack, 0))}, {"passed", tcp(client4, netip.AddrPortFrom(a4, 80), ack, 0)},
		{"not IP", ip{}}, {"denied", udp(netip.MustParseAddrPort("203.0.113.9:1"), vip4, 18)},
	} {
		for _, program := range []string{"dsr_xdp", "dsr_tcx"} {
			b.Run(c.name+"/"+program[4:], func(b *testing.B) {
				frame := append(slices.Concat(us[:], router[:], []byte{8, 6}), make([]byte, 46)...)
				if c.packet.payload != nil {
					frame = arriving(c.packet)
				}
				s.run(b, program, frame)
				s.run(b, program, frame) // now it is remembered
				var all []time.Duration
				for b.Loop() {
					_, each, err := s.progs[program].Benchmark(frame, repeat, nil)
					if err != nil {
						b.Fatal(err)
					}
					all = append(all, each)
				}
				slices.Sort(all)
				b.ReportMetric(float64(all[len(all)/2]), "ns/packet") // the median: others use the processor, too
			})
		}
	}
}

// key is what package balancer makes of a flow: the hash of both ends.
func key(client, local netip.AddrPort) uint64 {
	h := uint64(hashStart)
	add := func(a netip.Addr) {
		b := a.As16()
		for _, half := range [][]byte{b[:8], b[8:]} {
			v := uint64(0)
			for _, o := range half {
				v = v<<8 | uint64(o)
			}
			h = mix(h, v)
		}
	}
	add(client.Addr())
	add(local.Addr())
	h = mix(h, uint64(client.Port())<<16|uint64(local.Port()))
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h
}
