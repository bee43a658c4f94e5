package transfer

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gslb/durable"
	"gslb/zones"
)

// journal keeps on disk what no master file has: the records of a zone that is
// updated or transferred, and how they came to be.
//
//	file       magic, entries
//	entry      u32 length, u32 CRC-32C of what follows, so many octets:
//	  0  u8    kind
//	  snapshot 32 octets: digest of the master file's records, 0 for none; then all records
//	  change   u32 number of records removed, then the old SOA, those, the new SOA,
//	           and the records added
//	record     u8 length of the owner, owner, u16 type, u32 TTL, u16 length, data
//
// Numbers are big-endian. The zone is the last snapshot with the changes behind
// it; those before it are history. An entry is written in one call and synced
// before anybody is told of it, so that only the last one can be incomplete. A
// journal is made smaller by writing another one, which takes its place at once.
type journal struct {
	path   string
	f      *os.File // nil: there is nothing on disk yet
	size   int64    // of the file
	behind int64    // octets behind the last snapshot
}

const (
	journalMagic = "gslb zone 1\n"
	entryHead    = 8
	kindSnapshot = 1
	kindChange   = 2
	// compactAt is how much may stand behind a snapshot that is smaller.
	compactAt = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// content is what a journal says.
type content struct {
	source  [sha256.Size]byte // of the master file that the snapshot stands for
	records []zones.RR        // of the snapshot; nil: there is none
	changes []*change
	before  int // how many of them lead to the snapshot
	// confirmed is when the journal was last written, or touched.
	confirmed time.Time
	// lost tells what at the end of the journal could not be read; "": nothing.
	lost string
}

// openJournal reads a journal and opens it for writing. An end that cannot be read
// is kept beside it, and cut off. A journal that is not there is empty.
func openJournal(path string) (*journal, *content, error) {
	j := &journal{path: path}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return j, &content{}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	c, good, behind, err := readJournal(bufio.NewReaderSize(f, 1<<16), info.Size())
	if err == nil && good < info.Size() {
		err = setAside(f, path, good)
	}
	if err == nil {
		_, err = f.Seek(good, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("journal %s: %w", path, err)
	}
	j.f, j.size, j.behind, c.confirmed = f, good, behind, info.ModTime()
	return j, c, nil
}

// setAside keeps what stands behind the good part of a journal in another file,
// for people to look at, and cuts it off.
func setAside(f *os.File, path string, good int64) error {
	if _, err := f.Seek(good, io.SeekStart); err != nil {
		return err
	}
	rest, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".damaged", rest, 0o600); err != nil {
		return err
	}
	if err := f.Truncate(good); err != nil {
		return err
	}
	return f.Sync()
}

// readJournal reads entries as far as they are whole. good is where that ends, and
// behind how much of it stands behind the last snapshot.
func readJournal(r io.Reader, size int64) (c *content, good, behind int64, err error) {
	c = &content{}
	magic := make([]byte, len(journalMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != journalMagic {
		return nil, 0, 0, errors.New("this is not a journal of this version: move it away to begin anew")
	}
	good = int64(len(journalMagic))
	for good < size {
		payload, err := readEntry(r, size-good)
		if err == nil {
			err = c.take(payload)
		}
		if err != nil {
			c.lost = fmt.Sprintf("%d octets from octet %d on: %v", size-good, good, err)
			break
		}
		good += entryHead + int64(len(payload))
		if behind += entryHead + int64(len(payload)); payload[0] == kindSnapshot {
			behind = 0
		}
	}
	return c, good, behind, nil
}

func readEntry(r io.Reader, left int64) ([]byte, error) {
	var head [entryHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, errors.New("the entry is incomplete")
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n < 1 || n > left-entryHead {
		return nil, errors.New("the entry is incomplete")
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, err
	}
	if crc32.Checksum(payload, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return nil, errors.New("the checksum is another")
	}
	return payload, nil
}

var errEntry = errors.New("the entry does not say what it should")

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

// readRecords reads at most so many records, all of them where most is negative.
func readRecords(b []byte, most int) (all []zones.RR, err error) {
	for len(b) > 0 && most != 0 {
		n := int(b[0])
		if len(b) < 1+n+8 {
			return nil, errEntry
		}
		r := zones.RR{Owner: b[1 : 1+n]}
		b = b[1+n:]
		r.Type, r.TTL = binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[2:])
		size := int(binary.BigEndian.Uint16(b[6:]))
		if b = b[8:]; len(b) < size {
			return nil, errEntry
		}
		r.Data, b = b[:size], b[size:]
		if err := r.Check(); err != nil {
			return nil, err
		}
		all = append(all, r)
		most--
	}
	return all, nil
}

func appendRecord(b []byte, r zones.RR) []byte {
	b = append(b, byte(len(r.Owner)))
	b = append(b, r.Owner...)
	b = binary.BigEndian.AppendUint16(b, r.Type)
	b = binary.BigEndian.AppendUint32(b, r.TTL)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Data)))
	return append(b, r.Data...)
}

// entry completes an entry whose head is left free.
func entry(b []byte) []byte {
	binary.BigEndian.PutUint32(b, uint32(len(b)-entryHead))
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[entryHead:], castagnoli))
	return b
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

func snapshotEntry(z *zones.Zone, source [sha256.Size]byte) ([]byte, error) {
	b := append(make([]byte, entryHead, z.Bytes()), kindSnapshot)
	b = append(b, source[:]...)
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
	_, err := j.f.Write(b)
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil { // part of it may be there: nobody was told of it
		if _, e := j.f.Seek(j.size, io.SeekStart); e == nil {
			e = j.f.Truncate(j.size)
			err = errors.Join(err, e)
		}
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	j.size += int64(len(b))
	j.behind += int64(len(b))
	return nil
}

// full tells whether the journal should be written anew.
func (j *journal) full() bool {
	return j.f == nil || j.behind > compactAt && j.behind > (j.size-j.behind)
}

// rewrite makes the journal anew, of a zone and the changes that led to it.
func (j *journal) rewrite(z *zones.Zone, source [sha256.Size]byte, history []*change) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("journal %s: %w", j.path, err)
		}
	}()
	snapshot, err := snapshotEntry(z, source)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(j.path), 0o700); err != nil {
		return err
	}
	f, err := durable.Create(j.path, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	w.WriteString(journalMagic)
	for _, c := range history {
		w.Write(changeEntry(c))
	}
	w.Write(snapshot)
	if err = w.Flush(); err == nil { // has the error of all writes
		err = durable.Commit(f, j.path)
	}
	var size int64
	if err == nil {
		size, err = f.Seek(0, io.SeekCurrent)
	}
	if err != nil {
		f.Close()
		return err
	}
	j.close()
	j.f, j.size, j.behind = f, size, 0
	return nil
}

// confirm notes on disk that the zone is known to be the newest.
func (j *journal) confirm(now time.Time) error {
	if j.f == nil {
		return nil
	}
	return os.Chtimes(j.path, now, now)
}

func (j *journal) close() {
	if j.f != nil {
		j.f.Close() // all that matters is synced
		j.f = nil
	}
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
