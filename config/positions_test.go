package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestPositions(t *testing.T) {
	tests := []struct {
		name, text string
		want       map[string]string // path -> line:column
	}{
		{"top", "a = 1\n  b = 2\n", map[string]string{"a": "1:1", "b": "2:3"}},
		{"table", "[t]\na = 1\n\n[u]\na = 2", map[string]string{"t": "1:2", "t.a": "2:1", "u": "4:2", "u.a": "5:1"}},
		{"table in table", "[t.u]\na = 1\n[t]\nb = 2\n", map[string]string{"t": "1:2", "t.u": "1:4", "t.u.a": "2:1", "t.b": "4:1"}},
		{"array of tables", "[[s]]\nn = 1\n[[s]]\nn = 2\n", map[string]string{"s": "1:3", "s[0]": "1:3", "s[0].n": "2:1", "s[1]": "3:3", "s[1].n": "4:1"}},
		{
			"array of tables in one", "[[s]]\n[[s.r]]\nto = 1\n[[s.r]]\nto = 2\n[[s]]\n[[s.r]]\nto = 3\n[s.r.x]\ny = 4\n",
			map[string]string{"s[0].r[0].to": "3:1", "s[0].r[1].to": "5:1", "s[1].r[0]": "7:5", "s[1].r[0].to": "8:1", "s[1].r[0].x.y": "10:1"},
		},
		{"dotted key", "[t]\na.b.c = 1\na.d = 2", map[string]string{"t.a": "2:1", "t.a.b": "2:3", "t.a.b.c": "2:5", "t.a.d": "3:3"}},
		{"spaces in a dotted key", "a . b\t=1", map[string]string{"a": "1:1", "a.b": "1:5"}},
		{
			"quoted keys", "[check.\"my check\"]\n'a.b' = 1\n\"\\u0061c\" = 2\n",
			map[string]string{`check."my check"`: "1:8", `check."my check"."a.b"`: "2:1", `check."my check".ac`: "3:1"},
		},
		{"inline table", `p = { a = 1, b.c = "}" , d = { e = 2 } }`, map[string]string{"p": "1:1", "p.a": "1:7", "p.b.c": "1:16", "p.d.e": "1:32"}},
		{"inline table over lines", "p = {\n  a = 1, # }\n  b = 2,\n}\nq = 3", map[string]string{"p.a": "2:3", "p.b": "3:3", "q": "5:1"}},
		{"list", `l = ["a", 'b]', "c"]`, map[string]string{"l[0]": "1:6", "l[1]": "1:11", "l[2]": "1:17"}},
		{
			"list over lines", "l = [ # ]\n  \"a\",\n\n  # \"b\",\n  \"c\"\n]\nm = 1",
			map[string]string{"l[0]": "2:3", "l[1]": "5:3", "m": "7:1"},
		},
		{"list of lists", "l = [[1, 2],\n [3]]", map[string]string{"l[0]": "1:6", "l[0][1]": "1:10", "l[1]": "2:2", "l[1][0]": "2:3"}},
		{"list of tables", "l = [{a = 1},\n {a = 2}]", map[string]string{"l[0].a": "1:7", "l[1].a": "2:3"}},
		{"long strings", "a = \"\"\"\nb = 1\n\\\"\"\"\"\"\"\nc = '''\n'd' = 1\n''''\ne = 1", map[string]string{"a": "1:1", "c": "4:1", "e": "7:1"}},
		{"escaped quotes", `a = "\"#" # b = 1` + "\nc = 1", map[string]string{"a": "1:1", "c": "2:1"}},
		{"columns are characters", `"é" = { ü = "ö", x = 1 }`, map[string]string{"é": "1:1"}},
		{"date with a blank", "d = 2026-01-02 03:04:05\ne = 1", map[string]string{"d": "1:1", "e": "2:1"}},
		{"carriage returns", "a = 1\r\n[t]\r\nb = 1\r\n", map[string]string{"a": "1:1", "t.b": "3:1"}},
		{"not there: the table around", "[[s]]\na = 1\n[[s]]\nb = 1\n", map[string]string{"s[1].a": "3:3", "s[1].x.y[3].z": "3:3", "z": "1:1", "": "1:1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := scanPositions(tt.text)
			for path, want := range tt.want {
				line, column := p.find(path)
				if got := fmt.Sprintf("%d:%d", line, column); got != want {
					t.Errorf("%s at %s, want %s", path, got, want)
				}
			}
			if len(p.repeated) > 0 {
				t.Errorf("repeated: %v", p.repeated)
			}
		})
	}
}

func TestRepeatedKeys(t *testing.T) {
	tests := []struct{ text, want string }{
		{"a = 1\na = 2", "a 2"},
		{"a.b = 1\na = 2", "a 2"}, // the library lets this pass
		{"a = 1\na.b = 2", "a 2"},
		{"[[s]]\na = 1\n[[s]]\na = 2", ""},
		{"[t]\na = 1\n[u]\n[t]\na = 2", "t 4"},
		{"[t]\na = 1\na = 2\n", "t.a 3"},
		{"p = { a = 1, a = 2 }", "p.a 1"},
		{"[[s]]\n[s.t]\n[[s]]\n[s.t]\n", ""},
		{"[t.u]\n[t]\n", ""},
	}
	for _, tt := range tests {
		p := scanPositions(tt.text)
		got := ""
		for _, r := range p.repeated {
			line, _ := p.lineColumn(r.second)
			got += fmt.Sprintf("%s %d", r.path, line)
		}
		if got != tt.want {
			t.Errorf("%q: repeated %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestParentPath(t *testing.T) {
	for path, want := range map[string]string{
		"a": "", "a.b": "a", "a[0]": "a", "a[0].b": "a[0]", "a[0][1]": "a[0]",
		`check."a.b"`: "check", `check."a\"].b".port`: `check."a\"].b"`,
	} {
		if got := parentPath(path); got != want {
			t.Errorf("parent of %s is %s, want %s", path, got, want)
		}
	}
}

// checkPositions compares the scanner with the library: each key of a valid
// text has a position, and that is where the key or element stands.
func checkPositions(t *testing.T, text string) {
	t.Helper()
	p := scanPositions(text)
	var tree map[string]any
	if _, err := toml.Decode(text, &tree); err != nil {
		return // that it did not panic is all
	}
	if len(p.repeated) > 0 {
		return // the library let pass what Load refuses
	}
	var walk func(path, name string, v any)
	walk = func(path, name string, v any) {
		if path != "" {
			off, ok := p.offset[path]
			if !ok {
				t.Fatalf("%s has no position in\n%s", path, text)
			}
			if rest := text[off:]; !strings.HasPrefix(rest, name) && rest[0] != '"' && rest[0] != '\'' {
				t.Fatalf("%s is said to be at %.20q in\n%s", path, rest, text)
			}
		}
		switch v := v.(type) {
		case map[string]any:
			for key, inner := range v {
				walk(joinPath(path, key), key, inner)
			}
		case []map[string]any:
			for i, inner := range v {
				walk(indexPath(path, i), "", inner)
			}
		case []any:
			for i, inner := range v {
				walk(indexPath(path, i), "", inner)
			}
		}
	}
	walk("", "", tree)
}

// examples returns all TOML texts of testdata.
func examples(tb testing.TB) []string {
	tb.Helper()
	var texts []string
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".toml" {
			return err
		}
		data, err := os.ReadFile(path)
		texts = append(texts, string(data))
		return err
	})
	if err != nil || len(texts) == 0 {
		tb.Fatalf("no examples: %v", err)
	}
	return texts
}

func TestPositionsOfExamples(t *testing.T) {
	for _, text := range examples(t) {
		checkPositions(t, text)
	}
}

func FuzzPositions(f *testing.F) {
	for _, text := range examples(f) {
		f.Add(text)
	}
	f.Add("a=\"\"\"\"\"\"\"\n[[a.b]]\n[a.b.'c']\n\"\\u00e9\"={x=[[1],{y=1},],}\n")
	f.Add("a . 'b' = 1979-05-27 07:32:00 # c\r\nd = [1, # x\n2,\n]\n")
	f.Fuzz(checkPositions)
}

// FuzzParse sees that no text makes Parse panic, and that its outcome is
// either a configuration or problems with a place.
func FuzzParse(f *testing.F) {
	for _, text := range examples(f) {
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("x.toml", []byte(text), dir)
		problems := asProblems(err)
		if (c == nil) != (err != nil) || (err != nil) != (len(problems) > 0) {
			t.Fatalf("configuration %v with error %v", c, err)
		}
		lines := strings.Count(text, "\n") + 1
		for i, p := range problems {
			if p.Line < 1 || p.Line > lines || p.Column < 1 || p.Message == "" {
				t.Errorf("problem without place or message: %+v", p)
			}
			if i > 0 && p.Line < problems[i-1].Line {
				t.Errorf("problems are not in order of lines:\n%v", problems)
			}
		}
		if c != nil {
			if _, err := c.Policies(); err != nil {
				t.Errorf("a valid configuration has no policies: %v", err)
			}
		}
	})
}
