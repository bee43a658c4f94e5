package zones

import (
	"iter"
	"slices"
	"sync"

	"github.com/miekg/dns"
)

// Changed is a name with all records that it owns from now on.
type Changed struct {
	Owner   []byte // wire form, letters as written
	Records []RR   // those of a type together, with one TTL
}

// Patcher makes the next version of a zone in which few names have changed, at a
// cost that goes by what has changed, where Make would read all of it again. It is
// for the versions of one zone, one after the other; the zero Patcher is ready.
//
// What has changed is written behind what was there, in the same memory: who reads
// the version before knows of nothing behind its end, and finds there what it has
// always been. So the first of them copies the zone, with room for those that
// follow. What is left behind in between is bounded: once it is a quarter of the
// zone, the zone is to be made anew.
type Patcher struct {
	mu   sync.Mutex // held while it works
	zone *Zone      // that the next one is made of
	own  bool       // its arena is the Patcher's own, and has room behind its end
	// kids are how many nodes stand right below a node, by its hash: one without
	// records and without kids goes.
	kids map[uint64]int
	// targets are the names, by hash, whose addresses go with records of others: what
	// goes with these is written anew when the addresses change.
	targets map[uint64]struct{}
	whole   int // octets of the arena when the zone was made
	slots   int // of the index, that may still be taken
}

// leastLeft is what may be left behind in a small zone, in octets.
const leastLeft = 64 << 10

// patched is what is known of a zone because it has been patched.
type patched struct {
	spans []span // of nodes in its arena, some of them dead
}

// bytes is the memory that it takes, about.
func (p *patched) bytes() int {
	if p == nil {
		return 0
	}
	return 64 + 16*cap(p.spans)
}

// span is where nodes lie in an arena, in octets.
type span struct{ from, to int }

// live gives the nodes of the zone, the apex first. In a zone that was patched they
// are those that are found by their names.
func (z *Zone) live() iter.Seq[node] {
	return func(yield func(node) bool) {
		if z.patched == nil {
			for at := 4 * int(apex); at < z.negSOA; {
				n := node(at / 4)
				if at = z.arena.after(n); !yield(n) {
					return
				}
			}
			return
		}
		if !yield(z.top) {
			return
		}
		for n := range z.written() {
			if n != z.top && z.alive(n) && !yield(n) {
				return
			}
		}
	}
}

// written gives all nodes that are or were in a zone that was patched.
func (z *Zone) written() iter.Seq[node] {
	return func(yield func(node) bool) {
		for _, s := range z.patched.spans {
			for at := s.from; at < s.to; {
				n := node(at / 4)
				if at = z.arena.after(n); !yield(n) {
					return
				}
			}
		}
	}
}

// alive tells whether a node is in the zone still.
func (z *Zone) alive(n node) bool {
	var name Name
	name.Set(z.arena.owner(n))
	if z.find(&name, 0) == n {
		return true
	}
	if z.denial != withNSEC3 || name.labels != int(z.labels)+1 || z.arena.flags(n)&forSigning == 0 {
		return false
	}
	var room [maxKey]byte
	return z.cover(name.appendKey(room[:0], 0, int(z.labels))) == n
}

// Patch makes the zone that z becomes by the changes. ok is false where it has to be
// made anew: it is signed or has ALIAS records, a DNAME changes, a delegation comes or goes above
// other names, something is wrong, or it is time to. z stays as it is.
func (p *Patcher) Patch(z *Zone, changes []Changed) (next *Zone, ok bool) {
	if z.signing != nil || !z.patchable() {
		return nil, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.know(z)
	changes = slices.Clone(changes)
	inOrder(changes, func(c *Changed) []byte { return c.Owner })
	size, names := 1024, 0
	plan := p.plan(z)
	for i := range changes {
		if !plan.takes(&changes[i]) {
			return nil, false
		}
		names += len(changes[i].Owner) / 2 // at most: each label may take a slot
		for _, r := range changes[i].Records {
			size += 2*len(r.Data) + len(r.Owner) + 64
		}
	}
	if !plan.whole(changes) || p.full(z, size, names) {
		return nil, false
	}
	c := p.start(z, size)
	c.moved = plan.moved
	for i := range changes {
		c.change(&changes[i])
	}
	c.wilds(changes)
	if !plan.again(c) {
		p.zone = nil
		return nil, false
	}
	c.finish()
	c.z.edited = z.edit(changes)
	p.zone, p.own = c.z, true
	return c.z, true
}

// full tells whether it is time to make the zone anew.
func (p *Patcher) full(z *Zone, size, names int) bool {
	return len(z.arena)+size-p.whole > max(leastLeft, p.whole/4) || p.slots < names || len(z.arena)+size > maxArena/2
}

// hashedOwner tells whether a node is there for its NSEC3 record only, and no name.
func (z *Zone) hashedOwner(name *Name, n node) bool {
	return z.denial == withNSEC3 && z.arena.flags(n)&forSigning != 0 && z.find(name, 0) != n
}

// target notes the names whose addresses go with an RRset.
func (p *Patcher) target(set RRset) {
	off := targetOffset(set.Type)
	if off < 0 {
		return
	}
	var name Name
	for data := range set.Data() {
		if name.Set(data[off:]); p.zone.holds(&name) {
			p.targets[name.hash[0]] = struct{}{}
		}
	}
}

// start begins the next zone: with the arena of the one before, or with a copy of it
// where that is not the Patcher's own or has no more room.
func (p *Patcher) start(z *Zone, size int) *patch {
	n := *z
	n.files, n.edited = nil, nil
	n.Warnings, n.missing = slices.Clip(z.Warnings), slices.Clip(z.missing)
	n.patched = &patched{spans: []span{{4 * int(apex), z.negSOA}}}
	if z.patched != nil {
		n.patched.spans = z.patched.spans
	}
	if !p.own {
		room := len(z.arena) + size + max(leastLeft, p.whole/4)
		n.arena, n.patched.spans = append(make(arena, 0, room), z.arena...), slices.Clip(n.patched.spans)
	}
	switch {
	case z.pages != nil:
	case z.index != nil:
		n.pages = pagesOf(z.index)
	default:
		n.pages = pagesOf(z.grown())
	}
	n.index, n.small = nil, smallIndex{}
	c := &patch{Patcher: p, compiler: compiler{builder: &builder{zone: &n}, z: &n}, was: z, index: n.pages.edit()}
	n.pages = c.index.pages
	for len(n.arena)%4 != 0 {
		n.arena = append(n.arena, 0)
	}
	c.from = len(n.arena)
	return c
}

// addressTypes are the types that go with other records, in alias mode their own among them.
var addressTypes = [...]uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeSVCB}
