package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the .want files anew")

// loadGolden loads every FILE.toml of testdata/dir and compares the messages
// with FILE.want, in which $TESTDATA stands for that directory.
func loadGolden(t *testing.T, dir string, messages func(*Config, error) Problems) map[string]Problems {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.toml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files in testdata/%s: %v", dir, err)
	}
	abs, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Problems{}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".toml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			problems := messages(Parse(filepath.Base(path), data, filepath.Dir(path)))
			all[name] = problems
			got := strings.ReplaceAll(problems.Error(), abs, "$TESTDATA") + "\n"
			golden := strings.TrimSuffix(path, ".toml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
	return all
}

// checkLines compares the lines of the problems with those that the file marks.
func checkLines(t *testing.T, dir, mark string, all map[string]Problems) {
	t.Helper()
	for name, problems := range all {
		data, err := os.ReadFile(filepath.Join("testdata", dir, name+".toml"))
		if err != nil {
			t.Fatal(err)
		}
		var got, want []int
		for _, p := range problems {
			got = append(got, p.Line)
		}
		for i, line := range strings.Split(string(data), "\n") {
			if strings.Contains(line, mark) {
				want = append(want, i+1)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s.toml: problems on lines %v, marked are %v\n%v", name, got, want, problems)
		}
	}
}

func asProblems(err error) Problems {
	var ps Problems
	errors.As(err, &ps)
	return ps
}

func TestBadFiles(t *testing.T) {
	all := loadGolden(t, "bad", func(c *Config, err error) Problems {
		if c != nil {
			t.Errorf("a configuration with faults was returned")
		}
		return asProblems(err)
	})
	if len(all) < 45 && !t.Failed() {
		t.Errorf("only %d bad files", len(all))
	}
	checkLines(t, "bad", "# BAD", all)
}

func TestWarnings(t *testing.T) {
	all := loadGolden(t, "warn", func(c *Config, err error) Problems {
		if err != nil {
			t.Fatal(err)
		}
		return c.Warnings
	})
	checkLines(t, "warn", "# WARN", all)
}
