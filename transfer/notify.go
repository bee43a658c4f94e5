package transfer

import (
	"context"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"gslb/zones"
)

// A notification is sent again, with growing pauses, until it is answered (RFC
// 1996, section 3.6).
const (
	notifyTries = 6
	notifyWait  = time.Second
)

// changed looks at what is served of the zone, and tells those who are to know
// when its serial number is another.
func (z *zone) changed() {
	v := z.current()
	if v == nil || !v.zone.Loaded() {
		return
	}
	z.round.Lock()
	defer z.round.Unlock()
	z.m.mu.Lock()
	defer z.m.mu.Unlock()
	ctx := z.m.ctx
	if ctx == nil || ctx.Err() != nil {
		return
	}
	z.ready(ctx, v.zone)
	if z.stop != nil && z.telling == v.zone.Serial {
		return
	}
	if z.stop != nil {
		z.stop()
	}
	ctx, z.stop = context.WithCancel(ctx)
	z.telling = v.zone.Serial
	for _, p := range z.set.Load().notify {
		z.m.run.Go(func() { z.tell(ctx, p, v) })
	}
}

// tell sends a NOTIFY until it is answered, tried often enough, or ctx ends.
func (z *zone) tell(ctx context.Context, p peer, v *version) {
	soa := soaOf(v.zone)
	wait := notifyWait
	var last error
	for range notifyTries {
		m, err := z.notify(ctx, p, &soa, wait)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && m.rcode == dns.RcodeSuccess:
			z.m.log.Debug("told of a zone's change", "zone", z.name, "serial", v.zone.Serial, "server", p)
			return
		case err == nil:
			last = fmt.Errorf("the answer is %s", rcodeName(m.rcode))
		default:
			last = err
		}
		if !pause(ctx, wait) {
			return
		}
		wait *= 2
	}
	z.m.log.Warn("another server does not heed that a zone has changed", "zone", z.name, "serial", v.zone.Serial, "server", p, "error", last)
}

// notify sends a NOTIFY once.
func (z *zone) notify(ctx context.Context, p peer, soa *zones.RR, wait time.Duration) (*message, error) {
	s := z.m.heeding.at(p.addr)
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	msg, ss := p.ask(dns.OpcodeNotify, dns.TypeSOA, z, soa, answer, z.m.now)
	m, err := p.exchangeOver(ctx, msg, ss, wait)
	if ctx.Err() == nil {
		s.heard(err)
	}
	return m, err
}

// pause waits; false: ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// notified answers NOTIFY (RFC 1996, section 3.7 and on).
func (m *Manager) notified(st *state, r *request) {
	z := r.zoneOf(st)
	switch {
	case len(r.questions) != 1 || r.questions[0].rrtype != dns.TypeSOA || r.questions[0].class != dns.ClassINET:
		r.answer(dns.RcodeFormatError)
	case z == nil || len(z.set.Load().primaries) == 0:
		r.answer(dns.RcodeNotAuth)
	case !z.heeds(r):
		m.refused(r, "a notification is refused", "zone", z.name, "from", r.from, "key", nameOf(r.session.key))
		r.answer(dns.RcodeRefused)
	default:
		r.w.begin(r.id, flagsOf(r.message, dns.RcodeSuccess)|flagAuthoritative, maxMessage, r.questions...)
		r.finish()
		from := r.from.Addr().Unmap()
		z.teller.Store(&from)
		z.wake()
	}
}

// heeds tells whether a notification comes from a primary, or who may send one.
func (z *zone) heeds(r *request) bool {
	set := z.set.Load()
	for _, p := range set.primaries {
		if addrOf(p) == r.from.Addr().Unmap() { // it makes this server ask, no more: no need for a key
			return true
		}
	}
	return allowed(set.notifyFrom, r.from.Addr(), r.session.key, private(r.tls))
}
