package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	holds := func(text string, mode os.FileMode) {
		t.Helper()
		data, err := os.ReadFile(path)
		info, err2 := os.Stat(path)
		if err := errors.Join(err, err2); err != nil || string(data) != text || info.Mode().Perm() != mode {
			t.Errorf("%q, %v; want %q with mode %v", data, err, text, mode)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%v, %v", entries, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o644} {
		if err := WriteFile(path, mode, []byte("one")); err != nil {
			t.Fatal(err)
		}
		holds("one", mode)
	}
	// One that fails leaves what was there.
	fault := errors.New("no more")
	err := Write(path, 0o600, func(w io.Writer) error {
		_, _ = io.WriteString(w, strings.Repeat("two", 1<<17))
		return fault
	})
	if !errors.Is(err, fault) || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
	holds("one", 0o644)
	// What a crash left is written over, whatever its mode and length.
	if err := os.WriteFile(path+suffix, []byte("left by a crash"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, 0o600, []byte("3")); err != nil {
		t.Fatal(err)
	}
	holds("3", 0o600)
	if err := WriteFile(filepath.Join(dir, "none", "file"), 0o600, nil); err == nil {
		t.Error("a folder that is not there is no error")
	}
	// A file of Create goes on after Commit.
	f, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, _ = f.WriteString("begin")
	holdsBefore, _ := os.ReadFile(path)
	if err := Commit(f, path); err != nil || string(holdsBefore) != "3" {
		t.Errorf("%q, %v", holdsBefore, err)
	}
	_, _ = f.WriteString(" and go on")
	holds("begin and go on", 0o600)
}
