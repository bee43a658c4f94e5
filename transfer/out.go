package transfer

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"gslb/zones"
)

const typeSOA = dns.TypeSOA

// gather is how much of a transfer goes into one message, in octets: names are
// compressed against what stands in the first 16 KiB.
const gather = 16 << 10

// transfer answers AXFR (RFC 5936) and IXFR (RFC 1995).
func (m *Manager) transfer(st *state, r *request) {
	q := r.questions[0]
	z := r.zoneOf(st)
	switch {
	case q.class != dns.ClassINET:
		r.answer(dns.RcodeRefused)
		return
	case z == nil && q.rrtype == dns.TypeAXFR && !r.stream: // RFC 5936, section 4.2: it is not defined there
		r.answer(dns.RcodeNotImplemented)
		return
	case z == nil && m.host.DB().Zone(lowered(q.name)) == nil: // RFC 5936, section 2.2.1
		r.answer(dns.RcodeNotAuth)
		return
	case r.tls != nil && !private(r.tls): // RFC 9103, sections 7.1 and 7.2
		m.refused(r, "a transfer is refused: it needs TLS 1.3 and the ALPN \"dot\"", "zone", format(q.name), "to", r.from, "version", tls.VersionName(r.tls.Version))
		r.answer(dns.RcodeRefused)
		return
	case z == nil || !allowed(z.set.Load().transferTo, r.from.Addr(), r.session.key, private(r.tls)):
		var list []rule
		if z != nil {
			z.count.refused.Add(1)
			list = z.set.Load().transferTo
		}
		m.refused(r, "a transfer is refused", "zone", format(q.name), "to", r.from, "key", nameOf(r.session.key), "why", barred(list, r.from.Addr(), r.session.key, private(r.tls)))
		r.answer(dns.RcodeRefused)
		return
	}
	v := z.view()
	if v == nil {
		r.answer(dns.RcodeServerFailure)
		return
	}
	if q.rrtype == dns.TypeAXFR && !r.stream { // RFC 5936, section 4.2
		r.answer(dns.RcodeFormatError)
		return
	}
	z.send(r, v)
}

// send sends the zone, or what has changed in it.
//
//	IXFR, the client's serial number is not older     SOA
//	IXFR over UDP                                     SOA: the client asks again over TCP (RFC 1995, section 4)
//	IXFR, the changes since then are known            SOA, (old SOA, removed, new SOA, added) for each, SOA
//	else                                              SOA, all other records, SOA
func (z *zone) send(r *request, v *view) {
	begin := time.Now()
	o := &outgoing{request: r}
	to := peerOf{r.from.Addr().Unmap(), nameOf(r.session.key)}
	soa := soaOf(v.zone)
	kind := "AXFR"
	var err error
	if r.questions[0].rrtype == dns.TypeIXFR {
		if len(r.sections[authority]) != 1 || !r.sections[authority][0].isSOA() {
			r.answer(dns.RcodeFormatError)
			return
		}
		has := serialOf(r.sections[authority][0].Data)
		if !r.stream || !newer(serialOf(soa.Data), has) {
			o.put(soa)
			o.flush()
			return
		}
		var changes []*change
		if had, ok := z.past.had(to, has); ok {
			changes = v.since(has, had)
		}
		z.sending(to, v)
		if changes != nil {
			kind = "IXFR"
			err = o.changes(soa, changes)
		} else {
			err = o.whole(soa, v)
		}
	} else {
		z.sending(to, v)
		err = o.whole(soa, v)
	}
	if err == nil {
		err = o.flush()
	}
	if err != nil {
		z.count.outFailed.Add(1)
		z.m.log.Warn("a transfer to another server broke off", "zone", z.name, "to", r.from, "serial", v.zone.Serial, "error", err)
		return
	}
	z.count.out.Add(1)
	z.m.log.Info("sent a zone", "zone", z.name, "to", r.from, "key", nameOf(r.session.key), "tls", r.tls != nil, "as", kind, "serial", v.zone.Serial,
		"records", o.sent, "took", time.Since(begin).Round(time.Millisecond))
}

// outgoing is a transfer on its way: as many messages as it takes.
type outgoing struct {
	*request
	open  bool // there is a message that is not sent
	later bool // the first one is sent
	sent  int  // records
}

// whole sends all records of a zone, and what stands in it for steered names.
func (o *outgoing) whole(soa zones.RR, v *view) error {
	if err := o.put(soa); err != nil {
		return err
	}
	apart, proven := aliasesApart(v.zone), proofOwners(v.standIns)
	for owner, set := range v.zone.Walk() {
		if set.Type == typeSOA || apart && set.Type == zones.TypeALIAS {
			continue
		}
		for r := range set.Of(owner) {
			if len(proven) > 0 && isProof(r) && proven[string(lowered(owner))] {
				continue
			}
			if err := o.put(r); err != nil {
				return err
			}
		}
	}
	for _, r := range v.standIns {
		if err := o.put(r); err != nil {
			return err
		}
	}
	return o.put(soa)
}

// changes sends an incremental transfer (RFC 1995, section 4).
func (o *outgoing) changes(soa zones.RR, all []*change) error {
	if err := o.put(soa); err != nil {
		return err
	}
	for _, c := range all {
		for _, part := range []struct {
			soa  zones.RR
			list []zones.RR
		}{{c.before, c.removed}, {c.after, c.added}} {
			if err := o.put(part.soa); err != nil {
				return err
			}
			for _, r := range part.list {
				if err := o.put(r); err != nil {
					return err
				}
			}
		}
	}
	return o.put(soa)
}

var errTooLarge = errors.New("a record does not fit into a message")

// put puts a record into the message that is being written, and sends that when
// it is full.
func (o *outgoing) put(r zones.RR) error {
	for range 2 {
		if !o.open {
			questions := o.questions
			if o.later { // RFC 5936, section 2.2
				questions = nil
			}
			o.w.begin(o.id, flagsOf(o.message, dns.RcodeSuccess)|flagAuthoritative, maxMessage-o.session.signedSize()-11, questions...)
			o.open = true
		}
		if o.w.add(answer, r) {
			o.sent++
			if len(o.w.buf) >= gather {
				return o.flush()
			}
			return nil
		}
		if o.w.records() == 0 {
			return errTooLarge
		}
		if err := o.flush(); err != nil {
			return err
		}
	}
	return errTooLarge
}

// flush sends the message that is being written, if there is one. It waits while
// the client does not take it.
func (o *outgoing) flush() error {
	if !o.open {
		return nil
	}
	if err := o.ctx.Err(); err != nil {
		return err
	}
	o.open, o.later = false, true
	return o.finish()
}

// addrOf is the address of a peer without its port, for comparing.
func addrOf(p peer) netip.Addr { return p.addr.Addr().Unmap() }
