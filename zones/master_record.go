package zones

import (
	"github.com/miekg/dns"
)

// record reads an entry that is a resource record: [owner] [TTL] [class] type
// data, with TTL and class in either order (RFC 1035, section 5.1).
func (f *masterFile) record() bool {
	fields := f.tokens
	switch {
	case !f.blank:
		if !f.readOwner(fields[0]) {
			f.owner, f.badOwner = f.owner[:0], true
			return false
		}
		fields = fields[1:]
	case len(f.owner) == 0 && !f.badOwner:
		return f.fail(fields[0].start, "record without an owner name: only those behind one with a name can leave theirs out")
	}
	var h head
	fields, ok := f.readHead(fields, &h)
	if !ok {
		return false
	}
	if h.rrtype == 0 || h.rrtype == dns.TypeOPT || h.rrtype >= 128 && h.rrtype <= 255 {
		return f.fail(h.typeAt, "%s is a type for questions or messages only: it cannot stand in a zone (RFC 6895, section 3.1)", dns.Type(h.rrtype))
	}
	f.rrtype, f.data = h.rrtype, f.data[:0]
	if !f.readData(fields) {
		return false
	}
	if len(f.data) > 1<<16-1 {
		return f.fail(h.typeAt, "data of %d octets: at most 65535", len(f.data))
	}
	if !h.hasTTL && !f.defaultTTL(&h) || f.badOwner {
		return false
	}
	err := f.out.add(record{owner: f.owner, rrtype: h.rrtype, class: dns.ClassINET, ttl: h.ttl, data: f.data, file: f.name, line: f.recordLine()})
	if err != nil {
		return f.failRecord(err)
	}
	return true
}

func (f *masterFile) readOwner(t token) bool {
	if t.quoted {
		return f.fail(t.start, "%q: an owner name stands without quotes", f.raw(t))
	}
	var flaw string
	if f.owner, flaw = appendName(f.owner[:0], f.raw(t), f.origin, t.escaped); flaw != "" {
		return f.fail(t.start, "owner %q %s", f.raw(t), flaw)
	}
	f.badOwner = false
	return true
}

// head is what stands between a record's owner and its data.
type head struct {
	rrtype uint16
	typeAt int // its offset in the entry
	ttl    uint32
	hasTTL bool
}

// readHead reads up to the type; rest are the data's fields.
func (f *masterFile) readHead(fields []token, h *head) (rest []token, ok bool) {
	hasClass := false
	for i, t := range fields {
		word := f.raw(t)
		if t.quoted || len(word) == 0 {
			return nil, f.fail(t.start, "%q: a TTL, class or type stands without quotes", word)
		}
		if isDigit(word[0]) {
			if h.hasTTL {
				return nil, f.fail(t.start, "%q behind another TTL: a record type is missing", word)
			}
			if !f.readTTL(t, &h.ttl) {
				return nil, false
			}
			h.hasTTL = true
			if f.ttlFrom != ttlDirective {
				f.ttl, f.ttlFrom = h.ttl, ttlRecord
			}
			continue
		}
		if h.rrtype, ok = typeOf(word); ok {
			h.typeAt = t.start
			return fields[i+1:], true
		}
		class, ok := classOf(word)
		switch {
		case !ok:
			return nil, f.fail(t.start, "%q is no record type, class or TTL", word)
		case hasClass:
			return nil, f.fail(t.start, "class %q behind another one", word)
		case class != dns.ClassINET:
			return nil, f.fail(t.start, "class %s: only IN is served", word)
		}
		hasClass = true
	}
	return nil, f.fail(f.end(), "record without a type")
}

// end is where the last field of the entry ends.
func (f *masterFile) end() int { return f.tokens[len(f.tokens)-1].end }

// readTTL reads a TTL, which is at most 2^31-1 (RFC 2181, section 8).
func (f *masterFile) readTTL(t token, ttl *uint32) (ok bool) {
	if *ttl, ok = period(f.raw(t)); !ok || t.quoted {
		return f.fail(t.start, "%q is no TTL: seconds, such as 300, or with units, such as 1h30m", f.raw(t))
	}
	if *ttl > 1<<31-1 {
		return f.fail(t.start, "TTL %d: at most 2147483647 (RFC 2181, section 8)", *ttl)
	}
	return true
}

// defaultTTL gives a record without a TTL that of $TTL or of the last record
// with one; in a file that begins with an SOA record and neither, its MINIMUM.
func (f *masterFile) defaultTTL(h *head) bool {
	if f.ttlFrom == ttlNone && h.rrtype == dns.TypeSOA {
		var ttl uint32
		for _, c := range f.data[len(f.data)-4:] {
			ttl = ttl<<8 | uint32(c)
		}
		f.ttl, f.ttlFrom = min(ttl, 1<<31-1), ttlRecord
		f.warn("no TTL is given: the SOA record's last field, %d, is used; begin the file with a line such as $TTL 300", f.ttl)
	}
	if f.ttlFrom == ttlNone && !f.noTTL {
		f.noTTL = true
		return f.fail(h.typeAt, "no TTL is given: begin the file with a line such as $TTL 300")
	}
	h.ttl = f.ttl
	return f.ttlFrom != ttlNone
}

// typeOf gives the record type that a word means, TYPEnnn too (RFC 3597, section 5).
func typeOf(word []byte) (rrtype uint16, ok bool) {
	switch string(word) { // the common ones
	case "A":
		return dns.TypeA, true
	case "AAAA":
		return dns.TypeAAAA, true
	case "NS":
		return dns.TypeNS, true
	case "CNAME":
		return dns.TypeCNAME, true
	case "PTR":
		return dns.TypePTR, true
	case "TXT":
		return dns.TypeTXT, true
	case "IN":
		return 0, false
	}
	var upper [len("NSEC3PARAM")]byte
	if len(word) > len(upper) {
		return 0, false
	}
	name := upper[:upperCase(upper[:], word)]
	if rrtype, ok = dns.StringToType[string(name)]; ok {
		return rrtype, true
	}
	return numbered(name, "TYPE")
}

// classOf gives the class that a word means, CLASSnnn too.
func classOf(word []byte) (class uint16, ok bool) {
	if string(word) == "IN" {
		return dns.ClassINET, true
	}
	var upper [len("CLASS65535")]byte
	if len(word) > len(upper) {
		return 0, false
	}
	name := upper[:upperCase(upper[:], word)]
	if class, ok = dns.StringToClass[string(name)]; ok {
		return class, true
	}
	return numbered(name, "CLASS")
}

// numbered reads the number behind a prefix.
func numbered(name []byte, prefix string) (uint16, bool) {
	if len(name) < len(prefix) || string(name[:len(prefix)]) != prefix {
		return 0, false
	}
	v, ok := decimal(name[len(prefix):], 1<<16-1)
	return uint16(v), ok
}

// upperCase copies a word in upper case.
func upperCase(dst, word []byte) int {
	for i, c := range word {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst[i] = c
	}
	return len(word)
}
