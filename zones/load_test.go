package zones

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A reload shares each zone whose files are the ones that were read, included
// ones too, and reads the others; what it does not share is as a fresh load.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	zone := func(serial int) string {
		return fmt.Sprintf("$TTL 60\n@ SOA n h %d 2 3 4 5\n@ NS n.other.\n", serial)
	}
	var cfgs []Config
	for _, n := range []string{"b", "a", "c"} {
		write(n, zone(1))
		cfgs = append(cfgs, Config{Name: n + ".example.", File: filepath.Join(dir, n)})
	}
	write("c", zone(1)+"$INCLUDE c.inc\n")
	write("c.inc", "x A 192.0.2.1\n")
	steered := []SteeredConfig{{Name: "www.a.example.", Form: CNAME, TTL: time.Second, Sites: []int{0}}}
	sites := []Site{{Name: "s", CNAME: "s.other."}}
	load := func(prev *DB, cfgs []Config) *DB {
		t.Helper()
		db, err := Reload(prev, cfgs, steered, sites)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	// shared names the zones that two DBs share, and sees that all can be found.
	shared := func(was, is *DB) string {
		t.Helper()
		var same []string
		for i, z := range is.Zones() {
			if i > 0 && is.Zones()[i-1].Name >= z.Name {
				t.Errorf("%s does not stand before %s", is.Zones()[i-1].Name, z.Name)
			}
			for _, o := range was.Zones() {
				if o == z {
					same = append(same, z.Name[:1])
				}
			}
			var r Result
			if lookup(t, is, z.Name, "SOA", &r); r.Zone != z {
				t.Errorf("%s is not found", z.Name)
			}
		}
		var r Result
		if got := lookup(t, is, "www.a.example.", "A", &r); got != "tailored" {
			t.Errorf("the steered name: %s", got)
		}
		return strings.Join(same, "")
	}
	db := load(nil, cfgs)
	for _, c := range []struct {
		what   string
		change func()
		cfgs   []Config
		want   string
	}{
		{"nothing", func() {}, cfgs, "abc"},
		{"a zone", func() { write("b", zone(22)) }, cfgs, "ac"},
		{"an included file", func() { write("c.inc", "xx A 192.0.2.1\n") }, cfgs, "ab"},
		{"a file of the same size, put in the place of the old one", func() {
			write("new", zone(2))
			os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "a"))
		}, cfgs, "bc"},
		{"the order", func() {}, []Config{cfgs[2], cfgs[0], cfgs[1]}, "abc"},
		{"one zone less", func() {}, cfgs[1:], "ac"},
		{"one zone more", func() {}, cfgs, "ac"},
	} {
		c.change()
		next := load(db, c.cfgs)
		if got := shared(db, next); got != c.want {
			t.Errorf("after %s has changed the zones %q are shared, want %q", c.what, got, c.want)
		}
		db = next
	}
	write("b", zone(3)+"x A y\n")
	if _, err := Reload(db, cfgs, steered, sites); err == nil {
		t.Error("a bad zone is no error in a reload")
	}
	shared(db, db) // which is still whole
}
