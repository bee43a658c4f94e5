package geo

import "math/bits"

// bitset is a set of small numbers.
type bitset []uint64

func newBitset(size uint) bitset { return make(bitset, size/64+1) }

func (s bitset) set(n uint)      { s[n/64] |= 1 << (n % 64) }
func (s bitset) has(n uint) bool { return s[n/64]>>(n%64)&1 == 1 }

// members returns the numbers in the set, ascending.
func (s bitset) members() []uint32 {
	var list []uint32
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			list = append(list, uint32(i*64+bits.TrailingZeros64(word)))
		}
	}
	return list
}

// ranks tells how many members a bitset has before each of its words.
func (s bitset) ranks() []uint32 {
	list, n := make([]uint32, len(s)), 0
	for i, word := range s {
		list[i] = uint32(n)
		n += bits.OnesCount64(word)
	}
	return list
}

// rank returns the position of a member, which counts from 0.
func (s bitset) rank(ranks []uint32, n uint) uint32 {
	return ranks[n/64] + uint32(bits.OnesCount64(s[n/64]&(1<<(n%64)-1)))
}
