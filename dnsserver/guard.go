package dnsserver

import (
	"net/netip"

	"github.com/miekg/dns"

	"gslb/zones"
)

// protection is what a server does for itself and for those whose address stands
// on queries that they did not send. Zero: nothing.
type protection struct {
	access   *Access  // of the generation; nil: all clients alike
	standing standing // of the current client
	required bool     // of clients over UDP: a good server cookie
	limiter  *limiter // nil: no limit
	amplify  int      // answers over UDP have at most so many times the octets of the query; 0: any
}

// guarded tells whether it is to be looked at who asks.
func (p *protection) guarded() bool { return p.access != nil || p.required || p.limiter != nil }

// admit looks at who asks. done means that out is all that there is to answer,
// perhaps nothing.
//
//	a denied network                                     REFUSED, or nothing
//	over UDP, without a good cookie, where one must be   BADCOOKIE with one; TC to those that sent none
//	over UDP, what is not looked up                      as the limiter says
func (w *responder) admit(v verdict, msg []byte, src netip.AddrPort, tcp bool, out []byte) (_ []byte, done bool) {
	if w.standing&denied != 0 {
		w.tally.denied++
		if w.access.drops {
			return out[:0], true
		}
		return w.refuse(dns.RcodeRefused, msg, out, prohibited), true
	}
	comeBack := w.required && !w.opt.trusted && v == ask
	if tcp || w.isOther(v) || v == ask && !comeBack && !w.q.odd() {
		return out, false
	}
	// Identities of look-ups are addresses, or small, and never so large.
	if answer, done := w.within(^uint64(v), msg, src, out); done || !comeBack {
		return answer, done
	}
	return w.comeBack(msg, out), true
}

// within asks the limiter about an answer over UDP. A client with a good cookie is
// where it says it is, and not limited.
func (w *responder) within(identity uint64, msg []byte, src netip.AddrPort, out []byte) (_ []byte, done bool) {
	l := w.limiter
	if l == nil || w.opt.trusted || w.standing&exempt != 0 || l.take(src.Addr(), identity) {
		return out, false
	}
	w.tally.limited++
	if !l.slips() {
		return out[:0], true
	}
	w.tally.slipped++
	return w.comeBack(msg, out), true
}

// comeBack answers who may not be where it says it is, in about as many octets as
// it sent: with a cookie to come back with (RFC 7873, section 5.2.3), or truncated,
// to come back over TCP.
func (w *responder) comeBack(msg, out []byte) []byte {
	if w.q.EDNS.asks&askCookie != 0 {
		return w.refuse(dns.RcodeBadCookie, msg, out, noError)
	}
	out = w.start(msg, out)
	return w.finish(out, out, zones.Counts{}, dns.RcodeSuccess, false, true, noError)
}

// identity is that of the answer that was looked up, for the limiter. A resolver
// whose Client Subnet is believed asks once for each of the networks behind it.
func (w *responder) identity() uint64 {
	id := w.res.Identity()
	if e := &w.q.EDNS.ECS; e.Addr.IsValid() && w.access != nil && w.access.listed {
		id = w.limiter.key.Mix(id, network(e.Addr))
	}
	return id
}
