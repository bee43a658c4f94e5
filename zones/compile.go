package zones

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// group is an RRset while it is being compiled: the places of its records.
type group struct {
	rrtype  uint16
	ttl     uint32
	records []uint32
	seen    map[string]bool // their data, once there are many
}

// compiler writes the nodes of a builder into the arena of its zone.
type compiler struct {
	*builder
	z      *Zone
	groups []group // of the current node
	// tails are the RRsets whose tails wait for all nodes to be there: the place
	// of each and its node.
	tails []waiting
	errs  []error
}

type waiting struct {
	at int
	n  node // 0: it is the SOA of negative answers
}

var errTooMuch = errors.New("too much for one zone: it can have 16 GiB of names and records")

// finish compiles the zone, and checks what can only be seen once all records
// are in. The builder must not be used any more.
func (b *builder) finish() []error {
	defer b.release()
	c := compiler{builder: b, z: b.zone}
	c.z.arena = make(arena, 4, 4+b.octets)
	c.z.index = newIndex(b.nodes.len() - 1)
	c.z.files = b.files
	for i := uint32(1); i < uint32(b.nodes.len()); i++ {
		c.node(b.nodes.at(i))
		if len(c.z.arena) > maxArena {
			return []error{errTooMuch}
		}
	}
	c.apex()
	if len(c.errs) > 0 {
		return c.errs
	}
	if c.finishTails(); len(c.z.arena) > maxArena {
		return []error{errTooMuch}
	}
	c.z.shrink()
	slices.Sort(c.z.Warnings)
	return nil
}

// node writes one node. Those above it are written already.
func (c *compiler) node(d *draft) {
	n, a := node(len(c.z.arena)/4), c.z.arena
	c.z.arena = append(a, d.len, 0, 0, 0)
	c.z.arena = append(c.z.arena, c.text.at(d.name)[:d.len]...)
	c.groups = c.gather(d)
	if d.up != 0 {
		up := c.nodes.at(d.up)
		if up.flags&(isCut|belowCut) != 0 {
			d.flags |= belowCut
		}
		if up.flags&(hasDNAME|belowDNAME) != 0 {
			d.flags |= belowDNAME
		}
	}
	for i := range c.groups {
		switch g := &c.groups[i]; {
		case g.rrtype == dns.TypeNS && n != apex:
			d.flags |= isCut
		case g.rrtype == dns.TypeCNAME:
			d.flags |= hasCNAME
		case g.rrtype == dns.TypeDNAME:
			d.flags |= hasDNAME
		}
		c.set(n, &c.groups[i])
	}
	a = c.z.arena
	a[4*int(n)+1] = d.flags
	binary.LittleEndian.PutUint16(a[4*int(n)+2:], uint16(len(c.groups)))
	if len(c.groups) > 0 {
		c.z.names++
	}
	c.check(n, d.flags)
	for len(c.z.arena)%4 != 0 {
		c.z.arena = append(c.z.arena, 0)
	}
	c.z.index.put(d.hash, uint32(n))
}

// gather sorts the records of a node into RRsets, in the order in which they came.
func (c *compiler) gather(d *draft) []group {
	groups := c.groups[:0]
	for at := d.first; at != 0; {
		t := c.text.at(at)
		rrtype := binary.LittleEndian.Uint16(t[textType:])
		i := slices.IndexFunc(groups, func(g group) bool { return g.rrtype == rrtype })
		if i < 0 {
			i = len(groups)
			if i < cap(groups) {
				groups = groups[:i+1]
			} else {
				groups = append(groups, group{})
			}
			groups[i].begin(rrtype, binary.LittleEndian.Uint32(t[textTTL:]))
		}
		c.join(&groups[i], d, at)
		at = binary.LittleEndian.Uint32(t[textNext:])
	}
	return groups
}

func (g *group) begin(rrtype uint16, ttl uint32) {
	g.rrtype, g.ttl, g.records, g.seen = rrtype, ttl, g.records[:0], nil
}

// join puts a record into its RRset, which has no duplicates (RFC 2181, section 5).
func (c *compiler) join(g *group, d *draft, at uint32) {
	data := c.data(at)
	if c.holds(g, data) {
		return
	}
	t := c.text.at(at)
	if ttl := binary.LittleEndian.Uint32(t[textTTL:]); ttl != g.ttl { // RFC 2181, section 5.2
		c.z.Warnings = append(c.z.Warnings, fmt.Sprintf("zone %s: %s:%d: %s %s has TTLs %d and %d: the smaller is used",
			c.z.Name, c.names[binary.LittleEndian.Uint16(t[textType+2:])], binary.LittleEndian.Uint32(t[textLine:]),
			dnsname.Format(c.text.at(d.name)[:d.len]), dns.Type(g.rrtype), g.ttl, ttl))
		g.ttl = min(g.ttl, ttl)
	}
	g.records = append(g.records, at)
}

// manyRecords is from where an RRset's data are kept in a map, so that finding
// duplicates does not take time by the square.
const manyRecords = 32

// holds tells whether the RRset has that data already.
func (c *compiler) holds(g *group, data []byte) bool {
	if len(g.records) < manyRecords {
		return slices.ContainsFunc(g.records, func(at uint32) bool { return sameData(g.rrtype, c.data(at), data) })
	}
	if g.seen == nil {
		g.seen = make(map[string]bool)
		for _, at := range g.records {
			g.seen[dataKey(g.rrtype, c.data(at))] = true
		}
	}
	k := dataKey(g.rrtype, data)
	was := g.seen[k]
	g.seen[k] = true
	return was
}

// data is that of the record at a place in text.
func (c *compiler) data(at uint32) []byte {
	t := c.text.at(at)
	return t[textData : textData+binary.LittleEndian.Uint32(t[textLen:])]
}

// set writes an RRset of a node.
func (c *compiler) set(n node, g *group) {
	if len(g.records) > 1<<16-1 {
		c.fail("%s has %d %s records: at most 65535", dnsname.Format(c.z.arena.owner(n)), len(g.records), dns.Type(g.rrtype))
		return
	}
	size := uint32(0)
	for _, at := range g.records {
		size += recordHead + uint32(len(c.data(at)))
	}
	a := c.z.arena
	a = binary.LittleEndian.AppendUint16(a, g.rrtype)
	a = binary.LittleEndian.AppendUint16(a, uint16(len(g.records)))
	if asIs(g.rrtype) {
		a = binary.LittleEndian.AppendUint32(a, size)
	} else {
		c.tails = append(c.tails, waiting{len(a) - 4, n})
		a = binary.LittleEndian.AppendUint32(a, size|tailFlag)
		a = append(a, 0, 0, 0, 0)
	}
	for _, at := range g.records {
		a = appendRecord(a, g.rrtype, g.ttl, c.data(at))
	}
	c.z.arena = a
}

func (c *compiler) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// check tells what is wrong with a node.
func (c *compiler) check(n node, flags uint8) {
	name := func() string { return dnsname.Format(c.z.arena.owner(n)) }
	for _, g := range c.groups {
		switch {
		case g.rrtype == dns.TypeCNAME && len(g.records) > 1:
			c.fail("%s has %d CNAME records: a name has at most one (RFC 2181, section 10.1)", name(), len(g.records))
		case g.rrtype == dns.TypeDNAME && len(g.records) > 1:
			c.fail("%s has %d DNAME records: a name has at most one (RFC 6672, section 2.4)", name(), len(g.records))
		case g.rrtype == dns.TypeSOA && n != apex:
			c.fail("%s has an SOA record below the apex %s", name(), c.z.Name)
		case g.rrtype == dns.TypeNS && dnsname.IsWild(c.z.arena.owner(n)):
			c.fail("%s has NS records: a wildcard cannot be delegated (RFC 4592, section 4.2)", name())
		}
		if flags&hasCNAME != 0 && g.rrtype != dns.TypeCNAME && g.rrtype != dns.TypeRRSIG && g.rrtype != dns.TypeNSEC {
			c.fail("%s has a CNAME and also %s: a CNAME stands alone (RFC 1034, section 3.6.2)", name(), dns.Type(g.rrtype))
		}
	}
	if flags&belowDNAME != 0 && len(c.groups) > 0 {
		c.fail("%s", belowDNAMEError(name(), c.z.dnameAbove(c.z.arena.owner(n))))
	}
}

func belowDNAMEError(name, dname string) string {
	return fmt.Sprintf("%s stands below the DNAME at %s (RFC 6672, section 2.4)", name, dname)
}

// apex checks the records of the apex, and makes of its SOA what negative answers need.
func (c *compiler) apex() {
	soa, _, ok := c.z.arena.find(apex, dns.TypeSOA)
	if !ok {
		c.errs = []error{fmt.Errorf("no SOA record at %s: a zone has exactly one, at its apex (RFC 1035, section 5.2)", c.z.Name)}
		return
	}
	if soa.Count > 1 {
		c.fail("%d different SOA records at %s: a zone has exactly one", soa.Count, c.z.Name)
	}
	if _, _, ok := c.z.arena.find(apex, dns.TypeNS); !ok {
		c.fail("no NS record at %s: a zone names its servers at its apex", c.z.Name)
	}
	data := soa.first()
	c.z.Serial = binary.BigEndian.Uint32(data[len(data)-20:])
	ttl := min(soa.TTL(), binary.BigEndian.Uint32(data[len(data)-4:])) // RFC 2308, section 3
	c.z.negSOA = len(c.z.arena)
	c.tails = append(c.tails, waiting{len(c.z.arena), 0})
	a := binary.LittleEndian.AppendUint32(c.z.arena, uint32(dns.TypeSOA)|1<<16)
	a = binary.LittleEndian.AppendUint32(a, tailFlag|uint32(recordHead+len(data)))
	a = append(a, 0, 0, 0, 0)
	c.z.arena = appendRecord(a, dns.TypeSOA, ttl, data)
}
