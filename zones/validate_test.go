package zones

import (
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		cfg  Config
		want string // keys with faults
	}{
		{Config{Name: "abc.com.", File: "abc.com.zone"}, ""},
		{Config{Name: ".", File: "root.zone"}, ""},
		{Config{Name: "0/25.2.0.192.in-addr.arpa.", File: "x"}, ""}, // RFC 2317
		{Config{}, "name file"},
		{Config{Name: "abc..com", File: "x"}, "name"},
		{Config{Name: "*.abc.com", File: "x"}, "name"},
		{Config{Name: "*", File: "x"}, "name"},
	}
	for _, tt := range tests {
		var keys []string
		tt.cfg.Validate(func(key, msg string) { keys = append(keys, key) })
		if got := strings.Join(keys, " "); got != tt.want {
			t.Errorf("%+v: faults at %q, want %q", tt.cfg, got, tt.want)
		}
	}
}

func TestCanonicalName(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	tests := []struct{ in, want string }{
		{"abc.com.", "abc.com."},
		{"abc.com", "abc.com."},
		{"WWW.Abc.COM", "www.abc.com."},
		{"*.abc.com", "*.abc.com."},
		{"_dns.abc.com.", "_dns.abc.com."},
		{".", "."},
		{label63 + ".com", label63 + ".com."},
		{strings.Repeat(label63+".", 3) + strings.Repeat("b", 61), strings.Repeat(label63+".", 3) + strings.Repeat("b", 61) + "."},
		{`a\032B.com`, `a\ b.com.`},
		{`a\ b.com`, `a\ b.com.`},
		// refused:
		{"", ""},
		{`a\800.com`, ""},
		{`a\\ b.com`, ""},
		{"..", ""},
		{".abc.com", ""},
		{"abc..com", ""},
		{"abc.com..", ""},
		{label63 + "a.com", ""},
		{strings.Repeat(label63+".", 4), ""},
		{"a b.com", ""},
		{"abc.com\n", ""},
		{"münchen.de", ""},
		{"abc.com\x7f", ""},
	}
	for _, tt := range tests {
		got, err := CanonicalName(tt.in)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q is %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func FuzzCanonicalName(f *testing.F) {
	for _, s := range []string{"abc.com", "*.ABC.com.", `a\.b.com`, `\065.com`, "..", "münchen.de"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := CanonicalName(s)
		if err != nil {
			return
		}
		if again, err := CanonicalName(name); err != nil || again != name {
			t.Errorf("%q becomes %q and that %q, %v", s, name, again, err)
		}
	})
}
