package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
)

// withEpoch copies a MaxMind database and sets the time it says it was built at,
// in seconds since 1970: another database to whoever compares. The file appears
// under its name whole.
func withEpoch(from, to string, epoch uint32) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	// The metadata is a map behind the last such mark; a number's control octet
	// has its length in the lower bits, and uint64 is type 9: extended, 9-7 in the next octet.
	const mark, key = "\xab\xcd\xefMaxMind.com", "\x4bbuild_epoch"
	at := bytes.LastIndex(text, []byte(mark))
	if at < 0 {
		return errors.New(from + ": not a MaxMind database")
	}
	found := bytes.Index(text[at:], []byte(key))
	if found < 0 {
		return errors.New(from + ": its metadata has no build_epoch")
	}
	at += found + len(key)
	if at+6 > len(text) || text[at] != 4 || text[at+1] != 2 {
		return errors.New(from + ": its build_epoch is not a number of four octets")
	}
	binary.BigEndian.PutUint32(text[at+2:], epoch)
	aside := filepath.Join(filepath.Dir(to), ".new-"+filepath.Base(to))
	if err := os.WriteFile(aside, text, 0o644); err != nil {
		return err
	}
	return os.Rename(aside, to)
}
