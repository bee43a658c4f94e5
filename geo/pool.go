package geo

import (
	"bytes"
	"hash/maphash"

	"gslb/parallel"
)

// pool keeps nodes one behind the other, equal ones once. A node says in its own
// octets how long it is: so what begins with a node's octets will do for it.
type pool struct {
	octets []byte
	seed   maphash.Seed
	known  []known // a hash table with open addressing
	used   int
}

// known is where a node lies and its hash, which is never 0.
type known struct{ hash, place uint32 }

// place returns where a node lies, a multiple of 4, after adding it if there is none equal.
func (p *pool) place(node []byte) uint32 {
	if 4*p.used >= 3*len(p.known) {
		p.grow()
	}
	hash := uint32(maphash.Bytes(p.seed, node)) | 1<<31
	i := hash & p.mask()
	for ; p.known[i].hash != 0; i = (i + 1) & p.mask() {
		if k := p.known[i]; k.hash == hash && bytes.HasPrefix(p.octets[k.place:], node) {
			return k.place
		}
	}
	p.octets = roomy(p.octets, len(node)+3)
	for len(p.octets)%4 != 0 {
		p.octets = append(p.octets, 0)
	}
	p.known[i] = known{hash, uint32(len(p.octets))}
	p.used++
	p.octets = append(p.octets, node...)
	return p.known[i].place
}

func (p *pool) mask() uint32 { return uint32(len(p.known) - 1) }

func (p *pool) grow() {
	old := p.known
	if old == nil {
		p.seed = maphash.MakeSeed()
	}
	p.known = make([]known, max(256, 2*len(old)))
	for n, k := range old {
		if k.hash != 0 {
			i := k.hash & p.mask()
			for p.known[i].hash != 0 {
				i = (i + 1) & p.mask()
			}
			p.known[i] = k
		}
		if n%yieldEvery == 0 {
			parallel.Yield()
		}
	}
}
