package afxdp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

var (
	stationA = [6]byte{2, 0, 0, 0, 0, 0xaa}
	stationB = [6]byte{2, 0, 0, 0, 0, 0xbb}
	query    = []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x03abc\x03com\x00\x00\x01\x00\x01")
)

// build makes a frame from one address to another as RFC 768, 791 and 8200 say,
// with the checksums of referenceSum.
func build(from, to netip.AddrPort, payload []byte) []byte {
	f := append(append([]byte{}, stationB[:]...), stationA[:]...)
	udp := binary.BigEndian.AppendUint16(nil, from.Port())
	udp = binary.BigEndian.AppendUint16(udp, to.Port())
	udp = binary.BigEndian.AppendUint16(udp, uint16(udpLen+len(payload)))
	udp = append(append(udp, 0, 0), payload...)
	addresses := append(from.Addr().AsSlice(), to.Addr().AsSlice()...)
	pseudo := append(bytes.Clone(addresses), 0, 0, byte(len(udp)>>8), byte(len(udp)), 0, 0, 0, protoUDP)
	check := ^referenceSum(append(pseudo, udp...))
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], check)
	if from.Addr().Is4() {
		ip := []byte{0x45, 0, 0, 0, 0x77, 0x88, 0, 0, 55, protoUDP, 0, 0}
		binary.BigEndian.PutUint16(ip[2:], uint16(ip4Len+len(udp)))
		ip = append(ip, addresses...)
		binary.BigEndian.PutUint16(ip[10:], ^referenceSum(ip))
		f = append(append(f, 0x08, 0x00), ip...)
	} else {
		f = append(f, 0x86, 0xdd, 0x60, 0x01, 0x02, 0x03, byte(len(udp)>>8), byte(len(udp)), protoUDP, 55)
		f = append(f, addresses...)
	}
	return append(f, udp...)
}

// referenceSum is the Internet checksum's sum as RFC 1071 defines it, word by word.
func referenceSum(b []byte) uint16 {
	var s uint16
	for i := 0; i < len(b); i += 2 {
		w := uint16(b[i]) << 8
		if i+1 < len(b) {
			w |= uint16(b[i+1])
		}
		before := s
		if s += w; s < before {
			s++ // the carry goes around the end
		}
	}
	return s
}

func TestSumIsTheInternetChecksum(t *testing.T) {
	b := make([]byte, 1500)
	for i := range b {
		b[i] = byte(i*i*31 + i>>3)
	}
	all := bytes.Repeat([]byte{0xff}, 1500)
	for n := range len(b) {
		if got, want := fold(sum(b[:n], 0)), referenceSum(b[:n]); got != want {
			t.Fatalf("%d octets: %#04x, want %#04x", n, got, want)
		}
		if got, want := fold(sum(all[:n], 0)), referenceSum(all[:n]); got != want {
			t.Fatalf("%d octets of ff: %#04x, want %#04x", n, got, want)
		}
	}
	if got := fold(sum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0)); got != 0xddf2 {
		t.Errorf("the example of RFC 1071, section 3: %#04x, want 0xddf2", got)
	}
}

var pairs = []struct {
	name     string
	from, to netip.AddrPort
}{
	{"IPv4", netip.MustParseAddrPort("192.0.2.7:40000"), netip.MustParseAddrPort("198.51.100.53:53")},
	{"IPv6", netip.MustParseAddrPort("[2001:db8::7]:40000"), netip.MustParseAddrPort("[2001:db8:1::53]:53")},
}

// room is a frame as it lies in its chunk, behind the kernel's headroom.
func room(frame []byte) []byte {
	return append(bytes.Clone(frame), make([]byte, chunkRoom-len(frame))...)
}

const chunkRoom = 2048 - 256

func TestReplyGoesBack(t *testing.T) {
	for _, p := range pairs {
		for _, size := range []int{12, 13, 100, 1232, limit(1500)} {
			frame := build(p.from, p.to, query)
			var d datagram
			if f := d.parse(frame); f != sound {
				t.Fatalf("%s: %v", p.name, faultNames[f])
			}
			if d.src != p.from || !bytes.Equal(d.payload, query) {
				t.Fatalf("%s: from %v, %x", p.name, d.src, d.payload)
			}
			answer := bytes.Repeat([]byte{0x5a}, size)
			in := room(frame)
			if f := d.parse(in[:len(frame)]); f != sound {
				t.Fatal(faultNames[f])
			}
			out := in[:d.reply(in, answer)]
			want := expected(p.from, p.to, answer)
			if !bytes.Equal(out, want) {
				t.Errorf("%s, %d octets:\ngot  %x\nwant %x", p.name, size, out[:60], want[:60])
			}
		}
	}
}

// expected is the answer to a query from one address to another, made from
// scratch.
func expected(from, to netip.AddrPort, answer []byte) []byte {
	f := build(to, from, answer)
	copy(f[0:6], stationA[:])
	copy(f[6:12], stationB[:])
	if from.Addr().Is4() {
		ip := f[etherLen : etherLen+ip4Len]
		copy(ip[4:12], []byte{0, 0, 0x40, 0, 64, protoUDP, 0, 0})
		binary.BigEndian.PutUint16(ip[10:], ^referenceSum(ip))
		return f
	}
	copy(f[etherLen:], []byte{0x60, 0, 0, 0})
	f[etherLen+7] = 64
	return f
}

func TestReplyThatDoesNotFitIsNone(t *testing.T) {
	frame := build(pairs[0].from, pairs[0].to, query)
	var d datagram
	if f := d.parse(frame); f != sound {
		t.Fatal(faultNames[f])
	}
	if n := d.reply(frame, make([]byte, len(query)+1)); n != 0 {
		t.Errorf("%d octets in a frame of %d", n, len(frame))
	}
}

func TestLimitFitsTheFrame(t *testing.T) {
	for mtu, want := range map[int]int{576: 528, 1280: 1232, 1500: 1452, 9000: 1452} {
		if got := limit(mtu); got != want {
			t.Errorf("MTU %d: %d, want %d", mtu, got, want)
		}
	}
}

func TestParseJudgesFrames(t *testing.T) {
	six := func(src string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(src), 4000) }
	four, ip6 := pairs[0], pairs[1]
	const udp4, udp6 = etherLen + ip4Len, etherLen + ip6Len
	// header4 mends the IPv4 checksum after a change.
	header4 := func(f []byte) {
		f[24], f[25] = 0, 0
		binary.BigEndian.PutUint16(f[24:], ^referenceSum(f[etherLen:udp4]))
	}
	for _, c := range []struct {
		name   string
		pair   int
		change func(f []byte) []byte
		want   fault
	}{
		{"padding of a short frame", 0, func(f []byte) []byte { return append(f, 0xee, 0xee, 0xee) }, sound},
		{"padding of a short frame", 1, func(f []byte) []byte { return append(f, 0xee, 0xee, 0xee) }, sound},
		{"no checksum", 0, func(f []byte) []byte { f[udp4+6], f[udp4+7] = 0, 0; return f }, sound},
		{"no checksum", 1, func(f []byte) []byte { f[udp6+6], f[udp6+7] = 0, 0; return f }, corrupt},
		{"partial checksum", 0, partial, sound},
		{"partial checksum", 1, partial, sound},
		{"payload changed", 0, func(f []byte) []byte { f[len(f)-1] ^= 1; return f }, corrupt},
		{"payload changed", 1, func(f []byte) []byte { f[len(f)-1] ^= 1; return f }, corrupt},
		{"port changed", 1, func(f []byte) []byte { f[udp6] ^= 1; return f }, corrupt},
		{"TTL changed", 0, func(f []byte) []byte { f[22]--; return f }, corrupt},
		{"VLAN tag", 0, func(f []byte) []byte { f[12], f[13] = 0x81, 0x00; return f }, malformed},
		{"IPv4 options", 0, func(f []byte) []byte { f[14] = 0x46; header4(f); return f }, malformed},
		{"more fragments", 0, func(f []byte) []byte { f[20] = 0x20; header4(f); return f }, malformed},
		{"later fragment", 0, func(f []byte) []byte { f[21] = 1; header4(f); return f }, malformed},
		{"do not fragment", 0, func(f []byte) []byte { f[20] = 0x40; header4(f); return f }, sound},
		{"TCP", 0, func(f []byte) []byte { f[23] = 6; header4(f); return f }, malformed},
		{"TCP", 1, func(f []byte) []byte { f[20] = 6; return f }, malformed},
		{"total length beyond the frame", 0, func(f []byte) []byte { f[17]++; header4(f); return f }, malformed},
		{"total length below the headers", 0, func(f []byte) []byte { f[16], f[17] = 0, 27; header4(f); return f }, malformed},
		{"payload length beyond the frame", 1, func(f []byte) []byte { f[19]++; return f }, malformed},
		{"payload length below the header", 1, func(f []byte) []byte { f[18], f[19] = 0, 7; return f }, malformed},
		{"UDP length beyond the packet", 0, func(f []byte) []byte { f[udp4+5]++; return f }, malformed},
		{"UDP length below the header", 0, func(f []byte) []byte { f[udp4+4], f[udp4+5] = 0, 7; return f }, malformed},
		{"UDP length 0", 1, func(f []byte) []byte { f[udp6+4], f[udp6+5] = 0, 0; return f }, malformed},
		{"ARP", 0, func(f []byte) []byte { f[13] = 6; return f }, malformed},
		{"version 5", 1, func(f []byte) []byte { f[14] = 0x50; return f }, malformed},
		{"from port 0", 0, func([]byte) []byte {
			return build(netip.AddrPortFrom(four.from.Addr(), 0), four.to, query)
		}, martian},
		{"from loopback", 0, func([]byte) []byte { return build(six("127.0.0.1"), four.to, query) }, martian},
		{"from nowhere", 0, func([]byte) []byte { return build(six("0.0.0.0"), four.to, query) }, martian},
		{"from multicast", 0, func([]byte) []byte { return build(six("224.0.0.1"), four.to, query) }, martian},
		{"from broadcast", 0, func([]byte) []byte { return build(six("255.255.255.255"), four.to, query) }, martian},
		{"from loopback", 1, func([]byte) []byte { return build(six("::1"), ip6.to, query) }, martian},
		{"from nowhere", 1, func([]byte) []byte { return build(six("::"), ip6.to, query) }, martian},
		{"from multicast", 1, func([]byte) []byte { return build(six("ff02::1"), ip6.to, query) }, martian},
		{"from link-local", 1, func([]byte) []byte { return build(six("fe80::1"), ip6.to, query) }, sound},
		{"from a mapped address", 1, func([]byte) []byte {
			f := build(six("2001:db8::1"), ip6.to, query)
			mapped := netip.MustParseAddr("::ffff:192.0.2.1").As16()
			copy(f[22:38], mapped[:])
			return f
		}, martian},
	} {
		frame := c.change(build(pairs[c.pair].from, pairs[c.pair].to, query))
		var d datagram
		if got := d.parse(frame); got != c.want {
			t.Errorf("%s, %s: %q, want %q", pairs[c.pair].name, c.name, faultNames[got], faultNames[c.want])
		} else if got == sound && !bytes.Equal(d.payload, query) {
			t.Errorf("%s, %s: payload %x", pairs[c.pair].name, c.name, d.payload)
		}
	}
	for _, p := range pairs {
		whole := build(p.from, p.to, query)
		for n := range whole {
			var d datagram
			if d.parse(whole[:n]) == sound {
				t.Errorf("%s: %d of %d octets were taken", p.name, n, len(whole))
			}
		}
	}
}

// partial leaves the checksum as a sender does that hands it to its hardware:
// the sum of the pseudo-header alone.
func partial(f []byte) []byte {
	at, addresses := etherLen+ip4Len, f[26:34]
	if f[12] == 0x86 {
		at, addresses = etherLen+ip6Len, f[22:54]
	}
	length := f[at+4 : at+6]
	pseudo := append(append(bytes.Clone(addresses), length...), 0, protoUDP)
	binary.BigEndian.PutUint16(f[at+6:], referenceSum(pseudo))
	return f
}

// FuzzFrame holds that no frame makes parse or reply read or write outside of
// it, and that whatever is taken is answered with right checksums to where it
// came from.
func FuzzFrame(f *testing.F) {
	for _, p := range pairs {
		f.Add(build(p.from, p.to, query))
		f.Add(partial(build(p.from, p.to, query)))
		f.Add(build(p.from, p.to, nil))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > maxFrame {
			return
		}
		before := bytes.Clone(frame)
		var d datagram
		if d.parse(frame) != sound {
			return
		}
		if !bytes.Equal(before, frame) {
			t.Fatal("parse wrote into the frame")
		}
		answer := append([]byte("answer "), d.payload...)
		in := room(frame)
		src := d.src
		if d.parse(in[:len(frame)]) != sound {
			t.Fatal("refused at another place")
		}
		n := d.reply(in, answer)
		if n == 0 {
			t.Fatalf("no room for %d octets in %d", len(answer), len(in))
		}
		var back datagram
		out := in[:n]
		if got := back.parse(out); got != sound && got != martian {
			t.Fatalf("the answer is %s: %x", faultNames[got], out)
		} else if got == sound && !bytes.Equal(back.payload, answer) {
			t.Fatalf("payload %x, want %x", back.payload, answer)
		}
		at := etherLen + 16
		if d.six {
			at = etherLen + 24
		}
		if to, _ := netip.AddrFromSlice(out[at : at+src.Addr().BitLen()/8]); to != src.Addr() {
			t.Fatalf("answered to %v, want %v", to, src)
		}
	})
}

func TestAnsweringAFrameAllocatesNothing(t *testing.T) {
	for _, p := range pairs {
		frame := build(p.from, p.to, query)
		in := make([]byte, chunkRoom)
		var d datagram
		if n := testing.AllocsPerRun(100, func() {
			copy(in, frame)
			if d.parse(in[:len(frame)]) != sound || d.reply(in, query) == 0 {
				t.Fatal("not answered")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", p.name, n)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	for _, p := range pairs {
		b.Run(p.name, func(b *testing.B) {
			frame := build(p.from, p.to, query)
			answer := bytes.Repeat([]byte{1}, 90)
			in := make([]byte, chunkRoom)
			var d datagram
			b.ReportAllocs()
			for b.Loop() {
				copy(in, frame)
				if d.parse(in[:len(frame)]) != sound || d.reply(in, answer) == 0 {
					b.Fatal("not answered")
				}
			}
		})
	}
}
