package transfer

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"maps"
	"os"
	"slices"
	"sync"

	"gslb/parallel"
	"gslb/zones"
)

// past keeps what secondaries have of a zone, so that they get differences after
// a restart too: the versions of it that were sent, where no journal has them, and
// what stood in them for steered names (see outbox); pastfile.go has the form.
//
// What is sent is here first, so that after a crash nothing is missing of what
// somebody may have. A digest tells whether the zone that is served after a restart
// is the one that the file ends with; if not, as when its master file was edited
// meanwhile, the records tell what is different. Without the file nothing is lost
// but that secondaries get the whole zone once.
type past struct {
	path string

	mu     sync.Mutex // guards all that follows
	file   *entries   // nil: not opened yet
	gone   bool       // nothing is written any more
	at     *chain     // history that the file ends with; nil: none,
	serial uint32     // the version in it,
	end    sum        // and its digest
	lists  map[sum]*standInList
	next   uint32 // number of the next list in the file
	outbox
}

// chain is what versions have in common that follow each other by changes.
type chain struct{ _ byte }

// standInList is a list that peers were sent, mostly several the same.
type standInList struct {
	records []zones.RR
	id      uint32 // in the file, if it is there
	written bool
}

const (
	// snapshotMost is the size of zones, in octets, up to which the file has their
	// records: it takes as much to write, and to read at the start.
	snapshotMost = 64 << 20
	// maxLists is how many lists are kept before a look at which are not needed.
	maxLists = 64
)

// open reads the file, unless that was done. p.mu must be held.
func (p *past) open() (c *pastContent, err error) {
	if p.file != nil {
		return nil, nil
	}
	c, p.lists = &pastContent{}, make(map[sum]*standInList)
	file, lost, _, err := openEntries(p.path, pastMagic, c.take)
	if err != nil { // it is begun anew
		p.file = &entries{path: p.path, magic: pastMagic}
		p.any.Store(true)
		return nil, err
	}
	p.file, p.views, p.next = file, c.box.views, uint32(len(c.lists))
	for i, list := range c.lists {
		p.lists[sumOf(list)] = &standInList{list, uint32(i), true}
	}
	if len(c.lists) > 0 || lost != "" {
		p.any.Store(true)
	}
	return c, nil
}

// recall gives the version that is served with the changes that led to it before
// the start, as far as they are known, and the serial number that was sent last,
// if that is.
func (p *past) recall(now *zones.Zone) (v *version, last uint32, known bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v = &version{zone: now, chain: new(chain)}
	c, err := p.open()
	if c == nil || !c.marked {
		return v, 0, false, err
	}
	switch {
	case sumOfZone(now) == c.end:
		v.changes = c.changes
	case len(c.records) == 0 || !newer(now.Serial, c.serial):
		return v, c.serial, true, nil
	default:
		missing := c.difference(now)
		if missing == nil {
			return v, c.serial, true, nil
		}
		v.changes = append(c.changes, missing)
	}
	p.at, p.serial, p.end = v.chain, c.serial, c.end
	v.trim()
	return v, c.serial, true, nil
}

// difference gives what makes the version that the file ends with into another;
// nil: its records are not what they should be.
func (c *pastContent) difference(now *zones.Zone) *change {
	has := make(map[string]zones.RR, len(c.records))
	for _, r := range c.records {
		has[recordKey(r)] = r
	}
	for _, ch := range c.changes[c.before:] {
		delete(has, recordKey(ch.before))
		for _, r := range ch.removed {
			delete(has, recordKey(r))
		}
		for _, r := range ch.added {
			has[recordKey(r)] = r
		}
		has[recordKey(ch.after)] = ch.after
	}
	var s sum
	d := &change{after: soaOf(now)}
	for _, r := range has {
		if s.add(r); r.Type == typeSOA {
			d.before = r
		}
	}
	if s != c.end || d.before.Data == nil {
		return nil
	}
	for owner, set := range now.Walk() {
		for r := range set.Of(owner) {
			k := recordKey(r)
			if _, there := has[k]; there {
				delete(has, k)
			} else if r.Type != typeSOA {
				d.added = append(d.added, r)
			}
		}
		parallel.Yield()
	}
	for _, k := range slices.Sorted(maps.Keys(has)) {
		if r := has[k]; r.Type != typeSOA {
			d.removed = append(d.removed, r)
		}
	}
	return d
}

// sending notes that a peer is sent a view, before it is. journaled tells that the
// zone's versions are in its journal.
func (p *past) sending(to peerOf, w *view, journaled bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.open()
	if p.gone {
		return err
	}
	v := w.version
	if journaled {
		v, p.at = nil, nil
	} else if fault := p.keep(v); fault != nil {
		return errors.Join(err, fault)
	}
	now, changed := p.note(to, w)
	if !p.any.Load() || !changed {
		return err
	}
	if p.file.full() {
		return errors.Join(err, p.rewrite(v))
	}
	var b []byte
	list := p.lists[sumOf(now.standIns)]
	if !list.written {
		b, list.id, list.written = standInsEntry(list.records), p.next, true
		p.next++
	}
	return errors.Join(err, p.add(append(b, sentEntry(to, now, list.id)...)))
}

// add writes entries. Where that fails there had better be no file than one that
// does not say all.
func (p *past) add(b []byte) error {
	err := p.file.add(b)
	if err != nil {
		p.drop()
	}
	return err
}

func (p *past) drop() {
	p.file.close()
	os.Remove(p.path)
	p.at = nil
}

// keep sees to it that the file ends with a version.
func (p *past) keep(v *version) error {
	if p.at != v.chain || p.file.full() {
		return p.rewrite(v)
	}
	if p.serial == v.zone.Serial {
		return nil
	}
	news := v.since(p.serial)
	if news == nil { // there was too much
		return p.rewrite(v)
	}
	var b []byte
	end := p.end
	for _, c := range news {
		b = append(b, changeEntry(c)...)
		end.change(c)
	}
	if err := p.add(b); err != nil {
		return err
	}
	p.serial, p.end = v.zone.Serial, end
	return nil
}

// rewrite writes the file anew: how a version came to be, nil for none, and what peers were sent.
func (p *past) rewrite(v *version) error {
	p.prune()
	p.at, p.next = nil, 0
	for _, list := range p.lists {
		list.written = false
	}
	err := p.file.rewrite(func(w *bufio.Writer) error {
		if p.any.Load() {
			p.writeSent(w)
		}
		if v == nil {
			return nil
		}
		for _, c := range v.changes {
			w.Write(changeEntry(c))
		}
		p.end = sumOfZone(v.zone)
		kept := v.zone
		if v.zone.Bytes() > snapshotMost {
			kept = nil
		}
		snapshot, err := snapshotEntry(kept, [sha256.Size]byte{})
		w.Write(snapshot)
		w.Write(markEntry(p.end, v.zone.Serial))
		return err
	})
	if err != nil {
		p.drop()
	} else if v != nil {
		p.at, p.serial = v.chain, v.zone.Serial
	}
	return err
}

func (p *past) writeSent(w *bufio.Writer) {
	for to, views := range p.views {
		for _, sent := range views {
			list := p.lists[sumOf(sent.standIns)]
			if !list.written {
				w.Write(standInsEntry(list.records))
				list.id, list.written = p.next, true
				p.next++
			}
			w.Write(sentEntry(to, sent, list.id))
		}
	}
}

// note is outbox.note, with lists that are the same kept once.
func (p *past) note(to peerOf, w *view) (sentView, bool) {
	s := sumOf(w.standIns)
	list := p.lists[s]
	if list == nil {
		if len(p.lists) >= maxLists {
			p.prune()
		}
		list = &standInList{records: w.standIns}
		p.lists[s] = list
	}
	return p.outbox.note(to, &view{w.version, list.records})
}

// prune forgets lists that nobody has any more.
func (p *past) prune() {
	needed := make(map[sum]bool)
	for _, views := range p.views {
		for _, sent := range views {
			needed[sumOf(sent.standIns)] = true
		}
	}
	maps.DeleteFunc(p.lists, func(s sum, _ *standInList) bool { return !needed[s] })
}

// had is outbox.had.
func (p *past) had(to peerOf, serial uint32) (standIns []zones.RR, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.open(); err != nil {
		return nil, false
	}
	return p.outbox.had(to, serial)
}

// leave lets go of the file; what is in it stays.
func (p *past) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone = true; p.file != nil {
		p.file.close()
	}
}
