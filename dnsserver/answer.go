package dnsserver

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"github.com/miekg/dns"

	"gslb/geo"
	"gslb/steer"
	"gslb/zones"
)

// minUDPSize is what every client can take (RFC 1035, section 4.2.1).
const minUDPSize = 512

// maxMessage is the largest message (RFC 1035, section 4.2.2).
const maxMessage = 65535

// maxRecordHead is what an answer may take past maxMessage while it is written.
const maxRecordHead = zones.MaxRecordHead

// responder turns queries into answers. Each goroutine that serves has its
// own, so that nothing is shared and nothing needs to be allocated.
type responder struct {
	limits  limits
	shard   int
	samples *samples // nil: none are kept
	sampled uint32   // choices, for which of them are kept
	count   *counters
	tally   tally
	batched bool           // who serves publishes the tally, not each answer
	seconds *atomic.Uint32 // coarse time, for draws
	others  bool           // there is an Other
	handed  bool           // the last message is for it, or takes long, and has no answer here
	proofs  *proofs        // of compact denial; nil: none
	signs   signing        // where they are made
	waiting *waiting       // room for the last query, which has no answer here: the signer answers it; nil: it has
	self
	protection
	// encrypted is set where the transport hides all but the length of messages, so
	// that padding helps (RFC 7830, section 6).
	encrypted bool

	q    Query
	opt  optionState
	room int        // octets that the answer may have
	from netip.Addr // the client of a query with a cookie
	res  zones.Result
	enc  zones.Encoder
	// encodes is set where answers that are ready are not to be used, for tests.
	encodes bool

	// Of the last answer, for explaining it.
	scope  uint8
	client netip.Addr
	choice steer.Choice
}

// limits are what configuration bounds answers by.
type limits struct {
	udpSize        int
	ecs            bool
	scope4, scope6 uint8
}

// respond answers msg, which came from src, into out[:0], whose capacity must
// be maxMessage+maxRecordHead. An empty answer means that none is to be sent.
// tr is nil on the query path.
func (w *responder) respond(g *Generation, msg []byte, src netip.AddrPort, tcp bool, out []byte, tr *steer.Trace) []byte {
	w.scope, w.client, w.opt, w.handed = 0, netip.Addr{}, optionState{}, false
	q := &w.q
	v := q.parse(msg)
	if v == drop {
		w.tally.dropped++
		return out[:0]
	}
	w.access, w.standing = g.access, believed
	if w.access != nil {
		w.standing = w.access.standing(src.Addr())
	}
	if q.EDNS.ECS.Present && (!w.limits.ecs || w.standing&believed == 0) {
		q.EDNS.ECS = ECS{}
	}
	if q.EDNS.asks != 0 {
		v = w.heed(v, src, tcp)
	}
	w.room = w.limit(len(msg), tcp)
	if w.guarded() {
		if answer, done := w.admit(v, msg, src, tcp, out); done {
			return answer
		}
	}
	if v != ask || q.odd() {
		if w.isOther(v) {
			w.handed = true
			return out[:0]
		}
		return w.reject(v, msg, out)
	}
	out = w.start(msg, out)
	r := &w.res
	g.DB.Lookup(&q.Name, q.Type, q.EDNS.DO, r)
	w.opt.looked = true
	if w.limiter != nil && !tcp {
		if answer, done := w.within(w.identity(), msg, src, out); done {
			return answer
		}
	}
	if r.Outcome == zones.NXDomain && w.proofs != nil && r.CanProve(q.Type) && w.compact(msg) {
		return out[:0]
	}
	if r.Outcome != zones.Tailored {
		ede := noError
		if r.Outcome == zones.Refused {
			ede = notAuthoritative
		}
		if r.Wire.Body != nil && w.fits(len(out), &r.Wire) {
			return w.copy(out, &r.Wire, r.Outcome, r.Authoritative, ede)
		}
		return w.chain(out, ede)
	}
	ede := g.caveat()
	who := w.whom(g, src)
	if g.trial != nil {
		g = w.try(g, &who)
	}
	w.choose(g, &who, tr)
	if w.choice.Set != 0 {
		if set := g.several[r.Steered.Index][w.choice.Set].of(q.Type); set.Count > 0 {
			return w.give(out, set, ede)
		}
	}
	if p := g.prepared(r.Steered, q.EDNS.DO).get(q.Type, w.choice.Site); p != nil && w.fits(len(out), &p.wire) {
		return w.copy(out, &p.wire, p.outcome, true, ede)
	}
	if g.troubled != nil && g.troubled[r.Steered.Index] != nil {
		r.Steered = g.troubled[r.Steered.Index]
	}
	g.DB.Tailor(r, q.Type, int(w.choice.Site))
	if r.Wire.Body != nil && w.fits(len(out), &r.Wire) {
		return w.copy(out, &r.Wire, r.Outcome, true, ede)
	}
	return w.encode(out, ede)
}

// give answers with the addresses of several sites.
func (w *responder) give(out []byte, set zones.RRset, ede extendedError) []byte {
	r := &w.res
	if r.Give(set); w.fits(len(out), &r.Wire) {
		return w.copy(out, &r.Wire, r.Outcome, true, ede)
	}
	return w.encode(out, ede)
}

// fits tells whether an answer that is ready has room behind a question that
// ends at a place.
func (w *responder) fits(at int, wire *zones.Wire) bool {
	return at+w.res.Size(wire)+w.reserve() <= w.room && !w.encodes
}

// copy answers with what is ready, behind the question.
func (w *responder) copy(out []byte, wire *zones.Wire, o zones.Outcome, authoritative bool, ede extendedError) []byte {
	body, counts := w.res.AppendTo(out, wire)
	return w.finish(out, body, counts, int(rcodeOf(o)), authoritative, false, w.afford(ede, len(body)))
}

// chain answers with a chain of aliases, or whatever else has no answer that is ready.
func (w *responder) chain(out []byte, ede extendedError) []byte {
	if r := &w.res; !w.encodes {
		if body, counts, ok := r.AppendChain(out, w.room-w.reserve()); ok {
			return w.finish(out, body, counts, int(rcodeOf(r.Outcome)), r.Authoritative, false, w.afford(ede, len(body)))
		}
	}
	return w.encode(out, ede)
}

// choose picks the site for the client of the current query, and the scope
// within which that answer holds.
func (w *responder) choose(g *Generation, who *client, tr *steer.Trace) {
	s := w.res.Steered
	p := &g.policies[s.Policy]
	w.client = who.addr
	cohort, bits := p.Table.Lookup(who.inner)
	if tr != nil {
		g.explain(p, who.addr, cohort, tr)
	}
	ask := steer.Ask{Client: who.inner, Period: w.seconds.Load() / s.Period, Turn: g.turns.of(s.Choices, w.q.Type, tr)}
	w.choice = g.live[s.Policy].Choose(cohort, ask, tr)
	scope := max(bits, w.choice.Bits)
	if g.trial != nil || g.tried != 0 {
		scope = 128 // the networks that were drawn, or not: as narrow as it may be
	}
	if who.inner.Is4() {
		scope = who.before + min(scope, w.limits.scope4)
	} else {
		scope = min(scope, w.limits.scope6)
	}
	e := &w.q.EDNS.ECS
	if e.Present && !who.fromECS && scope > 0 {
		// It holds for all of whom this server knows as little, not for everyone:
		// scope 0 would give the answer for one resolver's network to all clients.
		scope = who.silent
	}
	if e.Family == 2 && e.Addr.Is4() && (who.fromECS || scope > 0) {
		scope += 96 // an IPv4-mapped address, given and echoed as IPv6
	}
	w.scope = scope
	w.tally.choice(w.choice)
	if w.choice.Set == 0 {
		g.picked.add(w.shard, s.Choices, int(w.choice.Site))
		if tr == nil && g.tried == 0 {
			w.sample(s.Choices, cohort)
		}
		return
	}
	for _, site := range g.live[s.Policy].Sites(w.choice) {
		g.picked.add(w.shard, s.Choices, int(site))
	}
}

// client is whose place decides.
type client struct {
	addr netip.Addr
	// Behind a transition mechanism it is the IPv4 address within that counts,
	// for the place, for draws, and for how much of it may be told.
	inner  netip.Addr
	before uint8 // bits of addr before inner
	// fromECS tells that the Client Subnet said so. Where the subnet says nothing, silent
	// is how wide the network around it is in which that is so, in bits.
	fromECS bool
	silent  uint8
}

// whom tells whose place decides.
//
//	no Client Subnet                           the source address
//	source prefix length 0                     the source address: the client wants privacy
//	private, loopback …, not declared          the source address: it says nothing here
//	else                                       the Client Subnet
func (w *responder) whom(g *Generation, src netip.AddrPort) (c client) {
	if a := w.q.EDNS.ECS.Addr; a.IsValid() {
		c.addr, c.fromECS = a, true
		c.inner, c.before = geo.Inner(a)
		block := reserved(c.inner)
		if block == 0 {
			return c
		}
		v, bits := g.declared.Lookup(a)
		if v != 0 {
			return c
		}
		c.fromECS, c.silent = false, max(c.before+block, bits)
	}
	c.addr = src.Addr().Unmap()
	c.inner, c.before = geo.Inner(c.addr)
	return c
}

// reserved is the width of the block (RFC 6890) that an address lies in by
// which nobody can be found; 0 for all others. What is left of an address behind a
// transition mechanism when its prefix is cut short is among them.
func reserved(a netip.Addr) uint8 {
	if a.Is4() {
		return reserved4(a.As4())
	}
	b := a.As16()
	switch {
	case b[0]&0xfe == 0xfc:
		return 7
	case b[0] == 0xfe && b[1]&0xc0 == 0x80:
		return 10
	case b[0] == 0 && (a.IsLoopback() || a.IsUnspecified()):
		return 128
	}
	return 0
}

func reserved4(b [4]byte) uint8 {
	switch {
	case b[0] == 0 && b[1] == 0 && b[2] == 0 && b[3] == 0, b[0] == 10, b[0] == 127:
		return 8
	case b[0] == 172 && b[1]&0xf0 == 16:
		return 12
	case b[0] == 192 && b[1] == 168, b[0] == 169 && b[1] == 254:
		return 16
	case b[0] == 255 && b[1] == 255 && b[2] == 255 && b[3] == 255:
		return 32
	}
	return 0
}

// limit is how many octets the answer to a query of so many may have.
func (w *responder) limit(query int, tcp bool) int {
	if tcp {
		return maxMessage
	}
	n := minUDPSize
	if w.q.EDNS.Present {
		n = min(max(int(w.q.EDNS.UDPSize), minUDPSize), w.limits.udpSize)
	}
	if w.amplify > 0 && !w.opt.trusted {
		n = min(n, w.amplify*query)
	}
	return n
}

// reserve is what the OPT record will take, but for an extended error.
func (w *responder) reserve() int {
	if !w.q.EDNS.Present {
		return 0
	}
	return optLen + w.q.EDNS.ECS.size() + w.opt.size
}

// afford leaves an extended error out of a message of size octets that has no
// room for it: it never causes truncation.
func (w *responder) afford(ede extendedError, size int) extendedError {
	if ede != noError && size+w.reserve()+edeLen > w.room {
		return noError
	}
	return ede
}

// encode writes the records that the look-up found.
func (w *responder) encode(out []byte, ede extendedError) []byte {
	r := &w.res
	w.enc.Begin(out, w.q.Name.Wire(), w.room-w.reserve())
	c, whole := w.enc.Sections(r)
	// Glue that a referral needs and that does not fit sets TC (RFC 9471, section 3).
	truncated := !whole || c.Extra < r.Required
	ede = w.afford(ede, len(w.enc.Buf))
	return w.finish(out, w.enc.Buf, c, int(rcodeOf(r.Outcome)), r.Authoritative, truncated, ede)
}

func rcodeOf(o zones.Outcome) uint8 {
	switch o {
	case zones.Refused:
		return dns.RcodeRefused
	case zones.NXDomain:
		return dns.RcodeNameError
	case zones.Failed:
		return dns.RcodeServerFailure
	case zones.TooLong:
		return dns.RcodeYXDomain
	}
	return dns.RcodeSuccess
}

// start copies header and question of the query as the start of an answer. The
// question keeps the client's letters.
func (w *responder) start(msg, out []byte) []byte {
	out = append(out[:0], msg[:headerLen]...)
	return append(out, w.q.question...)
}

// finish adds the OPT record to a message whose records are written, and fills
// in its header (RFC 1035, section 4.1.1). head is the message up to the records.
func (w *responder) finish(head, out []byte, c zones.Counts, rcode int, authoritative, truncated bool, ede extendedError) []byte {
	if w.q.EDNS.Present {
		out = w.appendOPT(out, uint8(rcode>>4), ede)
		c.Additional++
	}
	flags := uint16(1<<15) | uint16(w.q.Opcode)<<11 | uint16(rcode&0xf)
	if authoritative && w.q.Class != dns.ClassANY { // RFC 1035, section 6.2
		flags |= 1 << 10
	}
	if truncated {
		flags |= 1 << 9
		w.tally.truncated++
	}
	if w.q.Opcode == dns.OpcodeQuery { // of others nobody has said that they have these
		if w.q.RD {
			flags |= 1 << 8
		}
		if w.q.CD { // RFC 4035, section 3.1.6
			flags |= 1 << 4
		}
	}
	questions := uint64(0)
	if len(head) > headerLen {
		questions = 1
	}
	// Flags and the four counts, behind the ID, in two writes.
	h := out[:headerLen]
	binary.BigEndian.PutUint16(h[2:], flags)
	binary.BigEndian.PutUint64(h[4:], questions<<48|uint64(uint16(c.Answer))<<32|uint64(uint16(c.Authority))<<16|uint64(uint16(c.Additional)))
	w.tally.answer(rcode)
	if w.q.EDNS.ECS.Present {
		w.tally.subnet++
	}
	return out
}

// reject answers a message that is not looked up: with its question and an OPT
// where it had them and they could be read. A Client Subnet is echoed only where
// there was a question to answer.
func (w *responder) reject(v verdict, msg, out []byte) []byte {
	if v != ask {
		w.q.EDNS.ECS = ECS{}
	}
	switch v {
	case ask:
		return w.odd(msg, out)
	case ping:
		return w.refuse(dns.RcodeSuccess, msg, out, noError)
	case notImplemented:
		return w.refuse(dns.RcodeNotImplemented, msg, out, noError)
	case badVersion:
		return w.refuse(dns.RcodeBadVers, msg, out, noError)
	case signed:
		return w.refuse(dns.RcodeNotAuth, msg, out, noError)
	}
	return w.refuse(dns.RcodeFormatError, msg, out, noError)
}

// refuse answers with a response code alone, and why.
func (w *responder) refuse(rcode int, msg, out []byte, ede extendedError) []byte {
	out = w.start(msg, out)
	return w.finish(out, out, zones.Counts{}, rcode, false, false, w.afford(ede, len(out)))
}

// odd answers questions that zones have no answer to: of other classes, for
// transfers, and for a type that is none.
func (w *responder) odd(msg, out []byte) []byte {
	q := &w.q
	switch {
	case q.Class == dns.ClassCHAOS:
		return w.chaos(msg, out)
	case q.Type == dns.TypeOPT && (q.Class == dns.ClassINET || q.Class == dns.ClassANY):
		return w.refuse(dns.RcodeFormatError, msg, out, noError)
	case q.Type == dns.TypeNXNAME && (q.Class == dns.ClassINET || q.Class == dns.ClassANY): // RFC 9824, section 3.5
		return w.refuse(dns.RcodeFormatError, msg, out, invalidType)
	}
	return w.refuse(dns.RcodeRefused, msg, out, notSupported)
}

// bare answers with a header alone, for messages that nothing else is to be read from.
func (w *responder) bare(msg, out []byte, rcode int) []byte {
	w.q.EDNS, w.opt = EDNS{}, optionState{}
	w.q.question = nil
	return w.refuse(rcode, msg, out, noError)
}
