package probe

import (
	"net/netip"
	"strings"
	"testing"
)

func addrs(list ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range list {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

func TestJSONPath(t *testing.T) {
	const document = `{"a":{"b":[10,{"c":"x"}],"d.e":true,"":1},"n":1e2,"nul":null}`
	v, err := decodeJSON([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, want string }{
		{"a.b[0]", "10"},
		{"$.a.b[1].c", "x"},
		{`a["d.e"]`, "true"},
		{`$["a"]["b"][1]`, `{"c":"x"}`},
		{`a[""]`, "1"},
		{"n", "1e2"},
		{"nul", "null"},
		{"a.b", `[10,{"c":"x"}]`},
		{"a.x", "there is no a.x"},
		{"a.b[2]", "there is no a.b[2], the list has 2"},
		{"a.b.c", "a.b is a list, not an object"},
		{"n[0]", "n is a number or truth value, not a list"},
		{`a["d.e"].x`, `a["d.e"] is a number or truth value, not an object`},
		{"[0]", "the document is an object, not a list"},
	} {
		p, err := parseJSONPath(test.path)
		if err != nil {
			t.Errorf("%s: %v", test.path, err)
			continue
		}
		got := ""
		if found, err := p.find(v); err != nil {
			got = err.Error()
		} else {
			got = jsonText(found)
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.path, got, test.want)
		}
	}
	if p, err := parseJSONPath("$"); err != nil || len(p) != 0 {
		t.Errorf("$: %v, %v", p, err)
	}
	for _, path := range []string{".", "a.", "a..b", ".a", "a[", "a[x]", "a[-1]", `a["b]`, "a b", "a]", "$a", "$.", "a[99999999999]", "a.*"} {
		if p, err := parseJSONPath(path); err == nil || !strings.Contains(err.Error(), "must be keys and indexes") {
			t.Errorf("%q: read as %v, %v", path, p, err)
		}
	}
	for body, want := range map[string]string{"": "too early", `{"a":`: "too early", "{}{}": "more follows", "<html>": "invalid character"} {
		if _, err := decodeJSON([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", body, err, want)
		}
	}
}
