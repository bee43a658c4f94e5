package zones

import (
	"github.com/miekg/dns"
)

// Outcome is what a look-up came to: a closed set.
type Outcome uint8

const (
	Refused  Outcome = iota // the name is in no zone served here
	Answer                  // there are records in the answer section
	NoData                  // the name exists, the type does not (RFC 2308, section 2.2)
	NXDomain                // the name does not exist (RFC 2308, section 2.1)
	Referral                // the name is delegated away
	Tailored                // the answer depends on the client: choose a site, then call Tailor
	TooLong                 // a DNAME made a name that is too long: YXDOMAIN (RFC 6672, section 2.2)
)

// String gives the outcome's name, for people.
func (o Outcome) String() string {
	return [...]string{"refused", "answer", "no data", "nxdomain", "referral", "tailored", "too long"}[o]
}

// MaxChain bounds how many CNAMEs and DNAMEs one answer follows; a resolver
// asks on from where the chain ends.
const MaxChain = 16

// Result is what a look-up found, by section. It can be used again and again;
// its slices point into itself, so it must not be copied.
type Result struct {
	Outcome Outcome
	Zone    *Zone    // the zone that answered; nil for Refused
	Steered *Steered // the steered name that was asked for, or nil
	// Authoritative is the AA bit.
	Authoritative bool
	Answer        []Record
	Authority     []Record
	Additional    []Record
	// Required counts the additional records that a referral needs as glue.
	Required int

	// Each alias adds at most a DNAME and the CNAME that it implies.
	answer    [2*MaxChain + 1]Record
	authority [1]Record
	synth     [MaxChain]synthesis
	nsynth    int
	hops      int    // aliases followed
	name      []byte // asked for
	folded    [maxName]byte
}

// synthesis is room for the CNAME that a DNAME implies.
type synthesis struct {
	name [maxName]byte
	data [1][]byte
	set  RRset
}

func (r *Result) reset() {
	r.Outcome, r.Zone, r.Steered, r.Authoritative = Refused, nil, nil, false
	r.Answer, r.Authority, r.Additional = r.answer[:0], r.authority[:0], nil
	r.Required, r.nsynth, r.hops = 0, 0, 0
}

// hinfo answers queries for ANY (RFC 8482, section 4.2).
var hinfo = &RRset{Type: dns.TypeHINFO, TTL: 3600, Rdata: [][]byte{[]byte("\x07RFC8482\x00")}}

// Lookup finds what the DB says of a name and type (RFC 1034, section 4.3.2)
// and fills r. The name is in wire form, lower case.
func (db *DB) Lookup(name []byte, qtype uint16, r *Result) {
	r.reset()
	r.name = name
	db.follow(nil, name, qtype, r)
}

// Tailor fills r, which Lookup left at Tailored, with the answer for the chosen site.
func (db *DB) Tailor(r *Result, qtype uint16, site int) {
	s := r.Steered
	r.Answer, r.Authority, r.Additional, r.Required = r.answer[:0], r.authority[:0], nil, 0
	r.nsynth, r.hops = 0, 0
	if uint(site) >= uint(len(s.sites)) {
		r.negative(NoData)
		return
	}
	sets := &s.sites[site]
	if s.Form == CNAME {
		if sets.cname == nil {
			r.negative(NoData)
			return
		}
		r.Outcome = Answer
		r.Answer = append(r.Answer, Record{Set: sets.cname})
		if qtype != dns.TypeCNAME && qtype != dns.TypeANY {
			db.follow(sets.cname.Rdata[0], r.fold(sets.cname.target), qtype, r)
		}
		return
	}
	set := sets.a
	if qtype == dns.TypeAAAA {
		set = sets.aaaa
	}
	if set == nil {
		r.negative(NoData)
		return
	}
	r.Outcome = Answer
	r.Answer = append(r.Answer, Record{Set: set})
}

// fold copies a key to where a look-up may read it as bytes.
func (r *Result) fold(k string) []byte { return r.folded[:copy(r.folded[:], k)] }

// find gives the zone to ask about a name: the one with the longest apex, but
// for DS the parent's side of a cut (RFC 4035, section 3.1.4.1).
func (db *DB) find(name []byte, qtype uint16) *Zone {
	var off [maxName/2 + 1]uint8 // a name has at most 127 labels, and then the root
	n := 0
	for i := 0; name[i] != 0; i += 1 + int(name[i]) {
		off[n] = uint8(i)
		n++
	}
	off[n] = uint8(len(name) - 1)
	var atApex *Zone
	for depth := n; depth >= 0; depth-- {
		if db.depths[depth>>6]&(1<<(depth&63)) == 0 {
			continue
		}
		z := db.zones[string(name[off[n-depth]:])]
		switch {
		case z == nil:
		case qtype == dns.TypeDS && depth == n:
			atApex = z
		case atApex != nil && !z.parents(name):
			return atApex // the parent is another server's
		default:
			return z
		}
	}
	return atApex
}

// parents tells whether the name is a zone cut of z itself, not one below
// something that z delegates away.
func (z *Zone) parents(name []byte) bool {
	n, ce := z.at(name)
	return ce.cut == nil || n != nil && n.cut == n
}

// at finds the node of a name, or its closest encloser (RFC 4592, section 3.3.1).
func (z *Zone) at(name []byte) (n, closest *node) {
	if n = z.nodes[string(name)]; n != nil {
		return n, n
	}
	for len(name) > len(z.apex) {
		name = name[1+int(name[0]):]
		if ce := z.nodes[string(name)]; ce != nil {
			return nil, ce
		}
	}
	return nil, z.nodes[z.apex]
}

// follow looks up a name and the chain of aliases that begins at it. owner is
// the name as it is to be sent, nil for the name that was asked for.
func (db *DB) follow(owner, name []byte, qtype uint16, r *Result) {
	for {
		chained := len(r.Answer) > 0
		z := db.find(name, qtype)
		if z == nil {
			return // refused, or the chain leaves what is served here
		}
		if !chained {
			r.Zone, r.Authoritative = z, true
		}
		n, ce := z.at(name)
		if ce.cut != nil && !(n == ce.cut && qtype == dns.TypeDS) {
			switch {
			case !chained:
				r.Outcome, r.Authoritative = Referral, false
				r.Required = r.refer(ce.cut)
			case z == r.Zone: // RFC 1034, section 4.3.2, step 3b, after an alias
				r.refer(ce.cut)
			}
			return
		}
		if n == nil && ce.dname != nil {
			var ok bool
			if owner, name, ok = r.substitute(ce, owner, name); !ok {
				return
			}
			if qtype == dns.TypeCNAME || qtype == dns.TypeANY || !r.next() {
				return
			}
			continue
		}
		if n == nil {
			if n = ce.wild; n == nil {
				r.Zone = z
				r.negative(NXDomain)
				return
			}
		}
		if n.steered != nil {
			if !chained {
				r.Steered = n.steered
			}
			if n.steered.Tailored(qtype) {
				if !chained {
					r.Outcome = Tailored
				}
				return // only the first CNAME of an answer is tailored (RFC 7871, section 7.2.1)
			}
		}
		set := n.pick(qtype)
		if set == nil {
			r.Zone = z
			r.negative(NoData)
			return
		}
		if r.has(name, set) {
			return // a loop of aliases
		}
		r.Outcome = Answer
		r.Answer = append(r.Answer, Record{Owner: owner, Set: set})
		if set.Type != dns.TypeCNAME || qtype == dns.TypeCNAME || qtype == dns.TypeANY {
			r.Additional = set.extra
			return
		}
		if !r.next() {
			return
		}
		owner, name = set.Rdata[0], r.fold(set.target)
	}
}

// has tells whether the answer holds the RRset under that owner name.
func (r *Result) has(owner []byte, set *RRset) bool {
	for i := range r.Answer {
		at := r.Answer[i].Owner
		if at == nil {
			at = r.name
		}
		if r.Answer[i].Set == set && sameName(at, owner) {
			return true
		}
	}
	return false
}

// next counts an alias and tells whether it may be followed.
func (r *Result) next() bool {
	r.hops++
	return r.hops < MaxChain
}

// pick gives the RRset of a node that answers a type, or nil.
func (n *node) pick(qtype uint16) *RRset {
	if n.cname != nil && qtype != dns.TypeRRSIG && qtype != dns.TypeNSEC {
		return n.cname
	}
	if qtype == dns.TypeANY {
		if len(n.sets) == 0 && n.steered == nil {
			return nil
		}
		return hinfo
	}
	return n.set(qtype)
}

// substitute applies a DNAME (RFC 6672, section 3.2): the DNAME itself and the
// CNAME that it implies go into the answer; the new name is looked up next.
func (r *Result) substitute(at *node, owner, name []byte) (newOwner, newName []byte, ok bool) {
	d := at.dname
	if !r.has(at.owner, d) {
		r.Answer = append(r.Answer, Record{Owner: at.owner, Set: d})
	}
	r.Outcome = Answer
	prefix := len(name) - len(at.owner)
	if prefix+len(d.Rdata[0]) > maxName {
		r.Outcome = TooLong
		return nil, nil, false
	}
	from := name
	if owner != nil {
		from = owner // keep the letters' case
	}
	s := &r.synth[r.nsynth]
	r.nsynth++
	k := copy(s.name[:], from[:prefix])
	k += copy(s.name[k:], d.Rdata[0])
	s.data[0] = s.name[:k]
	for i := range r.nsynth - 1 {
		if sameName(r.synth[i].data[0], s.data[0]) {
			return nil, nil, false // a loop of aliases
		}
	}
	s.set = RRset{Type: dns.TypeCNAME, TTL: d.TTL, Rdata: s.data[:]}
	r.Answer = append(r.Answer, Record{Owner: owner, Set: &s.set})
	return s.data[0], lower(r.folded[:copy(r.folded[:], s.name[:k])]), true
}

// negative ends in "no such name" or "no such type", with the SOA that says
// how long that may be remembered.
func (r *Result) negative(o Outcome) {
	if len(r.Answer) == 0 || o == NXDomain {
		r.Outcome = o // RFC 6604, section 3: the code is that of the chain's end
	}
	r.Authority = append(r.authority[:0], Record{Owner: r.Zone.negSOA.Owner, Set: r.Zone.negSOA})
}

// refer points to the servers of a delegated zone, and tells how many RRsets of
// glue that takes.
func (r *Result) refer(cut *node) (glue int) {
	ns := cut.set(dns.TypeNS)
	r.Authority = append(r.authority[:0], Record{Owner: cut.owner, Set: ns})
	r.Additional = ns.extra
	return ns.required
}
