package zones

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
	"weak"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
)

// signing is what a zone that is signed here remembers of it.
type signing struct {
	inputs  [sha256.Size]byte // what was signed by what
	result  dnssec.Result
	took    time.Duration
	serial  uint32  // of the zone as it came
	keys    []RRset // DNSKEY, CDS and CDNSKEY records of the zone as it came
	steered map[string]signedSteered
	of      weak.Pointer[Zone] // the zone as it came
	patcher *Patcher           // makes the versions of the signed zone
	compact *dnssec.Compact    // proves names that do not exist, one by one; nil: the chain does
}

// signedSteered are the answers of a steered name, by its owner, with their signatures.
type signedSteered struct {
	sites  []siteSets
	joined severalSets
	denied []denied
}

// denied proves that a steered name has no records of a type, at sites where
// that is so.
type denied struct {
	rrtype uint16
	proof  Record
}

// Signing tells how the zone was signed here, and how long that took; ok is
// false where it was not, even if it came signed.
func (z *Zone) Signing() (r dnssec.Result, took time.Duration, ok bool) {
	if z.signing == nil {
		return r, 0, false
	}
	return z.signing.result, z.signing.took, true
}

// source is a name of the zone that is to be signed.
type source struct {
	node    node     // in the zone as it was; 0: it was not there
	steered *Steered // or nil
	owner   []byte
}

// zoneSigner makes the signed zone of one that is not, or of the one that was
// signed before.
type zoneSigner struct {
	compiler
	old     *Zone
	serial  uint32 // of the new zone
	sources []source
	at      int             // the source that records come for,
	came    []dnssec.Signed // and what has come
	name    Name
	steered map[string]signedSteered
	joints  map[*Steered][]joint
	hashes  map[string]string // steered names by the owners of their NSEC3 records
	patch   *patch            // that writes behind the signed zone before; nil: all is written
}

// sign gives the signed zone, made of one that is not signed or was signed here
// before; where nothing has changed and nothing is due it is the zone itself. The
// sites of the steered names get their signatures. before, which may be nil, is the
// signed zone in whose place it comes.
func (z *Zone) sign(before *Zone, s *dnssec.Signing, serial numbering, steered []*Steered, now time.Time) (*Zone, error) {
	if z.signing == nil && (z.Signed() || z.denial != noDenial) {
		return nil, fmt.Errorf("zone %s: %s: it comes signed already: leave out its RRSIG, NSEC and NSEC3 records, or do not have it signed here", z.Name, z.File)
	}
	inputs := inputsOf(s, serial.Serial, steered)
	if old := z.signing; old != nil && old.inputs == inputs && (old.result.Next.IsZero() || now.Before(old.result.Next)) {
		for _, st := range steered {
			st.take(z, old.steered[string(st.owner)])
		}
		return z, nil
	}
	begin := time.Now()
	if next := z.patchSigned(before, s, inputs, serial, steered, now); next != nil {
		return next, nil
	}
	joints := make(map[*Steered][]joint)
	for _, st := range steered {
		all, err := st.joints()
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", z.Name, err)
		}
		joints[st] = all
	}
	w := newZoneSigner(z, steered, serial.next(z, now, serial.last, serial.known))
	w.joints = joints
	settings := *s
	settings.Apex = z.apex
	result, err := dnssec.SignZone(settings, now, w.walk, w.emit)
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		return nil, fmt.Errorf("zone %s: %s: %w", z.Name, z.File, err)
	}
	n := w.z
	for _, st := range steered {
		st.take(n, w.steered[string(st.owner)])
	}
	n.signing = &signing{inputs: inputs, result: result, took: time.Since(begin), serial: z.OwnSerial(), keys: z.ownKeys(), steered: w.steered, of: weak.Make(z), patcher: new(Patcher), compact: n.newCompact(s)}
	if z.signing != nil {
		n.signing.of = z.signing.of
	}
	return n, nil
}

// inputsOf is a digest of all that a zone is signed by, but for its records.
func inputsOf(s *dnssec.Signing, serial Serial, steered []*Steered) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, keys := range [][]*dnssec.Key{s.Keys.Publish, s.Keys.SignKeys, s.Keys.SignZone, s.Keys.CDS} {
		fmt.Fprintf(h, "%d\n", len(keys))
		for _, k := range keys {
			fmt.Fprintf(h, "%x\n", k.DNSKEY())
		}
	}
	fmt.Fprintf(h, "%d %d %d %v %v %d %d %x %v %v %s\n", s.Keys.Leaving, s.TTL, s.Class, s.CDS, s.Times, s.Denial, s.NSEC3.Iterations, s.NSEC3.Salt, s.NSEC3.OptOut, s.Compact, serial)
	for _, st := range steered {
		fmt.Fprintf(h, "%x %d %d %d\n", st.owner, len(st.sites), st.answers, st.groups)
		for i := range st.sites {
			for _, set := range st.sites[i].all() {
				fmt.Fprintf(h, "%d %x\n", i, set.Wire)
			}
		}
	}
	h.Sum(sum[:0])
	return sum
}

// OwnSerial is the serial number of the zone as it came, before it was signed here.
func (z *Zone) OwnSerial() uint32 {
	if z.signing != nil {
		return z.signing.serial
	}
	return z.Serial
}

// ownKeys are likewise the DNSKEY records of the zone as it came.
func (z *Zone) ownKeys() (list []RRset) {
	if z.signing != nil {
		return z.signing.keys
	}
	for _, rrtype := range []uint16{dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY} {
		if set, _, ok := z.arena.find(z.top, rrtype); ok {
			set.Wire, set.Sigs = bytes.Clone(set.Wire), 0 // the arena goes
			list = append(list, set)
		}
	}
	return list
}

// ofSigning tells whether an RRset of a node is there for signing's sake.
func (z *Zone) ofSigning(n node, rrtype uint16) bool {
	if z.signing == nil {
		return false
	}
	switch rrtype {
	case dns.TypeNSEC, dns.TypeNSEC3:
		return true
	case dns.TypeNSEC3PARAM, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY:
		return n == z.top
	}
	return false
}

func newZoneSigner(old *Zone, steered []*Steered, serial uint32) *zoneSigner {
	z := &Zone{Name: old.Name, File: old.File, Serial: serial, apex: old.apex, hash: old.hash, labels: old.labels, names: old.names, files: old.files}
	w := &zoneSigner{old: old, serial: serial, steered: make(map[string]signedSteered)}
	w.compiler = compiler{builder: &builder{zone: z}, z: z}
	w.order(steered)
	z.arena, z.top = make(arena, 4, 4+len(old.arena)+len(w.sources)*300), apex
	z.index = newIndex(len(w.sources))
	for _, st := range steered {
		w.steered[string(st.owner)] = signedSteered{sites: slices.Clone(st.sites)}
	}
	return w
}

// order lists the names in canonical order: those of the zone as it came, the
// steered ones and those above them.
func (w *zoneSigner) order(steered []*Steered) {
	var nodes []node
	for n := range w.old.live() {
		if w.old.arena.flags(n)&forSigning == 0 {
			nodes = append(nodes, n)
		}
	}
	keys := w.old.sorted(nodes)
	w.sources = make([]source, 0, len(keys)+len(steered))
	for _, k := range keys {
		w.sources = append(w.sources, source{node: k.n, owner: w.old.arena.owner(k.n)})
	}
	compare := func(s source, owner []byte) int { return dnssec.Compare(s.owner, owner) }
	for _, st := range steered {
		for owner := st.owner; len(owner) >= len(w.old.apex) && len(owner) > 0; owner = parent(owner) {
			at, found := slices.BinarySearchFunc(w.sources, owner, compare)
			if !found {
				w.sources = slices.Insert(w.sources, at, source{owner: owner})
			}
			if len(owner) == len(st.owner) {
				w.sources[at].steered = st
			}
		}
	}
}

// after is where the node behind one begins.
func (a arena) after(n node) int { return (a.end(n) + 3) &^ 3 }

// sets gives the RRsets that a source has of its own.
func (w *zoneSigner) own(s *source, yield func(RRset)) {
	if s.node == 0 {
		return
	}
	count, at := w.old.arena.sets(s.node)
	for range count {
		var set RRset
		if set, _, at = w.old.arena.set(at); !w.old.ofSigning(s.node, set.Type) {
			if set.Type == dns.TypeSOA {
				set = w.soa(set)
			}
			yield(set)
		}
	}
	if s.node == w.old.top && w.old.signing != nil {
		for _, set := range w.old.signing.keys {
			yield(set)
		}
	}
}

// soa is the SOA with the new serial number.
func (w *zoneSigner) soa(set RRset) RRset {
	set.Wire, set.Sigs = bytes.Clone(set.Wire), 0
	binary.BigEndian.PutUint32(set.Wire[len(set.Wire)-20:], w.serial)
	return set
}

// Numbers by which the RRsets of a steered name's sites come back.
const (
	idCNAME = iota + 1
	idA
	idAAAA
	idHTTPS // and the further serviceTypes
	idSVCB
	idNext
)

// idJoint is added to the number of an RRset of several sites.
const idJoint = 1 << 32

// walk is a dnssec.Walk.
func (w *zoneSigner) walk(visit func(*dnssec.Name) error) error {
	var n dnssec.Name
	for i := range w.sources {
		w.describe(&w.sources[i], &n)
		if err := visit(&n); err != nil {
			return err
		}
	}
	return nil
}

// describe makes n, whose room is used again, what dnssec takes of a source.
func (w *zoneSigner) describe(s *source, n *dnssec.Name) {
	*n = dnssec.Name{Owner: s.owner, Sets: n.Sets[:0]}
	if s.node != 0 {
		n.Standing = standing(w.old.arena.flags(s.node))
	}
	w.own(s, func(set RRset) { n.Sets = append(n.Sets, toSign(set, 0, n.Sets)) })
	if s.steered == nil {
		return
	}
	for site := range s.steered.sites {
		for kind, set := range s.steered.sites[site].all() {
			if set.Count > 0 {
				n.Sets = append(n.Sets, toSign(set, uint64(site*idNext+kind+1), n.Sets))
			}
		}
	}
	for at, j := range w.joints[s.steered] {
		n.Sets = append(n.Sets, toSign(s.steered.unsigned(j), uint64(idJoint+at), n.Sets))
	}
	n.Deny, n.Exists = s.steered.denies(), true
}

func standing(flags uint8) dnssec.Standing {
	switch {
	case flags&(belowCut|belowDNAME) != 0:
		return dnssec.Below
	case flags&isCut != 0:
		return dnssec.Cut
	}
	return dnssec.Authoritative
}

// toSign is an RRset as dnssec takes it. Its list of data is that of the one
// which stood in its place in the room behind sets.
func toSign(set RRset, id uint64, sets []dnssec.RRset) dnssec.RRset {
	var data [][]byte
	if room := sets[:cap(sets)]; len(sets) < cap(sets) {
		data = room[len(sets)].Data[:0]
	}
	for d := range set.Data() {
		data = append(data, d)
	}
	return dnssec.RRset{Type: set.Type, TTL: set.TTL(), Data: data, ID: id}
}

// emit takes what is signed, in the order of the sources; NSEC3 records last.
func (w *zoneSigner) emit(s *dnssec.Signed) error {
	if s.Type == dns.TypeNSEC3 {
		w.rest()
		return w.nsec3(s)
	}
	for w.at < len(w.sources) && !sameName(w.sources[w.at].owner, s.Owner) {
		w.write()
	}
	if w.at == len(w.sources) {
		return fmt.Errorf("%s %s was signed but is not there", dnsname.Format(s.Owner), dns.Type(s.Type))
	}
	w.came = append(w.came, dnssec.Signed{Type: s.Type, TTL: s.TTL, ID: s.ID, Without: s.Without, Data: cloneAll(s.Data), RRSIG: cloneAll(s.RRSIG)})
	return w.limit()
}

func (w *zoneSigner) limit() error {
	if len(w.z.arena) > maxArena {
		return errTooMuch
	}
	return errors.Join(w.errs...)
}

func cloneAll(list [][]byte) [][]byte {
	if list == nil {
		return nil
	}
	all := make([][]byte, len(list))
	for i := range list {
		all[i] = bytes.Clone(list[i])
	}
	return all
}

// rest writes the sources that are left.
func (w *zoneSigner) rest() {
	for w.at < len(w.sources) {
		w.write()
	}
}

// write writes the current source with what has come for it.
func (w *zoneSigner) write() {
	s := &w.sources[w.at]
	w.name.Set(s.owner)
	n := w.begin(s.owner)
	flags, sets := uint8(forSigning), 0
	if hasUpper(s.owner) {
		flags |= letters
	}
	if s.node != 0 {
		flags = w.old.arena.flags(s.node)
	}
	if w.patch != nil {
		flags = w.patch.flags(&w.name, flags)
	}
	w.own(s, func(set RRset) {
		if s.node == w.old.top && w.comes(set.Type) {
			return // with those of the keys
		}
		w.put(n, set.Type, set.TTL(), int(set.Count), set.Wire, w.signaturesOf(set.Type))
		sets++
	})
	for i := range w.came {
		if c := &w.came[i]; c.Data != nil && c.Without == 0 {
			w.putData(n, c)
			sets++
		}
	}
	w.end(n, flags, sets)
	if a := w.old.aliasAt(s.node); a != nil {
		w.z.aliases = append(w.z.aliases, alias{n, a.set, a.file, a.line})
	}
	if w.patch != nil {
		w.patch.enter(&w.name, n)
	} else {
		if dnsname.IsWild(s.owner) {
			w.name.wildAbove(w.z)
		}
		w.z.index.put(w.name.hash[0], uint32(n))
	}
	if s.steered != nil {
		w.answers(s.steered)
	}
	w.came = w.came[:0]
	w.at++
}

// wildAbove notes at the name above a wildcard that there is one.
func (n *Name) wildAbove(z *Zone) {
	if up := z.find(n, 1); up != 0 {
		z.arena[4*int(up)+1] |= hasWild
	}
}

// comes tells whether signing hands over the RRset of a type as a whole.
func (w *zoneSigner) comes(rrtype uint16) bool {
	return slices.ContainsFunc(w.came, func(c dnssec.Signed) bool { return c.Type == rrtype && c.Data != nil })
}

// signaturesOf are those that have come for a type of the current source.
func (w *zoneSigner) signaturesOf(rrtype uint16) [][]byte {
	for i := range w.came {
		if c := &w.came[i]; c.Type == rrtype && c.ID == 0 && c.Data == nil {
			return c.RRSIG
		}
	}
	return nil
}

// put writes an RRset whose records are in wire form.
func (w *zoneSigner) put(n node, rrtype uint16, ttl uint32, count int, records []byte, sigs [][]byte) {
	w.head(n, rrtype, count, len(records), len(sigs), sizeOf(sigs))
	w.z.arena = append(w.z.arena, records...)
	for _, d := range sigs {
		w.z.arena = appendRecord(w.z.arena, dns.TypeRRSIG, ttl, d)
	}
	if sizeOf(sigs) > 1<<16-1 {
		w.fail("%s has %d octets of signatures of %s records: at most 65535", dnsname.Format(w.z.arena.owner(n)), sizeOf(sigs), dns.Type(rrtype))
	}
}

// putData writes an RRset that signing made.
func (w *zoneSigner) putData(n node, s *dnssec.Signed) {
	slices.SortFunc(s.Data, bytes.Compare)
	s.Data = slices.CompactFunc(s.Data, bytes.Equal) // a key may stand in the file as well
	w.put(n, s.Type, s.TTL, len(s.Data), newRRset(s.Type, s.TTL, s.Data...).Wire, s.RRSIG)
}

func sizeOf(list [][]byte) (n int) {
	for _, d := range list {
		n += recordHead + len(d)
	}
	return n
}

// nsec3 writes an NSEC3 record.
func (w *zoneSigner) nsec3(s *dnssec.Signed) error {
	if s.Without != 0 {
		return w.nsec3Variant(s)
	}
	n := w.begin(s.Owner)
	w.putData(n, s)
	w.end(n, forSigning, 1)
	if w.patch != nil {
		w.patch.chain.moved(w.z.arena, n)
	}
	w.compiler.nsec3 = append(w.compiler.nsec3, n)
	return w.limit()
}

// finish completes the zone.
func (w *zoneSigner) finish() error {
	w.rest()
	w.compiler.apex()
	if w.denial(); len(w.errs) > 0 {
		return errors.Join(w.errs...)
	}
	w.finishTails()
	if len(w.z.arena) > maxArena {
		return errTooMuch
	}
	w.z.settle()
	w.z.Warnings, w.z.missing = slices.Clone(w.old.Warnings), w.old.missing
	if w.z.broken != "" {
		w.z.Warnings = append(w.z.Warnings, fmt.Sprintf("zone %s: %s: %s", w.z.Name, w.z.File, w.z.broken))
		slices.Sort(w.z.Warnings)
	}
	return nil
}

// parent is a name without its first label; that of the root is empty.
func parent(name []byte) []byte {
	if name[0] == 0 {
		return nil
	}
	return name[1+int(name[0]):]
}
