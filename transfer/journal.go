package transfer

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"time"

	"gslb/zones"
)

// journal keeps on disk what no master file has: the records of a zone that is
// updated or transferred, and how they came to be.
//
//	snapshot 32 octets: digest of the master file's records, 0 for none; then all records
//	change   u32 number of records removed, then the old SOA, those, the new SOA,
//	         and the records added
//
// The zone is the last snapshot with the changes behind it; those before it are
// history. Nobody is told of a change before it is here.
type journal struct{ entries }

const (
	journalMagic = "gslb zone 1\n"
	kindChange   = 2
)

// content is what a journal says.
type content struct {
	source  [sha256.Size]byte // of the master file that the snapshot stands for
	records []zones.RR        // of the snapshot; nil: there is none
	changes []*change
	before  int // how many of them lead to the snapshot
	// confirmed is when the journal was last written, or touched.
	confirmed time.Time
	// lost tells what of the journal could not be read; "": nothing.
	lost string
}

// openJournal reads a journal and opens it for writing. An end that cannot be read
// is kept beside it, and cut off. A journal that is not there is empty.
func openJournal(path string) (*journal, *content, error) {
	c := &content{}
	e, lost, modified, err := openEntries(path, journalMagic, c.take)
	if err != nil {
		return nil, nil, err
	}
	c.lost, c.confirmed = lost, modified
	return &journal{*e}, c, nil
}

// setJournalAside begins a journal anew whose file is of no use, and keeps that
// beside it: one zone must not keep all others from being served.
func setJournalAside(path string, why error) (*journal, *content, error) {
	if err := os.Rename(path, path+".damaged"); err != nil {
		return nil, nil, errors.Join(why, err)
	}
	return &journal{entries{path: path, magic: journalMagic}}, &content{lost: "all of it: " + why.Error()}, nil
}

// take adds an entry to c.
func (c *content) take(payload []byte) error {
	switch body := payload[1:]; payload[0] {
	case kindSnapshot:
		if len(body) < len(c.source) {
			return errEntry
		}
		records, err := readRecords(body[len(c.source):], -1)
		if err != nil {
			return err
		}
		copy(c.source[:], body)
		c.records, c.before = records, len(c.changes)
		return nil
	case kindChange:
		if len(body) < 4 {
			return errEntry
		}
		removed := int(binary.BigEndian.Uint32(body))
		records, err := readRecords(body[4:], -1)
		if err != nil {
			return err
		}
		if removed+2 > len(records) || records[0].Type != typeSOA || records[1+removed].Type != typeSOA {
			return errEntry
		}
		c.changes = append(c.changes, &change{before: records[0], removed: records[1 : 1+removed], after: records[1+removed], added: records[2+removed:]})
		return nil
	}
	return errEntry
}

func changeEntry(c *change) []byte {
	b := append(make([]byte, entryHead, 256), kindChange)
	b = binary.BigEndian.AppendUint32(b, uint32(len(c.removed)))
	b = appendRecord(b, c.before)
	for _, r := range c.removed {
		b = appendRecord(b, r)
	}
	b = appendRecord(b, c.after)
	for _, r := range c.added {
		b = appendRecord(b, r)
	}
	return entry(b)
}

// snapshotEntry has the records of a zone; nil: none.
func snapshotEntry(z *zones.Zone, source [sha256.Size]byte) ([]byte, error) {
	b := append(make([]byte, entryHead, 256), kindSnapshot)
	b = append(b, source[:]...)
	if z == nil {
		return entry(b), nil
	}
	b = slices.Grow(b, z.Bytes())
	for owner, set := range z.Walk() {
		for r := range set.Of(owner) {
			b = appendRecord(b, r)
		}
	}
	if int64(len(b)) > 1<<32-1 {
		return nil, errors.New("the zone has more than 4 GiB of records")
	}
	return entry(b), nil
}

// append writes changes behind what is there, and has them on disk when it returns.
func (j *journal) append(changes ...*change) error {
	var b []byte
	for _, c := range changes {
		b = append(b, changeEntry(c)...)
	}
	return j.add(b)
}

// rewrite makes the journal anew, of a zone and the changes that led to it.
func (j *journal) rewrite(z *zones.Zone, source [sha256.Size]byte, history []*change) error {
	return j.entries.rewrite(func(w *bufio.Writer) error {
		for _, c := range history {
			w.Write(changeEntry(c))
		}
		snapshot, err := snapshotEntry(z, source)
		w.Write(snapshot)
		return err
	})
}

// confirm notes on disk that the zone is known to be the newest.
func (j *journal) confirm(now time.Time) error {
	if j.f == nil {
		return nil
	}
	return os.Chtimes(j.path, now, now)
}

// digest tells zones with different records apart.
func digest(z *zones.Zone) (sum [sha256.Size]byte) {
	h := sha256.New()
	var b []byte
	for owner, set := range z.Walk() {
		for r := range set.Of(owner) {
			b = appendRecord(b[:0], r)
			h.Write(b)
		}
	}
	h.Sum(sum[:0])
	return sum
}
