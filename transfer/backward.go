package transfer

import (
	"crypto/sha256"
	"fmt"

	"gslb/zones"
)

// Had is what there is of a zone already, here and at those that take it from here,
// to be compared with what a master file says before that is served.
type Had struct {
	serial uint32 // the newest that was served or sent
	known  bool   // there was one

	served *zones.Zone // nil: only the digest of the records with that number is known,
	end    sum
	marked bool // if this is true

	updates bool // it was made by updates from a master file,
	source  [sha256.Size]byte
	updated uint32 // and has this number
}

// Had tells what there is of a zone that is served; apex is in wire form, in lower case.
func (m *Manager) Had(apex []byte) (h Had) {
	m.edit.Lock()
	defer m.edit.Unlock()
	if now := m.host.DB().Zone(apex); now != nil && now.Loaded() {
		h.serial, h.known, h.served = now.OwnSerial(), true, now
	}
	z := m.state.Load().zones[string(apex)]
	if z == nil {
		return h
	}
	z.versions.Lock()
	if z.highest != 0 && (!h.known || newer(z.highest, h.serial)) {
		h.serial, h.known = z.highest, true
	}
	z.versions.Unlock()
	if raw := z.raw.Load(); raw != nil && z.journal != nil && z.journal.f != nil {
		h.updates, h.source, h.updated = true, z.source, raw.Serial
	}
	return h
}

// HadOnDisk tells what a node's folder of journals says of a zone, whether that node
// runs or not. Nothing is changed there.
func HadOnDisk(dir, name string) (h Had, err error) {
	m := &Manager{dir: dir}
	c := &pastContent{}
	there, err := lookAtEntries(m.pathOf(name, "past"), pastMagic, c.take)
	if err != nil {
		return h, err
	}
	if there && c.marked {
		h.serial, h.known, h.end, h.marked = c.serial, true, c.end, true
	}
	j := &content{}
	if _, err = lookAtEntries(m.pathOf(name, "journal"), journalMagic, j.take); err != nil {
		return h, err
	}
	for _, r := range j.records {
		if r.Type == typeSOA {
			h.updates, h.source, h.updated = true, j.source, serialOf(r.Data)
		}
	}
	if n := len(j.changes); h.updates && n > j.before {
		h.updated = j.changes[n-1].to()
	}
	return h, nil
}

// Behind says what is wrong with the serial number of a zone that a master file is
// read to, "" if nothing is:
//
//	updates were made, and the file is as it was       nothing: they stay in force
//	updates were made, the file is another             it has to be newer than they are
//	signing numbers the zone                           nothing: what goes out is always newer
//	the number is older than one that was served       secondaries do not follow (RFC 1034, 4.3.5; RFC 1982)
//	it is the same, the records differ                 nor then, if there may be any
//
// signed tells that the zone is to be signed here, and how says what that does to
// its number; moves is what configuration says of it.
func (h *Had) Behind(next *zones.Zone, signed bool, how zones.Serial, moves *Zone) string {
	if !next.Loaded() || !moves.HasFile() {
		return ""
	}
	serial, why := next.OwnSerial(), ""
	signed = signed || isSignedHere(h.served)
	numbered := signed && (how == zones.IncrementSerial || how == zones.UnixTimeSerial)
	last := h.serial
	switch {
	case h.updates && len(moves.Update) > 0:
		if newer(serial, h.updated) || digest(next) == h.source {
			return ""
		}
		last = h.updated
		why = fmt.Sprintf("it differs from the file that updates began with, and its serial number %d is not newer than %d, which they made: what updates made would stay in force", serial, last)
	case numbered || !h.known || newer(serial, last):
		return ""
	case serial != last:
		why = fmt.Sprintf("its serial number goes back from %d to %d: secondary servers would keep the version that they have", last, serial)
	case len(moves.TransferTo) > 0 && !signed && h.differs(next): // signatures come under one number

		why = fmt.Sprintf("its records have changed, but its serial number is %d as before: secondary servers would keep the version that they have", serial)
	default:
		return ""
	}
	return fmt.Sprintf("zone %s: %s: %s until it is newer (RFC 1982), such as %d", next.Name, next.Where(next.Apex(), typeSOA), why, follows(last))
}

// differs tells whether a zone with the same number has other records, as far as that
// is known.
func (h *Had) differs(next *zones.Zone) bool {
	if h.served != nil && h.served.Serial == next.Serial {
		removed, added := h.served.Diff(next)
		return len(removed)+len(added) > 0
	}
	return h.marked && sumOfZone(next) != h.end
}

// isSignedHere tells whether a zone, nil for none, has been signed here.
func isSignedHere(z *zones.Zone) bool {
	if z == nil {
		return false
	}
	_, _, here := z.Signing()
	return here
}
