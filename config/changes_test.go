package config

import (
	"strings"
	"testing"
)

// What is different is told without any secret, and a secret that is another is told as such.
func TestChangesShowNoSecret(t *testing.T) {
	topology := func(tsig, auth, clone string) map[string]any {
		return map[string]any{
			"tsig":  map[string]any{"k": map[string]any{"secret": tsig, "algorithm": "hmac-sha256"}},
			"check": map[string]any{"web": map[string]any{"headers": map[string]any{"Authorization": auth, "Accept": "text/html"}}},
			"frontend": []map[string]any{{"name": "www", "clone": map[string]any{"secret": clone, "url": "https://c/"},
				"server": []any{map[string]any{"address": "10.0.0.1:80", "password": clone}}}},
		}
	}
	for _, tc := range []struct {
		what          string
		before, after map[string]any
		want          []string // begins of the lines
	}{
		{"new", nil, topology("c2VjcmV0", "Bearer s3cret", "k3y"), []string{
			`+ check web: { headers = { Accept = "text/html", Authorization = (secret 1, not shown) } }`,
			`+ frontend www: { clone = { secret = (secret 2, not shown), url = "https://c/" }`,
			`+ tsig k: { algorithm = "hmac-sha256", secret = (secret 3, not shown) }`}},
		{"gone", topology("c2VjcmV0", "Bearer s3cret", "k3y"), nil, []string{"- check web: ", "- frontend www: ", "- tsig k: "}},
		{"the same", topology("c2VjcmV0", "Bearer s3cret", "k3y"), topology("c2VjcmV0", "Bearer s3cret", "k3y"), nil},
		{"others", topology("c2VjcmV0", "Bearer s3cret", "k3y"), topology("other-c2VjcmV0", "Bearer other-s3cret", "k3y"), []string{
			`~ check web: headers: { Accept = "text/html", Authorization = (secret 1, not shown) } -> { Accept = "text/html", Authorization = (secret 4, not shown) }`,
			`~ tsig k: secret: (secret 3, not shown) -> (secret 5, not shown)`}},
	} {
		got := Changes(tc.before, tc.after)
		if len(got) != len(tc.want) {
			t.Errorf("%s: %q, want %q", tc.what, got, tc.want)
			continue
		}
		for i, line := range got {
			if !strings.HasPrefix(line, tc.want[i]) {
				t.Errorf("%s: %s\nwant %s", tc.what, line, tc.want[i])
			}
			for _, secret := range []string{"c2VjcmV0", "s3cret", "k3y"} {
				if strings.Contains(line, secret) {
					t.Errorf("%s: shows %s: %s", tc.what, secret, line)
				}
			}
		}
	}
}
