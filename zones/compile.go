package zones

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/parallel"
)

// group is an RRset while it is being compiled: the places of its records.
type group struct {
	rrtype  uint16
	covered uint16 // the type that it signs, of RRSIG records; those of each are a group
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
	// nsec are the nodes that own NSEC records; nsec3 those made for NSEC3 records,
	// which are no names to be found (RFC 5155, section 7.2.8).
	nsec, nsec3 []node
	doubled     []twice
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
	c.z.arena, c.z.top = make(arena, 4, 4+b.octets), apex
	c.z.index = newIndex(b.nodes.len() - 1)
	c.z.files = b.files
	for i := uint32(1); i < uint32(b.nodes.len()); i++ {
		c.node(b.nodes.at(i))
		if i%yieldEvery == 0 {
			parallel.Yield()
		}
		if len(c.z.arena) > maxArena {
			return []error{errTooMuch}
		}
	}
	c.apex()
	if len(c.errs) > 0 {
		return c.errs
	}
	if c.denial(); len(c.errs) > 0 {
		return c.errs
	}
	if c.finishTails(); len(c.z.arena) > maxArena {
		return []error{errTooMuch}
	}
	c.missingDots()
	c.z.settle()
	slices.Sort(c.z.Warnings)
	return nil
}

// node writes one node. Those above it are written already.
func (c *compiler) node(d *draft) {
	c.groups = c.gather(d)
	if c.hasNSEC3(d) {
		return
	}
	n := c.begin(c.text.at(d.name)[:d.len])
	if d.up != 0 {
		d.flags |= inherited(c.nodes.at(d.up).flags)
	}
	sets := 0
	for i := range c.groups {
		g := &c.groups[i]
		if g.rrtype == dns.TypeRRSIG {
			continue // beside what it signs
		}
		if g.rrtype == TypeALIAS && !c.signs(g.rrtype) {
			c.alias(n, g)
			continue
		}
		d.flags |= ownFlag(g.rrtype, n == apex)
		c.set(n, g)
		sets++
	}
	c.strays(n)
	c.check(n, d.flags)
	c.end(n, d.flags&^hasBelow, sets)
	if sets > 0 || c.z.aliasAt(n) != nil {
		c.z.names++
	}
	c.z.index.put(d.hash, uint32(n))
}

// begin writes the beginning of a node.
func (c *compiler) begin(owner []byte) node {
	for len(c.z.arena)%4 != 0 {
		c.z.arena = append(c.z.arena, 0)
	}
	n := node(len(c.z.arena) / 4)
	c.z.arena = append(append(c.z.arena, uint8(len(owner)), 0, 0, 0), owner...)
	return n
}

// end fills in what is known once all RRsets of a node are written.
func (c *compiler) end(n node, flags uint8, sets int) {
	c.z.arena[4*int(n)+1] = flags
	binary.LittleEndian.PutUint16(c.z.arena[4*int(n)+2:], uint16(sets))
}

// inherited are the flags that a node has from the one above it.
func inherited(above uint8) (flags uint8) {
	if above&(isCut|belowCut) != 0 {
		flags |= belowCut
	}
	if above&(hasDNAME|belowDNAME) != 0 {
		flags |= belowDNAME
	}
	return flags
}

// ownFlag is the flag that a node has for owning a type.
func ownFlag(rrtype uint16, top bool) uint8 {
	switch {
	case rrtype == dns.TypeNS && !top:
		return isCut
	case rrtype == dns.TypeCNAME:
		return hasCNAME
	case rrtype == dns.TypeDNAME:
		return hasDNAME
	}
	return 0
}

// strays warns of signatures that sign nothing.
func (c *compiler) strays(n node) {
	for i := range c.groups {
		g := &c.groups[i]
		if g.rrtype != dns.TypeRRSIG || slices.ContainsFunc(c.groups, func(o group) bool { return o.rrtype == g.covered }) {
			continue
		}
		c.z.Warnings = append(c.z.Warnings, fmt.Sprintf("zone %s: %s: %s has an RRSIG of %s records but none of these: it is left out",
			c.z.Name, c.z.File, dnsname.Format(c.z.arena.owner(n)), dns.Type(g.covered)))
	}
}

// gather sorts the records of a node into RRsets, in the order in which they came.
func (c *compiler) gather(d *draft) []group {
	groups := c.groups[:0]
	for at := d.first; at != 0; {
		t := c.text.at(at)
		rrtype, covered := binary.LittleEndian.Uint16(t[textType:]), uint16(0)
		if rrtype == dns.TypeRRSIG {
			covered = binary.BigEndian.Uint16(c.data(at))
		}
		i := slices.IndexFunc(groups, func(g group) bool { return g.rrtype == rrtype && g.covered == covered })
		if i < 0 {
			i = len(groups)
			if i < cap(groups) {
				groups = groups[:i+1]
			} else {
				groups = append(groups, group{})
			}
			groups[i].covered = covered
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
	if ttl := binary.LittleEndian.Uint32(t[textTTL:]); ttl != g.ttl && g.covered == 0 { // RFC 2181, section 5.2
		file, line := c.from(at)
		c.z.Warnings = append(c.z.Warnings, fmt.Sprintf("zone %s: %s:%d: %s %s has TTLs %d and %d: the smaller is used",
			c.z.Name, file, line, dnsname.Format(c.text.at(d.name)[:d.len]), dns.Type(g.rrtype), g.ttl, ttl))
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

// from tells where the record at a place in text stands.
func (c *compiler) from(at uint32) (file string, line int) {
	t := c.text.at(at)
	return c.names[binary.LittleEndian.Uint16(t[textType+2:])], int(binary.LittleEndian.Uint32(t[textLine:]))
}

// data is that of the record at a place in text.
func (c *compiler) data(at uint32) []byte {
	t := c.text.at(at)
	return t[textData : textData+binary.LittleEndian.Uint32(t[textLen:])]
}

// set writes an RRset of a node, and its signatures behind it.
func (c *compiler) set(n node, g *group) {
	if len(g.records) > 1<<16-1 {
		c.failAt(g.records[0], "%s has %d %s records: at most 65535", dnsname.Format(c.z.arena.owner(n)), len(g.records), dns.Type(g.rrtype))
		return
	}
	var sigs []uint32
	for i := range c.groups {
		if s := &c.groups[i]; s.rrtype == dns.TypeRRSIG && s.covered == g.rrtype {
			sigs = s.records
		}
	}
	size, signed := c.size(g.records), c.size(sigs)
	if size > maxSet || signed > 1<<16-1 {
		c.failAt(g.records[0], "%s has %d octets of %s records and %d of their signatures: at most %d and 65535", dnsname.Format(c.z.arena.owner(n)), size, dns.Type(g.rrtype), signed, maxSet)
		return
	}
	if most := maxMessage - headerLen - len(c.z.arena.owner(n)) - 4; size > most && asWritten(g.rrtype) {
		file, line := c.from(g.records[0])
		c.z.Warnings = append(c.z.Warnings, fmt.Sprintf("zone %s: %s: %s has %d %s records, of %d octets: no message has room for more than %d, and so nobody can get them",
			c.z.Name, at(file, line), dnsname.Format(c.z.arena.owner(n)), len(g.records), dns.Type(g.rrtype), size, most))
	}
	c.head(n, g.rrtype, len(g.records), size, len(sigs), signed)
	c.lookTwice(n, g)
	for _, at := range g.records {
		c.z.arena = appendRecord(c.z.arena, g.rrtype, g.ttl, c.data(at))
	}
	for _, at := range sigs { // with the TTL of the set: RFC 4034, section 3
		c.z.arena = appendRecord(c.z.arena, dns.TypeRRSIG, g.ttl, c.data(at))
	}
}

// size is what records take in an RRset.
func (c *compiler) size(records []uint32) (n int) {
	for _, at := range records {
		n += recordHead + len(c.data(at))
	}
	return n
}

// head writes what an RRset begins with.
func (c *compiler) head(n node, rrtype uint16, count, size, sigs, signed int) {
	a := c.z.arena
	a = binary.LittleEndian.AppendUint16(a, rrtype)
	a = binary.LittleEndian.AppendUint16(a, uint16(count))
	flags := uint32(0)
	if sigs > 0 {
		flags = signedFlag
	}
	if asIs(rrtype) {
		a = binary.LittleEndian.AppendUint32(a, uint32(size)|flags)
	} else {
		c.tails = append(c.tails, waiting{len(a) - 4, n})
		a = binary.LittleEndian.AppendUint32(a, uint32(size)|flags|tailFlag)
		a = append(a, 0, 0, 0, 0)
	}
	if sigs > 0 {
		a = binary.LittleEndian.AppendUint16(a, uint16(sigs))
		a = binary.LittleEndian.AppendUint16(a, uint16(signed))
	}
	c.z.arena = a
	if rrtype == dns.TypeNSEC {
		c.nsec = append(c.nsec, n)
	}
}

func (c *compiler) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// failAt is fail that says where the record at a place in text stands.
func (c *compiler) failAt(record uint32, format string, args ...any) {
	file, line := c.from(record)
	c.errs = append(c.errs, placed{at(file, line), fmt.Errorf(format, args...)})
}

// placed is an error in a file, "" for that of the zone.
type placed struct {
	at string
	error
}

// inFile says in which zone and where an error is.
func inFile(z *Zone, err error) error {
	at := z.File
	if p, ok := err.(placed); ok && p.at != "" {
		at, err = p.at, p.error
	}
	return fmt.Errorf("zone %s: %s: %w", z.Name, at, err)
}

// second is the second record of an RRset, which is one too many.
func (g *group) second() uint32 { return g.records[min(1, len(g.records)-1)] }

// check tells what is wrong with a node.
func (c *compiler) check(n node, flags uint8) {
	name := func() string { return dnsname.Format(c.z.arena.owner(n)) }
	for _, g := range c.groups {
		switch {
		case g.rrtype == dns.TypeCNAME && len(g.records) > 1:
			c.failAt(g.second(), "%s has %d CNAME records: a name has at most one (RFC 2181, section 10.1)", name(), len(g.records))
		case g.rrtype == dns.TypeDNAME && len(g.records) > 1:
			c.failAt(g.second(), "%s has %d DNAME records: a name has at most one (RFC 6672, section 2.4)", name(), len(g.records))
		case g.rrtype == dns.TypeSOA && n == apex && len(g.records) > 1:
			c.failAt(g.second(), "%d different SOA records at %s: a zone has exactly one", len(g.records), c.z.Name)
		case g.rrtype == dns.TypeSOA && n != apex:
			c.failAt(g.records[0], "%s has an SOA record below the apex %s", name(), c.z.Name)
		case g.rrtype == dns.TypeNS && dnsname.IsWild(c.z.arena.owner(n)):
			c.failAt(g.records[0], "%s has NS records: a wildcard cannot be delegated (RFC 4592, section 4.2)", name())
		}
		if g.rrtype == TypeALIAS && !c.signs(g.rrtype) {
			c.checkAlias(n)
		}
		if flags&hasCNAME != 0 && g.rrtype != dns.TypeCNAME && g.rrtype != dns.TypeRRSIG && g.rrtype != dns.TypeNSEC {
			c.failAt(g.records[0], "%s has a CNAME and also %s: a CNAME stands alone (RFC 1034, section 3.6.2)", name(), dns.Type(g.rrtype))
		}
	}
	if flags&belowDNAME != 0 && len(c.groups) > 0 {
		c.failAt(c.groups[0].records[0], "%s", belowDNAMEError(name(), c.z.dnameAbove(c.z.arena.owner(n))))
	}
}

func belowDNAMEError(name, dname string) string {
	return fmt.Sprintf("%s stands below the DNAME at %s (RFC 6672, section 2.4)", name, dname)
}

// apex checks the records of the apex, and makes of its SOA what negative answers need.
func (c *compiler) apex() {
	soa, _, ok := c.z.arena.find(c.z.top, dns.TypeSOA)
	if !ok {
		c.errs = []error{fmt.Errorf("no SOA record at %s: a zone has exactly one, at its apex (RFC 1035, section 5.2)", c.z.Name)}
		return
	}
	if _, _, ok := c.z.arena.find(c.z.top, dns.TypeNS); !ok {
		c.fail("no NS record at %s: a zone names its servers at its apex", c.z.Name)
	}
	data := soa.first()
	c.z.Serial = binary.BigEndian.Uint32(data[len(data)-20:])
	ttl := min(soa.TTL(), binary.BigEndian.Uint32(data[len(data)-4:])) // RFC 2308, section 3
	c.negSOA(soa, ttl)
}

// negSOA writes the SOA of negative answers. Its signatures are those of the
// zone's: the original TTL in them stays.
func (c *compiler) negSOA(soa RRset, ttl uint32) {
	data := soa.first()
	var sigs [][]byte
	for d := range (RRset{Wire: soa.RRSIG()}).Data() {
		sigs = append(sigs, d)
	}
	c.z.negSOA = len(c.z.arena)
	c.head(0, dns.TypeSOA, 1, recordHead+len(data), len(sigs), len(soa.RRSIG()))
	c.z.arena = appendRecord(c.z.arena, dns.TypeSOA, ttl, data)
	for _, d := range sigs {
		c.z.arena = appendRecord(c.z.arena, dns.TypeRRSIG, ttl, d)
	}
}
