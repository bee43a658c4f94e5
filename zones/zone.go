package zones

import (
	"encoding/binary"
	"slices"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
)

// Zone is one zone, ready to be looked up in. It never changes once read, and
// knows of no other zone and of no steered name, so that any number of DBs may
// share it.
type Zone struct {
	// The cache line that every look-up reads; the next one is for those of many names.
	arena  arena
	small  smallIndex // of the nodes, if they are few; else index is
	labels uint8      // of apex
	top    node       // the one of the apex

	index  index  // of the nodes, by hash; nil: small is, or pages
	pages  *pages // of a zone that has been patched
	apex   []byte // wire form, lower case
	negSOA int    // where the SOA of negative answers is in arena
	hash   uint64 // of apex

	Name   string // presentation form, lower case, absolute
	File   string // the master file it came from
	Serial uint32
	// Warnings are faults that do not keep the zone from being served.
	Warnings []string

	names   int      // that own records
	patched *patched // nil: it has not been
	edited  *edited  // how it was, if that is known
	negSig  uint32   // the tail of the same with its signatures; 0: there is none

	denial denial
	nsec3  dnssec.NSEC3Params
	chain  *chain // of the NSEC or NSEC3 records; nil: there are none
	atApex pinned
	broken string // what is wrong with the chain; "": nothing

	signing *signing // nil: it is not signed here

	aliases []alias // in the order of their nodes
	missing []missing
	files   []sourceFile
}

// missing is a name server without an address, which is a fault unless it is steered.
type missing struct {
	name    []byte // wire form, lower case
	warning string
}

// Bytes is the memory that the zone takes.
func (z *Zone) Bytes() int {
	return zoneBytes + len(z.Name) + len(z.File) + len(z.apex) + cap(z.arena) + 8*cap(z.index) + 48*len(z.files) + z.patched.bytes() + z.pages.bytes() + aliasBytes*len(z.aliases) + z.chain.bytes()
}

// zoneBytes is what a Zone takes itself.
const zoneBytes = 384

// Files are the names of the files that the zone was read from, its master file
// and those that this includes, as they were opened.
func (z *Zone) Files() []string {
	names := make([]string, 0, len(z.files))
	z.EachFile(func(path string) { names = append(names, path) })
	return names
}

// EachFile calls f with each of Files.
func (z *Zone) EachFile(f func(path string)) {
	for i := range z.files {
		f(z.files[i].path)
	}
}

// Signed tells whether the zone's records are signed: whether its SOA is.
func (z *Zone) Signed() bool { return z.negSig != 0 }

// Apex is the zone's name in wire form, as written.
func (z *Zone) Apex() []byte {
	if !z.Loaded() {
		return z.apex
	}
	return z.arena.owner(z.top)
}

// Labels is how many labels the zone's name has, the root's not counted.
func (z *Zone) Labels() uint8 { return z.labels }

// Expire is for how long others may serve a copy of the zone that they cannot
// renew, in seconds: the EXPIRE of its SOA (RFC 1035, section 3.3.13).
func (z *Zone) Expire() uint32 {
	if !z.Loaded() {
		return 0
	}
	soa, _, ok := z.arena.find(z.top, dns.TypeSOA)
	if !ok {
		return 0
	}
	d := soa.first()
	return binary.BigEndian.Uint32(d[len(d)-8:])
}

// holds tells whether a name is at or below the apex.
func (z *Zone) holds(name *Name) bool {
	k := name.labels - int(z.labels)
	return k >= 0 && string(name.from(k)) == string(z.apex)
}

// is tells whether a name is the apex. It looks where the zone's names are, which
// are read next.
func (z *Zone) is(name []byte) bool {
	if !z.Loaded() {
		return string(z.apex) == string(name)
	}
	return z.arena.is(z.top, name)
}

// find gives the node of a name without its first k labels; 0: there is none.
func (z *Zone) find(name *Name, k int) node {
	h := name.hash[k]
	if z.small[0] != 0 {
		for n, i := z.small.scan(h, 0); n != 0; n, i = z.small.scan(h, i+1) {
			if z.arena.is(n, name.from(k)) {
				return n
			}
		}
		return 0
	}
	if z.pages != nil {
		for n, i := z.pages.first(h); n != 0; n, i = z.pages.after(h, i) {
			if z.arena.is(node(n), name.from(k)) {
				return node(n)
			}
		}
		return 0
	}
	for n, i := z.index.first(h); n != 0; n, i = z.index.after(h, i) {
		if z.arena.is(node(n), name.from(k)) {
			return node(n)
		}
	}
	return 0
}

// wild gives the node "*" below a name without its first k labels; 0: there is none.
func (z *Zone) wild(name *Name, k int) node {
	h := wildHash(name.hash[k])
	if z.small[0] != 0 {
		for n, i := z.small.scan(h, 0); n != 0; n, i = z.small.scan(h, i+1) {
			if z.arena.isWildOf(n, name.from(k)) {
				return n
			}
		}
		return 0
	}
	if z.pages != nil {
		for n, i := z.pages.first(h); n != 0; n, i = z.pages.after(h, i) {
			if z.arena.isWildOf(node(n), name.from(k)) {
				return node(n)
			}
		}
		return 0
	}
	for n, i := z.index.first(h); n != 0; n, i = z.index.after(h, i) {
		if z.arena.isWildOf(node(n), name.from(k)) {
			return node(n)
		}
	}
	return 0
}

// cutAbove finds the topmost delegation at or above a name of the zone, the apex
// excepted: what stands below it is not this zone's to answer for (RFC 1034,
// section 4.2.1). 0: there is none.
func (z *Zone) cutAbove(name *Name) node {
	for k := name.labels - int(z.labels) - 1; k >= 0; k-- {
		n := z.find(name, k)
		if n == 0 {
			return 0
		}
		if z.arena.flags(n)&isCut != 0 {
			return n
		}
	}
	return 0
}

// dnameAbove is the name of the lowest DNAME above a name of the zone; "" where
// there is none.
func (z *Zone) dnameAbove(owner []byte) string {
	var name Name
	name.Set(owner)
	for k := 1; k <= name.labels-int(z.labels); k++ {
		if n := z.find(&name, k); n != 0 && z.arena.flags(n)&hasDNAME != 0 {
			return dnsname.Format(z.arena.owner(n))
		}
	}
	return ""
}

// shrink gives back memory that was reserved and is not needed.
func (z *Zone) shrink() {
	if cap(z.arena)-len(z.arena) > len(z.arena)/32 {
		z.arena = slices.Clip(append(make(arena, 0, len(z.arena)), z.arena...))
	}
}
