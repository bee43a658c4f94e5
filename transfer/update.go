package transfer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"gslb/zones"
)

// update answers UPDATE (RFC 2136, section 3).
func (m *Manager) update(st *state, r *request) {
	if len(r.questions) != 1 || r.questions[0].rrtype != typeSOA { // section 3.1.1
		r.answer(dns.RcodeFormatError)
		return
	}
	z := r.zoneOf(st)
	refuse := func(rcode int, why string) {
		m.refused(r, "an update is refused", "zone", format(r.questions[0].name), "from", r.from, "key", nameOf(r.session.key), "why", why)
		r.answer(rcode)
	}
	switch {
	case r.questions[0].class != dns.ClassINET, z == nil && m.host.DB().Zone(lowered(r.questions[0].name)) == nil:
		refuse(dns.RcodeNotAuth, "not a zone of this server")
		return
	case m.forwards(st, r):
		m.forward(z, r)
		return
	case z == nil || len(z.set.Load().permits) == 0:
		refuse(dns.RcodeRefused, "the zone takes no updates here")
		return
	}
	u := &updating{zone: z, prerequisites: r.sections[0], changes: r.sections[1], from: r.from.Addr(), key: r.session.key}
	z.submit(u)
	if u.rcode == dns.RcodeSuccess {
		z.count.updates.Add(1)
		m.log.Info("updated a zone", "zone", z.name, "from", r.from, "key", nameOf(u.key), "serial", z.raw.Load().Serial, "changed", u.changed)
	} else {
		z.count.updatesRefused.Add(1)
		m.refused(r, "an update is refused", "zone", z.name, "from", r.from, "key", nameOf(u.key), "why", u.why, "code", rcodeName(uint8(u.rcode)))
	}
	r.answer(u.rcode)
}

// updating is an update on its way.
type updating struct {
	zone                   *zone
	prerequisites, changes []record
	from                   netip.Addr
	key                    *key

	done    bool // guarded by Manager.edit, as what follows is until then
	rcode   int
	why     string
	changed bool
}

// refusal is why an update is not made.
type refusal struct {
	rcode int
	why   string
}

func (r *refusal) Error() string { return r.why }

func refused(rcode int, format string, args ...any) error {
	return &refusal{rcode, fmt.Sprintf(format, args...)}
}

// submit makes an update, together with those that came while others were made:
// they need to be written to disk once.
func (z *zone) submit(u *updating) {
	z.waiting.Lock()
	z.queue = append(z.queue, u)
	z.waiting.Unlock()
	z.m.edit.Lock()
	if !u.done {
		z.waiting.Lock()
		all := z.queue
		z.queue = nil
		z.waiting.Unlock()
		z.makeUpdates(all)
	}
	z.m.edit.Unlock()
	if u.changed {
		z.changed()
	}
}

// makeUpdates makes updates in the order in which they came, each one whole or
// not at all. m.edit must be held.
func (z *zone) makeUpdates(all []*updating) {
	base := z.raw.Load()
	e := newEdit(base)
	changed := false
	for _, u := range all {
		e.mark()
		u.done, u.rcode, u.changed = true, dns.RcodeSuccess, false
		err := errNotKept
		if base != nil {
			err = u.make(e)
		}
		if err != nil {
			e.rollback()
			u.fail(err)
			continue
		}
		changed = changed || u.changed
	}
	if !changed {
		return
	}
	err := z.put(e, base)
	if err == nil {
		return
	}
	if len(all) > 1 { // one of them is at fault
		for _, u := range all {
			z.makeUpdates([]*updating{u})
		}
		return
	}
	all[0].changed = false
	all[0].fail(err)
}

var errNotKept = refused(dns.RcodeServerFailure, "the zone's records are not known")

// fail notes why an update is not made.
func (u *updating) fail(err error) {
	var r *refusal
	var disk diskError
	switch {
	case errors.As(err, &r):
		u.rcode = r.rcode
	case errors.As(err, &disk):
		u.rcode = dns.RcodeServerFailure
		u.zone.m.log.Error("an update cannot be written", "zone", u.zone.name, "error", err)
	default: // the zone would not be one that can be served
		u.rcode = dns.RcodeRefused
	}
	u.why = err.Error()
}

// put serves what an edit made of the zone, with the next serial number.
func (z *zone) put(e *edit, base *zones.Zone) error {
	soa := e.set(z.apex, typeSOA)[0]
	if serialOf(soa.Data) == base.Serial { // section 3.6
		serial := base.Serial
		if served := z.m.host.DB().Zone(z.apex); served != nil && newer(served.Serial, serial) {
			serial = served.Serial // whoever signs the zone has made more versions
		}
		soa.Data = withSerial(soa.Data, follows(serial))
		e.put(z.apex, typeSOA, []zones.RR{soa})
	}
	next, err := e.build(base.Name, base.File, &z.patcher)
	if err != nil {
		return err
	}
	return z.install(next, []*change{e.change()})
}

// make makes an update of an edit, or tells why not, leaving it half made.
func (u *updating) make(e *edit) error {
	for _, step := range []func(*edit) error{u.prescan, u.permitted, u.prerequisitesMet} {
		if err := step(e); err != nil {
			return err
		}
	}
	for _, r := range u.changes {
		u.apply(e, r)
	}
	return nil
}

// prescan looks at the form of the updates (RFC 2136, section 3.4.1).
func (u *updating) prescan(*edit) error {
	for _, r := range u.changes {
		meta := r.Type == dns.TypeAXFR || r.Type == dns.TypeIXFR || r.Type == dns.TypeMAILA || r.Type == dns.TypeMAILB || r.Type == 0
		switch {
		case !isBelow(lowered(r.Owner), u.zone.apex):
			return refused(dns.RcodeNotZone, "%s is not in the zone", format(r.Owner))
		case r.class == dns.ClassINET:
			if err := r.Check(); err != nil {
				return refused(dns.RcodeFormatError, "%v", err)
			}
		case r.class == dns.ClassANY && r.TTL == 0 && len(r.Data) == 0 && !meta:
		case r.class == dns.ClassNONE && r.TTL == 0 && !meta && r.Type != typeANY:
			if err := r.Check(); err != nil {
				return refused(dns.RcodeFormatError, "%v", err)
			}
		default:
			return refused(dns.RcodeFormatError, "%s %s has class %d, TTL %d and %d octets of data", format(r.Owner), dns.Type(r.Type), r.class, r.TTL, len(r.Data))
		}
	}
	return nil
}

// permitted asks the zone's policy about each change.
func (u *updating) permitted(e *edit) error {
	var mine []permit
	for _, p := range u.zone.set.Load().permits {
		if p.allows(u.from, u.key, false) {
			mine = append(mine, p)
		}
	}
	if len(mine) == 0 {
		return refused(dns.RcodeRefused, "no update of this zone is allowed to whoever sent it")
	}
	may := func(owner []byte, rrtype uint16) error {
		if slices.ContainsFunc(mine, func(p permit) bool { return p.permits(lowered(owner), rrtype, u.zone.apex) }) {
			return nil
		}
		return refused(dns.RcodeRefused, "%s %s may not be changed by whoever sent it", format(owner), dns.Type(rrtype))
	}
	for _, r := range u.changes {
		types := []uint16{r.Type}
		if r.Type == typeANY {
			types = types[:0]
			for t := range e.at(r.Owner).sets {
				if !u.atApex(r.Owner) || t != typeSOA && t != dns.TypeNS { // those stay anyway
					types = append(types, t)
				}
			}
			if len(types) == 0 && !slices.ContainsFunc(mine, func(p permit) bool { return p.permitsName(lowered(r.Owner)) }) {
				return refused(dns.RcodeRefused, "%s may not be changed by whoever sent it", format(r.Owner))
			}
		}
		for _, t := range types {
			if err := may(r.Owner, t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *updating) atApex(owner []byte) bool { return string(lowered(owner)) == string(u.zone.apex) }

// prerequisitesMet looks at the prerequisites (RFC 2136, section 3.2.5).
func (u *updating) prerequisitesMet(e *edit) error {
	var sets []zones.RR // that must be there exactly so
	for _, r := range u.prerequisites {
		switch {
		case r.TTL != 0:
			return refused(dns.RcodeFormatError, "a prerequisite has TTL %d", r.TTL)
		case !isBelow(lowered(r.Owner), u.zone.apex):
			return refused(dns.RcodeNotZone, "%s is not in the zone", format(r.Owner))
		case (r.class == dns.ClassANY || r.class == dns.ClassNONE) && len(r.Data) > 0:
			return refused(dns.RcodeFormatError, "a prerequisite of class %d has data", r.class)
		case r.class == dns.ClassANY && r.Type == typeANY && !e.exists(r.Owner) && !u.steered(r.Owner, typeANY):
			return refused(dns.RcodeNameError, "%s is not in use", format(r.Owner))
		case r.class == dns.ClassANY && r.Type != typeANY && len(e.set(r.Owner, r.Type)) == 0 && !u.steered(r.Owner, r.Type):
			return refused(dns.RcodeNXRrset, "%s has no %s", format(r.Owner), dns.Type(r.Type))
		case r.class == dns.ClassNONE && r.Type == typeANY && (e.exists(r.Owner) || u.steered(r.Owner, typeANY)):
			return refused(dns.RcodeYXDomain, "%s is in use", format(r.Owner))
		case r.class == dns.ClassNONE && r.Type != typeANY && (len(e.set(r.Owner, r.Type)) > 0 || u.steered(r.Owner, r.Type)):
			return refused(dns.RcodeYXRrset, "%s has %s", format(r.Owner), dns.Type(r.Type))
		case r.class == dns.ClassINET:
			if r.Check() != nil {
				return refused(dns.RcodeFormatError, "a prerequisite is malformed")
			}
			sets = append(sets, r.RR)
		case r.class != dns.ClassANY && r.class != dns.ClassNONE:
			return refused(dns.RcodeFormatError, "a prerequisite has class %d", r.class)
		}
	}
	for _, r := range sets {
		want := slices.DeleteFunc(slices.Clone(sets), func(o zones.RR) bool {
			return o.Type != r.Type || string(lowered(o.Owner)) != string(lowered(r.Owner))
		})
		have := e.set(r.Owner, r.Type)
		within := func(a, b []zones.RR) bool {
			return !slices.ContainsFunc(a, func(x zones.RR) bool { return !slices.ContainsFunc(b, x.Same) })
		}
		if !within(want, have) || !within(have, want) {
			return refused(dns.RcodeNXRrset, "%s %s is not what it must be", format(r.Owner), dns.Type(r.Type))
		}
	}
	return nil
}

// steered tells whether a name is a steered one that has records of a type in its
// answer to a client of whom nothing is known, or of any for typeANY: they are not among
// the zone's own, but whoever asks sees them there.
func (u *updating) steered(owner []byte, rrtype uint16) bool {
	var n zones.Name
	var r zones.Result
	n.Set(owner)
	u.zone.m.host.DB().Lookup(&n, dns.TypeA, false, &r)
	if r.Steered == nil || rrtype == typeANY {
		return r.Steered != nil
	}
	for _, set := range r.Steered.Sets(u.zone.m.host.Default(r.Steered)) {
		if set.Type == rrtype {
			return true
		}
	}
	return false
}

// beside are the types that stand beside a CNAME (RFC 4035, section 2.5).
var besideCNAME = []uint16{dns.TypeRRSIG, dns.TypeNSEC, dns.TypeKEY}

// apply makes one change (RFC 2136, section 3.4.2). What the rules there do not
// allow is passed over without a word.
//
//	class  type
//	IN     CNAME    not where there is other data; takes the place of the one before
//	IN     ALIAS    takes the place of the one before
//	IN     SOA      at the apex, with a newer serial number, in the place of the one before
//	IN     others   not where there is a CNAME
//	ANY    ANY      all of the name; at the apex SOA and NS stay
//	ANY    others   all of that type; at the apex not SOA and NS
//	NONE   others   that record; not the SOA, and not the last NS of the apex
func (u *updating) apply(e *edit, r record) {
	n := e.at(r.Owner)
	apex := u.atApex(r.Owner)
	switch r.class {
	case dns.ClassINET:
		old := n.sets[r.Type]
		switch {
		case r.Type == dns.TypeCNAME:
			for t := range n.sets {
				if t != dns.TypeCNAME && !slices.Contains(besideCNAME, t) {
					return
				}
			}
		case n.sets[dns.TypeCNAME] != nil && !slices.Contains(besideCNAME, r.Type):
			return
		case r.Type == typeSOA && (!apex || !newer(serialOf(r.Data), serialOf(old[0].Data))):
			return
		}
		if slices.ContainsFunc(old, func(o zones.RR) bool { return o.Same(r.RR) && o.TTL == r.TTL }) {
			return // nothing changes
		}
		u.changed = true
		if r.Type == typeSOA || r.Type == dns.TypeCNAME || r.Type == dns.TypeDNAME || r.Type == zones.TypeALIAS { // there is one
			e.put(r.Owner, r.Type, []zones.RR{r.RR})
			return
		}
		e.add(r.RR)
	case dns.ClassANY:
		for t := range n.sets {
			if (r.Type == typeANY || r.Type == t) && !(apex && (t == typeSOA || t == dns.TypeNS)) {
				u.changed = true
				e.put(r.Owner, t, nil)
			}
		}
	case dns.ClassNONE:
		if r.Type == typeSOA || apex && r.Type == dns.TypeNS && len(n.sets[dns.TypeNS]) == 1 {
			return
		}
		u.changed = e.remove(r.RR) || u.changed
	}
}
