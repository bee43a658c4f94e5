package nft

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
)

// Keys of sets: each part fills up whole words of four bytes.

func addrBytes(a netip.Addr) []byte { return a.AsSlice() }

func protoBytes(p uint8) []byte { return []byte{p, 0, 0, 0} }

func portBytes(p uint16) []byte {
	b := make([]byte, 4)
	binary.BigEndian.PutUint16(b, p)
	return b
}

func slotBytes(i int) []byte {
	b := make([]byte, 4)
	binary.NativeEndian.PutUint32(b, uint32(i))
	return b
}

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// seedOf is the seed of a service's hash: the same on every node, so that balancers
// that share a virtual address agree.
func seedOf(service string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(service))
	return h.Sum32()
}
