package test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"gslb/test/bed"
)

// TestAnswers asks the real binary over UDP and TCP what a zone may hold.
func TestAnswers(t *testing.T) {
	t.Parallel()
	tp := newTopology(t)
	tp.shared = severalSites
	tp.startPlainSites()
	n := tp.startDNSNode()
	// Each record of want is in presentation form, without TTL and class.
	tests := []struct {
		name, qtype, subnet string
		rcode               string
		want                []string
		scope               int
	}{
		{"www.abc.com.", "A", clientKT, "NOERROR", []string{"www.abc.com. CNAME a.www.abc.com.", "a.www.abc.com. A 127.0.11.10"}, 24},
		{"www.abc.com.", "AAAA", clientKT, "NOERROR", []string{"www.abc.com. CNAME a.www.abc.com.", "a.www.abc.com. AAAA 2001:db8:11::10"}, 24},
		{"www.abc.com.", "A", clientLGU, "NOERROR", []string{"www.abc.com. CNAME b.www.abc.com.", "b.www.abc.com. A 127.0.12.10"}, 24},
		{"www.abc.com.", "A", clientCN, "NOERROR", []string{"www.abc.com. CNAME c.www.abc.com.", "c.www.abc.com. A 127.0.21.10"}, 24},
		{"www.abc.com.", "A", clientUS, "NOERROR", []string{"www.abc.com. CNAME d.www.abc.com.", "d.www.abc.com. A 127.0.31.10"}, 24},
		{"www.abc.com.", "CNAME", clientUS, "NOERROR", []string{"www.abc.com. CNAME d.www.abc.com."}, 24},
		{"WwW.aBc.CoM.", "A", clientKT, "NOERROR", []string{"www.abc.com. CNAME a.www.abc.com.", "a.www.abc.com. A 127.0.11.10"}, 24},
		// Nothing tailored after an untailored CNAME, so that each is cached with its own scope (RFC 7871 section 7.2.1).
		{"alias.abc.com.", "A", clientCN, "NOERROR", []string{"alias.abc.com. CNAME www.abc.com."}, 0},
		{"img.abc.com.", "A", clientKT, "NOERROR", []string{"img.abc.com. A 127.0.11.10"}, 24},
		{"img.abc.com.", "AAAA", clientUS, "NOERROR", []string{"img.abc.com. AAAA 2001:db8:31::10"}, 24},
		{"img.abc.com.", "TXT", clientUS, "NOERROR", nil, 0},
		{"set.abc.com.", "A", clientKT, "NOERROR", []string{"set.abc.com. A 127.0.11.10", "set.abc.com. A 127.0.12.10", "set.abc.com. A 127.0.21.10"}, 24},
		{"set.abc.com.", "A", clientUS, "NOERROR", []string{"set.abc.com. A 127.0.31.10", "set.abc.com. A 127.0.11.10", "set.abc.com. A 127.0.12.10"}, 24},

		{"abc.com.", "SOA", clientKT, "NOERROR", []string{"abc.com. SOA ns1.abc.com. hostmaster.abc.com. 2026010101 3600 600 86400 60"}, 0},
		{"abc.com.", "MX", clientKT, "NOERROR", []string{"abc.com. MX 10 mail.abc.com."}, 0},
		{"mail.abc.com.", "A", clientKT, "NOERROR", []string{"mail.abc.com. A 192.0.2.25"}, 0},
		{"chain1.abc.com.", "AAAA", clientKT, "NOERROR", []string{"chain1.abc.com. CNAME chain2.abc.com.", "chain2.abc.com. CNAME chain3.abc.com.", "chain3.abc.com. CNAME mail.abc.com.", "mail.abc.com. AAAA 2001:db8::25"}, 0},
		{"_sip._tcp.abc.com.", "SRV", "", "NOERROR", []string{"_sip._tcp.abc.com. SRV 0 5 5060 mail.abc.com."}, 0},
		{"unknown.abc.com.", "TYPE65400", "", "NOERROR", []string{`unknown.abc.com. TYPE65400 \# 4 01020304`}, 0},
		{"included.abc.com.", "A", "", "NOERROR", []string{"included.abc.com. A 192.0.2.70"}, 0},
		{"host7.abc.com.", "A", "", "NOERROR", []string{"host7.abc.com. A 192.0.2.7"}, 0},
		{"anything.wild.abc.com.", "TXT", "", "NOERROR", []string{`anything.wild.abc.com. TXT "from the wildcard"`}, 0},
		{"not.wild.abc.com.", "TXT", "", "NOERROR", nil, 0},
		{"empty.nonterminal.abc.com.", "A", clientKT, "NOERROR", nil, 0},
		{"nothing.abc.com.", "A", clientKT, "NXDOMAIN", nil, 0},
		{"x.host7.abc.com.", "A", clientKT, "NXDOMAIN", nil, 0},
		{"other.example.", "A", clientKT, "REFUSED", nil, 0},
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, test := range tests {
			t.Run(network+"/"+test.name+"/"+test.qtype+"/"+test.subnet, func(t *testing.T) {
				q := question(test.name, typeNumber(test.qtype), test.subnet)
				m, err := exchange(network, n.dns, q)
				if err != nil {
					t.Fatal(err)
				}
				if got := dns.RcodeToString[m.Rcode]; got != test.rcode {
					t.Fatalf("rcode %s, want %s", got, test.rcode)
				}
				// Names may come in the question's letter case, where they are compressed into it.
				if got, want := strings.Join(present(m.Answer), "\n"), strings.Join(test.want, "\n"); !strings.EqualFold(got, want) {
					t.Errorf("answer\n%s\nwant\n%s", got, want)
				}
				if m.Authoritative != (test.rcode != "REFUSED") {
					t.Errorf("AA is %v", m.Authoritative)
				}
				if ecs := subnetOf(m); ecs != nil && int(ecs.SourceScope) != test.scope {
					t.Errorf("scope /%d, want /%d", ecs.SourceScope, test.scope)
				}
				if len(test.want) == 0 && test.rcode != "REFUSED" {
					checkNegative(t, m)
				}
			})
		}
	}
	t.Run("referral", func(t *testing.T) { checkReferral(t, n) })
	t.Run("truncation", func(t *testing.T) { checkTruncation(t, n) })
	t.Run("loadgen", func(t *testing.T) { checkUnderLoad(t, n) })
	t.Run("metrics", func(t *testing.T) {
		if body, err := get("http://" + n.api + "/metrics"); err != nil || !strings.Contains(body, "\ngslb_") {
			t.Errorf("no gslb metrics: %v\n%.500s", err, body)
		}
		if _, err := get("http://" + n.api + "/livez"); err != nil {
			t.Error(err)
		}
	})
}

func typeNumber(s string) uint16 {
	if t, ok := dns.StringToType[s]; ok {
		return t
	}
	var t uint16
	_, _ = fmt.Sscanf(s, "TYPE%d", &t)
	return t
}

// present writes records without TTL and class.
func present(records []dns.RR) []string {
	var all []string
	for _, rr := range records {
		fields := strings.SplitN(rr.String(), "\t", 5)
		all = append(all, strings.Join([]string{fields[0], fields[3], fields[4]}, " "))
	}
	return all
}

// checkNegative: a negative answer has the SOA with the negative TTL, which is
// the least of its TTL and MINIMUM (RFC 2308 section 5).
func checkNegative(t *testing.T, m *dns.Msg) {
	t.Helper()
	if len(m.Ns) != 1 || m.Ns[0].Header().Rrtype != dns.TypeSOA || m.Ns[0].Header().Ttl != 60 {
		t.Errorf("authority %v, want one SOA with TTL 60", m.Ns)
	}
}

func checkReferral(t *testing.T, n *node) {
	m := n.ask("host.sub.abc.com.", dns.TypeA, clientKT)
	if m.Authoritative || len(m.Answer) != 0 || len(m.Ns) != 1 || present(m.Ns)[0] != "sub.abc.com. NS ns.sub.abc.com." {
		t.Errorf("not a referral: %v", m)
	}
	glue := false
	for _, rr := range m.Extra {
		glue = glue || rr.Header().Name == "ns.sub.abc.com."
	}
	if !glue {
		t.Errorf("no glue: %v", m.Extra)
	}
	if ecs := subnetOf(m); ecs == nil || ecs.SourceScope != 0 {
		t.Errorf("client subnet of a referral: %v, want scope 0", ecs)
	}
}

// checkTruncation: 8 records of 200 octets go into no UDP answer of 1232.
func checkTruncation(t *testing.T, n *node) {
	m := n.ask("big.abc.com.", dns.TypeTXT, "")
	if !m.Truncated || len(m.Answer) != 0 || m.IsEdns0() == nil {
		t.Errorf("UDP: TC %v with %d answers, want TC, none of the RRset, and OPT", m.Truncated, len(m.Answer))
	}
	m, err := exchange("tcp", n.dns, question("big.abc.com.", dns.TypeTXT, ""))
	if err != nil {
		t.Fatal(err)
	}
	if m.Truncated || len(m.Answer) != 8 {
		t.Errorf("TCP: TC %v with %d answers, want 8", m.Truncated, len(m.Answer))
	}
}

// checkUnderLoad asks some thousand different questions and verifies each answer.
func checkUnderLoad(t *testing.T, n *node) {
	load := []string{"-server", n.dns, "-duration", "1s", "-timeout", "30s", "-inflight", "20", "-check"}
	for _, args := range [][]string{
		{"-ecs", "random4", "-answers", "2", "-match", `CNAME\s[abcd]\.www\.abc\.com\.`},
		{"-ecs", "random6", "-name", "img.abc.com", "-answers", "1"},
		{"-names", "random-nx", "-name", "abc.com", "-ecs", "random4"},
		{"-tcp", "-ecs", "random4", "-answers", "2"},
	} {
		argv := append(append([]string{built(t, buildLoadgen)}, load...), args...)
		if r := run(t, patience, argv...); r.code != 0 {
			t.Errorf("%v: exit code %d\n%s%s", args, r.code, r.out, r.err)
		}
	}
}

// TestListensOnIPv6 asks over IPv6.
func TestListensOnIPv6(t *testing.T) {
	t.Parallel()
	c, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on loopback: %v", err)
	}
	c.Close()
	tp := newTopology(t)
	tp.dns = fmt.Sprintf("[::1]:%d", bed.FreePort(t, "::1"))
	n := tp.startDNSNode()
	for _, network := range []string{"udp", "tcp"} {
		m, err := exchange(network, n.dns, question("www.abc.com.", dns.TypeAAAA, "2001:db8:1::/48"))
		if err != nil || len(m.Answer) != 2 {
			t.Errorf("%s: %v %v", network, m, err)
		}
	}
}

// TestPortTaken: a clear error, at once, when somebody else has the address.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	tp := newTopology(t)
	c, err := net.ListenPacket("udp", tp.dns)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := run(t, patience, binary(t), "serve", "-config", tp.writeDNSNode())
	if r.code != 1 || !strings.Contains(r.err, tp.dns) || !strings.Contains(r.err, "in use") {
		t.Errorf("exit code %d\n%s", r.code, tail(r.err, 20))
	}
}
