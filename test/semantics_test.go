package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	packageName  = regexp.MustCompile(`(?m)^package (\w+)`)
	testNamed    = regexp.MustCompile("`(\\w+\\.(?:Test|Fuzz)\\w+)`")
)

// TestSemanticsPage: every row of docs/semantics.md names the tests that prove
// it, or says that it does not hold yet; and the tests that are named exist.
func TestSemanticsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/semantics.md")
	if err != nil {
		t.Fatal(err)
	}
	exist := testFunctions(t)
	rows := 0
	for i, line := range strings.Split(string(page), "\n") {
		if !strings.HasPrefix(line, "| ") || line == "| what holds | tested by |" {
			continue
		}
		rows++
		named := testNamed.FindAllStringSubmatch(line, -1)
		if len(named) == 0 && !strings.Contains(line, "not yet") {
			t.Errorf("docs/semantics.md:%d names no test: %s", i+1, line)
		}
		for _, m := range named {
			if !exist[m[1]] {
				t.Errorf("docs/semantics.md:%d: there is no test %s", i+1, m[1])
			}
		}
	}
	if rows < 60 {
		t.Errorf("only %d rows were found: has the form of the table changed?", rows)
	}
}

// testFunctions lists all tests of the module as package.Name.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		p := packageName.FindSubmatch(source)
		if p == nil {
			return nil
		}
		for _, f := range testFunction.FindAllSubmatch(source, -1) {
			all[strings.TrimSuffix(string(p[1]), "_test")+"."+string(f[1])] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
