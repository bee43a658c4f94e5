package zones

import (
	"encoding/binary"
	"fmt"

	"github.com/miekg/dns"
)

// Zone is one zone, ready to be looked up in. It never changes once built.
type Zone struct {
	Name   string // presentation form, lower case, absolute
	File   string // the master file it came from
	Serial uint32
	// Warnings are faults that do not keep the zone from being served.
	Warnings []string

	apex    string // key
	labels  int
	nodes   map[string]*node
	soa     *RRset // as an answer
	negSOA  *RRset // as authority of a negative answer: RFC 2308, section 3
	steered []*Steered
}

// node is a name of the tree; one without RRsets is an empty non-terminal.
type node struct {
	owner []byte // wire form, as written
	sets  []*RRset
	// cut is the delegation that this name is at or below; nil: authoritative.
	cut   *node
	wild  *node // the child "*", or nil
	cname *RRset
	dname *RRset
	// steered is set where the answers depend on the client.
	steered *Steered
}

// Names counts the names that own records or are steered.
func (z *Zone) Names() int {
	n := 0
	for _, nd := range z.nodes {
		if len(nd.sets) > 0 || nd.steered != nil {
			n++
		}
	}
	return n
}

// Apex is the zone's name in wire form, as written.
func (z *Zone) Apex() []byte { return z.nodes[z.apex].owner }

func (n *node) set(rrtype uint16) *RRset {
	for _, s := range n.sets {
		if s.Type == rrtype {
			return s
		}
	}
	return nil
}

// insert gives the node of a name within the zone, making it and its ancestors.
func (z *Zone) insert(owner []byte) *node {
	k := key(owner)
	if n := z.nodes[k]; n != nil {
		return n
	}
	n := &node{owner: owner}
	z.nodes[k] = n
	if k != z.apex {
		up := z.insert(owner[1+int(owner[0]):])
		if len(k) > 2 && k[:2] == "\x01*" {
			up.wild = n
		}
	}
	return n
}

// finish derives what look-ups need once all records are in, and checks what
// can only be seen then.
func (z *Zone) finish() []error {
	var errs []error
	apex := z.nodes[z.apex]
	if apex == nil || apex.set(dns.TypeSOA) == nil {
		return append(errs, fmt.Errorf("no SOA record at %s: a zone has exactly one, at its apex (RFC 1035, section 5.2)", z.Name))
	}
	z.soa = apex.set(dns.TypeSOA)
	if len(z.soa.Rdata) > 1 {
		errs = append(errs, fmt.Errorf("%d different SOA records at %s: a zone has exactly one", len(z.soa.Rdata), z.Name))
	}
	soa := z.soa.Rdata[0]
	z.Serial = binary.BigEndian.Uint32(soa[len(soa)-20:])
	z.negSOA = z.soa.clone(min(z.soa.TTL, binary.BigEndian.Uint32(soa[len(soa)-4:])))
	if apex.set(dns.TypeNS) == nil {
		errs = append(errs, fmt.Errorf("no NS record at %s: a zone names its servers at its apex", z.Name))
	}
	for k, n := range z.nodes {
		n.cname, n.dname = n.set(dns.TypeCNAME), n.set(dns.TypeDNAME)
		errs = append(errs, z.checkNode(k, n)...)
	}
	for k, n := range z.nodes {
		n.cut = z.cutOf(k)
	}
	z.checkBelowDNAME(&errs)
	return errs
}

// cutOf finds the topmost delegation at or above k, the apex excepted: what
// stands below it is not this zone's to answer for (RFC 1034, section 4.2.1).
func (z *Zone) cutOf(k string) *node {
	var cut *node
	for ; k != z.apex; k = parent(k) {
		if n := z.nodes[k]; n != nil && n.set(dns.TypeNS) != nil {
			cut = n
		}
	}
	return cut
}

func (z *Zone) checkNode(k string, n *node) []error {
	var errs []error
	name := FormatName(n.owner)
	if c := n.cname; c != nil {
		if len(c.Rdata) > 1 {
			errs = append(errs, fmt.Errorf("%s has %d CNAME records: a name has at most one (RFC 2181, section 10.1)", name, len(c.Rdata)))
		}
		for _, s := range n.sets {
			switch s.Type {
			case dns.TypeCNAME, dns.TypeRRSIG, dns.TypeNSEC:
			default:
				errs = append(errs, fmt.Errorf("%s has a CNAME and also %s: a CNAME stands alone (RFC 1034, section 3.6.2)", name, dns.Type(s.Type)))
			}
		}
	}
	if n.dname != nil && len(n.dname.Rdata) > 1 {
		errs = append(errs, fmt.Errorf("%s has %d DNAME records: a name has at most one (RFC 6672, section 2.4)", name, len(n.dname.Rdata)))
	}
	if len(k) > 2 && k[:2] == "\x01*" && n.set(dns.TypeNS) != nil {
		errs = append(errs, fmt.Errorf("%s has NS records: a wildcard cannot be delegated (RFC 4592, section 4.2)", name))
	}
	if k != z.apex && n.set(dns.TypeSOA) != nil {
		errs = append(errs, fmt.Errorf("%s has an SOA record below the apex %s", name, z.Name))
	}
	return errs
}

func (z *Zone) checkBelowDNAME(errs *[]error) {
	for k, n := range z.nodes {
		if k == z.apex || len(n.sets) == 0 && n.steered == nil {
			continue
		}
		for up := parent(k); len(up) >= len(z.apex); up = parent(up) {
			if a := z.nodes[up]; a != nil && a.dname != nil {
				*errs = append(*errs, fmt.Errorf("%s stands below the DNAME at %s (RFC 6672, section 2.4)", FormatName(n.owner), FormatName(a.owner)))
				break
			}
			if up == z.apex {
				break
			}
		}
	}
}
