package zones

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// Form is how a steered name answers.
type Form uint8

const (
	CNAME   Form = iota // a CNAME to the chosen site's name
	Address             // the chosen site's A and AAAA records
)

// String gives the word that configuration uses.
func (f Form) String() string {
	if f == Address {
		return "address"
	}
	return "cname"
}

// Site is a place that users can be sent to, as far as its answers go.
type Site struct {
	Name      string
	CNAME     string // absolute name; needed by steered names of form CNAME
	Addresses []netip.Addr
}

// SteeredConfig declares a steered name.
type SteeredConfig struct {
	Name string // owner name, may be a wildcard
	Form Form
	TTL  time.Duration // whole seconds, at least one
	// TroubleTTL is the TTL while one of the sites is in trouble, whole seconds; 0: as ever.
	TroubleTTL time.Duration
	Policy     int   // index of the policy that chooses, in the caller's list
	Sites      []int // the sites that the policy can choose
	// Answers is how many sites an answer of form Address gives at most, all of one
	// of the Groups; 0 and 1: one.
	Answers int
	Groups  [][]int
	// Hints makes HTTPS and SVCB records at the name hold the chosen site's
	// addresses as hints (RFC 9460, section 7.3).
	Hints bool
}

// Steered is a name whose answer depends on the client. It is part of a DB.
type Steered struct {
	Index      int    // position in DB.Tailored; -1 for an alias that answers all clients alike
	Name       string // presentation form, lower case
	Form       Form
	TTL        uint32 // seconds
	TroubleTTL uint32 // see Lowered; 0: none
	Policy     int
	// Choices is the position in DB.Steered of the name whose choices are made, and
	// Period its TTL, for which a choice lasts: its own, or of an alias its target's.
	Choices int
	Period  uint32
	// Target is that of an ALIAS record, in presentation form; empty: the name is
	// not one for having such a record.
	Target string

	owner []byte // wire form, lower case
	zone  *Zone
	sites []siteSets // by site index; zero for sites it never chooses
	hints [len(serviceTypes)]bool

	// Where several sites are answered together:
	answers int
	groups  [][]int
	joined  severalSets // signed ahead

	// Of an alias:
	record *alias
	fixed  bool // its target is not steered: the first of sites is the answer to all
	failed bool // what its addresses are is not known

	// Of a zone that is signed here:
	denied []denied
}

// siteSets is what one site contributes to the answers of a steered name. Sets
// without records are not there.
type siteSets struct {
	cname, a, aaaa RRset
	services       [len(serviceTypes)]RRset
}

// of gives what the site has of a type that is tailored in address form, and one of its
// RRsets, or the signatures of one, where any will do.
func (sets *siteSets) of(qtype uint16) RRset {
	switch qtype {
	case dns.TypeA:
		return sets.a
	case dns.TypeAAAA:
		return sets.aaaa
	case dns.TypeANY, dns.TypeRRSIG:
		set := sets.cname
		for _, other := range []RRset{sets.a, sets.aaaa} {
			if set.Count == 0 {
				set = other
			}
		}
		if qtype == dns.TypeRRSIG {
			return set.signatures()
		}
		return set
	}
	if i := serviceIndex(qtype); i >= 0 {
		return sets.services[i]
	}
	return RRset{}
}

// of gives what the name has of a type for who is sent to a site. Who is sent nowhere has
// no address, but signatures stand at the name all the same, as its proofs say.
func (s *Steered) of(qtype uint16, site int) RRset {
	signatures := qtype == dns.TypeRRSIG && s.zone.Signed()
	switch {
	case uint(site) < uint(len(s.sites)):
		if s.Form == CNAME && !signatures {
			return s.sites[site].cname
		}
		return s.sites[site].of(qtype)
	case signatures || qtype == dns.TypeANY:
		for i := range s.sites {
			if set := s.sites[i].of(dns.TypeRRSIG); set.Count > 0 {
				return set
			}
		}
	}
	return RRset{}
}

// Zone is the zone that the name stands in.
func (s *Steered) Zone() *Zone { return s.zone }

// Tailored tells whether answers of the type depend on the client: all of them
// do where the name is a CNAME, only addresses, and records with hints, otherwise.
func (s *Steered) Tailored(qtype uint16) bool {
	if qtype == dns.TypeNSEC && s.zone.denial == withNSEC {
		return false // it stands beside a CNAME: RFC 4035, section 2.5
	}
	if i := serviceIndex(qtype); i >= 0 && s.hints[i] {
		return true
	}
	return s.Form == CNAME || qtype == dns.TypeA || qtype == dns.TypeAAAA
}

// steer puts a steered name beside the zone that it stands in.
func (db *DB) steer(cfg SteeredConfig, sites []Site) error {
	owner, err := dnsname.Parse(cfg.Name)
	if err != nil {
		return err
	}
	var name Name
	name.Set(owner)
	z := db.zone(&name, dns.TypeANY)
	if z == nil {
		return fmt.Errorf("steered name %s is in none of the zones served here", cfg.Name)
	}
	if z.comesSigned() {
		return fmt.Errorf("steered name %s stands in zone %s, which comes signed: %s", cfg.Name, z.Name, z.noKeys())
	}
	ttl := uint32(cfg.TTL / time.Second)
	if ttl == 0 {
		return fmt.Errorf("steered name %s has TTL %v: at least 1s", cfg.Name, cfg.TTL)
	}
	if s := db.asBefore(cfg, sites, z); s != nil {
		if err := db.checkPlace(s, &name, cfg.Hints); err != nil { // it may warn
			return err
		}
		db.addSteered(s, &name)
		return nil
	}
	s := &Steered{Index: len(db.steered), Name: dnsname.Format(name.Wire()), Form: cfg.Form, TTL: ttl, TroubleTTL: uint32(cfg.TroubleTTL / time.Second), Policy: cfg.Policy, Choices: len(db.steered), Period: ttl,
		owner: bytes.Clone(name.Wire()), zone: z, sites: make([]siteSets, len(sites)), answers: cfg.Answers, groups: cfg.Groups}
	if s.Form == CNAME && s.answers > 1 {
		return fmt.Errorf("steered name %s gives up to %d answers: a name has one CNAME only (RFC 1034, section 3.6.2)", s.Name, s.answers)
	}
	if err := db.checkPlace(s, &name, cfg.Hints); err != nil {
		return err
	}
	var errs []error
	for _, i := range cfg.Sites {
		set, err := s.siteSets(sites[i])
		errs = append(errs, err)
		s.sites[i] = set
	}
	if cfg.Hints {
		errs = append(errs, s.addHints(cfg, &name, sites))
	}
	db.addSteered(s, &name)
	return errors.Join(errs...)
}

// addSteered enters a steered name.
func (db *DB) addSteered(s *Steered, name *Name) {
	db.over.add(name, s.zone, s)
	if !s.zone.owns(name) {
		if db.added == nil {
			db.added = make(map[*Zone]int)
		}
		db.added[s.zone]++
	}
	db.steered = append(db.steered, s)
}

// asBefore gives the next steered name as it was in the DB before, if it would come
// out the same: its declaration, its sites and its zone are, and nothing of it is signed
// here. nil: it would not.
func (db *DB) asBefore(cfg SteeredConfig, sites []Site, z *Zone) *Steered {
	at, was := len(db.steered), db.before
	if was == nil || at >= len(was.steered) || z.signing != nil || db.signing[z.Name] != nil {
		return nil
	}
	s := was.steered[at]
	if s.zone != z || len(was.sites) != len(sites) || !reflect.DeepEqual(was.steeredCfgs[at], cfg) {
		return nil
	}
	for _, i := range cfg.Sites {
		if a, b := &was.sites[i], &sites[i]; a.Name != b.Name || a.CNAME != b.CNAME || !slices.Equal(a.Addresses, b.Addresses) {
			return nil
		}
	}
	return s
}

// SameAs tells whether all zones and steered names are those of another DB, so that
// every look-up ends as it does there. Where there are aliases the answer is no.
func (db *DB) SameAs(other *DB) bool {
	return len(db.aliases)+len(other.aliases) == 0 && slices.Equal(db.steered, other.steered) && slices.Equal(db.list, other.list)
}

// comesSigned tells that somebody else has signed the zone.
func (z *Zone) comesSigned() bool { return z.Signed() && z.signing == nil }

// noKeys is why nothing can be added to a zone that comes signed.
func (z *Zone) noKeys() string {
	return "there are no keys here to sign its answers with, and the zone's proofs deny it; leave the signatures out of " + z.File + " and have the zone signed here"
}

// checkPlace tells whether a steered name can stand beside the zone's own
// records, and warns of those that go round it.
func (db *DB) checkPlace(s *Steered, name *Name, hints bool) error {
	if o := db.over.find(name, 0); o != nil && o.steered != nil {
		return fmt.Errorf("steered name %s is declared twice", s.Name)
	}
	z := s.zone
	if z.cutAbove(name) != 0 {
		return fmt.Errorf("steered name %s is delegated away in %s", s.Name, z.File)
	}
	if above := z.dnameAbove(s.owner); above != "" {
		return errors.New(belowDNAMEError(s.Name, above))
	}
	n := z.find(name, 0)
	if n == 0 {
		return nil
	}
	if a := z.aliasAt(n); a != nil {
		return fmt.Errorf("steered name %s has an ALIAS record at %s: remove one of them, both say what its addresses are", s.Name, a.place(z))
	}
	count, at := z.arena.sets(n)
	for range count {
		var set RRset
		if set, _, at = z.arena.set(at); z.ofSigning(n, set.Type) {
			continue
		}
		switch {
		case s.Form == CNAME:
			return fmt.Errorf("steered name %s has %s records in %s: in CNAME form nothing else can stand there (RFC 1034, section 3.6.2); remove them or use answer = \"address\"", s.Name, dns.Type(set.Type), z.File)
		case set.Type == dns.TypeA || set.Type == dns.TypeAAAA || set.Type == dns.TypeCNAME || set.Type == dns.TypeDNAME:
			return fmt.Errorf("steered name %s has %s records in %s also: remove them, its addresses come from the chosen site", s.Name, dns.Type(set.Type), z.File)
		case hinted(set) && !hints:
			db.warnings = append(db.warnings, fmt.Sprintf("zone %s: %s: %s is steered, but its %s records hold address hints (RFC 9460), which are the same for every client: leave them out, so that clients ask for its addresses, or set hints = true, so that they are those of the chosen site",
				z.Name, z.File, dnsname.Format(z.arena.owner(n)), dns.Type(set.Type)))
		}
	}
	return nil
}

// hinted tells whether an SVCB or HTTPS RRset holds ipv4hint or ipv6hint (RFC
// 9460, section 7.3), which would send clients elsewhere than the chosen site.
func hinted(set RRset) bool {
	if set.Type != dns.TypeSVCB && set.Type != dns.TypeHTTPS {
		return false
	}
	for d := range set.Data() {
		d = after(d, 2) // the priority; then the target's name
		for len(d) > 0 && d[0] != 0 {
			d = after(d, 1+int(d[0]))
		}
		for d = after(d, 1); len(d) >= 4; d = after(d, 4+int(binary.BigEndian.Uint16(d[2:]))) {
			switch dns.SVCBKey(binary.BigEndian.Uint16(d)) {
			case dns.SVCB_IPV4HINT, dns.SVCB_IPV6HINT:
				return true
			}
		}
	}
	return false
}

// after is what of d follows its first n octets.
func after(d []byte, n int) []byte { return d[min(n, len(d)):] }

func (s *Steered) siteSets(site Site) (siteSets, error) {
	var out siteSets
	if s.Form == CNAME {
		target, err := dnsname.Parse(site.CNAME)
		if err != nil {
			return out, fmt.Errorf("steered name %s can choose site %s, whose cname is missing or wrong: %w", s.Name, site.Name, err)
		}
		if sameName(target, s.owner) {
			return out, fmt.Errorf("steered name %s would be a CNAME to itself at site %s", s.Name, site.Name)
		}
		out.cname = newRRset(dns.TypeCNAME, s.TTL, target)
		return out, nil
	}
	v4, v6 := splitAddresses(site.Addresses)
	if len(v4)+len(v6) == 0 {
		return out, fmt.Errorf("steered name %s can choose site %s, which has no addresses", s.Name, site.Name)
	}
	out.a, out.aaaa = newRRset(dns.TypeA, s.TTL, v4...), newRRset(dns.TypeAAAA, s.TTL, v6...)
	return out, nil
}

// splitAddresses gives addresses by family as they stand in records, each once, in order.
func splitAddresses(all []netip.Addr) (v4, v6 [][]byte) {
	for _, a := range all {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, a.AsSlice())
		} else {
			v6 = append(v6, a.AsSlice())
		}
	}
	for _, list := range []*[][]byte{&v4, &v6} {
		slices.SortFunc(*list, bytes.Compare)
		*list = slices.CompactFunc(*list, bytes.Equal)
	}
	return v4, v6
}

// CanChoose tells whether the name's policy can choose the site.
func (s *Steered) CanChoose(site int) bool {
	if uint(site) >= uint(len(s.sites)) {
		return false
	}
	sets := &s.sites[site]
	return sets.cname.Count+sets.a.Count+sets.aaaa.Count > 0
}

// Preparer makes answers of steered names ready. The zero value is ready for use, by
// one goroutine at a time.
type Preparer struct {
	name Name
	r    Result
	e    Encoder
}

// Prepare makes the answer of a steered name for a type and site ready to be
// sent, with the records of DNSSEC or without. The zero Wire comes back where it
// is too large to be kept, or not the same for all names that a wildcard stands for.
func (p *Preparer) Prepare(db *DB, s *Steered, qtype uint16, site int, signed bool) (Wire, Outcome) {
	r := &p.r
	p.name.Set(s.owner)
	db.Lookup(&p.name, qtype, signed, r)
	if r.Outcome == Tailored { // by the name itself, perhaps with another TTL
		r.Steered = s
	}
	db.Tailor(r, qtype, site)
	if len(r.Authority) > 0 && signed && dnsname.IsWild(s.owner) {
		return Wire{}, r.Outcome // the proofs depend on the name that is asked for
	}
	return p.e.prepare(s.owner, r), r.Outcome
}
