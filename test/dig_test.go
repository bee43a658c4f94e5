package test

import (
	"net"
	"strings"
	"testing"
)

// dig asks the node with dig and gives its short output.
func (n *node) dig(t testing.TB, args ...string) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(n.dns)
	argv := append([]string{"dig", "@" + host, "-p", port, "+time=30", "+tries=1", "+norecurse"}, args...)
	return strings.TrimSpace(must(t, argv...))
}

// TestDig shows what an operator sees with dig and nslookup.
func TestDig(t *testing.T) {
	t.Parallel()
	needTool(t, "dig", "nslookup")
	tp := newTopology(t)
	tp.startPlainSites()
	n := tp.startDNSNode()
	tests := []struct {
		args string
		want string // with +short: the lines
	}{
		{"www.abc.com A +subnet=198.51.100.7/32", "a.www.abc.com. 127.0.11.10"},
		{"www.abc.com A +subnet=198.51.100.0/24", "a.www.abc.com. 127.0.11.10"},
		{"www.abc.com A +subnet=203.0.113.0/24", "b.www.abc.com. 127.0.12.10"},
		{"www.abc.com A +subnet=192.0.2.0/24", "c.www.abc.com. 127.0.21.10"},
		{"www.abc.com AAAA +subnet=8.8.8.0/24", "d.www.abc.com. 2001:db8:31::10"},
		{"img.abc.com A +subnet=198.51.100.0/24", "127.0.11.10"},
		{"img.abc.com A +subnet=203.0.113.0/24 +tcp", "127.0.12.10"},
		{"img.abc.com AAAA +subnet=192.0.2.0/24", "2001:db8:21::10"},
		{"www.abc.com A +subnet=198.51.100.0/24 +tcp", "a.www.abc.com. 127.0.11.10"},
		{"host20.abc.com A +noedns", "192.0.2.20"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			got := strings.Join(strings.Fields(n.dig(t, append(strings.Fields(test.args), "+short")...)), " ")
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("client subnet line", func(t *testing.T) {
		for subnet, want := range map[string]string{
			"198.51.100.0/24": "CLIENT-SUBNET: 198.51.100.0/24/24",
			"0":               "CLIENT-SUBNET: 0.0.0.0/0/0",
		} {
			if out := n.dig(t, "www.abc.com", "+subnet="+subnet); !strings.Contains(out, want) {
				t.Errorf("+subnet=%s: no %q in\n%s", subnet, want, out)
			}
		}
	})
	t.Run("truncation and retry", func(t *testing.T) {
		if out := n.dig(t, "big.abc.com", "TXT", "+ignore"); !strings.Contains(out, "flags: qr aa tc") {
			t.Errorf("no TC over UDP:\n%s", out)
		}
		if out := n.dig(t, "big.abc.com", "TXT"); strings.Count(out, "\tTXT\t") != 8 {
			t.Errorf("dig's own retry over TCP did not bring 8 records:\n%s", out)
		}
	})
	t.Run("BADVERS", func(t *testing.T) {
		if out := n.dig(t, "www.abc.com", "+edns=1", "+noednsnegotiation"); !strings.Contains(out, "status: BADVERS") {
			t.Errorf("EDNS version 1:\n%s", out)
		}
	})
	t.Run("nslookup shows the canonical name", func(t *testing.T) {
		host, port, _ := net.SplitHostPort(n.dns)
		out := must(t, "nslookup", "-port="+port, "www.abc.com", host)
		if !strings.Contains(out, "www.abc.com\tcanonical name = ") {
			t.Errorf("nslookup:\n%s", out)
		}
	})
}
