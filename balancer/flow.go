package balancer

import (
	"encoding/binary"
	"math/bits"
	"net"
	"net/netip"
)

// flow is the addresses of one connection: what hash picks go by.
type flow struct {
	client netip.AddrPort
	local  netip.AddrPort // where the client connected to
}

func flowOf(conn net.Conn) flow {
	return flow{addrPort(conn.RemoteAddr()), addrPort(conn.LocalAddr())}
}

// addrPort unmaps: the same client is the same whichever socket took it.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// key is the hash of the flow: of the client's address, or of both ends with
// their ports. The same on every node and in every version, so that balancers
// which share a virtual address agree. seed is hashSeed's: who does not know it
// cannot choose flows that all go to one server.
func (f flow) key(whole bool, seed uint64) uint64 {
	h := mixAddr(hashStart^seed, f.client.Addr())
	if whole {
		h = mixAddr(h, f.local.Addr())
		h = mix(h, uint64(f.client.Port())<<16|uint64(f.local.Port()))
	}
	return finish(h)
}

// The constants are those of wyhash (Wang Yi), whose step mix is: a product
// of 128 bits, folded.
const (
	hashStart = 0xa0761d6478bd642f
	hashStep  = 0xe7037ed1a0b428db
)

func mix(h, v uint64) uint64 {
	high, low := bits.Mul64(h^v, hashStep^h>>1)
	return high ^ low
}

// hashSeed is the seed that a HashKey comes to; 0 without one.
func hashSeed(key string) uint64 {
	if key == "" {
		return 0
	}
	return hashText(key)
}

// finish makes every bit of the result depend on all of h (the last step of murmur3).
func finish(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func mixAddr(h uint64, a netip.Addr) uint64 {
	b := a.As16()
	return mix(mix(h, binary.BigEndian.Uint64(b[:8])), binary.BigEndian.Uint64(b[8:]))
}

// hashText is the hash of a server's address.
func hashText(s string) uint64 {
	h := uint64(hashStart)
	for ; len(s) >= 8; s = s[8:] {
		h = mix(h, uint64(s[0])<<56|uint64(s[1])<<48|uint64(s[2])<<40|uint64(s[3])<<32|
			uint64(s[4])<<24|uint64(s[5])<<16|uint64(s[6])<<8|uint64(s[7]))
	}
	last := uint64(len(s))
	for i := range len(s) {
		last = last<<8 | uint64(s[i])
	}
	return finish(mix(h, last))
}
