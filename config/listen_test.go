package config

import "testing"

func TestOverlaps(t *testing.T) {
	tests := []struct { // as the table at overlaps
		a, b string
		want bool
	}{
		{":53", ":53", true},
		{":53", "0.0.0.0:53", true},
		{":53", "[::]:53", true},
		{":53", "192.0.2.1:53", true},
		{"0.0.0.0:53", "0.0.0.0:53", true},
		{"0.0.0.0:53", "[::]:53", false},
		{"0.0.0.0:53", "192.0.2.1:53", true},
		{"0.0.0.0:53", "[2001:db8::1]:53", false},
		{"[::]:53", "[2001:db8::1]:53", true},
		{"[::]:53", "192.0.2.1:53", false},
		{"192.0.2.1:53", "192.0.2.1:53", true},
		{"192.0.2.1:53", "[::ffff:192.0.2.1]:53", true},
		{"192.0.2.1:53", "192.0.2.2:53", false},
		{"localhost:53", "127.0.0.1:53", true},
		{":53", ":54", false},
		{":0", ":0", false},
	}
	for _, tt := range tests {
		a, okA := parseEndpoint(tt.a)
		b, okB := parseEndpoint(tt.b)
		if !okA || !okB {
			t.Fatalf("%s or %s is not read", tt.a, tt.b)
		}
		if a.overlaps(b) != tt.want || b.overlaps(a) != tt.want {
			t.Errorf("%s and %s: overlap is not %v", tt.a, tt.b, tt.want)
		}
	}
}

func TestParseEndpointRefuses(t *testing.T) {
	for _, s := range []string{"", "53", "192.0.2.1", "ns1.abc.com:53", ":domain", ":65536", ":-1", "2001:db8::1:53"} {
		if e, ok := parseEndpoint(s); ok {
			t.Errorf("%q is read as %v", s, e)
		}
	}
}
