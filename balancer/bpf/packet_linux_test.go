package bpf

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Ethernet addresses of the tests.
var (
	us     = [6]byte{2, 0, 0, 0, 0, 1} // the balancer's interface
	router = [6]byte{2, 0, 0, 0, 0, 2} // whence clients' packets come
	hopA   = [6]byte{2, 0, 0, 0, 0, 0xa}
	hopB   = [6]byte{2, 0, 0, 0, 0, 0xb}
)

// IANA's protocol numbers.
const (
	protoICMP  = 1
	protoIPIP  = 4
	protoTCP   = 6
	protoUDP   = 17
	protoIPv6  = 41
	protoICMP6 = 58
)

const (
	fin = 1
	syn = 2
	rst = 4
	ack = 16
)

// ip is one IP packet for a test.
type ip struct {
	from, to netip.Addr
	protocol uint8
	ttl      uint8 // 0: 64
	tos      uint8
	df       bool
	id       uint32
	offset   int // of a fragment, in octets
	more     bool
	options  []byte // IPv4's
	headers  []byte // IPv6's extension headers; the first is of the type protocol, the last says the rest
	payload  []byte
}

func (p ip) bytes() []byte {
	if p.ttl == 0 {
		p.ttl = 64
	}
	if p.from.Is6() {
		b := make([]byte, 40)
		binary.BigEndian.PutUint32(b, 6<<28|uint32(p.tos)<<20)
		binary.BigEndian.PutUint16(b[4:], uint16(len(p.headers)+len(p.payload)))
		b[6], b[7] = p.protocol, p.ttl
		copy(b[8:], p.from.AsSlice())
		copy(b[24:], p.to.AsSlice())
		return slices.Concat(b, p.headers, p.payload)
	}
	b := append(make([]byte, 20), p.options...)
	b[0], b[1] = byte(0x40|len(b)/4), p.tos
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(p.payload)))
	binary.BigEndian.PutUint16(b[4:], uint16(p.id))
	where := uint16(p.offset / 8)
	if p.df {
		where |= 0x4000
	}
	if p.more {
		where |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], where)
	b[8], b[9] = p.ttl, p.protocol
	copy(b[12:], p.from.AsSlice())
	copy(b[16:], p.to.AsSlice())
	binary.BigEndian.PutUint16(b[10:], ^sum(0, b))
	return append(b, p.payload...)
}

// sum is the one's complement sum (RFC 1071).
func sum(start uint32, b []byte) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		start += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		start += uint32(b[len(b)-1]) << 8
	}
	for start>>16 != 0 {
		start = start&0xffff + start>>16
	}
	return uint16(start)
}

// pseudo is the sum of what counts beside the transport's header (RFC 8200, section 8.1).
func pseudo(from, to netip.Addr, protocol uint8, length int) uint32 {
	return uint32(sum(0, from.AsSlice())) + uint32(sum(0, to.AsSlice())) + uint32(protocol) + uint32(length)
}

func tcp(from, to netip.AddrPort, flags byte, data int) ip {
	b := make([]byte, 20+data)
	binary.BigEndian.PutUint16(b, from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	b[12], b[13] = 5<<4, flags
	binary.BigEndian.PutUint16(b[16:], ^sum(pseudo(from.Addr(), to.Addr(), protoTCP, len(b)), b))
	return ip{from: from.Addr(), to: to.Addr(), protocol: protoTCP, df: true, payload: b}
}

func udp(from, to netip.AddrPort, data int) ip {
	b := make([]byte, 8+data)
	binary.BigEndian.PutUint16(b, from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[6:], ^sum(pseudo(from.Addr(), to.Addr(), protoUDP, len(b)), b))
	return ip{from: from.Addr(), to: to.Addr(), protocol: protoUDP, payload: b}
}

// icmp is a message of either family.
func icmp(from, to netip.Addr, kind, code byte, rest uint32, data []byte) ip {
	b := append(make([]byte, 8), data...)
	b[0], b[1] = kind, code
	binary.BigEndian.PutUint32(b[4:], rest)
	p := ip{from: from, to: to, protocol: protoICMP, payload: b}
	start := uint32(0)
	if from.Is6() {
		p.protocol = protoICMP6
		start = pseudo(from, to, protoICMP6, len(b))
	}
	binary.BigEndian.PutUint16(b[2:], ^sum(start, b))
	return p
}

// ether is a frame.
func ether(to, from [6]byte, packet []byte) []byte {
	kind := []byte{8, 0}
	if len(packet) > 0 && packet[0]>>4 == 6 {
		kind = []byte{0x86, 0xdd}
	}
	return slices.Concat(to[:], from[:], kind, packet)
}

// arriving is a client's frame.
func arriving(p ip) []byte { return ether(us, router, p.bytes()) }

// hopped is the packet after one router.
func (p ip) hopped() ip {
	if p.ttl == 0 {
		p.ttl = 64
	}
	p.ttl--
	return p
}
