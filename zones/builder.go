package zones

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"

	"github.com/miekg/dns"
)

// record is one resource record as a master file gives it. Its slices are
// valid during the call that it is given to only.
type record struct {
	owner         []byte // wire form, the letters as written
	rrtype, class uint16
	ttl           uint32 // seconds
	data          []byte // wire form, names in it not compressed; known to be whole
	file          string
	line          int // where it stands
}

// builder makes a zone of the records of its master file.
type builder struct {
	zone  *Zone
	files []stamp
}

// opened notes a file that records come from, as it was when it was opened. The
// reader calls it for the master file and for each that it includes.
func (b *builder) opened(path string, info fs.FileInfo) {
	b.files = append(b.files, stampOf(path, info))
}

// add puts a record into the zone. An error tells what is wrong with it; the
// caller says where, and may go on.
func (b *builder) add(rec record) error {
	name := func() string { return FormatName(rec.owner) }
	if rec.class != dns.ClassINET {
		return fmt.Errorf("%s %s has class %s: only IN is served", name(), dns.Type(rec.rrtype), dns.Class(rec.class))
	}
	if !isSub(key(rec.owner), b.zone.apex) {
		return fmt.Errorf("%s is not in the zone %s", name(), b.zone.Name)
	}
	if rec.ttl > 1<<31-1 { // RFC 2181, section 8
		return fmt.Errorf("%s %s has TTL %d: at most 2147483647", name(), dns.Type(rec.rrtype), rec.ttl)
	}
	n := b.zone.insert(bytes.Clone(rec.owner))
	set := n.set(rec.rrtype)
	if set == nil {
		set = &RRset{Owner: n.owner, Type: rec.rrtype, TTL: rec.ttl}
		n.sets = append(n.sets, set)
	}
	if slices.ContainsFunc(set.Rdata, func(d []byte) bool { return sameData(rec.rrtype, d, rec.data) }) {
		return nil // RFC 2181, section 5: a set has no duplicates
	}
	if rec.ttl != set.TTL { // RFC 2181, section 5.2
		b.zone.Warnings = append(b.zone.Warnings, fmt.Sprintf("zone %s: %s:%d: %s %s has TTLs %d and %d: the smaller is used",
			b.zone.Name, rec.file, rec.line, name(), dns.Type(rec.rrtype), set.TTL, rec.ttl))
		set.TTL = min(set.TTL, rec.ttl)
	}
	set.Rdata = append(set.Rdata, bytes.Clone(rec.data))
	switch rec.rrtype {
	case dns.TypeCNAME, dns.TypeDNAME:
		set.target = key(rec.data)
	}
	return nil
}
