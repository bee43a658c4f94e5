package transfer

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/miekg/dns"

	"gslb/zones"
)

// edit is a zone that is being changed: the zone as it was, and the RRsets of the
// names that were touched.
type edit struct {
	base    *zones.Zone
	touched map[string]*name // by owner, wire form in lower case
	undo    map[string]*name // as touched was at mark; nil values: not touched
}

// name is a name that is being changed.
type name struct {
	owner []byte // as written
	sets  map[uint16][]zones.RR
}

func newEdit(base *zones.Zone) *edit { return &edit{base: base, touched: make(map[string]*name)} }

// at gives a name for reading.
func (e *edit) at(owner []byte) *name {
	if n := e.touched[string(lowered(owner))]; n != nil {
		return n
	}
	if own := e.base.Owner(owner); own != nil {
		owner = own // a change keeps the letters of names that were there
	}
	n := &name{owner: owner, sets: make(map[uint16][]zones.RR)}
	for set := range e.base.Sets(owner) {
		n.sets[set.Type] = slices.Collect(set.Of(owner))
	}
	return n
}

// touch gives a name for changing.
func (e *edit) touch(owner []byte) *name {
	k := string(lowered(owner))
	n := e.touched[k]
	if e.undo != nil {
		if _, noted := e.undo[k]; !noted {
			e.undo[k] = n
			if n != nil { // what is changed from now on is a copy
				n = &name{owner: n.owner, sets: maps.Clone(n.sets)}
			}
		}
	}
	if n == nil {
		n = e.at(owner)
	}
	e.touched[k] = n
	return n
}

// mark remembers the state that rollback goes back to.
func (e *edit) mark() { e.undo = make(map[string]*name) }

func (e *edit) rollback() {
	for k, n := range e.undo {
		if n == nil {
			delete(e.touched, k)
		} else {
			e.touched[k] = n
		}
	}
	e.undo = nil
}

// set gives the records of a type that a name owns.
func (e *edit) set(owner []byte, rrtype uint16) []zones.RR { return e.at(owner).sets[rrtype] }

// exists tells whether the name owns records.
func (e *edit) exists(owner []byte) bool { return len(e.at(owner).sets) > 0 }

// has tells whether a record is there, whatever its TTL.
func (e *edit) has(r zones.RR) bool {
	return slices.ContainsFunc(e.set(r.Owner, r.Type), r.Same)
}

// put replaces the records of a type; without records there are none any more.
func (e *edit) put(owner []byte, rrtype uint16, list []zones.RR) {
	n := e.touch(owner)
	if len(list) == 0 {
		delete(n.sets, rrtype)
		return
	}
	n.sets[rrtype] = list
}

// add adds a record; one that is there takes its TTL, as do all of its RRset (RFC
// 2136, section 3.4.2.2; RFC 2181, section 5.2). Signatures have TTLs of their own.
func (e *edit) add(r zones.RR) {
	var next []zones.RR
	for _, o := range e.set(r.Owner, r.Type) {
		if o.Same(r) {
			continue
		}
		if r.Type != dns.TypeRRSIG {
			o.TTL = r.TTL
		}
		next = append(next, o)
	}
	e.put(r.Owner, r.Type, append(next, r))
}

// remove takes a record out, and tells whether it was there.
func (e *edit) remove(r zones.RR) bool {
	old := e.set(r.Owner, r.Type)
	next := slices.DeleteFunc(slices.Clone(old), r.Same)
	if len(next) == len(old) {
		return false
	}
	e.put(r.Owner, r.Type, next)
	return true
}

// records gives all records as they are now, those of the apex first.
func (e *edit) records() iter.Seq[zones.RR] {
	return func(yield func(zones.RR) bool) {
		for owner, set := range e.base.Walk() {
			if e.touched[string(lowered(owner))] != nil {
				continue
			}
			for r := range set.Of(owner) {
				if !yield(r) {
					return
				}
			}
		}
		for _, k := range slices.Sorted(maps.Keys(e.touched)) {
			n := e.touched[k]
			for _, t := range slices.Sorted(maps.Keys(n.sets)) {
				for _, r := range n.sets[t] {
					r.Owner = n.owner
					if !yield(r) {
						return
					}
				}
			}
		}
	}
}

// build makes the zone that results: of the one before, where p can, or anew.
func (e *edit) build(name, source string, p *zones.Patcher) (*zones.Zone, error) {
	if next, ok := p.Patch(e.base, e.changed()); ok {
		next.File = source
		return next, nil
	}
	return zones.Make(name, source, e.records())
}

// changed gives the names that were touched.
func (e *edit) changed() (all []zones.Changed) {
	for _, k := range slices.Sorted(maps.Keys(e.touched)) {
		n := e.touched[k]
		c := zones.Changed{Owner: n.owner}
		for _, t := range slices.Sorted(maps.Keys(n.sets)) {
			c.Records = append(c.Records, n.sets[t]...)
		}
		all = append(all, c)
	}
	return all
}

// apply makes a change that came from elsewhere: what it removes must be there
// (RFC 1995, section 4).
func (e *edit) apply(c *change) error {
	if !e.has(c.before) {
		return fmt.Errorf("the change from serial %d does not begin where this zone is", c.from())
	}
	e.remove(c.before)
	for _, r := range c.removed {
		if !e.remove(r) {
			return fmt.Errorf("the change from serial %d removes a record %s %s that is not there", c.from(), format(r.Owner), dns.Type(r.Type))
		}
	}
	for _, r := range c.added {
		e.add(r)
	}
	e.add(c.after)
	return nil
}

// change gives what the edit makes of the zone as it was.
func (e *edit) change() *change {
	c := &change{before: soaOf(e.base)}
	for _, k := range slices.Sorted(maps.Keys(e.touched)) {
		n := e.touched[k]
		was := newEdit(e.base).at(n.owner)
		c.removed = append(c.removed, minus(was, n)...)
		c.added = append(c.added, minus(n, was)...)
		if soa := n.sets[typeSOA]; len(soa) == 1 {
			c.after = soa[0]
		}
	}
	return c
}

// minus gives the records of a name that another does not have with the same TTL,
// the SOA left out.
func minus(a, b *name) (all []zones.RR) {
	for _, t := range slices.Sorted(maps.Keys(a.sets)) {
		if t == typeSOA {
			continue
		}
		for _, r := range a.sets[t] {
			if !slices.ContainsFunc(b.sets[t], func(o zones.RR) bool { return o.TTL == r.TTL && o.Same(r) }) {
				all = append(all, r)
			}
		}
	}
	return all
}
