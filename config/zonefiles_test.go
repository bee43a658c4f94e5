package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// zoneDirectory makes a directory of files, empty ones, and a configuration of
// patterns for it, behind what else it says.
func zoneDirectory(t *testing.T, rest string, files ...string) (*Config, Problems) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	head := "[node]\nroles = [\"dns\"]\n[dns]\nlisten = [\"127.0.0.1:5353\"]\n"
	c, err := Parse("gslb.toml", []byte(head+rest), dir)
	problems := asProblems(err)
	for i := range problems {
		problems[i].Message = strings.ReplaceAll(problems[i].Message, dir+"/", "")
	}
	if c != nil {
		for i := range c.Zones {
			c.Zones[i].File, _ = filepath.Rel(dir, c.Zones[i].File)
		}
	}
	return c, problems
}

// The zones of a directory are those of its files, but for what has a [[zone]].
func TestZoneFiles(t *testing.T) {
	c, problems := zoneDirectory(t, `[[zone]]
name = "b.example"
file = "own/b"
[[zones]]
files = "z/*.zone"
[[zones]]
files = "other/db.*"
[[site]]
name = "a"
addresses = ["192.0.2.1"]
[[steer]]
name = "www.C.example."
answer = "address"
  [[steer.rule]]
  to = ["a"]
`, "own/b", "z/b.example.zone", "z/C.example.zone", "z/a.example.zone", "z/.hidden.zone", "z/notes", "z/dir.zone/x", "z/.zone", "other/db.d.example", "other/db.")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var got []string
	for _, z := range c.Zones {
		got = append(got, z.Name+" "+z.File)
	}
	want := []string{"b.example. own/b", "c.example. z/C.example.zone", "a.example. z/a.example.zone", "d.example. other/db.d.example"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
}

// Two files of one zone and names that are none are faults, told with the files.
func TestZoneFilesFaults(t *testing.T) {
	_, problems := zoneDirectory(t, "[[zones]]\nfiles = \"z/*\"\n[[zones]]\nfiles = \"y/*\"\n",
		"z/a.example", "y/A.example", "z/1..2", "z/x y", "z/b..1", "z/b..2", "z/b..3", "z/b..4", "z/b..5")
	got := problems.Error()
	for _, want := range []string{
		"zones[0].files: the name of the file z/", "must be a domain name",
		"zones[0].files: the names of 2 more files are not those of zones",
		"gslb.toml:8: zones[1].files: z/a.example and y/A.example are both the zone a.example.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if len(problems) != 7 {
		t.Errorf("%d problems:\n%s", len(problems), got)
	}
}
