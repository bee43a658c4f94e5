package stamp

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	of := func() Stamp {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		at, err := At(path)
		if err != nil || at != Of(info) {
			t.Fatalf("%+v at the path, %+v of the file: %v", at, Of(info), err)
		}
		return at
	}
	if _, err := At(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: %v", err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	first := of()
	if first.Size != 3 || first != of() {
		t.Errorf("%+v, then %+v", first, of())
	}
	touch := func(at time.Time) {
		t.Helper()
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	touch(time.Unix(1, 1000))
	if of() == first {
		t.Error("another time is the same stamp")
	}
	before := of()
	write("longer")
	touch(time.Unix(1, 1000))
	if of() == before {
		t.Error("another size is the same stamp")
	}
	before = of()
	if before.Inode == 0 {
		return // no system with inodes
	}
	if err := os.Rename(path, path+".old"); err != nil { // stays, so that its inode is not given out again
		t.Fatal(err)
	}
	write("longer")
	touch(time.Unix(1, 1000))
	if of() == before {
		t.Error("another file of that size and time is the same stamp")
	}
}
