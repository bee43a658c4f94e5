package zones

import (
	"bytes"
	"encoding/binary"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// Changed is a name with all records that it owns from now on.
type Changed struct {
	Owner   []byte // wire form, letters as written
	Records []RR   // those of a type together, with one TTL
}

// Patcher makes the next version of a zone in which few names have changed, at the
// cost of a copy of the zone's octets and of work on those names, where Make would
// read all of it again. It is for the versions of one zone, one after the other;
// the zero Patcher is ready.
//
// What has changed is written behind what was there, and the index of the copy leads
// there. What is left behind in between is bounded: once it is a quarter of the zone,
// the zone is to be made anew.
type Patcher struct {
	mu   sync.Mutex // held by Patch
	zone *Zone      // that the next one is made of
	// kids are how many nodes stand right below a node, by its hash: one without
	// records and without kids goes.
	kids map[uint64]int
	// targets are the names, by hash, whose addresses go with records of others: those
	// have places in the arena that do not move.
	targets map[uint64]struct{}
	whole   int // octets of the arena when the zone was made
	slots   int // of the index, that may still be taken
}

// leastLeft is what may be left behind in a small zone, in octets.
const leastLeft = 64 << 10

// span is where nodes lie in an arena, in octets.
type span struct{ from, to int }

// dead marks a node that is not in the index any more: none has both.
const dead = hasCNAME | hasDNAME

// live gives the nodes of the zone, the apex first.
func (z *Zone) live() iter.Seq[node] {
	return func(yield func(node) bool) {
		for i := -1; i < len(z.more); i++ {
			s := span{4 * int(apex), z.negSOA}
			if i >= 0 {
				s = z.more[i]
			}
			for at := s.from; at < s.to; {
				n := node(at / 4)
				at = z.arena.after(n)
				if z.arena.flags(n)&dead != dead && !yield(n) {
					return
				}
			}
		}
	}
}

// Patch makes the zone that z becomes by the changes. ok is false where it has to be
// made anew: it is signed or has ALIAS records, delegations or DNAMEs change, the apex does (but for its
// SOA), addresses do that go with other records, there is something wrong, or it is
// time to. z stays as it is.
func (p *Patcher) Patch(z *Zone, changes []Changed) (next *Zone, ok bool) {
	if !z.Loaded() || z.Signed() || z.denial != noDenial || z.signing != nil || len(z.aliases) > 0 {
		return nil, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.zone != z {
		p.learn(z)
	}
	size, names := 0, 0
	for i := range changes {
		if !p.simple(z, &changes[i]) {
			return nil, false
		}
		names += len(changes[i].Owner) / 2 // at most: each label may take a slot
		for _, r := range changes[i].Records {
			size += 2*len(r.Data) + len(r.Owner) + 64
		}
	}
	if len(z.arena)+size-p.whole > max(leastLeft, p.whole/4) || p.slots < names {
		return nil, false
	}
	n := *z
	n.arena = append(make(arena, 0, len(z.arena)+size+1024), z.arena...)
	if n.index = slices.Clone(z.index); n.index == nil {
		n.index, n.small = z.grown(), smallIndex{}
	}
	n.files = nil
	c := patch{Patcher: p, compiler: compiler{builder: &builder{zone: &n}, z: &n}}
	c.changes(changes)
	p.zone = &n
	return &n, true
}

// learn looks at a zone that was made otherwise.
func (p *Patcher) learn(z *Zone) {
	p.zone, p.kids, p.targets, p.whole = z, make(map[uint64]int), make(map[uint64]struct{}), len(z.arena)
	used := 0
	var name Name
	for n := range z.live() {
		used++
		if name.Set(z.arena.owner(n)); n != apex {
			p.kids[name.hash[1]]++
		}
		z.arena.each(n, func(set RRset) bool {
			p.target(set)
			return true
		})
	}
	slots := len(z.index)
	if z.index == nil {
		slots = len(z.grown())
	}
	p.slots = slots*2/3 - used
}

// target notes the names whose addresses go with an RRset.
func (p *Patcher) target(set RRset) {
	off := targetOffset(set.Type)
	if off < 0 {
		return
	}
	var name Name
	for data := range set.Data() {
		name.Set(data[off:])
		p.targets[name.hash[0]] = struct{}{}
	}
}

// simple tells whether a change can be made by Patch.
func (p *Patcher) simple(z *Zone, c *Changed) bool {
	var name Name
	if name.Set(c.Owner) != len(c.Owner) || !z.holds(&name) {
		return false
	}
	for _, w := range z.Warnings {
		if strings.Contains(strings.ToLower(w), strings.ToLower(dnsname.Format(c.Owner))) {
			return false // it may be gone
		}
	}
	n := z.find(&name, 0)
	if n == apex {
		return p.serialOnly(z, c)
	}
	above := n
	for k := 1; above == 0; k++ {
		above = z.find(&name, k)
	}
	if f := z.arena.flags(above); f&(hasDNAME|belowDNAME) != 0 || n != 0 && f&isCut != 0 {
		return false
	}
	_, isTarget := p.targets[name.hash[0]]
	if isTarget && n != 0 {
		for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if _, _, there := z.arena.find(n, t); there {
				return false
			}
		}
	}
	size := 0
	for i, r := range c.Records {
		switch r.Type {
		case dns.TypeNS, dns.TypeDNAME, dns.TypeSOA, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM, TypeALIAS:
			return false
		case dns.TypeA, dns.TypeAAAA:
			if isTarget {
				return false
			}
		case dns.TypeCNAME:
			if len(c.Records) > 1 {
				return false
			}
		}
		if size += recordHead + len(r.Data); r.Check() != nil || size > maxSet || i >= 1<<16-1 || i > 0 && r.Type == c.Records[i-1].Type && r.TTL != c.Records[i-1].TTL {
			return false
		}
	}
	return true
}

// serialOnly tells whether nothing but the SOA changes at the apex, and that to one
// that takes the same room.
func (p *Patcher) serialOnly(z *Zone, c *Changed) bool {
	if !bytes.Equal(z.arena.owner(apex), c.Owner) {
		return false
	}
	soas, left := 0, 0
	z.arena.each(apex, func(set RRset) bool {
		if left += int(set.Count); set.Type == dns.TypeSOA {
			left--
		}
		return true
	})
	for _, r := range c.Records {
		set, _, ok := z.arena.find(apex, r.Type)
		switch {
		case !ok:
			return false
		case r.Type == dns.TypeSOA:
			if soas++; len(r.Data) != len(set.first()) || r.Check() != nil {
				return false
			}
			continue
		case set.TTL() != r.TTL:
			return false
		}
		there := false
		for data := range set.Data() {
			there = there || bytes.Equal(data, r.Data)
		}
		if !there {
			return false
		}
		left--
	}
	return soas == 1 && left == 0
}

// patch is a Patcher at work: the compiler writes behind a copy of the zone before.
type patch struct {
	*Patcher
	compiler
}

func (c *patch) changes(all []Changed) {
	z := c.z
	for len(z.arena)%4 != 0 {
		z.arena = append(z.arena, 0)
	}
	from := len(z.arena)
	for i := range all {
		c.change(&all[i])
	}
	if to := len(z.arena); to > from {
		z.more = append(slices.Clip(z.more), span{from, to})
	}
	c.finishTails()
}

func (c *patch) change(to *Changed) {
	z := c.z
	c.name.Set(to.Owner)
	n := z.find(&c.name, 0)
	switch {
	case n == apex:
		for _, r := range to.Records {
			if r.Type == dns.TypeSOA {
				c.soa(r)
			}
		}
		return
	case n == 0 && len(to.Records) == 0:
		return
	case n == 0:
		c.above(1, to.Owner)
		up := z.find(&c.name, 1)
		n = c.write(to, inherited(z.arena.flags(up)))
		c.join(0, n, up)
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
	flags := z.arena.flags(n) &^ (letters | hasCNAME)
	z.arena[4*int(n)+1] = dead
	z.index[z.slot(c.name.hash[0], n)] = c.name.hash[0]<<32 | uint64(c.write(to, flags))
}

// write writes a node with its records.
func (c *patch) write(to *Changed, flags uint8) node {
	n := c.begin(to.Owner)
	if hasUpper(to.Owner) {
		flags |= letters
	}
	sets := 0
	for list := to.Records; len(list) > 0; sets++ {
		count, size := 0, 0
		for ; count < len(list) && list[count].Type == list[0].Type; count++ {
			size += recordHead + len(list[count].Data)
		}
		flags |= ownFlag(list[0].Type, n)
		c.head(n, list[0].Type, count, size, 0, 0)
		at := len(c.z.arena)
		for _, r := range list[:count] {
			c.z.arena = appendRecord(c.z.arena, r.Type, r.TTL, r.Data)
		}
		c.target(RRset{Type: list[0].Type, Count: uint16(count), Wire: c.z.arena[at:]})
		list = list[count:]
	}
	c.end(n, flags, sets)
	return n
}

// above makes the nodes above a name, from without its first k labels on, where they
// are not there.
func (c *patch) above(k int, owner []byte) {
	if c.z.find(&c.name, k) != 0 {
		return
	}
	c.above(k+1, owner)
	up := c.z.find(&c.name, k+1)
	n := c.write(&Changed{Owner: owner[c.name.off[k]:]}, inherited(c.z.arena.flags(up)))
	c.join(k, n, up)
}

// join enters a new node, below the one above it.
func (c *patch) join(k int, n, up node) {
	c.z.index.put(c.name.hash[k], uint32(n))
	c.slots--
	c.kids[c.name.hash[k+1]]++
	c.z.arena[4*int(up)+1] |= wildFlag(c.name.from(k))
}

// remove takes a node out that has nothing below it, and those above it that are
// there for its sake.
func (c *patch) remove(k int, n node) {
	z := c.z
	z.arena[4*int(n)+1] = dead
	// The slot must not be free, or what comes behind it would not be found: it
	// leads to the apex, which no name that is looked for there is.
	z.index[z.slot(c.name.hash[k], n)] = uint64(apex)
	above := c.name.hash[k+1]
	c.kids[above]--
	up := z.find(&c.name, k+1)
	if dnsname.IsWild(c.name.from(k)) {
		z.arena[4*int(up)+1] &^= hasWild
	}
	if count, _ := z.arena.sets(up); up != apex && count == 0 && c.kids[above] == 0 {
		c.remove(k+1, up)
	}
}

// slot is the place of a node in the index.
func (z *Zone) slot(h uint64, n node) int {
	number, i := z.index.first(h)
	for node(number) != n {
		number, i = z.index.after(h, i)
	}
	return i
}

// soa puts another SOA record of the same length in the place of the one before, and
// of that of negative answers, and has their answers prepared anew.
func (c *patch) soa(r RR) {
	z := c.z
	count, at := z.arena.sets(apex)
	for range count {
		set, _, next := z.arena.set(at)
		if set.Type == dns.TypeSOA {
			copy(set.Wire, appendRecord(nil, r.Type, r.TTL, r.Data))
			binary.LittleEndian.PutUint32(z.arena[at+8:], 0)
			c.tails = append(c.tails, waiting{at, apex})
		}
		at = next
	}
	neg, _, _ := z.arena.set(z.negSOA)
	ttl := min(r.TTL, binary.BigEndian.Uint32(r.Data[len(r.Data)-4:])) // RFC 2308, section 3
	copy(neg.Wire, appendRecord(nil, r.Type, ttl, r.Data))
	binary.LittleEndian.PutUint32(z.arena[z.negSOA+8:], 0)
	c.tails = append(c.tails, waiting{z.negSOA, 0})
	z.Serial = binary.BigEndian.Uint32(r.Data[len(r.Data)-20:])
}
