package probe

import "testing"

// Data that no answer can have is a fault of the configuration, not of the site.
func TestAnswerFault(t *testing.T) {
	for _, tc := range []struct {
		kind, want string
		fault      bool
	}{
		{"A", "192.0.2.1", false}, {"A", "web.abc.com.", false}, {"a", "192.0.2", true}, {"A", "2001:db8::1", true}, {"A", "", true},
		{"AAAA", "2001:DB8:0::1", false}, {"AAAA", "web.abc.com.", false}, {"AAAA", "192.0.2.1", true}, {"AAAA", "2001:db8::g", true},
		{"TXT", "192.0.2", false}, {"MX", "10 mail.abc.com.", false},
	} {
		if msg := answerFault(tc.kind, tc.want); (msg != "") != tc.fault {
			t.Errorf("%s %q: %q", tc.kind, tc.want, msg)
		}
	}
}
