package zones

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/parallel"
)

// flatten makes of each ALIAS record the addresses that its owner answers with.
// What the target is decides how:
//
//	steered, with addresses    the sites' addresses: the owner is steered as the target is
//	steered, with CNAMEs       the same, with the addresses that the sites' canonical names have here
//	all else served here       its addresses, at the end of its chain of aliases
//	not served here            a fault: no server is asked for anything
//
// A fault of a zone that is read from a master file here keeps the DB from being
// made. Other zones come from servers that know more, or let anything pass: there
// it is warned of, and who asks for addresses of that owner alone is answered
// SERVFAIL, so that resolvers ask the other servers.
func (db *DB) flatten() error {
	var errs []error
	var all []*Steered
	for _, z := range db.list {
		for i := range z.aliases {
			s, err := db.enterAlias(z, &z.aliases[i])
			if err != nil {
				errs = append(errs, db.aliasFault(z, &z.aliases[i], err))
				continue
			}
			all = append(all, s)
		}
	}
	for i, s := range all {
		if err := db.resolve(s); err != nil {
			s.fixed, s.failed = true, true
			errs = append(errs, db.aliasFault(s.zone, s.record, err))
		}
		if i%yieldEvery == yieldEvery-1 {
			parallel.Yield()
		}
	}
	slices.SortFunc(all, func(a, b *Steered) int { return cmp.Or(order(a)-order(b), strings.Compare(a.Name, b.Name)) })
	for i, s := range all {
		if s.Index = -1; !s.fixed {
			s.Index = len(db.steered) + i
		}
	}
	db.aliases = all
	return errors.Join(errs...)
}

// order puts aliases of steered targets before others.
func order(s *Steered) int {
	if s.fixed {
		return 1
	}
	return 0
}

// aliasFault is what a fault of an ALIAS record comes to: an error, or a warning.
func (db *DB) aliasFault(z *Zone, a *alias, fault error) error {
	err := fmt.Errorf("zone %s: %s: %s ALIAS %s: %w", z.Name, a.place(z), dnsname.Format(z.arena.owner(a.node)), dnsname.Format(a.target()), fault)
	if slices.ContainsFunc(db.cfgs, func(c Config) bool { return c.Name == z.Name }) || len(z.files) > 0 {
		return err
	}
	db.warnings = append(db.warnings, err.Error())
	return nil
}

// enterAlias puts the owner of an ALIAS record beside its zone.
func (db *DB) enterAlias(z *Zone, a *alias) (*Steered, error) {
	owner := z.arena.owner(a.node)
	var name Name
	name.Set(owner)
	flags := z.arena.flags(a.node)
	switch {
	case z.comesSigned():
		return nil, errors.New("the zone comes signed: " + z.noKeys())
	case flags&(isCut|belowCut) != 0:
		return nil, errors.New("the owner is delegated away")
	}
	s := &Steered{Name: dnsname.Format(name.Wire()), Form: Address, Target: dnsname.Format(a.target()), TTL: a.set.TTL(),
		owner: bytes.Clone(name.Wire()), zone: z, record: a, fixed: true, sites: make([]siteSets, 1)}
	db.over.add(&name, z, s)
	return s, nil
}

// resolve finds what the owner of an ALIAS record answers with.
func (db *DB) resolve(s *Steered) error {
	if sameName(s.owner, s.record.target()) {
		return errors.New("it leads to itself")
	}
	end, err := db.endOf(s.record.target())
	if err != nil {
		return err
	}
	s.TTL = min(s.TTL, end.ttl)
	switch {
	case end.unknown:
		s.failed = true
		return nil
	case end.steered != nil:
		return db.follows(s, end.steered)
	}
	s.sites[0].setAddresses(s.TTL, end)
	if s.TTL = s.sites[0].ttl(s.TTL); !end.has() {
		db.warnings = append(db.warnings, fmt.Sprintf("zone %s: %s: %s ALIAS %s: the target has no addresses, and so the name has none",
			s.zone.Name, s.record.place(s.zone), s.Name, s.Target))
	}
	return nil
}

// follows steers the owner of an ALIAS record as its target is steered.
func (db *DB) follows(s, target *Steered) error {
	s.fixed, s.Policy, s.Choices, s.Period = false, target.Policy, target.Choices, target.Period
	s.TroubleTTL = target.TroubleTTL
	s.answers, s.groups = target.answers, target.groups
	s.TTL = min(s.TTL, target.TTL)
	s.sites = make([]siteSets, len(target.sites))
	var errs []error
	for i := range target.sites {
		if !target.CanChoose(i) {
			continue
		}
		if target.Form == Address {
			of := &target.sites[i]
			s.sites[i].setAddresses(s.TTL, ending{ttl: s.TTL, a: of.a, aaaa: of.aaaa})
			continue
		}
		end, err := db.addressesAt(target.sites[i].cname.first(), db.sites[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s is steered, and at site %s %w", target.Name, db.sites[i].Name, err))
		}
		s.sites[i].setAddresses(min(s.TTL, end.ttl), end)
	}
	for i := range s.sites {
		s.TTL = s.sites[i].ttl(s.TTL)
	}
	db.hint(s, target)
	return errors.Join(errs...)
}

// addressesAt gives the addresses of a site whose steered name answers with a
// CNAME: those that this name has here, or else those that the site is declared with.
func (db *DB) addressesAt(cname []byte, site Site) (ending, error) {
	end, err := db.endOf(cname)
	if err == nil && end.steered == nil && end.has() {
		return end, nil
	}
	v4, v6 := splitAddresses(site.Addresses)
	if len(v4)+len(v6) > 0 {
		return ending{ttl: maxTTL, a: newRRset(dns.TypeA, maxTTL, v4...), aaaa: newRRset(dns.TypeAAAA, maxTTL, v6...)}, nil
	}
	why := "which has no addresses here"
	switch {
	case err != nil:
		why = "of which " + err.Error()
	case end.steered != nil:
		why = "which is steered in its turn"
	}
	return ending{ttl: maxTTL}, fmt.Errorf("a CNAME to %s, %s: give the site addresses", dnsname.Format(cname), why)
}

// hint gives the sites of an alias hints in the HTTPS and SVCB records that its
// owner has (RFC 9460, section 7.3), where those of the target have them.
func (db *DB) hint(s, target *Steered) {
	for i, rrtype := range serviceTypes {
		set, _, ok := s.zone.arena.find(s.record.node, rrtype)
		if !ok || !target.hinted() || !hintable(set) || needsHints(set) {
			continue
		}
		s.hints[i] = true
		for j := range s.sites {
			if sets := &s.sites[j]; sets.a.Count+sets.aaaa.Count > 0 {
				sets.services[i] = withHints(set, min(set.TTL(), s.TTL), slices.Collect(sets.a.Data()), slices.Collect(sets.aaaa.Data()))
			}
		}
	}
}

func (s *Steered) hinted() bool { return s.hints != [len(serviceTypes)]bool{} }

// setAddresses gives a site the addresses at the end of a chain, with the TTL or
// a lower one of theirs.
func (sets *siteSets) setAddresses(ttl uint32, end ending) {
	for _, set := range []*RRset{&end.a, &end.aaaa} {
		if set.Count > 0 {
			ttl = min(ttl, set.TTL())
		}
	}
	sets.a = newRRset(dns.TypeA, ttl, slices.Collect(end.a.Data())...)
	sets.aaaa = newRRset(dns.TypeAAAA, ttl, slices.Collect(end.aaaa.Data())...)
}

// ttl is the lower of that of the addresses and another.
func (sets *siteSets) ttl(other uint32) uint32 {
	for _, set := range []*RRset{&sets.a, &sets.aaaa} {
		if set.Count > 0 {
			other = min(other, set.TTL())
		}
	}
	return other
}

// ending is where a chain of aliases ends.
type ending struct {
	ttl     uint32 // the lowest of the chain
	steered *Steered
	unknown bool // in a zone whose records are not known
	a, aaaa RRset
}

// maxTTL is the largest that there is (RFC 2181, section 8).
const maxTTL = 1<<31 - 1

func (e *ending) has() bool { return e.a.Count+e.aaaa.Count > 0 }

// endOf follows a name to where its addresses are.
func (db *DB) endOf(name []byte) (ending, error) {
	var n Name
	r := new(Result)
	end := ending{ttl: maxTTL}
	n.Set(name)
	for range MaxChain {
		db.Lookup(&n, dns.TypeCNAME, false, r)
		at := dnsname.Format(n.Wire())
		switch {
		case r.Outcome == Refused:
			return end, fmt.Errorf("%s is in none of the zones served here, and no other server is asked for its addresses", at)
		case r.Outcome == Referral:
			return end, fmt.Errorf("%s is delegated away by %s, and no other server is asked for its addresses", at, r.Zone.Name)
		case r.Outcome == TooLong:
			return end, fmt.Errorf("%s stands below a DNAME that makes its name too long", at)
		case r.Outcome == Failed:
			end.unknown = true
			return end, nil
		case r.Steered != nil && r.Steered.record != nil:
			return end, fmt.Errorf("%s has an ALIAS record itself, at %s: write its target %s here", at, r.Steered.record.place(r.Steered.zone), r.Steered.Target)
		case r.Steered != nil:
			end.steered = r.Steered
			return end, nil
		case r.Outcome != Answer:
			db.addresses(&n, r, &end)
			return end, nil
		}
		for _, rec := range r.Answer {
			end.ttl = min(end.ttl, rec.Set.TTL())
		}
		n.Set(r.Answer[len(r.Answer)-1].Set.first())
	}
	return end, fmt.Errorf("%s leads through more than %d aliases, or in a circle", dnsname.Format(name), MaxChain)
}

// addresses looks up those of a name that is no alias.
func (db *DB) addresses(n *Name, r *Result, end *ending) {
	for _, set := range []*RRset{&end.a, &end.aaaa} {
		rrtype := uint16(dns.TypeA)
		if set == &end.aaaa {
			rrtype = dns.TypeAAAA
		}
		if db.Lookup(n, rrtype, false, r); r.Outcome == Answer {
			*set = r.Answer[0].Set
		}
	}
}

// flat ends a look-up at an alias whose addresses are the same for everybody. It
// tells that it has; if not, what the zone itself has is the answer.
func (r *Result) flat(s *Steered, owner []byte, qtype uint16, chained bool) bool {
	set := s.sites[0].of(qtype)
	if set.Count == 0 && !s.failed {
		return false
	}
	if !chained {
		r.Zone, r.Asked, r.Authoritative = s.zone, s.zone, true
	}
	if s.failed {
		r.fail()
		return true
	}
	r.Outcome = Answer
	r.Answer = append(r.Answer, Record{Owner: owner, Set: set})
	if r.Wire.Body = nil; !chained {
		r.wire(s.zone, 0, set, 0)
	}
	return true
}

// Tailored lists the names whose answers depend on the client, each at its Index:
// the steered ones, and the aliases of such.
func (db *DB) Tailored() []*Steered {
	n := 0
	for n < len(db.aliases) && !db.aliases[n].fixed {
		n++
	}
	if n == 0 {
		return db.steered
	}
	return append(slices.Clip(db.steered), db.aliases[:n]...)
}

// Standing gives all that stands beside the zones: the steered names and the
// owners of ALIAS records.
func (db *DB) Standing() iter.Seq[*Steered] {
	return func(yield func(*Steered) bool) {
		for _, list := range [][]*Steered{db.steered, db.aliases} {
			for _, s := range list {
				if !yield(s) {
					return
				}
			}
		}
	}
}
