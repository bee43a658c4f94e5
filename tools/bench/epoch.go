package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// withEpoch copies a MaxMind database and sets the time it says it was built at,
// in seconds since 1970: a node sees another database, with the same content.
// The copy is moved into place as a whole. It is made in small pieces with pauses,
// since it is made beside what is being measured.
func withEpoch(from, to string, epoch uint32) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	at, err := epochOffset(in)
	if err != nil {
		return err
	}
	aside := filepath.Join(filepath.Dir(to), ".new-"+filepath.Base(to))
	out, err := os.Create(aside)
	if err != nil {
		return err
	}
	err = copyGently(out, in)
	if err == nil {
		_, err = out.WriteAt(binary.BigEndian.AppendUint32(nil, epoch), at)
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(aside))
	}
	return os.Rename(aside, to)
}

// epochOffset finds where a database has the four octets of its build_epoch.
func epochOffset(f *os.File) (int64, error) {
	// The metadata is a map behind the last such mark, within so much of the
	// file's end; a number's control octet has its length in the lower bits, and
	// uint64 is type 9: extended, 9-7 in the next octet.
	const mark, key, within = "\xab\xcd\xefMaxMind.com", "\x4bbuild_epoch", 128 << 10
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	start := max(info.Size()-within, 0)
	text := make([]byte, info.Size()-start)
	if _, err := f.ReadAt(text, start); err != nil {
		return 0, err
	}
	at := bytes.LastIndex(text, []byte(mark))
	if at < 0 {
		return 0, errors.New(f.Name() + ": not a MaxMind database")
	}
	found := bytes.Index(text[at:], []byte(key))
	if found < 0 {
		return 0, errors.New(f.Name() + ": its metadata has no build_epoch")
	}
	at += found + len(key)
	if at+6 > len(text) || text[at] != 4 || text[at+1] != 2 {
		return 0, errors.New(f.Name() + ": its build_epoch is not a number of four octets")
	}
	return start + int64(at) + 2, nil
}

// copyGently copies what takes a fraction of a millisecond, and rests a multiple of it.
func copyGently(out io.Writer, in io.Reader) error {
	for {
		switch _, err := io.CopyN(out, in, 256<<10); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
}
