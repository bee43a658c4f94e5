package zones

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
	"gslb/parallel"
)

// maxPresignedFaults are the most faults of one zone that are told one by one.
const maxPresignedFaults = 5

// Presigned is what is known of the signatures of a zone that comes signed. Whether
// they verify is not: that is for whoever validates.
type Presigned struct {
	// Faults are for people: the first few of them, each with the name and the type,
	// and how many more there are. None keeps the zone from being served.
	Faults []string
	// Expires is when the first RRset is left without a signature that counts.
	Expires time.Time
	// Changes is when a signature begins or ceases to count next, so that it is all
	// to be looked at again; zero: never.
	Changes time.Time
}

// Presigned looks at the signatures of a zone that comes signed; ok is false where
// it does not. Each RRset is to have a signature that counts at now, of each
// algorithm in the DNSKEY RRset and by a key in it (RFC 4035, section 2.2; RFC 6840,
// section 5.11), and each name a record of denial (RFC 4035, section 2.3; RFC 5155,
// section 7.1).
func (z *Zone) Presigned(now time.Time) (p Presigned, ok bool) {
	if !z.Loaded() || z.signing != nil {
		return p, false
	}
	if keys, _, _ := z.arena.find(z.top, dns.TypeDNSKEY); !z.Signed() && z.denial == noDenial && keys.Sigs == 0 {
		return p, false
	}
	c := presignedCheck{z: z, now: now.Unix()}
	c.keys()
	c.optOut()
	if z.denial == noDenial {
		c.fault("%s: it has signatures, but no NSEC or NSEC3 records: what does not exist cannot be proven", z.Name)
	}
	if z.broken != "" {
		c.fault("%s", z.broken)
	}
	count := 0
	for n := range z.live() {
		c.node(n)
		if count++; count%yieldEvery == 0 {
			parallel.Yield()
		}
	}
	if more := c.faults - len(c.p.Faults); more > 0 {
		c.p.Faults = append(c.p.Faults, fmt.Sprintf("zone %s: %s: and %d more faults of its signatures", z.Name, z.File, more))
	}
	c.p.Expires, c.p.Changes = unixOrZero(c.expires), unixOrZero(c.changes)
	return c.p, true
}

func unixOrZero(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(at, 0)
}

// presignedCheck is a zone that is looked at.
type presignedCheck struct {
	z                *Zone
	now              int64
	tags             map[keyID]bool
	algorithms       []dnssec.Algorithm // of the keys
	optsOut          bool
	faults           int // in all
	expires, changes int64
	p                Presigned
}

type keyID struct {
	algorithm dnssec.Algorithm
	tag       uint16
}

func (c *presignedCheck) fault(format string, args ...any) {
	if c.faults++; c.faults <= maxPresignedFaults {
		c.p.Faults = append(c.p.Faults, fmt.Sprintf("zone %s: %s: ", c.z.Name, c.z.File)+fmt.Sprintf(format, args...))
	}
}

// keys notes the keys that sign the zone: those that are revoked sign only
// themselves (RFC 5011, section 2.1).
func (c *presignedCheck) keys() {
	const zoneKey, revoked = 1 << 8, 1 << 7
	c.tags = make(map[keyID]bool)
	set, _, _ := c.z.arena.find(c.z.top, dns.TypeDNSKEY)
	for data := range set.Data() {
		if flags := binary.BigEndian.Uint16(data); len(data) < 5 || flags&zoneKey == 0 || flags&revoked != 0 {
			continue
		}
		k := keyID{dnssec.Algorithm(data[3]), dnssec.KeyTag(data)}
		c.tags[k] = true
		if !slices.Contains(c.algorithms, k.algorithm) {
			c.algorithms = append(c.algorithms, k.algorithm)
		}
	}
	slices.Sort(c.algorithms)
	if len(c.algorithms) == 0 {
		c.fault("%s DNSKEY: there is none that signs, so that nobody can validate the zone (RFC 4035, section 2.1)", c.z.Name)
	}
}

// optOut notes whether delegations that are not signed may have no NSEC3 record
// (RFC 5155, section 6).
func (c *presignedCheck) optOut() {
	if c.z.denial != withNSEC3 {
		return
	}
	for n := range c.z.chain.all() {
		set, _, _ := c.z.arena.find(n, dns.TypeNSEC3)
		if p, ok := nsec3Params(set.first()); ok && p.OptOut {
			c.optsOut = true
			return
		}
	}
}

// node looks at the RRsets of a name that are to be signed: all but those below a
// delegation, and of the delegation itself but DS and NSEC (RFC 4035, section 2.2).
func (c *presignedCheck) node(n node) {
	flags := c.z.arena.flags(n)
	if flags&(belowCut|belowDNAME) != 0 {
		return
	}
	count, at := c.z.arena.sets(n)
	own, denied, delegated := count > 0, false, flags&isCut != 0
	for range count {
		var set RRset
		set, _, at = c.z.arena.set(at)
		switch {
		case set.Type == dns.TypeNSEC || set.Type == dns.TypeNSEC3:
			denied = true
		case set.Type == dns.TypeDS:
			delegated = false
		case flags&isCut != 0:
			continue
		}
		c.set(n, &set)
	}
	if !own || denied {
		return
	}
	switch c.z.denial {
	case withNSEC:
		c.undenied(n, dns.TypeNSEC)
	case withNSEC3:
		if delegated && c.optsOut {
			return
		}
		if _, match := c.z.hashOf(lower(slices.Clone(c.z.arena.owner(n)))); !match {
			c.undenied(n, dns.TypeNSEC3)
		}
	}
}

func (c *presignedCheck) undenied(n node, rrtype uint16) {
	c.fault("%s has no %s record: which types it has not cannot be proven", dnsname.Format(c.z.arena.owner(n)), dns.Type(rrtype))
}

// set looks at the signatures of an RRset.
func (c *presignedCheck) set(n node, set *RRset) {
	for _, a := range c.algorithms {
		last, first, due, found := int64(0), int64(0), int64(0), false
		good := false
		for data := range (RRset{Wire: set.RRSIG()}).Data() {
			if !c.counts(data, a) {
				continue
			}
			from, to := c.moment(data[12:]), c.moment(data[8:])
			if !found || to > last {
				last = to
			}
			if !found || from < first {
				first = from
			}
			found = true
			switch {
			case from > c.now:
				c.next(from)
			case to >= c.now:
				good = true
				due = max(due, to)
				c.next(to + 1)
			}
		}
		what := func() string { return dnsname.Format(c.z.arena.owner(n)) + " " + dns.Type(set.Type).String() }
		switch {
		case !found:
			c.fault("%s has no signature of algorithm %d (%s), of which there is a key in the DNSKEY RRset: sign it with each of them (RFC 4035, section 2.2)", what(), a, a)
		case !good && last < c.now:
			c.fault("%s: its signature of algorithm %d (%s) expired at %s: sign the zone again", what(), a, a, utc(last))
			due = last
		case !good:
			c.fault("%s: its signature of algorithm %d (%s) does not count before %s: is the clock of this machine or of the signer wrong?", what(), a, a, utc(first))
			due = last
		}
		if due != 0 && (c.expires == 0 || due < c.expires) {
			c.expires = due
		}
	}
}

// counts tells whether an RRSIG is by a key of an algorithm that is in the zone.
func (c *presignedCheck) counts(data []byte, a dnssec.Algorithm) bool {
	return len(data) > 18 && dnssec.Algorithm(data[2]) == a && c.tags[keyID{a, binary.BigEndian.Uint16(data[16:])}] && sameName(data[18:18+max(0, dnsname.Len(data[18:]))], c.z.apex)
}

// moment is a time in an RRSIG: modulo 2^32, near now (RFC 4034, section 3.1.5).
func (c *presignedCheck) moment(field []byte) int64 {
	return c.now + int64(int32(binary.BigEndian.Uint32(field)-uint32(c.now)))
}

func (c *presignedCheck) next(at int64) {
	if c.changes == 0 || at < c.changes {
		c.changes = at
	}
}

func utc(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }
