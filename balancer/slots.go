package balancer

import (
	"math"
	"net/netip"
	"slices"

	"gslb/balancer/kernel"
)

// A plane in the kernel does not ask a picker for each connection: it has a table
// of slots, each of which belongs to a server, and goes by a hash or in turns.
// slotting makes these tables of one frontend, for both families.
type slotting struct{ v4, v6 family }

// family is the slots of the servers of one family.
type family struct {
	seeds  []uint64  // of the servers that the slots were made of,
	shares []float64 // and what each was to have;
	size   int
	owner  []uint16 // to which server, of these, each slot belongs
}

// make returns the slots for servers that stand so: indexes of seen.
func (s *slotting) make(pick string, seen []standing, size func(int) int) (v4, v6 []uint16) {
	return s.v4.make(pick, seen, netip.Addr.Is4, size), s.v6.make(pick, seen, netip.Addr.Is6, size)
}

func (f *family) make(pick string, seen []standing, is func(netip.Addr) bool, size func(int) int) []uint16 {
	var seeds []uint64
	var shares []float64
	var index []uint16
	known := 0
	for i, one := range seen {
		if !is(one.address.Addr()) {
			continue
		}
		known++
		if one.new != nil {
			index = append(index, uint16(i))
			seeds = append(seeds, one.server.seed)
			shares = append(shares, share(pick, one.new))
		}
	}
	if len(index) == 0 {
		*f = family{}
		return nil
	}
	n := size(known)
	if !slices.Equal(seeds, f.seeds) || !slices.Equal(shares, f.shares) || n != f.size {
		var owner []uint16
		switch pick {
		case Maglev:
			owner = maglevSlots(seeds, shares, n)
		case Hash:
			owner = rendezvousSlots(seeds, shares, n)
		default:
			owner = turnSlots(shares, n, f.moved(seeds, n))
		}
		*f = family{seeds, shares, n, owner}
	}
	out := make([]uint16, n)
	for i, o := range f.owner {
		out[i] = index[o]
	}
	return out
}

// share is what part of the slots a candidate is to have, relative to others.
func share(pick string, c *candidate) float64 {
	switch pick {
	case RoundRobin:
		return c.ramp
	case Maglev, Hash:
		return c.size * step(c.ramp)
	}
	return c.share()
}

// none owns a slot that is to be given away.
const none = math.MaxUint16

// moved returns the slots as they were, for the servers as they are now.
func (f *family) moved(seeds []uint64, size int) []uint16 {
	out := make([]uint16, size)
	for i := range out {
		out[i] = none
		if f.size == size {
			if now := slices.Index(seeds, f.seeds[f.owner[i]]); now >= 0 {
				out[i] = uint16(now)
			}
		}
	}
	return out
}

// turnSlots gives each server its share of size slots, to the nearest one but at
// least one, and takes no slot from a server that has not too many of them in was.
// Those of a new table are in the order of smooth weighted round-robin, so that a
// plane that takes them in turns spreads every server's.
func turnSlots(shares []float64, size int, was []uint16) []uint16 {
	want := apportion(shares, size)
	owned, have := make([]int, len(shares)), make([]int, len(shares))
	for _, o := range was {
		if o != none {
			owned[o]++
		}
	}
	// What a server has too many of it gives up evenly along the table, each one from another
	// place on: taken from one end they would be a row of slots of whoever comes.
	out, nth := slices.Clone(was), make([]int, len(shares))
	for i, o := range out {
		if o == none {
			continue
		}
		keeps := true
		if owned[o] > want[o] {
			at := nth[o]*want[o] + owned[o]*int(o)/len(shares)
			keeps = (at+want[o])/owned[o] > at/owned[o]
		}
		nth[o]++
		if keeps {
			have[o]++
		} else {
			out[i] = none
		}
	}
	// Smooth weighted round-robin among what each one lacks.
	lack, left := make([]int, len(shares)), 0
	for i := range lack {
		lack[i] = want[i] - have[i]
		left += lack[i]
	}
	turn := make([]int, len(shares))
	for i, o := range out {
		if o != none {
			continue
		}
		best := -1
		for s := range turn {
			turn[s] += lack[s]
			if have[s] < want[s] && (best < 0 || turn[s] > turn[best]) {
				best = s
			}
		}
		turn[best] -= left
		have[best]++
		out[i] = uint16(best)
	}
	return out
}

// apportion parts size by shares: the largest remainders get what is left over,
// and everyone at least one.
func apportion(shares []float64, size int) []int {
	sum := 0.0
	for _, s := range shares {
		sum += s
	}
	out, rest := make([]int, len(shares)), make([]float64, len(shares))
	given := 0
	for i, s := range shares {
		exact := s / sum * float64(size)
		out[i] = max(1, int(exact))
		rest[i] = exact - float64(out[i])
		given += out[i]
	}
	for ; given < size; given++ {
		i := largest(rest)
		out[i]++
		rest[i]--
	}
	for ; given > size; given-- { // too many had less than one
		i := 0
		for j := range out {
			if out[j] > out[i] {
				i = j
			}
		}
		out[i]--
	}
	return out
}

func largest(of []float64) int {
	best := 0
	for i := range of {
		if of[i] > of[best] {
			best = i
		}
	}
	return best
}

// rendezvousSlots gives each slot to the server with the highest random weight for
// it: when one leaves, no slot but its own changes hands.
func rendezvousSlots(seeds []uint64, shares []float64, size int) []uint16 {
	out := make([]uint16, size)
	for i := range out {
		key, highest := finish(mix(hashStart, uint64(i))), math.Inf(-1)
		for s, seed := range seeds {
			if number := weightFor(seed, key, shares[s]); number > highest {
				out[i], highest = uint16(s), number
			}
		}
	}
	return out
}

// by is how a plane in the kernel comes to a slot.
func (c *Config) by() kernel.By {
	switch {
	case c.Pick != Maglev && c.Pick != Hash:
		return kernel.Turn
	case c.HashBy == HashConnection:
		return kernel.ByConnection
	}
	return kernel.ByAddress
}
