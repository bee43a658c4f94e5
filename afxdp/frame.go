package afxdp

import (
	"encoding/binary"
	"net/netip"
)

// Where things stand in a frame, in octets.
const (
	etherLen = 14 // IEEE 802.3: destination, source, type
	ip4Len   = 20 // without options (RFC 791, section 3.1)
	ip6Len   = 40 // RFC 8200, section 3
	udpLen   = 8  // RFC 768

	etherIP4 = 0x0800
	etherIP6 = 0x86dd
	protoUDP = 17

	// maxFrame is the longest frame that is taken or sent: an Ethernet frame of
	// the usual MTU. Longer ones stay with the kernel.
	maxFrame = etherLen + 1500

	hops         = 64     // of answers: IPv4's TTL, IPv6's hop limit (RFC 1700)
	dontFragment = 0x4000 // RFC 791, section 3.1; RFC 9715, section 3.1
)

// fault is why a frame is not answered.
type fault uint8

const (
	sound     fault = iota
	malformed       // lengths or header fields that cannot be
	corrupt         // a checksum that is wrong
	martian         // from an address or port that nothing can be answered to
	faults          // how many there are
)

var faultNames = [faults]string{malformed: "malformed", corrupt: "checksum", martian: "source"}

// datagram is a UDP datagram that lies in a frame.
type datagram struct {
	src     netip.AddrPort
	payload []byte // within the frame
	six     bool
}

// parse reads a frame. The program has looked at some of this before; the frame
// is judged by what it says here alone.
func (d *datagram) parse(frame []byte) fault {
	if len(frame) < etherLen {
		return malformed
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherIP4:
		return d.parse4(frame[etherLen:])
	case etherIP6:
		return d.parse6(frame[etherLen:])
	}
	return malformed
}

// parse4 reads an IPv4 packet (RFC 791, section 3.1).
func (d *datagram) parse4(p []byte) fault {
	if len(p) < ip4Len+udpLen || p[0] != 0x45 || p[9] != protoUDP {
		return malformed
	}
	total := int(binary.BigEndian.Uint16(p[2:]))
	fragment := binary.BigEndian.Uint16(p[6:])
	if total < ip4Len+udpLen || total > len(p) || fragment&^dontFragment != 0 {
		return malformed
	}
	if fold(sum(p[:ip4Len], 0)) != 0xffff {
		return corrupt
	}
	src := netip.AddrFrom4([4]byte(p[12:16]))
	if p[12] == 0 || p[12] == 127 || p[12] >= 224 { // RFC 1122, section 3.2.1.3
		return martian
	}
	d.six = false
	return d.parseUDP(p[ip4Len:total], sum(p[12:20], 0), src)
}

// parse6 reads an IPv6 packet (RFC 8200, section 3).
func (d *datagram) parse6(p []byte) fault {
	if len(p) < ip6Len+udpLen || p[0]>>4 != 6 || p[6] != protoUDP {
		return malformed
	}
	total := ip6Len + int(binary.BigEndian.Uint16(p[4:]))
	if total < ip6Len+udpLen || total > len(p) {
		return malformed
	}
	src := netip.AddrFrom16([16]byte(p[8:24]))
	if src.IsUnspecified() || src.IsLoopback() || src.IsMulticast() || src.Is4In6() {
		return martian
	}
	d.six = true
	return d.parseUDP(p[ip6Len:total], sum(p[8:40], 0), src)
}

// parseUDP reads a datagram (RFC 768); addresses is the sum of both addresses.
func (d *datagram) parseUDP(p []byte, addresses uint64, src netip.Addr) fault {
	n := int(binary.BigEndian.Uint16(p[4:]))
	if n < udpLen || n > len(p) {
		return malformed
	}
	p = p[:n]
	pseudo := addresses + protoUDP + uint64(n)
	switch given := binary.BigEndian.Uint16(p[6:]); {
	case given == 0 && !d.six: // none (RFC 768); IPv6 demands one (RFC 8200, section 8.1)
	case given != 0 && fold(sum(p, pseudo)) == 0xffff:
	case given != 0 && given == fold(pseudo):
		// The sender, on the same machine, left the rest to hardware that does
		// not exist (the kernel's CHECKSUM_PARTIAL): nothing to compare with.
	default:
		return corrupt
	}
	port := binary.BigEndian.Uint16(p)
	if port == 0 {
		return martian
	}
	d.src, d.payload = netip.AddrPortFrom(src, port), p[udpLen:]
	return sound
}

// reply turns the frame that d was parsed from into the answer to it, with
// payload, and gives its length: to the station, address and port that it came
// from, from those that it went to. The frame must have room for it, which limit
// sees to; 0 if it has not.
func (d *datagram) reply(frame, payload []byte) int {
	head := etherLen + ip4Len
	if d.six {
		head = etherLen + ip6Len
	}
	size := head + udpLen + len(payload)
	if size > len(frame) {
		return 0
	}
	frame = frame[:size]
	copy(frame[head+udpLen:], payload)
	swap((*[6]byte)(frame), (*[6]byte)(frame[6:]))
	ip, udp := frame[etherLen:head], frame[head:]
	var addresses uint64
	if d.six {
		addresses = answer6(ip, len(udp))
	} else {
		addresses = answer4(ip, len(udp))
	}
	swap((*[2]byte)(udp), (*[2]byte)(udp[2:]))
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	udp[6], udp[7] = 0, 0
	check := ^fold(sum(udp, addresses+protoUDP+uint64(len(udp))))
	if check == 0 {
		check = 0xffff // 0 would mean that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(udp[6:], check)
	return size
}

// answer4 writes the IPv4 header of an answer of n octets over that of the
// query, and gives the sum of its addresses. It is atomic, so that its
// identification says nothing (RFC 6864, section 4.1).
func answer4(ip []byte, n int) uint64 {
	ip[0], ip[1] = 0x45, 0
	binary.BigEndian.PutUint16(ip[2:], uint16(ip4Len+n))
	binary.BigEndian.PutUint16(ip[4:], 0)
	binary.BigEndian.PutUint16(ip[6:], dontFragment)
	ip[8], ip[9], ip[10], ip[11] = hops, protoUDP, 0, 0
	swap((*[4]byte)(ip[12:]), (*[4]byte)(ip[16:]))
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(ip[:ip4Len], 0)))
	return sum(ip[12:20], 0)
}

// answer6 is answer4 for IPv6. The flow label is not used (RFC 6437, section 3).
func answer6(ip []byte, n int) uint64 {
	ip[0], ip[1], ip[2], ip[3] = 0x60, 0, 0, 0
	binary.BigEndian.PutUint16(ip[4:], uint16(n))
	ip[6], ip[7] = protoUDP, hops
	swap((*[16]byte)(ip[8:]), (*[16]byte)(ip[24:]))
	return sum(ip[8:40], 0)
}

// limit is the longest payload of an answer on an interface with that MTU: both
// families alike, and never in fragments (RFC 9715, section 3.1).
func limit(mtu int) int { return min(mtu, maxFrame-etherLen) - ip6Len - udpLen }

func swap[T any](a, b *T) { *a, *b = *b, *a }

// sum adds up b as 16-bit words in network byte order (RFC 1071), onto s. An odd
// last octet is padded with zero. It cannot overflow for what fits a frame.
func sum(b []byte, s uint64) uint64 {
	for len(b) >= 8 {
		v := binary.BigEndian.Uint64(b)
		s += v>>32 + v&0xffffffff
		b = b[8:]
	}
	for len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

// fold brings a sum to 16 bits, carries around the end (RFC 1071, section 4.1).
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}
