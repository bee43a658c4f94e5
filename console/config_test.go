package console

import (
	"slices"
	"testing"
)

func TestConfigValidate(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want []string // "key: message"
	}{
		{"zero", Config{}, nil},
		{"off", Config{Listen: "off"}, nil},
		{"loopback", Config{Listen: "[::1]:0"}, nil},
		{"localhost", Config{Listen: "localhost:80"}, nil},
		{"open with token", Config{Listen: "0.0.0.0:8053", Token: token, Hosts: []string{"ns1.example.net"}}, nil},
		{"open without token", Config{Listen: "0.0.0.0:8053"}, []string{`token: missing: must be set since listen "0.0.0.0:8053" isn't a loopback address`}},
		{"all addresses", Config{Listen: ":8053"}, []string{`token: missing: must be set since listen ":8053" isn't a loopback address`}},
		{"a name", Config{Listen: "ns1.example.net:8053"}, []string{`token: missing: must be set since listen "ns1.example.net:8053" isn't a loopback address`}},
		{"no port", Config{Listen: "127.0.0.1"}, []string{`listen: "127.0.0.1": must be host:port, such as "127.0.0.1:8053", or "off"`}},
		{"bad port", Config{Listen: "127.0.0.1:http"}, []string{`listen: "127.0.0.1:http": port must be a number from 0 to 65535`}},
		{"high port", Config{Listen: "127.0.0.1:65536"}, []string{`listen: "127.0.0.1:65536": port must be a number from 0 to 65535`}},
		{"short token", Config{Token: "secret"}, []string{"token: 6 characters: must be at least 16"}},
		{"token with space", Config{Token: "a b c d e f g h i j"}, []string{"token: has a space or a character that an HTTP header can't carry: must be printable ASCII"}},
		{"hosts", Config{Hosts: []string{"ok.example", "https://x", "", "x:80"}}, []string{
			`hosts[1]: "https://x": must be a DNS name without port or path`,
			`hosts[2]: "": must be a DNS name without port or path`,
			`hosts[3]: "x:80": must be a DNS name without port or path`,
		}},
	} {
		var got []string
		tt.cfg.Validate(func(key, msg string) { got = append(got, key+": "+msg) })
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
}
