package zones

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
)

// signedPatch is a signed zone that is being patched: the zoneSigner writes the names
// that have changed, of the zone as it came, behind the signed zone before.
type signedPatch struct {
	zoneSigner
	raw, before *Zone
	names       map[string]*Steered // that are steered, by owner
	// touched are the names that are written anew for their own sake, or go, by
	// themselves in lower case: as they are written.
	touched map[string][]byte
	hashed  [][]byte // owners of NSEC3 records that are signed anew, as they are due
	optOut  bool
	written [][]byte // all owners that have other records now
	// edges are the owners in the chain next to which others have come or gone.
	edges [][]byte
}

// touch finds out which names are to be written anew. ok is false where more changes
// with them than is known.
func (w *signedPatch) touch(p *Patcher, owners [][]byte, s *dnssec.Signing) (ok bool) {
	w.optOut = s.Denial == dnssec.WithNSEC3 && s.NSEC3.OptOut
	w.touched[string(w.before.apex)] = w.raw.arena.owner(w.raw.top)
	beneath := make(map[uint64]int)
	var turned []uint64
	var name Name
	for _, owner := range owners {
		if name.Set(owner); !w.raw.holds(&name) {
			return false
		}
		raw, was := w.raw.find(&name, 0), w.before.find(&name, 0)
		if was != 0 {
			switch kids := p.kids[name.hash[0]]; {
			case kids == 0:
				beneath[name.hash[1]]++
			case w.standsOtherwise(raw, was):
				turned = append(turned, name.hash[0])
			}
		}
		for k := range name.labels - int(w.raw.labels) {
			raw, was := w.raw.find(&name, k), w.before.find(&name, k)
			own := was != 0 && w.before.arena.flags(was)&forSigning == 0
			if k > 0 && (raw != 0) == own {
				break // it neither comes nor goes, and so nothing above it does
			}
			if w.optOut && (k > 0 || !w.closed(p, &name)) {
				return false
			}
			w.touchAt(&name, k)
		}
	}
	return !slices.ContainsFunc(turned, func(h uint64) bool { return p.kids[h] != beneath[h] })
}

// closed tells whether it is known, in a zone that leaves delegations out of the
// chain, that no name begins or ceases to be there for others' sake alone.
func (w *signedPatch) closed(p *Patcher, name *Name) bool {
	if p.kids[name.hash[0]] > 0 && !w.owns(name, 0) {
		return false
	}
	for k := 1; k < name.labels-int(w.raw.labels); k++ {
		if !w.owns(name, k) {
			return false
		}
	}
	return true
}

// owns tells whether the name without its first k labels has records in both zones.
func (w *signedPatch) owns(name *Name, k int) bool {
	for _, z := range []*Zone{w.raw, w.before} {
		n := z.find(name, k)
		if n == 0 {
			return false
		}
		if count, _ := z.arena.sets(n); count == 0 {
			return false
		}
	}
	return true
}

func (w *signedPatch) standsOtherwise(raw, was node) bool {
	flags := uint8(0)
	if raw != 0 {
		flags = w.raw.arena.flags(raw)
	}
	return (flags^w.before.arena.flags(was))&(isCut|hasDNAME) != 0
}

// touchAt notes a name without its first k labels.
func (w *signedPatch) touchAt(name *Name, k int) {
	key := string(name.from(k))
	written := []byte(key)
	if n := w.raw.find(name, k); n != 0 {
		written = w.raw.arena.owner(n)
	}
	w.touched[key] = written
}

// make makes the zone.
func (w *signedPatch) make(p *Patcher, s *dnssec.Signing, serial uint32, now time.Time) (dnssec.Result, error) {
	c := p.start(w.before, 2048*len(w.touched))
	c.chain = newChainEdit(w.before)
	z := c.z
	z.File, z.Serial, z.names, z.Warnings, z.missing, z.files = w.raw.File, serial, w.raw.names, w.raw.Warnings, w.raw.missing, w.raw.files
	w.zoneSigner = zoneSigner{old: w.raw, serial: serial, steered: maps.Clone(w.before.signing.steered), joints: make(map[*Steered][]joint), patch: c}
	w.compiler = compiler{builder: &builder{zone: z}, z: z}
	settings := *s
	settings.Apex = z.apex
	names := w.arrange(c)
	signer := w.signNSEC
	if s.Denial == dnssec.WithNSEC3 {
		signer = w.signNSEC3
	}
	part, err := dnssec.NewPart(settings, now, w.emit)
	if err != nil {
		return dnssec.Result{}, err
	}
	defer part.Stop()
	if err := signer(c, part); err != nil {
		return dnssec.Result{}, err
	}
	result, err := part.Finish()
	if err != nil {
		return result, err
	}
	w.rest()
	result.Names = names
	return result, w.complete(c)
}

// arrange takes names out that go, lists the sources, and gives by how much the chain
// becomes longer.
func (w *signedPatch) arrange(c *patch) (names int) {
	list := slices.SortedFunc(maps.Values(w.touched), dnssec.Compare)
	var name Name
	for _, owner := range slices.Backward(list) { // what is below a name goes before it
		name.Set(owner)
		s := source{node: w.raw.find(&name, 0), steered: w.names[string(name.Wire())], owner: owner}
		was := c.z.find(&name, 0)
		if s.node == 0 && s.steered == nil && was == 0 {
			continue // it came and went
		}
		if s.node == 0 && s.steered == nil && c.kids[name.hash[0]] == 0 {
			c.index.drop(name.hash[0], was, c.z.hash)
			c.kids[name.hash[1]]--
		} else {
			w.sources = append(w.sources, s)
		}
	}
	slices.Reverse(w.sources)
	exists := make(map[string]*source)
	for i := range w.sources {
		exists[string(lower(bytes.Clone(w.sources[i].owner)))] = &w.sources[i]
	}
	for _, owner := range list {
		name.Set(owner)
		at := w.proofOf(&name)
		had, has := w.had(&name, at), w.has(exists[string(name.Wire())])
		switch {
		case has && !had:
			c.chain.come(at)
			names++
		case had && !has:
			c.chain.leave(at)
			names--
		default:
			continue
		}
		w.edges = append(w.edges, at)
	}
	return names
}

// proofOf is the owner of the record that denies what a name has not.
func (w *signedPatch) proofOf(name *Name) []byte {
	if w.before.denial == withNSEC3 {
		return dnssec.AppendOwner(nil, w.before.nsec3.Hash(name.Wire()), w.before.apex)
	}
	return bytes.Clone(name.Wire())
}

// had tells whether a name had a record of denial.
func (w *signedPatch) had(name *Name, at []byte) bool {
	n := w.before.find(name, 0)
	if n == 0 {
		return false
	}
	if w.before.denial == withNSEC3 {
		return w.before.arena.is(w.before.cover(w.chainKey(at)), at)
	}
	_, _, ok := w.before.arena.find(n, dns.TypeNSEC)
	return ok
}

func (w *signedPatch) chainKey(owner []byte) []byte { return appendKey(nil, owner, len(w.before.apex)) }

// has tells whether a source, nil for one that is gone, has one from now on.
func (w *signedPatch) has(s *source) bool {
	switch {
	case s == nil:
		return false
	case s.node == w.raw.top || s.steered != nil && s.node == 0:
		return true
	case s.node == 0:
		return w.before.denial == withNSEC3
	}
	count, _ := w.raw.arena.sets(s.node)
	stands := standing(w.raw.arena.flags(s.node))
	if stands == dnssec.Below || w.before.denial == withNSEC && count == 0 && s.steered == nil {
		return false
	}
	_, _, ds := w.raw.arena.find(s.node, dns.TypeDS)
	return !w.optOut || stands != dnssec.Cut || ds
}

// begins has the answers of a steered name signed anew.
func (w *signedPatch) begins(s *source) error {
	if s.steered == nil {
		return nil
	}
	joints, err := s.steered.joints()
	w.joints[s.steered] = joints
	w.steered[string(s.steered.owner)] = signedSteered{sites: slices.Clone(s.steered.sites)}
	return err
}

// signNSEC signs the sources, and the names before those that have come or gone.
func (w *signedPatch) signNSEC(c *patch, part *dnssec.Part) error {
	var name Name
	there := make(map[string]bool)
	for i := range w.sources {
		there[string(lower(bytes.Clone(w.sources[i].owner)))] = true
	}
	for _, at := range w.edges {
		owner := c.chain.neighbour(c.chain.key(at), true)
		name.Set(owner)
		if key := string(name.Wire()); !there[key] {
			there[key] = true
			w.sources = append(w.sources, source{node: w.raw.find(&name, 0), steered: w.names[key], owner: owner})
		}
	}
	inOrder(w.sources, func(s *source) []byte { return s.owner })
	links := make([][]byte, len(w.sources))
	for i := range w.sources {
		if w.has(&w.sources[i]) {
			links[i] = lower(bytes.Clone(c.chain.neighbour(c.chain.key(w.sources[i].owner), false)))
		}
	}
	var n dnssec.Name
	for i := range w.sources {
		if err := w.begins(&w.sources[i]); err != nil {
			return err
		}
	}
	for i := range w.sources {
		w.describe(&w.sources[i], &n)
		if _, err := part.Name(&n, links[i]); err != nil {
			return err
		}
	}
	for key := range there {
		w.written = append(w.written, []byte(key))
	}
	for key := range w.touched {
		w.written = append(w.written, []byte(key))
	}
	return nil
}

// signNSEC3 signs the sources, and then their NSEC3 records and those before the ones
// that have come or gone.
func (w *signedPatch) signNSEC3(c *patch, part *dnssec.Part) error {
	type record struct {
		owner []byte
		proof []dnssec.Proof // nil: it is that of before, and leads elsewhere
		next  [sha1.Size]byte
	}
	var records []record
	var name Name
	there := make(map[string]bool)
	n := new(dnssec.Name)
	for i := range w.sources {
		if err := w.begins(&w.sources[i]); err != nil {
			return err
		}
	}
	for i := range w.sources {
		s := &w.sources[i]
		w.describe(s, n)
		proof, err := part.Name(n, nil)
		if err != nil {
			return err
		}
		if !w.has(s) {
			continue
		}
		if name.Set(s.owner); proof == nil {
			proof = []dnssec.Proof{{}} // there are only names below it
		}
		at := w.proofOf(&name)
		there[string(at)] = true
		records = append(records, record{owner: at, proof: proof})
	}
	for _, at := range w.edges {
		if owner := c.chain.neighbour(c.chain.key(at), true); !there[string(owner)] {
			there[string(owner)] = true
			records = append(records, record{owner: bytes.Clone(owner)})
		}
	}
	for _, owner := range w.renewed(c) {
		if !there[string(owner)] {
			there[string(owner)] = true
			records = append(records, record{owner: owner})
		}
	}
	for i := range records {
		next := c.chain.neighbour(c.chain.key(records[i].owner), false)
		if k, err := base32hex.Decode(records[i].next[:], next[1:1+hashLen]); err != nil || k != sha1.Size {
			return errors.New("an NSEC3 record is not at a hash")
		}
	}
	for _, r := range records {
		for _, p := range r.proof {
			if err := part.NSEC3(r.owner, r.next, p); err != nil {
				return err
			}
		}
		if r.proof == nil {
			if err := w.relink(part, r.owner, r.next); err != nil {
				return err
			}
		}
	}
	for key := range there {
		w.written = append(w.written, []byte(key))
	}
	w.written = append(w.written, w.edges...)
	for key := range w.touched {
		w.written = append(w.written, []byte(key))
	}
	return nil
}

// relink has the NSEC3 record of a name that has not changed lead to another hash, and
// with it its variants, if the name is steered.
func (w *signedPatch) relink(part *dnssec.Part, owner []byte, next [sha1.Size]byte) error {
	set, _, _ := w.before.arena.find(w.before.cover(w.chainKey(owner)), dns.TypeNSEC3)
	if err := part.Relink(owner, set.first(), next, 0); err != nil {
		return err
	}
	for name, st := range w.steered {
		if len(st.denied) == 0 || !sameName(st.denied[0].proof.Owner, owner) {
			continue
		}
		old := st.denied
		st.denied = nil
		w.steered[name] = st
		for _, d := range old {
			if err := part.Relink(owner, d.proof.Set.first(), next, d.rrtype); err != nil {
				return err
			}
		}
	}
	return nil
}

// complete does what is left when all names are written.
func (w *signedPatch) complete(c *patch) error {
	z := w.z
	for _, owner := range w.touched {
		if dnsname.IsWild(owner) {
			c.wild(owner)
		}
	}
	moved := make(map[uint64]struct{})
	var name Name
	for _, owner := range w.touched {
		if name.Set(owner); c.isTarget(&name) && w.moves(&name) {
			moved[name.hash[0]] = struct{}{}
		}
	}
	(&plan{moved: moved}).again(c)
	z.patched.spans = append(z.patched.spans, span{c.from, len(z.arena)})
	w.compiler.apex()
	z.chain = c.chain.finish()
	z.pin()
	if w.tails = append(w.tails, c.tails...); len(w.errs) > 0 {
		return errors.Join(w.errs...)
	}
	w.finishTails()
	z.Warnings, z.missing = w.raw.Warnings, w.raw.missing
	return nil
}

// moves tells whether others have to know of other addresses of a name.
func (w *signedPatch) moves(name *Name) bool {
	was, n := w.before.find(name, 0), w.z.find(name, 0)
	if was == 0 || n == 0 || (w.before.arena.flags(was)^w.z.arena.flags(n))&(isCut|belowCut) != 0 {
		return true
	}
	for _, t := range addressTypes {
		a, _, _ := w.before.arena.find(was, t)
		b, _, _ := w.z.arena.find(n, t)
		if !bytes.Equal(a.signed(), b.signed()) {
			return true
		}
	}
	return false
}

// flags are those of a node that comes, with what is known of those below it.
func (c *patch) flags(name *Name, flags uint8) uint8 {
	flags &^= hasWild
	if n := c.z.find(name, 0); n != 0 {
		flags |= c.z.arena.flags(n) & hasWild
	}
	return flags
}

// enter enters a node that has been written.
func (c *patch) enter(name *Name, n node) {
	if old := c.z.find(name, 0); old != 0 {
		c.swap(name.hash[0], old, n)
	} else {
		c.index.put(name.hash[0], n)
		c.slots--
		c.kids[name.hash[1]]++
	}
	count, at := c.z.arena.sets(n)
	for range count {
		var set RRset
		set, _, at = c.z.arena.set(at)
		c.target(set)
		if set.Type == dns.TypeNSEC {
			c.chain.moved(c.z.arena, n)
		}
	}
}
