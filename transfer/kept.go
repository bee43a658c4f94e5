package transfer

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/miekg/dns"

	"gslb/zones"
)

// kept is a zone's records as they are kept here, before anybody signs them, of
// zones that are updated or transferred. All but raw and history is guarded by
// Manager.edit.
type kept struct {
	journal *journal
	source  [sha256.Size]byte // of the master file that the records began with
	file    masterFile        // as it was last looked at
	lost    string            // what of the journal could not be read
}

// masterFile is what is remembered of a zone's master file. Where the file is as it
// was, a reload shows the zone as it is served, with signatures and another serial
// number, and not as the file has it.
type masterFile struct {
	reading zones.Reading
	sum     [sha256.Size]byte
	serial  uint32
}

// keeps tells whether the zone's records are kept in a journal.
func (s *settings) keeps() bool {
	return s.secondary() || len(s.Update) > 0 || s.Catalog == Producer
}

func (s *settings) secondary() bool { return len(s.primaries) > 0 }

// pathOf is where a file of a zone is. Names may have any octet.
func (m *Manager) pathOf(zone, kind string) string {
	file := url.PathEscape(zone)
	if file == "." {
		file = "root."
	}
	return filepath.Join(m.dir, file+kind)
}

// open reads the journal of a zone that has none open.
func (z *zone) open() error {
	path := z.m.pathOf(z.name, "journal")
	j, c, err := openJournal(path)
	var raw *zones.Zone
	if err == nil && c.records != nil {
		if raw, err = c.zone(z.name, path); err != nil {
			j.close()
			j, c, err = setJournalAside(path, err)
		}
	} else if errors.Is(err, errForeign) {
		j, c, err = setJournalAside(path, errForeign)
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(path + ".damaged"); err == nil && c.lost == "" {
		c.lost = "found by an earlier start; remove that file when you have seen to it"
	}
	z.kept = kept{journal: j, source: c.source, lost: c.lost}
	if raw == nil {
		return nil
	}
	z.raw.Store(raw)
	z.history.Store(&c.changes)
	z.confirmed.Store(c.confirmed.Unix())
	return nil
}

// zone gives the zone that the journal says: the snapshot with what follows it.
func (c *content) zone(name, source string) (*zones.Zone, error) {
	base, err := zones.Make(name, source, func(yield func(zones.RR) bool) {
		for _, r := range c.records {
			if !yield(r) {
				return
			}
		}
	})
	if err != nil || c.before == len(c.changes) {
		return base, err
	}
	e := newEdit(base)
	for _, change := range c.changes[c.before:] {
		if err := e.apply(change); err != nil {
			return nil, err
		}
	}
	return e.build(name, source, new(zones.Patcher))
}

// Beside gives the zones that are not what their master files say, or have none;
// read gives those that were read.
func (p *Prepared) Beside(read func(apex []byte) *zones.Zone) (all []*zones.Zone, err error) {
	p.read = read
	for z, set := range p.sets {
		var with *zones.Zone
		switch {
		case set.secondary():
			with, err = p.secondary(z, set)
		case set.Catalog == Producer:
			with, err = p.produce(z)
		case len(set.Update) > 0:
			with, err = p.updated(z, read(z.apex))
		}
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", z.name, err)
		}
		if with != nil {
			all = append(all, with)
		}
	}
	more, err := p.members()
	return append(all, more...), err
}

// secondary gives the last copy of a zone that is transferred, which counts until
// it expires (RFC 1035, section 3.3.13).
func (p *Prepared) secondary(z *zone, set *settings) (*zones.Zone, error) {
	raw := z.raw.Load()
	if raw == nil && set.File != "" {
		if info, err := os.Stat(set.File); err == nil {
			if raw, err = zones.ReadFile(zones.Config{Name: z.name, File: set.File}); err != nil {
				p.m.log.Warn("the copy of a zone is not used", "zone", z.name, "error", err)
			} else {
				z.raw.Store(raw)
				z.confirmed.Store(info.ModTime().Unix())
			}
		}
	}
	z.lapsed.Store(raw != nil && z.expired(p.m.now()))
	if raw == nil || z.lapsed.Load() {
		return zones.Absent(z.name, set.File)
	}
	return raw, nil
}

// updated decides between the master file of a zone that takes updates and what
// updates made of it:
//
//	no update yet                         the file
//	the file is as it was                 what updates made
//	the file is another, and newer        the file, and the updates are gone
//	the file is another, and not newer    what updates made, which is said as a problem
func (p *Prepared) updated(z *zone, file *zones.Zone) (with *zones.Zone, err error) {
	if file == nil {
		return nil, nil // the configuration is refused for it
	}
	raw, is := z.raw.Load(), z.kept.file
	kept, known := raw != nil && z.journal.f != nil, is.reading.Same(file.Reading())
	if known && raw != nil && !kept {
		p.files[z] = taken{is: is}
		return nil, nil
	}
	if _, _, signed := file.Signing(); signed && !known {
		if file, err = zones.ReadFile(zones.Config{Name: z.name, File: file.File}); err != nil {
			return nil, err
		}
		with = file
	}
	if !known {
		is = masterFile{file.Reading(), digest(file), file.Serial}
	}
	switch {
	case kept && is.sum == z.source:
		p.files[z] = taken{is: is}
		return raw, nil
	case kept && (known || !newer(is.serial, raw.Serial)):
		p.files[z] = taken{is: is, refused: fmt.Sprintf("zone %s: %s has changed, but its serial number %d is not newer than %d, which updates made: what updates made is served until the file has a newer one",
			z.name, file.File, is.serial, raw.Serial)}
		return raw, nil
	}
	p.files[z] = taken{is: is, file: file}
	return with, nil
}

// taken is what Commit does with the master file of a zone that takes updates.
type taken struct {
	is      masterFile
	file    *zones.Zone // its records are in force; nil: those in the journal are
	refused string
	catalog bool // it is none, but a catalog made here
}

// take puts a master file in the place of what updates made.
func (z *zone) take(t taken) {
	z.kept.file = t.is
	if t.refused != "" {
		z.m.log.Error(t.refused)
	}
	if t.refused != "" || z.lost == "" {
		z.said.Store(&t.refused)
	}
	if t.file == nil {
		return
	}
	old := z.raw.Load()
	z.source = t.is.sum
	z.raw.Store(t.file)
	if z.journal.f == nil && !t.catalog {
		return // the first update begins it
	}
	var history []*change
	if old != nil && newer(t.file.Serial, old.Serial) {
		if h := z.history.Load(); h != nil {
			history = append(history, *h...)
		}
		history = append(history, differ(old, t.file))
	}
	z.history.Store(&history)
	if err := z.journal.rewrite(t.file, t.is.sum, history); err != nil {
		z.m.log.Error("a zone's new master file is served, but not noted in its journal: after a restart the updates from before would be back", "zone", z.name, "error", err)
		return
	}
	if t.catalog {
		return
	}
	z.m.log.Info("the master file of a zone is newer than the updates made to it, and takes their place", "zone", z.name, "serial", t.file.Serial)
}

// install serves another version of a zone whose records are kept, once it is on
// disk. changes lead to it from the one before; nil: it is not known how. m.edit
// must be held.
func (z *zone) install(next *zones.Zone, changes []*change) error {
	if err := z.checkTTLs(next, changes); err != nil {
		return err
	}
	old := z.raw.Load()
	if changes == nil && old != nil && newer(next.Serial, old.Serial) {
		changes = []*change{differ(old, next)}
	}
	var history []*change
	if h := z.history.Load(); h != nil && changes != nil {
		history = append(history, *h...)
	}
	v := version{zone: next, changes: append(history, changes...)}
	v.trim()
	err := z.m.host.Put([]*zones.Zone{next}, nil, func() error {
		var err error
		if changes == nil || z.journal.full() {
			err = z.journal.rewrite(next, z.source, v.changes)
		} else {
			err = z.journal.append(changes...)
		}
		if err != nil {
			return diskError{err}
		}
		return nil
	})
	if err != nil {
		return err
	}
	z.raw.Store(next)
	z.history.Store(&v.changes)
	return nil
}

// checkTTLs sees that no TTL of another version, to which changes lead if they are
// known, is larger than the zone's may be: who serves it would refuse it when it is
// loaded the next time.
func (z *zone) checkTTLs(next *zones.Zone, changes []*change) error {
	most := z.set.Load().MaxTTL
	check := func(r zones.RR) error {
		if time.Duration(r.TTL)*time.Second <= most {
			return nil
		}
		return fmt.Errorf("%s %s has TTL %d: the zone is signed here, and its DNSSEC policy says max_zone_ttl = %q", format(r.Owner), dns.Type(r.Type), r.TTL, most)
	}
	if most == 0 {
		return nil
	}
	for _, c := range changes {
		for _, r := range append(slices.Clip(c.added), c.after) {
			set, ok := next.Set(r.Owner, r.Type)
			if err := check(r); err != nil && ok && set.TTL() == r.TTL { // it is still there at the end
				return err
			}
		}
	}
	if changes != nil {
		return nil
	}
	for owner, set := range next.Walk() {
		if err := check(zones.RR{Owner: owner, Type: set.Type, TTL: set.TTL()}); err != nil {
			return err
		}
	}
	return nil
}

// diskError tells that a zone could not be changed because that could not be written.
type diskError struct{ error }

func (e diskError) Unwrap() error { return e.error }

// expired tells whether the zone's last copy is too old to be served.
func (z *zone) expired(now time.Time) bool {
	raw := z.raw.Load()
	return raw == nil || !now.Before(time.Unix(z.confirmed.Load(), 0).Add(timersOf(raw).expire))
}

// timers are those of an SOA record (RFC 1035, section 3.3.13).
type timers struct{ refresh, retry, expire time.Duration }

// timersOf reads them, within bounds that keep a slip from doing harm.
func timersOf(z *zones.Zone) timers {
	data := soaOf(z).Data
	at := func(i int) time.Duration {
		d := data[len(data)-20+4*i:]
		return time.Duration(uint32(d[0])<<24|uint32(d[1])<<16|uint32(d[2])<<8|uint32(d[3])) * time.Second
	}
	const day = 24 * time.Hour
	return timers{
		refresh: min(max(at(1), time.Second), 28*day),
		retry:   min(max(at(2), time.Second), 14*day),
		expire:  max(at(3), 5*time.Second),
	}
}

const typeANY = dns.TypeANY
