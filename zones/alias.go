package zones

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// TypeALIAS is the type of ALIAS records: from the range for private use (RFC
// 6895, section 3.1), the number that PowerDNS has for them. They are never
// sent in answers: whoever asks for addresses of the owner is sent those of the
// target.
const TypeALIAS = 65401

func init() { // under this name people write it and messages show it
	dns.TypeToString[TypeALIAS], dns.StringToType["ALIAS"] = "ALIAS", TypeALIAS
}

// alias is an ALIAS record of a zone. It does not lie among the RRsets of its
// node, where look-ups would find it.
type alias struct {
	node node
	set  RRset
	file string // where it stands
	line int    // 0: the record does not come from a master file
}

const aliasBytes = int(unsafe.Sizeof(alias{})) + recordHead

// target is the name whose addresses the owner has.
func (a *alias) target() []byte { return a.set.first() }

// place tells where the record stands, for messages.
func (a *alias) place(z *Zone) string {
	if a.file == "" {
		return z.File
	}
	return at(a.file, a.line)
}

// at is a line of a file, or a file alone where records do not come from lines.
func at(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// aliasAt gives the ALIAS record of a node, or nil.
func (z *Zone) aliasAt(n node) *alias {
	if len(z.aliases) == 0 {
		return nil
	}
	i, ok := slices.BinarySearchFunc(z.aliases, n, func(a alias, n node) int { return int(a.node) - int(n) })
	if !ok {
		return nil
	}
	return &z.aliases[i]
}

// signs tells whether there are signatures of a type at the current node. An
// ALIAS that comes signed is a record as any other: whoever signed it has said
// what else there is at the name.
func (c *compiler) signs(rrtype uint16) bool {
	return slices.ContainsFunc(c.groups, func(g group) bool { return g.rrtype == dns.TypeRRSIG && g.covered == rrtype })
}

// alias takes the ALIAS records of a node.
func (c *compiler) alias(n node, g *group) {
	file, line := c.from(g.records[0])
	if len(g.records) > 1 {
		c.failAt(g.records[1], "%s has %d ALIAS records: a name has at most one", dnsname.Format(c.z.arena.owner(n)), len(g.records))
	}
	c.z.aliases = append(c.z.aliases, alias{n, newRRset(TypeALIAS, g.ttl, c.data(g.records[0])), file, line})
}

// checkAlias tells what cannot stand beside an ALIAS record.
func (c *compiler) checkAlias(n node) {
	for _, g := range c.groups {
		if g.rrtype == dns.TypeA || g.rrtype == dns.TypeAAAA {
			c.failAt(g.records[0], "%s has %s records and an ALIAS, whose target its addresses come from: remove one", dnsname.Format(c.z.arena.owner(n)), dns.Type(g.rrtype))
		}
	}
}
