package health

import "testing"

func TestCombine(t *testing.T) {
	f := func(address string, s State) Finding { return Finding{Address: address, State: s, Detail: s.String()} }
	for _, c := range []struct {
		name   string
		in     []Finding
		want   State
		detail string
	}{
		{"none", nil, Unknown, ""},
		{"not known yet", []Finding{f("192.0.2.1", Unknown)}, Unknown, ""},
		{"one up", []Finding{f("192.0.2.1", Up)}, Up, "up"},
		{"one up, one not known", []Finding{f("192.0.2.1", Up), f("192.0.2.2", Unknown)}, Up, "up"},
		{"all down", []Finding{f("192.0.2.1", Down), f("[2001:db8::1]:80", Down)}, Down, "192.0.2.1: down; [2001:db8::1]:80: down"},
		{"IPv4 down", []Finding{f("192.0.2.1:80", Down), f("2001:db8::1", Up)}, Down, "192.0.2.1:80: down"},
		{"IPv6 down", []Finding{f("192.0.2.1", Up), f("[2001:db8::1]:80", Down)}, Degraded, "[2001:db8::1]:80: down"},
		{"one IPv4 of two down", []Finding{f("192.0.2.1", Up), f("192.0.2.2", Down)}, Degraded, "192.0.2.2: down"},
		{"IPv6 only", []Finding{f("2001:db8::1", Down)}, Down, "down"},
		{"slow", []Finding{f("192.0.2.1", Degraded)}, Degraded, "degraded"},
		{"a name", []Finding{f("www.example", Down), f("2001:db8::1", Up)}, Down, "www.example: down"},
	} {
		if got, detail := Combine(c.in); got != c.want || detail != c.detail {
			t.Errorf("%s: %v %q, want %v %q", c.name, got, detail, c.want, c.detail)
		}
	}
}
