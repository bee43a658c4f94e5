package transfer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gslb/durable"
	"gslb/zones"
)

// entries is a file of entries that are written behind each other:
//
//	file    magic, entries
//	entry   u32 length, u32 CRC-32C of what follows, so many octets: u8 kind, and what that kind says
//	record  u8 length of the owner, owner, u16 type, u32 TTL, u16 length, data
//
// Numbers are big-endian. What is added in one call is synced before it returns, so
// that only the end can be incomplete. A file is made smaller by writing another
// one, which takes its place at once.
type entries struct {
	path, magic string
	f           *os.File // nil: there is nothing on disk yet
	size        int64    // of the file
	base        int64    // where the last snapshot ends
}

const (
	entryHead    = 8
	kindSnapshot = 1
	// compactAt is how much may stand behind a snapshot that is smaller.
	compactAt = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openEntries opens a file for writing and gives what it says to take, entry by
// entry, which tells those apart that are faulty. An end that cannot be read is kept beside it, and cut
// off: lost says so. A file that is not there is empty.
func openEntries(path, magic string, take func(payload []byte) error) (e *entries, lost string, modified time.Time, err error) {
	e = &entries{path: path, magic: magic}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return e, "", modified, nil
	}
	if err != nil {
		return nil, "", modified, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, "", modified, err
	}
	good, base, lost, err := readEntries(bufio.NewReaderSize(f, 1<<16), info.Size(), magic, take)
	if err == nil && good < info.Size() {
		err = setAside(f, path, good)
	}
	if err == nil {
		_, err = f.Seek(good, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, "", modified, fmt.Errorf("journal %s: %w", path, err)
	}
	e.f, e.size, e.base = f, good, base
	return e, lost, info.ModTime(), nil
}

// lookAtEntries is openEntries for who changes nothing: the file may be another
// process's. there is false where there is none.
func lookAtEntries(path, magic string, take func(payload []byte) error) (there bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		_, _, _, err = readEntries(bufio.NewReaderSize(f, 1<<16), info.Size(), magic, take)
	}
	if err != nil {
		return false, fmt.Errorf("journal %s: %w", path, err)
	}
	return true, nil
}

// readEntries reads entries as far as they are whole. good is where that ends, base
// where the last snapshot does, and lost tells what at the end could not be read.
func readEntries(r io.Reader, size int64, magic string, take func(payload []byte) error) (good, base int64, lost string, err error) {
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != magic {
		if kind, _, _ := strings.Cut(strings.TrimPrefix(magic, "gslb "), " "); strings.HasPrefix(string(head), "gslb "+kind+" ") {
			return 0, 0, "", errors.New("it is of another version of gslb: move it away to begin anew")
		}
		return 0, 0, "", errForeign
	}
	good = int64(len(magic))
	base = good
	for good < size {
		payload, err := readEntry(r, size-good)
		if err == nil {
			err = take(payload)
		}
		if err != nil {
			return good, base, fmt.Sprintf("%d octets from octet %d on: %v", size-good, good, err), nil
		}
		if good += entryHead + int64(len(payload)); payload[0] == kindSnapshot {
			base = good
		}
	}
	return good, base, "", nil
}

// errForeign is that a file does not begin as one of its kind does.
var errForeign = errors.New("its head is damaged, or it is no journal")

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

// add writes entries behind what is there, and has them on disk when it returns.
func (e *entries) add(b []byte) error {
	_, err := e.f.Write(b)
	if err == nil {
		err = e.f.Sync()
	}
	if err != nil { // part of it may be there: nobody was told of it
		if _, fault := e.f.Seek(e.size, io.SeekStart); fault == nil {
			fault = e.f.Truncate(e.size)
			err = errors.Join(err, fault)
		}
		return fmt.Errorf("journal %s: %w", e.path, err)
	}
	e.size += int64(len(b))
	return nil
}

// full tells whether the file should be written anew.
func (e *entries) full() bool {
	return e.f == nil || e.size-e.base > compactAt && e.size-e.base > e.base
}

// rewrite makes the file anew, with a snapshot at its end.
func (e *entries) rewrite(write func(w *bufio.Writer) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("journal %s: %w", e.path, err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(e.path), 0o700); err != nil {
		return err
	}
	f, err := durable.Create(e.path, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	w.WriteString(e.magic)
	if err = write(w); err == nil {
		err = w.Flush() // has the error of all writes
	}
	if err == nil {
		err = durable.Commit(f, e.path)
	}
	var size int64
	if err == nil {
		size, err = f.Seek(0, io.SeekCurrent)
	}
	if err != nil {
		f.Close()
		return err
	}
	e.close()
	e.f, e.size, e.base = f, size, size
	return nil
}

func (e *entries) close() {
	if e.f != nil {
		e.f.Close() // all that matters is synced
		e.f = nil
	}
}
