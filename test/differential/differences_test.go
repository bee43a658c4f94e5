package differential

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// difference is one that is known, with the reason for it.
type difference struct {
	id    string   // as docs/differences.md names it
	parts []string // of the answer
	rfc   string   // where the reason stands, as in docs/differences.md
	// applies tells whether it explains the comparison; as exact as it can be.
	applies func(c *comparison) bool
	seen    scene
}

// scene is where a difference of the list is seen.
type scene int

const (
	plain       scene = iota // the zones of testdata and generated ones
	withDO                   // signed zones, asked with DO
	withSteered              // zones with steered names
)

// notSeen fails the test where a difference of the list was not seen in its scene.
func (ta *tally) notSeen(t *testing.T, where scene) {
	t.Helper()
	for _, d := range differences {
		if d.seen == where && ta.explained[d.id] == 0 {
			t.Errorf("difference %s of the list was not seen: remove it, and from docs/differences.md", d.id)
		}
	}
}

// sections are the parts that hold records, and what follows from them.
var sections = []string{"rcode", "tc", "answer", "order", "authority", "additional"}

// differences is the list of docs/differences.md.
var differences = []difference{
	{"any", sections, "RFC 8482 section 4.2", func(c *comparison) bool {
		a := c.gslb().msg.Answer
		if !c.asks(dns.TypeANY) || len(a) == 0 {
			return false
		}
		h, ok := a[len(a)-1].(*dns.HINFO)
		return ok && h.Cpu == "RFC8482"
	}, plain},
	{"any-below-dname", sections, "RFC 8482 section 4.1", func(c *comparison) bool {
		a := c.gslb().msg.Answer
		return c.asks(dns.TypeANY) && len(a) >= 2 && a[len(a)-1].Header().Rrtype == dns.TypeCNAME && a[len(a)-2].Header().Rrtype == dns.TypeDNAME
	}, plain},
	{"chain-into-other-zone", sections, "RFC 1034 section 4.3.2", func(c *comparison) bool {
		return c.odd == nil && c.leadsToOtherZone()
	}, plain},
	{"loop", []string{"rcode", "answer"}, "RFC 2181 section 5", func(c *comparison) bool {
		return c.odd == nil && c.loops() && isSet(c.gslb().msg.Answer)
	}, plain},
	{"additional-of-glue", []string{"additional"}, "RFC 1034 section 4.2.1", func(c *comparison) bool {
		return c.asks(dns.TypeNS) && c.gslb().msg.Authoritative && c.glueAdded()
	}, plain},
	{"additional-of-wildcards", []string{"additional"}, "RFC 1034 section 4.3.2", func(c *comparison) bool {
		return c.odd == nil && c.wildcardsAdded()
	}, plain},
	{"additional-of-old-types", []string{"additional"}, "RFC 1034 section 4.3.2", func(c *comparison) bool {
		return (c.asks(dns.TypeAFSDB) || c.asks(dns.TypeKX) || c.asks(dns.TypeRT) || c.asks(dns.TypeMB)) && c.got(0) == "" && c.got(2) == ""
	}, plain},
	{"additional-that-fits", []string{"additional"}, "RFC 2181 section 9", func(c *comparison) bool {
		return c.odd == nil && c.way.network == "udp" && !c.lacksGlue() && len(c.gslb().msg.Extra) < len(c.whole.msg.Extra)
	}, plain},
	{"nsec-at-alias", []string{"answer", "authority"}, "RFC 1034 section 4.3.2", func(c *comparison) bool {
		return c.asks(dns.TypeNSEC) && c.got(0) == c.got(1) && len(c.gslb().msg.Answer) > 1
	}, plain},
	{"tc-for-glue", []string{"tc"}, "RFC 9471 section 3.1", func(c *comparison) bool {
		return c.odd == nil && c.got(0) == "true" && c.lacksGlue()
	}, plain},
	{"tc-for-soa", []string{"tc"}, "RFC 2308 section 3", func(c *comparison) bool {
		return c.odd == nil && c.got(0) == "true" && len(c.gslb().msg.Ns) == 0 && len(c.whole.raw)+c.way.optLen() > c.way.limit() &&
			len(c.whole.msg.Ns) == 1 && c.whole.msg.Ns[0].Header().Rrtype == dns.TypeSOA
	}, plain},
	{"cd-copied", []string{"header"}, "RFC 4035 section 3.1.6", func(c *comparison) bool {
		asked := c.odd == nil && c.way.cd || c.odd != nil && len(c.odd.message) > 3 && c.odd.message[3]&0x10 != 0
		return asked && c.gslb().msg.CheckingDisabled && strings.TrimSuffix(c.got(0), " cd") == strings.TrimSuffix(c.majority(), " cd")
	}, plain},
	{"question-of-unknown-opcode", []string{"question", "order"}, "RFC 1035 section 4.1.1", func(c *comparison) bool {
		return c.isOdd("opcode-") && c.gslb().msg.Rcode == dns.RcodeNotImplemented
	}, plain},
	{"type-opt", []string{"rcode"}, "RFC 6891 section 6.1.1", func(c *comparison) bool {
		return c.isOdd("type-41") && c.got(0) == "FORMERR"
	}, plain},
	{"type-nxname", []string{"rcode"}, "RFC 9824 section 3.5", func(c *comparison) bool {
		return c.isOdd("type-128") && c.got(0) == "FORMERR"
	}, plain},
	{"malformed-is-answered", []string{"response"}, "RFC 1035 section 4.1.1", func(c *comparison) bool {
		return (c.isOdd("cut-") || c.isOdd("name-256") || c.isOdd("name-257")) && c.gslb().msg != nil && c.gslb().msg.Rcode == dns.RcodeFormatError
	}, plain},
	{"octets-left-over", []string{"rcode"}, "RFC 1035 section 4.1", func(c *comparison) bool {
		return c.isOdd("left-over") && c.got(0) == "FORMERR"
	}, plain},
	{"opt-with-formerr", []string{"opt"}, "RFC 6891 section 7", func(c *comparison) bool {
		return c.isOdd("edns-") && c.gslb().parts["rcode"] == "FORMERR" && strings.HasPrefix(c.got(0), "version 0") && c.majority() == "0 OPT records"
	}, plain},
	{"bad-client-subnet", []string{"rcode"}, "RFC 7871 section 7.1.2", func(c *comparison) bool {
		return c.isOdd("subnet-bad") && c.got(0) == "FORMERR"
	}, plain},
	{"client-subnet", []string{"options"}, "RFC 7871 section 7.2.1", func(c *comparison) bool {
		return c.isOdd("subnet-good") && c.got(0) == "8" && c.majority() == ""
	}, plain},
	{"cookie", []string{"rcode", "options"}, "RFC 7873 section 5.2", func(c *comparison) bool {
		return c.isOdd("cookie-") || c.isOdd("opcode-2-cookie")
	}, plain},
	{"keepalive", []string{"options"}, "RFC 7828 section 3.3.2", func(c *comparison) bool {
		return c.isOdd("edns-known-11") && c.odd.network == "tcp" && strings.HasSuffix(c.got(0), "11")
	}, plain},
	{"zone-version", []string{"options"}, "RFC 9660 section 3.2", func(c *comparison) bool {
		return c.isOdd("edns-known-19") && c.got(0) == "19"
	}, plain},
	{"extended-error", []string{"options"}, "RFC 8914 section 4.22", func(c *comparison) bool {
		return c.isOdd("edns-class") && c.got(0) == "15"
	}, plain},
	{"tsig-ttl", []string{"rcode"}, "RFC 8945 section 4.2", func(c *comparison) bool {
		return c.isOdd("tsig-ttl") && c.got(0) == "FORMERR"
	}, plain},
	{"rrsig", sections, "RFC 8482 section 4.1", func(c *comparison) bool {
		return c.asks(dns.TypeRRSIG) && len(c.gslb().msg.Answer) > 0
	}, withDO},
	{"nsec-of-empty-wildcard", []string{"authority"}, "RFC 4035 section 3.1.3.4", func(c *comparison) bool {
		return c.odd == nil && c.way.do && c.got(0) == c.got(1) && len(c.gslb().msg.Ns) == 6
	}, withDO},
	{"chain-to-steered", sections, "RFC 7871 section 7.2.1", func(c *comparison) bool {
		a := c.gslb().msg.Answer
		if c.odd != nil || len(a) == 0 {
			return false
		}
		last, ok := a[len(a)-1].(*dns.CNAME)
		return ok && isSteered(last.Target) && len(c.gslb().msg.Ns) == 0 && isPrefix(a, c.answers[2].msg.Answer)
	}, withSteered},
	{"ds-behind-alias", []string{"authority"}, "RFC 4035 section 3.1.4.1", func(c *comparison) bool {
		return c.asks(dns.TypeDS) && c.ofParent()
	}, withSteered},
	{"additional-of-steered", []string{"additional"}, "RFC 1034 section 4.3.2", func(c *comparison) bool {
		return c.odd == nil && c.steeredAdded()
	}, withSteered},
}

// isOdd tells whether the message is an odd one of that kind.
func (c *comparison) isOdd(prefix string) bool {
	return c.odd != nil && strings.HasPrefix(c.odd.id, prefix)
}

// asks tells whether it is a plain question for the type.
func (c *comparison) asks(qtype uint16) bool { return c.odd == nil && c.pair.rr == qtype }

// zoneOf is the zone that a name is looked up in: the one with the longest
// origin; nil: none.
func (c *comparison) zoneOf(name string) *zone {
	var best *zone
	for _, z := range c.zones {
		if dns.IsSubDomain(z.origin, name) && (best == nil || len(z.origin) > len(best.origin)) {
			best = z
		}
	}
	return best
}

// leadsToOtherZone tells whether an alias of gslb's answer leads from one zone
// to another that is served.
func (c *comparison) leadsToOtherZone() bool {
	for _, rr := range c.gslb().msg.Answer {
		if alias, ok := rr.(*dns.CNAME); ok {
			if to := c.zoneOf(alias.Target); to != nil && to != c.zoneOf(alias.Hdr.Name) {
				return true
			}
		}
	}
	return false
}

// loops tells whether the aliases of gslb's answer end at one of them.
func (c *comparison) loops() bool {
	a := c.gslb().msg.Answer
	if len(a) == 0 {
		return false
	}
	last, ok := a[len(a)-1].(*dns.CNAME)
	if !ok {
		return false
	}
	for _, rr := range a {
		if rr.Header().Rrtype == dns.TypeCNAME && strings.EqualFold(rr.Header().Name, last.Target) {
			return true
		}
	}
	return false
}

// isSet tells whether no record stands there twice.
func isSet(records []dns.RR) bool {
	seen := map[string]bool{}
	for _, rr := range records {
		if seen[canonical(rr)] {
			return false
		}
		seen[canonical(rr)] = true
	}
	return true
}

// lacksGlue tells whether gslb's answer is a referral without all addresses of
// servers whose names are in the delegated zone.
func (c *comparison) lacksGlue() bool {
	m := c.gslb().msg
	if m.Authoritative || len(m.Ns) == 0 || m.Ns[0].Header().Rrtype != dns.TypeNS {
		return false
	}
	cut := m.Ns[0].Header().Name
	next, _ := dns.NextLabel(cut, 0)
	z := c.zoneOf(cut[next:]) // the parent's, where the child is served too
	there := map[string]bool{}
	for _, rr := range m.Extra {
		there[canonical(rr)] = true
	}
	for _, ns := range m.Ns {
		target := ns.(*dns.NS).Ns
		if !dns.IsSubDomain(cut, target) {
			continue
		}
		for _, rr := range z.records {
			h := rr.Header()
			if strings.EqualFold(h.Name, target) && (h.Rrtype == dns.TypeA || h.Rrtype == dns.TypeAAAA) && !there[canonical(rr)] {
				return true
			}
		}
	}
	return false
}

// wildcardsAdded tells whether the others added addresses that they made from a wildcard.
func (c *comparison) wildcardsAdded() bool {
	for _, a := range c.answers[1:] {
		for _, rr := range a.msg.Extra {
			name := rr.Header().Name
			z := c.zoneOf(name)
			if rr.Header().Rrtype != dns.TypeOPT && z != nil && !slices.ContainsFunc(z.records, func(r dns.RR) bool { return strings.EqualFold(r.Header().Name, name) }) {
				return true
			}
		}
	}
	return false
}

// glueAdded tells whether what the others have more than gslb are records at or below a cut.
func (c *comparison) glueAdded() bool {
	mine := strings.Split(c.got(0), "\n")
	more := 0
	for _, line := range strings.Split(c.majority(), "\n") {
		if slices.Contains(mine, line) {
			continue
		}
		name, _, _ := strings.Cut(line, " ")
		z := c.zoneOf(c.pair.name)
		if !slices.ContainsFunc(z.records, func(rr dns.RR) bool {
			h := rr.Header()
			return h.Rrtype == dns.TypeNS && !strings.EqualFold(h.Name, z.origin) && dns.IsSubDomain(h.Name, name)
		}) {
			return false
		}
		more++
	}
	return more > 0
}

// isPrefix tells whether an answer has the records that another one begins with.
func isPrefix(a, of []dns.RR) bool {
	return len(a) <= len(of) && section(a) == section(of[:len(a)])
}

// ofParent tells whether gslb's answer is an alias to the apex of a zone that is served,
// and the SOA that of a zone above it.
func (c *comparison) ofParent() bool {
	m := c.gslb().msg
	if len(m.Answer) == 0 || len(m.Ns) == 0 || m.Ns[0].Header().Rrtype != dns.TypeSOA {
		return false
	}
	last, ok := m.Answer[len(m.Answer)-1].(*dns.CNAME)
	if !ok {
		return false
	}
	z, owner := c.zoneOf(last.Target), m.Ns[0].Header().Name
	return z != nil && strings.EqualFold(z.origin, last.Target) && dns.IsSubDomain(owner, z.origin) && !strings.EqualFold(owner, z.origin)
}

// steeredAdded tells whether what the others have more than gslb are addresses of
// steered names and of owners of ALIAS records, and nothing else.
func (c *comparison) steeredAdded() bool {
	mine := strings.Split(c.got(0), "\n")
	more := 0
	for _, line := range strings.Split(c.majority(), "\n") {
		if slices.Contains(mine, line) {
			continue
		}
		if name, _, _ := strings.Cut(line, " "); !isSteered(name) {
			return false
		}
		more++
	}
	return more > 0
}
