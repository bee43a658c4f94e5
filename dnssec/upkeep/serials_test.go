package upkeep

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Serial numbers are on disk once KeepSerials has returned; a file that cannot be
// read is an error that says the line.
func TestSerials(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dnssec", "serials")
	s, err := openSerials(path)
	if err != nil || s.last != nil {
		t.Fatalf("%v, %v", s.last, err)
	}
	if err := s.keep(nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file of nothing was written")
	}
	want := map[string]uint32{"abc.com.": 7, "example.": 1<<32 - 1, ".": 1}
	for range 2 {
		if err := s.keep(maps.Clone(want)); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = openSerials(path); err != nil || !maps.Equal(s.last, want) {
		t.Errorf("%v, %v; want %v", s.last, err, want)
	}
	if err := os.WriteFile(path, []byte("abc.com. 7\nexample. much\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = openSerials(path); err == nil || !strings.Contains(err.Error(), path+":2: ") {
		t.Errorf("the error is %v", err)
	}
}
