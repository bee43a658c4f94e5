package bpf

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"gslb/balancer/kernel"
)

// admit has all VIPs of the stage admit so.
func (s *stage) admit(t testing.TB, a *kernel.Admission) {
	t.Helper()
	p := places{lists: map[string]*listPlace{}}
	service := &kernel.Service{Name: "www", Admission: a}
	if err := p.addList(&places{}, service); err != nil {
		t.Fatal(err)
	}
	if l := p.lists["www"]; l != nil {
		for key, standing := range l.entries {
			s.put(t, "networks", key, standing)
		}
	}
	for i, key := range vips() {
		var v vipValue
		if err := s.maps["vips"].Lookup(key, &v); err != nil {
			t.Fatal(err)
		}
		s.put(t, "guards", uint32(i), p.guardOf(service, key.Address.addr().Is6()))
		if err := s.clearRefused(uint32(i)); err != nil {
			t.Fatal(err)
		}
		v.Flags |= guarded
		s.put(t, "vips", key, v)
	}
}

// unlisted empties the lists and buckets.
func (s *stage) unlisted(t testing.TB) {
	t.Helper()
	var listed []networkKey
	var key networkKey
	for all := s.maps["networks"].Iterate(); all.Next(&key, new(uint32)); {
		listed = append(listed, key)
	}
	for _, key := range listed {
		if err := s.remove("networks", key); err != nil {
			t.Fatal(err)
		}
	}
	var buckets [][16]byte
	var bucket [16]byte
	for all := s.maps["buckets"].Iterate(); all.Next(&bucket, new(uint64)); {
		buckets = append(buckets, bucket)
	}
	for _, bucket := range buckets {
		if err := s.remove("buckets", bucket); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *stage) refusedBy(t testing.TB, vip uint32) kernel.Refused {
	t.Helper()
	r, err := s.readRefused(vip)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func prefixes(all ...string) (out []netip.Prefix) {
	for _, s := range all {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// reset is the answer to a SYN, as a frame to the router.
func reset(from, to netip.AddrPort) []byte {
	p := tcp(to, from, rst|ack, 0)
	binary.BigEndian.PutUint32(p.payload[8:], 1) // the SYN's number is 0
	p.payload[16], p.payload[17] = 0, 0
	binary.BigEndian.PutUint16(p.payload[16:], ^sum(pseudo(to.Addr(), from.Addr(), protoTCP, 20), p.payload))
	return ether(router, us, p.bytes())
}

// TestGuard: who is not admitted gets no new flow, and keeps those that are known; a SYN is reset.
func TestGuard(t *testing.T) {
	s := newStage(t)
	s.server(t, 0, serverValue{State: stateUp, Station: hopA})
	s.table(t, 0)
	const syn4, udp4, syn6, udp6 = 0, 1, 2, 3 // the VIPs
	other4, other6 := netip.MustParseAddrPort("203.0.113.9:1234"), netip.MustParseAddrPort("[2001:db8:ffff::9]:1234")
	port := func(a netip.AddrPort, p uint16) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), p) }
	s.each(t, func(t *testing.T, program string) {
		is := func(what string, p ip, want verdict) {
			t.Helper()
			if v, out := s.run(t, program, arriving(p)); v != want || v == sent && !bytes.Equal(out[:6], hopA[:]) {
				t.Errorf("%s: %v, want %v\n%x", what, v, want, out)
			}
		}
		isReset := func(what string, from, to netip.AddrPort, p ip) {
			t.Helper()
			want := reset(from, to)
			if in := arriving(p); len(in) >= 60 { // shorter ones are never made
				want = append(want, make([]byte, max(0, 60-len(want)))...)
			}
			if v, out := s.run(t, program, arriving(p)); v != sent || !bytes.Equal(out, want) {
				t.Errorf("%s: %v, want a reset\n got %x\nwant %x", what, v, out, want)
			}
		}
		s.unlisted(t)
		s.admit(t, &kernel.Admission{})
		is("a flow before the lists", tcp(client4, vip4, syn, 0), sent)
		is("a flow of UDP before the lists", udp(client6, vip6, 10), sent)
		// The longest network decides, whichever list it is in.
		s.admit(t, &kernel.Admission{
			Allow: prefixes("198.51.0.0/16", "198.51.100.8/32", "2001:db8:1::/48", "::/0"),
			Deny:  prefixes("198.51.100.0/24", "203.0.113.0/24", "2001:db8:1::/64", "2001:db8:ffff::9/128"),
		})
		is("its SYN once more", tcp(client4, vip4, syn, 0), sent)
		is("its data", tcp(client4, vip4, ack, 10), sent)
		is("the other's data", udp(client6, vip6, 10), sent)
		isReset("a SYN of one who is denied", port(client4, 1), vip4, tcp(port(client4, 1), vip4, syn, 0))
		isReset("a SYN with data", port(client4, 1), vip4, tcp(port(client4, 1), vip4, syn, 500))
		isReset("a SYN over IPv6", client6, vip6, tcp(client6, vip6, syn, 0))
		isReset("a SYN over IPv6 with data", client6, vip6, tcp(client6, vip6, syn, 7))
		isReset("one that no network holds, with something listed in allow", port(lb4Port, 7), vip4, tcp(port(lb4Port, 7), vip4, syn, 0))
		is("a datagram of one who is denied", udp(port(client4, 1), vip4, 10), dropped)
		is("a datagram over IPv6", udp(other6, vip6, 10), dropped)
		is("a neighbour who is allowed", tcp(netip.MustParseAddrPort("198.51.100.8:1"), vip4, syn, 0), sent)
		is("a neighbour over IPv6", udp(netip.MustParseAddrPort("[2001:db8:1:1::7]:1"), vip6, 10), sent)
		is("data of a flow that is not known", tcp(port(client4, 2), vip4, ack, 10), sent)
		options := tcp(port(client4, 3), vip4, syn, 0)
		options.options = bytes.Repeat([]byte{1}, 4)
		is("a SYN behind IPv4 options", options, dropped)
		is("its data still", tcp(client4, vip4, ack, 10), sent)
		for vip, want := range map[uint32]int64{syn4: 4, udp4: 1, syn6: 2, udp6: 1} {
			if r := s.refusedBy(t, vip); r != (kernel.Refused{Denied: want}) {
				t.Errorf("VIP %d has refused %+v, want %d that are denied", vip, r, want)
			}
		}
		// Two at once, and none for a long time after: but for who is exempt.
		s.unlisted(t)
		s.forget(t)
		s.admit(t, &kernel.Admission{Rate: 1, Burst: 2 * time.Second, Bits4: 24, Bits6: 64, Exempt: prefixes("198.51.100.8/32")})
		for i := range uint32(len(vips())) { // a second is not long enough for a slow machine
			var g guardValue
			if err := s.maps["guards"].Lookup(i, &g); err != nil {
				t.Fatal(err)
			}
			g.Step, g.Burst = g.Step<<20, g.Burst<<20
			s.put(t, "guards", i, g)
		}
		for _, c := range []struct {
			from, neighbour, other, to netip.AddrPort
		}{
			{client4, netip.MustParseAddrPort("198.51.100.9:1"), other4, vip4},
			{client6, netip.MustParseAddrPort("[2001:db8:1::9]:1"), other6, vip6},
		} {
			is("the first", tcp(port(c.from, 11), c.to, syn, 0), sent)
			is("a second, of the same network", udp(c.neighbour, c.to, 5), sent)
			isReset("a third", port(c.from, 12), c.to, tcp(port(c.from, 12), c.to, syn, 0))
			is("a datagram", udp(port(c.neighbour, 13), c.to, 5), dropped)
			is("the first one's SYN again", tcp(port(c.from, 11), c.to, syn, 0), sent)
			is("data", tcp(port(c.from, 11), c.to, ack, 5), sent)
			is("another network", tcp(c.other, c.to, syn, 0), sent)
		}
		for i := range uint16(5) {
			is("one who is exempt", tcp(netip.AddrPortFrom(netip.MustParseAddr("198.51.100.8"), i+1), vip4, syn, 0), sent)
		}
		for _, vip := range []uint32{syn4, udp4, syn6, udp6} {
			if r := s.refusedBy(t, vip); r != (kernel.Refused{OverRate: 1}) {
				t.Errorf("VIP %d has refused %+v, want 1 over the rate", vip, r)
			}
		}
	})
}

var lb4Port = netip.AddrPortFrom(lb4, 1)

// Lists have the same say as networks.Allowed, through the kernel's trie.
func TestListsAgree(t *testing.T) {
	s := newStage(t)
	s.server(t, 0, serverValue{State: stateUp, Station: hopA})
	s.table(t, 0)
	a := &kernel.Admission{Allow: prefixes("0.0.0.0/1", "10.0.0.0/8", "10.1.2.0/24"), Deny: prefixes("10.0.0.0/16", "10.1.0.0/16", "128.0.0.0/1", "2001:db8::/33")}
	s.admit(t, a)
	for address, want := range map[string]verdict{
		"10.0.0.1": dropped, "10.1.0.1": dropped, "10.1.2.3": sent, "10.2.0.1": sent, "9.0.0.1": sent, "127.255.255.255": sent, "128.0.0.0": dropped,
		"255.1.1.1": dropped, "2001:db8::1": dropped, "2001:db8:8000::1": dropped, "::1": dropped, "ffff::1": dropped,
	} {
		from, to := netip.AddrPortFrom(netip.MustParseAddr(address), 1), vip4
		if from.Addr().Is6() {
			to = vip6
		}
		if v, _ := s.run(t, "dsr_xdp", arriving(udp(from, to, 4))); v != want {
			t.Errorf("%s: %v, want %v", address, v, want)
		}
	}
}

// Lists keep their number while they stay the same, also over an Apply that failed, and there is a bound.
func TestListPlaces(t *testing.T) {
	service := func(deny ...string) *kernel.Service {
		return &kernel.Service{Name: "www", Admission: &kernel.Admission{Deny: prefixes(deny...)}}
	}
	add := func(before *places, s *kernel.Service) (*places, error) {
		p := &places{lists: map[string]*listPlace{}, list: before.list}
		return p, p.addList(before, s)
	}
	first, err := add(&places{}, service("10.0.0.0/8"))
	if err != nil || first.lists["www"].number != 1 {
		t.Fatalf("the first lists: %+v, %v", first.lists, err)
	}
	if same, err := add(first, service("10.0.0.0/8")); err != nil || same.lists["www"] != first.lists["www"] {
		t.Errorf("the same lists: %+v, %v; want the same place", same.lists, err)
	}
	if same, err := add(&places{pending: first.lists, list: 1}, service("10.0.0.0/8")); err != nil || same.lists["www"] != first.lists["www"] {
		t.Errorf("the same lists after a failure: %+v, %v; want the same place", same.lists, err)
	}
	if other, err := add(first, service("10.0.0.0/9")); err != nil || other.lists["www"].number != 2 {
		t.Errorf("other lists: %+v, %v; want the number 2", other.lists, err)
	}
	full := &places{list: 1, lists: map[string]*listPlace{"www": {number: 1, entries: make(map[networkKey]uint32, mostNetworks)}}}
	for i := range uint32(mostNetworks - 2) {
		full.lists["www"].entries[networkKey{Length: i}] = 0
	}
	if _, err := add(full, service("10.0.0.0/8")); err == nil {
		t.Error("more networks than the map takes: no error")
	}
}
