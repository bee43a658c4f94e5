package balancer

import (
	"cmp"
	"math"
	"slices"
)

// maglev is the consistent hash of Eisenbud et al., "Maglev: A Fast and Reliable
// Software Network Load Balancer" (NSDI 2016), section 3.4: a table of slots, each
// of which belongs to a server, is looked up by the flow's hash. Servers take slots
// in turns, each in an order of its own, so that shares are even, and when
// one leaves, few slots other than its own change hands. Weights are turns skipped,
// as in Envoy.
//
// The table depends on the servers' addresses and shares alone, not on their order
// or on what was before: all balancers of a virtual address have the same.
type maglev struct {
	// What the last table was made of; it is made anew only if that changed, for
	// that takes milliseconds.
	seeds  []uint64
	shares []float64
	slots  []uint16
}

// Sizes of the lookup table: primes, so that every step visits all slots. For 1 %
// of evenness there must be 100 slots to a server (section 5.3 of the paper).
const (
	maglevSize    = 65537
	maglevMany    = 655 // servers that the size is good for
	maglevSizeBig = 655373
)

func (*maglev) pick(t *table, f flow) *server {
	return t.candidates[t.slots[f.key(t.whole, t.seed)%uint64(len(t.slots))]].server
}

func (m *maglev) prepare(t *table) {
	seeds, shares := make([]uint64, len(t.candidates)), make([]float64, len(t.candidates))
	for i := range t.candidates {
		c := &t.candidates[i]
		seeds[i], shares[i] = c.seed, c.size*step(c.ramp)
	}
	if !slices.Equal(seeds, m.seeds) || !slices.Equal(shares, m.shares) {
		size := maglevSize
		if len(seeds) > maglevMany {
			size = maglevSizeBig
		}
		m.seeds, m.shares, m.slots = seeds, shares, maglevSlots(seeds, shares, size)
	}
	t.slots = m.slots
}

// step makes stairs of a slow start, each 1.41 times as high as the last: every
// change of a share moves clients.
func step(ramp float64) float64 {
	return math.Exp2(math.Floor(2*math.Log2(ramp)) / 2)
}

// maglevSlots makes the lookup table: for each of size slots, the index of a server.
// Size is a prime above the number of servers.
func maglevSlots(seeds []uint64, shares []float64, size int) []uint16 {
	turns := make([]int, len(seeds)) // who is when; by seed, so that the order of servers does not matter
	for i := range turns {
		turns[i] = i
	}
	slices.SortFunc(turns, func(a, b int) int { return cmp.Compare(seeds[a], seeds[b]) })
	largest := slices.Max(shares)
	next, skip := make([]uint32, len(seeds)), make([]uint32, len(seeds))
	for i, seed := range seeds {
		next[i] = uint32(seed % uint64(size))
		skip[i] = uint32(finish(mix(seed, 1))%uint64(size-1)) + 1
	}
	const free = math.MaxUint16
	slots := make([]uint16, size)
	for i := range slots {
		slots[i] = free
	}
	due := make([]float64, len(seeds)) // the next turn comes when round times share has reached it
	for i := range due {
		due[i] = largest / 2
	}
	for round, filled := 1, 0; filled < size; round++ {
		for _, i := range turns {
			if float64(round)*shares[i] < due[i] {
				continue
			}
			due[i] += largest
			for slots[next[i]] != free {
				next[i] += skip[i]
				if next[i] >= uint32(size) {
					next[i] -= uint32(size)
				}
			}
			slots[next[i]] = uint16(i)
			if filled++; filled == size {
				break
			}
		}
	}
	return slots
}
