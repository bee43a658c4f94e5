package zones

// smallIndex is the index of a zone that has few names, within the Zone, so that
// finding a name costs no cache line beside those of the Zone and the arena. Each
// has 16 bits of the hash in its upper half, the number of the node in its lower
// one; 0 is free, and what comes behind it. The first one is taken, if any is.
type smallIndex [smallNames]uint32

const (
	smallNames = 8
	smallTag   = 0xffff0000
	maxSmall   = 1<<16 - 1 // the highest number of a node
)

// scan gives the first number from i on that may be that of a hash, and where it is. 0: there is none.
func (x *smallIndex) scan(h uint64, i int) (n node, at int) {
	tag := uint32(h) & smallTag
	for ; i < len(x); i++ {
		if d := x[i] ^ tag; d-1 < maxSmall { // x[i] may be 0 and the tag, too
			return node(d), i
		}
	}
	return 0, i
}

// settle ends the making of a zone: it gives back memory that was reserved and is
// not needed, and makes the index small where it can be.
func (z *Zone) settle() {
	z.shrink()
	used := 0
	for _, s := range z.index {
		if s == 0 {
			continue
		}
		if used++; used > smallNames || uint32(s) > maxSmall {
			return
		}
	}
	at := 0
	for _, s := range z.index {
		if s != 0 {
			z.small[at] = uint32(s>>32)&smallTag | uint32(s)
			at++
		}
	}
	if at > 0 {
		z.index = nil
	}
}

// grown is the zone's index with room for more names, of one's own.
func (z *Zone) grown() index {
	x := newIndex(2*smallNames + z.names)
	var name Name
	for _, s := range z.small {
		if s != 0 {
			n := node(s &^ smallTag)
			name.Set(z.arena.owner(n))
			x.put(name.hash[0], uint32(n))
		}
	}
	return x
}
