package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// While nothing has changed the zones are the very ones of before; whatever has
// changed is seen as by Load.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gslb.toml")
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(name string) {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	const text = `include = ["more/*.toml"]
[node]
roles = ["dns"]
[dns]
listen = ["127.0.0.1:5353"]
cookie_secret_file = "secrets"
[[zone]]
name = "a.example"
file = "a"
[[zones]]
files = "z/*.zone"
[tsig.k]
secret_file = "tsig"
`
	write("gslb.toml", text)
	for _, f := range []string{"a", "more/0.toml", "z/b.example.zone", "z/notes", "secrets"} {
		write(f, "")
	}
	write("tsig", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTI=\n")
	last, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what   string
		change func()
		zones  int    // that there are then; 0: a fault
		fault  string // part of it
		same   bool   // not parsed again
	}{
		{what: "nothing", change: func() {}, zones: 2, same: true},
		{what: "records", change: func() { write("z/b.example.zone", "; changed") }, zones: 2, same: true},
		{what: "what is no zone", change: func() { write("z/more", ""); remove("z/notes") }, zones: 2, same: true},
		{what: "one more", change: func() { write("z/c.example.zone", "") }, zones: 3},
		{what: "nothing again", change: func() {}, zones: 3, same: true},
		{what: "another name", change: func() { remove("z/c.example.zone"); write("z/d.example.zone", "") }, zones: 3},
		{what: "no zone at all there", change: func() { remove("z/b.example.zone"); remove("z/d.example.zone") }, zones: 1},
		{what: "still none", change: func() {}, zones: 1},
		{what: "the text", change: func() { write("gslb.toml", strings.Replace(text, "a.example", "other.example", 1)) }, zones: 1},
		{what: "one more included", change: func() { write("more/a.toml", "") }, zones: 1},
		{what: "what is included", change: func() { write("more/a.toml", "[[zone]]\nname = \"e.example\"\nfile = \"../a\"\n") }, zones: 2},
		{what: "nothing then", change: func() { write("z/b.example.zone", "") }, zones: 3},
		{what: "nothing at last", change: func() {}, zones: 3, same: true},
		{what: "none there", change: func() { remove("more/a.toml"); remove("z/b.example.zone") }, zones: 1},
		{what: "a file is gone", change: func() { remove("secrets") }, fault: "dns.cookie_secret_file"},
		{what: "it is back", change: func() { write("secrets", "") }, zones: 1},
		{what: "a secret is gone", change: func() { remove("tsig") }, fault: "tsig.k"},
		{what: "no directory", change: func() { write("tsig", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTI="); remove("z") }, fault: "zones[0].files"},
	} {
		step.change()
		next, err := Reload(path, last)
		fresh, freshErr := Load(path)
		if (err == nil) != (step.fault == "") || err != nil && !strings.Contains(err.Error(), step.fault) {
			t.Errorf("%s: %v, want %q", step.what, err, step.fault)
		}
		if err != nil || freshErr != nil {
			if err == nil || freshErr == nil || err.Error() != freshErr.Error() {
				t.Errorf("%s: %v, but Load says %v", step.what, err, freshErr)
			}
			continue
		}
		if len(next.Zones) != step.zones || len(fresh.Zones) != step.zones {
			t.Errorf("%s: zones %v, want %d", step.what, next.Zones, step.zones)
		}
		if len(next.Warnings) != len(fresh.Warnings) {
			t.Errorf("%s: warnings %v, want %v", step.what, next.Warnings, fresh.Warnings)
		}
		if same := &next.Zones[0] == &last.Zones[0]; same != step.same {
			t.Errorf("%s: the same zones %v, want %v", step.what, same, step.same)
		}
		last = next
	}
}

// What the owner of a configuration puts into it is not in the next one.
func TestReloadIsAsLoaded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gslb.toml")
	if err := os.WriteFile(path, []byte("[node]\nname = \"n\"\nroles = [\"checker\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		first.Node.Name = "another"
		next, err := Reload(path, first)
		if err != nil || next.Node.Name != "n" {
			t.Fatalf("%q, %v", next.Node.Name, err)
		}
		first = next
	}
}
