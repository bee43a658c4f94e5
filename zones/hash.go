package zones

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"

	"gslb/dnsname"
)

// maxLabels is the most labels that a name has, the root's not counted.
const maxLabels = dnsname.Max / 2

// Name is a domain name as look-ups take it: in lower case (RFC 4343), with a
// hash for it and for each name above it, which finding the zone, the node and
// the closest encloser share. The zero Name is not a name: Set makes it one.
type Name struct {
	octets [dnsname.Max + 17]byte // wire form; the rest lets it be read in words
	length int
	labels int                   // the root's not counted
	off    [maxLabels + 1]uint8  // where each label begins, the root's last
	hash   [maxLabels + 1]uint64 // of the name that begins there
}

// Set makes n the name in wire form, not compressed, that b begins with, and
// returns its length in b; -1: there is none.
func (n *Name) Set(b []byte) int {
	at, k := 0, 0
	for {
		if at >= len(b) || at >= dnsname.Max {
			return -1
		}
		c := b[at]
		n.off[k&maxLabels] = uint8(at)
		if c == 0 {
			break
		}
		if c > 63 {
			return -1
		}
		k++
		at += 1 + int(c)
	}
	n.length, n.labels = at+1, k
	if len(b) < at+8 { // too short to be read in words
		b = append(n.octets[:0], b[:at+1]...)[:at+8]
	}
	for i := 0; i <= at; i += 8 {
		binary.LittleEndian.PutUint64(n.octets[i:], fold8(binary.LittleEndian.Uint64(b[i:])))
	}
	h := hashSeeds[0]
	n.hash[k&maxLabels] = h
	for k--; k >= 0; k-- {
		h = n.step(h, int(n.off[k&maxLabels]))
		n.hash[k&maxLabels] = h
	}
	return at + 1
}

// Wire is the name in wire form, lower case. It is valid until the next Set.
func (n *Name) Wire() []byte { return n.octets[:n.length] }

// from is the name without its first labels.
func (n *Name) from(label int) []byte { return n.octets[n.off[label]:n.length] }

// hashSeeds make hashes differ from process to process, so that nobody can choose
// names that all fall on one place of an index.
var hashSeeds = func() (s [2]uint64) {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return [2]uint64{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
}()

// step hashes the label at an offset, length octet and all, on top of the hash
// of the name that follows it. Each step multiplies up to 16 octets, as wyhash does.
func (n *Name) step(h uint64, at int) uint64 {
	size := 1 + int(n.octets[at])
	for ; size > 16; size, at = size-16, at+16 {
		h = mix(binary.LittleEndian.Uint64(n.octets[at:]), binary.LittleEndian.Uint64(n.octets[at+8:]), h)
	}
	if size > 8 {
		return mix(binary.LittleEndian.Uint64(n.octets[at:]), binary.LittleEndian.Uint64(n.octets[at+8:])&(1<<(8*uint(size)-64)-1), h)
	}
	return mix(binary.LittleEndian.Uint64(n.octets[at:])&(1<<(8*uint(size))-1), 0, h)
}

// wildHash is the hash of the name "*" below the one that h is the hash of.
func wildHash(h uint64) uint64 { return mix('*'<<8|1, 0, h) }

func mix(a, b, h uint64) uint64 {
	hi, lo := bits.Mul64(a^hashSeeds[1], b^h)
	return hi ^ lo
}

// index finds numbers by hash: open addressing with linear probing. A slot has
// 32 bits of the hash in its upper half, the number in its lower one; 0 is free.
type index []uint64

// newIndex makes room for n numbers, so that three of five slots are taken.
func newIndex(n int) index { return make(index, n+2*n/3+2) }

// start is where to look for h first; next where to look then.
func (x index) start(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(x)))
	return int(hi)
}

func (x index) next(i int) int {
	if i++; i < len(x) {
		return i
	}
	return 0
}

// first gives the first number that may be that of a hash, and where it is;
// after the next one behind a place. 0: there is none.
func (x index) first(h uint64) (number uint32, at int)        { return x.scan(h, x.start(h)) }
func (x index) after(h uint64, i int) (number uint32, at int) { return x.scan(h, x.next(i)) }

func (x index) scan(h uint64, i int) (number uint32, at int) {
	for x[i] != 0 && uint32(x[i]>>32) != uint32(h) {
		i = x.next(i)
	}
	return uint32(x[i]), i
}

func (x index) put(h uint64, number uint32) {
	i := x.start(h)
	for x[i] != 0 {
		i = x.next(i)
	}
	x[i] = h<<32 | uint64(number)
}
