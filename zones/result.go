package zones

import (
	"encoding/binary"
	"unsafe"

	"github.com/miekg/dns"

	"gslb/dnsname"
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
	Failed                  // the zone's records are not known: SERVFAIL
)

// String gives the outcome's name, for people.
func (o Outcome) String() string {
	return [...]string{"refused", "answer", "no data", "nxdomain", "referral", "tailored", "too long", "failed"}[o]
}

// MaxChain bounds how many CNAMEs and DNAMEs one answer follows; a resolver
// asks on from where the chain ends.
const MaxChain = 16

// Result is what a look-up found, by section. It can be used again and again;
// its slices point into itself, so it must not be copied.
type Result struct {
	Outcome Outcome
	// Signed tells that whoever asks wants the records of DNSSEC too (RFC 3225);
	// Lookup sets it.
	Signed bool
	// Authoritative is the AA bit.
	Authoritative bool
	Zone          *Zone    // the zone that answered, at the end of a chain of aliases; nil for Refused
	Asked         *Zone    // the zone of the name that was asked for; nil for Refused
	Steered       *Steered // the steered name that was asked for, or nil
	// Wire is the sections as they are sent, where that is kept ready: all of
	// them, or without what AppendTo puts in.
	Wire       Wire
	Answer     []Record
	Authority  []Record
	Additional Additional
	// Required counts the additional RRsets that a referral needs as glue.
	Required int

	// Each alias adds at most a DNAME and the CNAME that it implies.
	answer    [2*MaxChain + 1]Record
	authority [1 + maxProofs]Record
	ready     int                                      // how many of Authority are in Wire
	sigs      []byte                                   // signatures of the answer that are not in Wire, in its form,
	nsigs     uint16                                   // and how many
	synth     [MaxChain][recordHead + dnsname.Max]byte // CNAMEs that DNAMEs imply
	nsynth    int
	hops      int   // aliases followed
	name      *Name // asked for
	next      Name  // that an alias leads to
}

// Additional are the addresses that RFC 1034, section 4.3.2, step 6 adds.
type Additional struct {
	z    *Zone
	refs []byte
}

// Len is the number of RRsets.
func (a *Additional) Len() int { return len(a.refs) / refSize }

// At gives one of them.
func (a *Additional) At(i int) Record {
	ref := a.refs[refSize*i:]
	n := node(binary.LittleEndian.Uint32(ref))
	set, _, _ := a.z.arena.find(n, binary.LittleEndian.Uint16(ref[4:]))
	return Record{Owner: a.z.arena.owner(n), Set: set}
}

func (r *Result) reset() {
	r.Outcome, r.Zone, r.Asked, r.Steered, r.Authoritative = Refused, nil, nil, nil, false
	r.Answer, r.Authority, r.Additional.refs = r.answer[:0], r.authority[:0], nil
	r.Wire.Body = nil
	r.Required, r.nsynth, r.hops = 0, 0, 0
	r.ready, r.sigs, r.nsigs = 0, nil, 0
}

// Identity is a number that is the same for all questions with the same answer, as
// far as limits go, and hardly ever for others: that of the RRset, so that all names
// below a wildcard are one; of the zone, so that all names that do not exist are; of
// the delegation; and of the steered name, whichever site is chosen. It holds while
// the DB is served.
func (r *Result) Identity() uint64 {
	at := unsafe.Pointer(r.Zone)
	switch {
	case r.Outcome == Tailored:
		at = unsafe.Pointer(r.Steered)
	case r.Outcome == Answer && len(r.Answer) > 0:
		at = unsafe.Pointer(unsafe.SliceData(r.Answer[0].Set.Wire))
	case r.Outcome == Referral:
		at = unsafe.Pointer(unsafe.SliceData(r.Authority[0].Set.Wire))
	}
	return uint64(uintptr(at))<<4 | uint64(r.Outcome)
}

// wire makes Wire the answer that is an RRset of a node, if that is kept ready.
func (r *Result) wire(z *Zone, n node, set RRset, tail uint32) {
	w := &r.Wire
	if tail == 0 {
		w.Body, w.pointers, w.Answer, w.Authority, w.Additional = set.Wire, nil, set.Count, 0, 0
		if r.Signed && set.Sigs > 0 {
			w.Body, w.Answer = set.signed(), set.Count+set.Sigs
		}
		return
	}
	w.ownerLen = z.arena[4*int(n)]
	if !r.Signed || set.Sigs == 0 {
		z.arena.prepared(tail, w)
		return
	}
	if more := z.arena.signedTail(tail); more != 0 { // the addresses have signatures too (RFC 4035, section 3.1.1)
		z.arena.prepared(more, w)
		return
	}
	z.arena.prepared(tail, w)
	r.sigs, r.nsigs = set.RRSIG(), set.Sigs
}

// hinfo answers queries for ANY (RFC 8482, section 4.2).
var hinfo = newRRset(dns.TypeHINFO, 3600, []byte("\x07RFC8482\x00"))

// has tells whether the answer holds the RRset under that owner name; nil is name.
func (r *Result) has(owner []byte, name *Name, set RRset) bool {
	for i := range r.Answer {
		if !r.Answer[i].Set.same(set) {
			continue
		}
		at := r.Answer[i].Owner
		if at == nil {
			at = r.name.Wire()
		}
		if owner == nil {
			owner = name.Wire()
		}
		if sameName(at, owner) {
			return true
		}
	}
	return false
}

// hop counts an alias and tells whether it may be followed.
func (r *Result) hop() bool {
	r.hops++
	return r.hops < MaxChain
}

// substitute applies a DNAME (RFC 6672, section 3.2): the DNAME itself and the
// CNAME that it implies go into the answer; r.next is looked up next, and sent
// as what comes back.
func (r *Result) substitute(z *Zone, at node, owner []byte, name *Name) (newOwner []byte, ok bool) {
	d, _, _ := z.arena.find(at, dns.TypeDNAME)
	above, target := z.arena.owner(at), d.first()
	if !r.has(above, name, d) {
		r.Answer = append(r.Answer, Record{Owner: above, Set: d})
	}
	r.Outcome, r.Wire.Body = Answer, nil
	prefix := name.length - len(above)
	if prefix+len(target) > dnsname.Max {
		r.Outcome = TooLong
		return nil, false
	}
	from := name.Wire()
	if owner != nil {
		from = owner // keep the letters' case
	}
	w := appendRecord(r.synth[r.nsynth][:0], dns.TypeCNAME, d.TTL(), from[:prefix])
	w = append(w, target...)
	binary.BigEndian.PutUint16(w[recordHead-2:], uint16(len(w)-recordHead))
	r.nsynth++
	made := w[recordHead:]
	for i := range r.nsynth - 1 {
		old := RRset{Wire: r.synth[i][:]}
		if sameName(old.first(), made) {
			return nil, false // a loop of aliases
		}
	}
	r.Answer = append(r.Answer, Record{Owner: owner, Set: RRset{Type: dns.TypeCNAME, Count: 1, Wire: w}})
	r.next.Set(made)
	return made, true
}

// negative ends in "no such name" or "no such type", with the SOA that says
// how long that may be remembered.
func (r *Result) negative(z *Zone, o Outcome) {
	if !z.Loaded() {
		r.fail()
		return
	}
	soa, tail, _ := z.arena.set(z.negSOA)
	if r.Signed && z.negSig != 0 {
		tail = z.negSig
	}
	r.Zone = z
	r.Wire.Body = nil
	if len(r.Answer) == 0 {
		r.ready = 1
		r.Wire.ownerLen = uint8(len(z.apex))
		z.arena.prepared(tail, &r.Wire)
	}
	if len(r.Answer) == 0 || o == NXDomain {
		r.Outcome = o // RFC 6604, section 3: the code is that of the chain's end
	}
	r.Authority = append(r.Authority, Record{Owner: z.arena.owner(z.top), Set: soa})
}

// fail ends in a zone whose records are not known. After an alias the answer ends
// there; a resolver asks on, and learns it then.
func (r *Result) fail() {
	r.Wire.Body = nil
	if len(r.Answer) == 0 {
		r.Outcome, r.Authoritative = Failed, false
	}
}

// refer points to the servers of a delegated zone. After an alias it only adds
// them, where the chain is still in the zone that it began in (RFC 1034, section
// 4.3.2, step 3b).
func (r *Result) refer(z *Zone, name *Name, cut node, chained bool) {
	if chained && z != r.Zone {
		return
	}
	ns, tail, _ := z.arena.find(cut, dns.TypeNS)
	refs, required := z.arena.refs(tail)
	r.Authority = append(r.Authority, Record{Owner: z.arena.owner(cut), Set: ns})
	r.Additional = Additional{z, refs}
	r.Wire.Body = nil
	if r.Signed {
		r.delegation(z, name, cut)
	}
	if !chained {
		r.Outcome, r.Authoritative, r.Required = Referral, false, required
		if more := z.arena.signedTail(tail); r.Signed && more != 0 {
			tail = more // there are addresses with signatures among them
		}
		r.Wire.ownerLen, r.ready = uint8(len(r.Authority[0].Owner)), 1
		z.arena.prepared(tail, &r.Wire)
	}
}
