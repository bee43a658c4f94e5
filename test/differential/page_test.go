package differential

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// row is one of docs/differences.md: the difference, what gslb does, what the others do, where the reason stands.
var row = regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (.+) \\| (.+) \\| (.+) \\|$")

// TestDifferencesPage keeps docs/differences.md and the list of differences in
// step: the same ones, in the same order, with the same RFC.
func TestDifferencesPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	var told, known []string
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		told = append(told, m[1])
		i := slices.IndexFunc(differences, func(d difference) bool { return d.id == m[1] })
		if i >= 0 && !strings.Contains(m[4], differences[i].rfc) {
			t.Errorf("docs/differences.md: %s has %q, want %q", m[1], m[4], differences[i].rfc)
		}
	}
	for _, d := range differences {
		known = append(known, d.id)
	}
	if !slices.Equal(told, known) {
		t.Errorf("docs/differences.md has\n%q\nthe test has\n%q", told, known)
	}
}
