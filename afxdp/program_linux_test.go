package afxdp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
)

// xdpRedirect is the verdict for what an AF_XDP socket gets.
const xdpRedirect = 4

// TestProgramTakesQueriesAlone shows the program frames of all kinds, in the
// kernel (BPF_PROG_TEST_RUN).
func TestProgramTakesQueriesAlone(t *testing.T) {
	v := newVeth(t, 1)
	v.run(t) // skips where the kernel refuses
	w := newVeth(t, 1)
	var prog *program
	inside(t, w.server, func() {
		facts, err := readLink("eth0")
		if err != nil {
			t.Error(err)
			return
		}
		facts.station = stationB
		s, err := openSocket(facts.index, 0, true)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(s.close)
		if prog, err = newProgram(facts); err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(prog.close)
		if err := prog.sockets.Put(uint32(0), uint32(s.fd)); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		return
	}
	if err := prog.serve(map[netip.AddrPort]bool{pairs[0].to: true, pairs[1].to: true}); err != nil {
		t.Fatal(err)
	}
	verdict := func(name string, frame []byte) uint32 {
		t.Helper()
		got, err := prog.prog.Run(&ebpf.RunOptions{Data: frame})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return got
	}
	const udp4, udp6 = etherLen + ip4Len, etherLen + ip6Len
	tagged := func(f []byte) []byte { // IEEE 802.1Q, VLAN 5
		return append(append(bytes.Clone(f[:12]), 0x81, 0x00, 0x00, 0x05), f[12:]...)
	}
	for i, p := range pairs {
		udp := []int{udp4, udp6}[i]
		port := func(at int, to uint16) func([]byte) []byte {
			return func(f []byte) []byte { binary.BigEndian.PutUint16(f[udp+at:], to); return f }
		}
		octet := func(at int, to byte) func([]byte) []byte { return func(f []byte) []byte { f[at] = to; return f } }
		common := []struct {
			name   string
			change func([]byte) []byte
			want   uint32
		}{
			{"a query", func(f []byte) []byte { return f }, xdpRedirect},
			{"padding", func(f []byte) []byte { return append(f, make([]byte, 20)...) }, xdpRedirect},
			{"the longest frame", func(f []byte) []byte { return append(f, make([]byte, maxFrame-len(f))...) }, xdpRedirect},
			{"a longer frame", func(f []byte) []byte { return append(f, make([]byte, maxFrame+1-len(f))...) }, xdpPass},
			{"a header alone", func(f []byte) []byte { return f[:udp+udpLen+12] }, xdpRedirect},
			{"less than a header", func(f []byte) []byte { return f[:udp+udpLen+11] }, xdpPass},
			{"another station", octet(5, 0xcc), xdpPass},
			{"another station, first half", octet(0, 6), xdpPass},
			{"broadcast", func(f []byte) []byte { copy(f, "\xff\xff\xff\xff\xff\xff"); return f }, xdpPass},
			{"a VLAN tag", tagged, xdpPass},
			{"ARP", octet(13, 6), xdpPass},
			{"another port", port(2, 54), xdpPass},
			{"from port 0", port(0, 0), xdpPass},
			{"from port 53", port(0, 53), xdpRedirect},
			{"a response", octet(udp+udpLen+2, 0x81), xdpPass},
			{"NOTIFY", octet(udp+udpLen+2, 4<<3), xdpPass},
			{"UPDATE", octet(udp+udpLen+2, 5<<3), xdpPass},
			{"truncated and recursion desired", octet(udp+udpLen+2, 0x03), xdpRedirect},
		}
		for _, c := range common {
			if got := verdict(c.name, c.change(build(p.from, p.to, query))); got != c.want {
				t.Errorf("%s, %s: verdict %d, want %d", p.name, c.name, got, c.want)
			}
		}
	}
	for _, c := range []struct {
		name string
		pair int
		at   int
		to   byte
		want uint32
	}{
		{"another address", 0, 33, 54, xdpPass},
		{"another address", 1, 53, 0x54, xdpPass},
		{"another network", 1, 38, 0x30, xdpPass},
		{"IPv4 options", 0, 14, 0x46, xdpPass},
		{"more fragments", 0, 20, 0x20, xdpPass},
		{"a later fragment", 0, 21, 0x01, xdpPass},
		{"the reserved bit", 0, 20, 0x80, xdpPass},
		{"do not fragment", 0, 20, 0x40, xdpRedirect},
		{"TCP", 0, 23, 6, xdpPass},
		{"ICMP", 0, 23, 1, xdpPass},
		{"TCP", 1, 20, 6, xdpPass},
		{"a fragment header", 1, 20, 44, xdpPass},
		{"hop-by-hop options", 1, 20, 0, xdpPass},
		{"version 4 in IPv6's type", 1, 14, 0x45, xdpPass},
		{"a traffic class", 1, 14, 0x6b, xdpRedirect},
	} {
		frame := build(pairs[c.pair].from, pairs[c.pair].to, query)
		frame[c.at] = c.to
		if got := verdict(c.name, frame); got != c.want {
			t.Errorf("%s, %s: verdict %d, want %d", pairs[c.pair].name, c.name, got, c.want)
		}
	}
	if err := prog.sockets.Delete(uint32(0)); err != nil {
		t.Fatal(err)
	}
	if got := verdict("no socket", build(pairs[0].from, pairs[0].to, query)); got != xdpPass {
		t.Errorf("a queue without a socket: verdict %d, want %d", got, xdpPass)
	}
}
