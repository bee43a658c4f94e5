package zones

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// patch is a Patcher at work: the compiler writes behind the zone before.
type patch struct {
	*Patcher
	compiler
	was   *Zone
	index pageEdit
	chain *chainEdit          // of a zone that is signed; else nil
	from  int                 // what is behind it in the arena has been written by this patch
	moved map[uint64]struct{} // names, by hash, whose addresses others have to know anew
}

// finish completes the zone: the SOA of negative answers, and what goes with RRsets.
func (c *patch) finish() {
	z := c.z
	if to := len(z.arena); to > c.from {
		z.patched.spans = append(z.patched.spans, span{c.from, to})
	}
	c.compiler.apex()
	c.finishTails()
}

// change makes one change.
func (c *patch) change(to *Changed) {
	z := c.z
	c.name.Set(to.Owner)
	n := z.find(&c.name, 0)
	switch {
	case n == 0 && len(to.Records) == 0:
		return
	case n == 0:
		c.above(1, to.Owner)
		up := z.find(&c.name, 1)
		c.join(0, c.write(to, 0, inherited(z.arena.flags(up))))
		z.names++
		return
	}
	if count, _ := z.arena.sets(n); count > 0 {
		z.names--
	}
	if len(to.Records) == 0 && c.kids[c.name.hash[0]] == 0 {
		c.remove(0, n)
		return
	}
	if len(to.Records) > 0 {
		z.names++
	}
	flags := z.arena.flags(n) & hasWild
	if n != z.top {
		flags |= inherited(z.arena.flags(z.find(&c.name, 1)))
	}
	c.swap(c.name.hash[0], n, c.write(to, n, flags))
}

// swap puts a node in the place of one of the same name.
func (c *patch) swap(h uint64, old, n node) {
	if c.index.replace(h, old, n); old == c.z.top {
		c.z.top = n
	}
}

// write writes a node with its records; old is the one whose place it takes, 0: none.
func (c *patch) write(to *Changed, old node, flags uint8) node {
	top := old != 0 && old == c.z.top
	n := c.begin(to.Owner)
	if hasUpper(to.Owner) {
		flags |= letters
	}
	sets := 0
	for list := to.Records; len(list) > 0; sets++ {
		count := 0
		for ; count < len(list) && list[count].Type == list[0].Type; count++ {
		}
		set := (&Changed{Records: list[:count]}).set(list[0].Type)
		flags |= ownFlag(set.Type, top)
		c.head(n, set.Type, count, len(set.Wire), 0, 0)
		c.keepTail(old, set)
		c.z.arena = append(c.z.arena, set.Wire...)
		c.target(set)
		list = list[count:]
	}
	c.end(n, flags, sets)
	return n
}

// keepTail lets an RRset whose head has just been written have what went with it at
// the node before, where it is the same: c.refer sees to those whose targets change.
func (c *patch) keepTail(old node, set RRset) {
	if old == 0 || asIs(set.Type) {
		return
	}
	was, tail, ok := c.z.arena.find(old, set.Type)
	if !ok || tail == 0 || string(was.Wire) != string(set.Wire) || set.leads(c.moved) {
		return
	}
	w := c.tails[len(c.tails)-1]
	c.tails = c.tails[:len(c.tails)-1]
	binary.LittleEndian.PutUint32(c.z.arena[w.at+8:], tail)
}

// above makes the nodes above a name, from without its first k labels on, where they
// are not there.
func (c *patch) above(k int, owner []byte) {
	if c.z.find(&c.name, k) != 0 {
		return
	}
	c.above(k+1, owner)
	up := c.z.find(&c.name, k+1)
	c.join(k, c.write(&Changed{Owner: owner[c.name.off[k]:]}, 0, inherited(c.z.arena.flags(up))))
}

// join enters a new node.
func (c *patch) join(k int, n node) {
	c.index.put(c.name.hash[k], n)
	c.slots--
	c.kids[c.name.hash[k+1]]++
}

// remove takes a node out that has nothing below it, and those above it that are
// there for its sake.
func (c *patch) remove(k int, n node) {
	z := c.z
	c.index.drop(c.name.hash[k], n, z.hash)
	above := c.name.hash[k+1]
	c.kids[above]--
	up := z.find(&c.name, k+1)
	if count, _ := z.arena.sets(up); up != z.top && count == 0 && c.kids[above] == 0 {
		c.remove(k+1, up)
	}
}

// wilds notes above names that are wildcards, or had to be made or taken away for a
// name's sake and are, whether they are there.
func (c *patch) wilds(changes []Changed) {
	for i := range changes {
		c.wild(changes[i].Owner)
	}
}

func (c *patch) wild(owner []byte) {
	c.name.Set(owner)
	for k := 0; k < c.name.labels-int(c.z.labels); k++ {
		if !dnsname.IsWild(c.name.from(k)) {
			continue
		}
		up := c.z.find(&c.name, k+1)
		if up == 0 {
			continue
		}
		flags := c.z.arena.flags(up) &^ hasWild
		if c.z.find(&c.name, k) != 0 {
			flags |= hasWild
		}
		if flags == c.z.arena.flags(up) {
			continue
		}
		if 4*int(up) < c.from {
			up = c.copied(k+1, up)
		}
		c.z.arena[4*int(up)+1] = flags
	}
}

// copied puts a copy of a node, which is c.name without its first k labels, in its
// place.
func (c *patch) copied(k int, n node) node {
	z := c.z
	for len(z.arena)%4 != 0 {
		z.arena = append(z.arena, 0)
	}
	next := node(len(z.arena) / 4)
	z.arena = append(z.arena, z.arena[4*int(n):z.arena.end(n)]...)
	c.swap(c.name.hash[k], n, next)
	if _, _, ok := z.arena.find(next, dns.TypeNSEC); ok && c.chain != nil {
		c.chain.moved(z.arena, next)
	}
	return next
}

// end is where the last RRset of a node ends.
func (a arena) end(n node) int {
	count, at := a.sets(n)
	for range count {
		_, _, at = a.set(at)
	}
	return at
}

// refer has written anew what goes with the RRsets of a node whose targets are
// among some.
func (c *patch) refer(n node, moved map[uint64]struct{}) {
	if c.name.Set(c.z.arena.owner(n)); 4*int(n) < c.from {
		n = c.copied(0, n)
	}
	count, at := c.z.arena.sets(n)
	for range count {
		set, _, next := c.z.arena.set(at)
		if set.leads(moved) && !c.waits(at) {
			binary.LittleEndian.PutUint32(c.z.arena[at+8:], 0)
			c.tails = append(c.tails, waiting{at, n})
		}
		at = next
	}
}

// waits tells whether an RRset's tail is to be written anyway.
func (c *patch) waits(at int) bool {
	for i := range c.tails {
		if c.tails[i].at == at {
			return true
		}
	}
	return false
}
