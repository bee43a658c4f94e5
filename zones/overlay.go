package zones

import "gslb/dnsname"

// overlay is what the steered names of a DB add to its zones' trees of names:
// themselves, and the names above them that exist only for their sake.
type overlay struct {
	index index
	names []overName
}

// overName is a name of an overlay.
type overName struct {
	name    []byte // wire form, lower case
	hash    uint64
	steered *Steered // nil: there are steered names below it
	wild    bool     // "*" stands below it
}

// find gives a name without its first k labels; nil: it is not there.
func (o *overlay) find(name *Name, k int) *overName {
	if len(o.names) == 0 {
		return nil
	}
	h := name.hash[k]
	for s, i := o.index.first(h); s != 0; s, i = o.index.after(h, i) {
		if n := &o.names[s-1]; string(n.name) == string(name.from(k)) {
			return n
		}
	}
	return nil
}

// wildOf gives the name "*" below a name without its first k labels.
func (o *overlay) wildOf(name *Name, k int) *overName {
	h := wildHash(name.hash[k])
	for s, i := o.index.first(h); s != 0; s, i = o.index.after(h, i) {
		if n := &o.names[s-1]; dnsname.IsWild(n.name) && string(n.name[2:]) == string(name.from(k)) {
			return n
		}
	}
	return nil
}

// add puts a steered name of a zone in, and the names from there up to the apex.
func (o *overlay) add(name *Name, z *Zone, s *Steered) {
	for k := 0; k <= name.labels-int(z.labels); k++ {
		n := o.place(name, k)
		if k == 0 {
			n.steered = s
		} else if dnsname.IsWild(name.from(k - 1)) { // with or without records: RFC 4592, section 2.2.3
			n.wild = true
		}
	}
}

// place gives a name without its first k labels, made where it is not there. It
// is valid until the next one is made.
func (o *overlay) place(name *Name, k int) *overName {
	if n := o.find(name, k); n != nil {
		return n
	}
	o.names = append(o.names, overName{name: append([]byte(nil), name.from(k)...), hash: name.hash[k]})
	if 5*len(o.names) > 3*len(o.index) {
		o.index = newIndex(2*len(o.names) + 8)
		for i := range o.names {
			o.index.put(o.names[i].hash, uint32(i+1))
		}
	} else {
		o.index.put(name.hash[k], uint32(len(o.names)))
	}
	return &o.names[len(o.names)-1]
}
