// Package bpf makes the kernel forward services by direct server return, with a
// program of its own: in the network stack's ingress (TCX) or in the driver (XDP).
//
// It owns the program (program/*.c, compiled by compile.sh and committed as
// program.o), its maps, where it is attached, and the Ethernet addresses of the
// servers' next hops. It knows no health, picks or weights: those are in the slots
// that it is given. Flows that are remembered stay where they are; new ones go by
// the slot that the hash of the flow has, which is that of the picks of package
// balancer, so that all balancers of a virtual address agree.
package bpf

import "math/bits"

//go:generate sh compile.sh

// slots is how many slots a table has: a prime, good for 655 servers at 1 % of evenness
// (section 5.3 of the Maglev paper).
const slots = 65537

// mix and hashStart are the hash of flows as package balancer makes it; a test of
// that package compares the two.
const (
	hashStart = 0xa0761d6478bd642f
	hashStep  = 0xe7037ed1a0b428db
)

func mix(h, v uint64) uint64 {
	high, low := bits.Mul64(h^v, hashStep^h>>1)
	return high ^ low
}
