package test

import (
	"fmt"
	"strings"
	"testing"
)

// Zones above abc.com, in the namespace of TestDelegation.
const (
	rootZone = `. 3600 IN SOA root.test. host.test. 1 3600 600 86400 60
. 3600 IN NS root.test.
root.test. 3600 IN A 127.0.10.1
com. 3600 IN NS parent.com.
parent.com. 3600 IN A 127.0.10.2
`
	comZone = `com. 3600 IN SOA parent.com. host.com. 1 3600 600 86400 60
com. 3600 IN NS parent.com.
parent.com. 3600 IN A 127.0.10.2
abc.com. 3600 IN NS ns1.abc.com.
ns1.abc.com. 3600 IN A 127.0.10.3
`
	rootHints = ". 3600 IN NS root.test.\nroot.test. 3600 IN A 127.0.10.1\n"
)

// unboundConfig is that of a resolver that starts from rootHints: folder, file of the hints, and
// more lines of its server clause.
const unboundConfig = `server:
  directory: %q
  pidfile: ""
  username: ""
  chroot: ""
  use-syslog: no
  logfile: ""
  verbosity: 1
  num-threads: 1
  interface: 127.0.10.9
  access-control: 0.0.0.0/0 allow
  do-not-query-localhost: no
  do-ip6: no
  root-hints: %q
  send-client-subnet: 127.0.10.3
  client-subnet-always-forward: yes
  max-client-subnet-ipv4: 24
%sremote-control:
  control-enable: no
`

// placesToAsk are clients of several places, and the site that serves each.
var placesToAsk = map[string]string{"198.51.100.7": "kt", "203.0.113.9": "lgu", "192.0.2.77": "cn", "8.8.8.8": "us"}

// namespaceOfClients makes a namespace that has the addresses of placesToAsk, and more, to ask from.
func namespaceOfClients(t *testing.T, more ...string) []string {
	t.Helper()
	for a := range placesToAsk {
		more = append(more, a+"/32")
	}
	return namespace(t, more...)
}

// startUnbound starts a resolver at 127.0.10.9 in a namespace. more are lines of its server clause.
func (tp *topology) startUnbound(ns []string, more string) {
	tp.t.Helper()
	hints := write(tp.t, tp.dir, "root.hints", rootHints)
	config := write(tp.t, tp.dir, "unbound.conf", fmt.Sprintf(unboundConfig, tp.dir, hints, more))
	start(tp.t, "unbound", nil, append(append([]string{}, ns...), "unbound", "-d", "-p", "-c", config)...)
}

// askUnbound asks the resolver of startUnbound by dig, from an address, and gives what dig tells. It asks
// again and again, as clients do: unbound sends no answer that took it longer than its
// discard-timeout, 1.9 s, but has it the next time.
func askUnbound(t *testing.T, ns []string, from string, args ...string) string {
	t.Helper()
	argv := append(append([]string{}, ns...), "dig", "@127.0.10.9", "-b", from, "+time=3", "+tries=10")
	var told strings.Builder
	for line := range strings.Lines(run(t, patience, append(argv, args...)...).out) {
		if !strings.HasPrefix(line, ";; communications error") || !strings.HasSuffix(line, "timed out\n") {
			told.WriteString(line)
		}
	}
	return told.String()
}

// TestDelegation: a real recursive resolver finds www.abc.com from the root
// down and gives each of its clients the answer of its own place, since it
// passes their subnets on (RFC 7871) and caches by the scope.
func TestDelegation(t *testing.T) {
	t.Parallel()
	needLong(t)
	needTool(t, "unbound", "dig")
	ns := namespaceOfClients(t, "198.51.100.8/32")
	tp := newTopology(t)
	tp.prefix = ns
	tp.dns = "127.0.10.3:53"
	tp.startAuthority(
		"127.0.10.1:53=.="+write(t, tp.dir, "root.zone", rootZone),
		"127.0.10.2:53=com.="+write(t, tp.dir, "com.zone", comZone))
	tp.startPlainSites()
	// The zone's own NS glue says 127.0.0.1, which is not where it is served here.
	n := tp.startDNSNodeAt("127.0.10.3")
	tp.startUnbound(ns, "  module-config: \"subnetcache iterator\"\n  qname-minimisation: yes\n")

	dig := func(from string, args ...string) string { return askUnbound(t, ns, from, args...) }
	until(t, patience, func() error {
		if n.ended() {
			t.Fatal("gslb ended")
		}
		if out := dig("198.51.100.7", "mail.abc.com", "+short"); strings.TrimSpace(out) != "192.0.2.25" {
			return fmt.Errorf("mail.abc.com through unbound: %q", out)
		}
		return nil
	})
	for range 2 { // the second time from its cache
		for from, name := range placesToAsk {
			s := siteNamed(t, name)
			got := strings.Join(strings.Fields(dig(from, "www.abc.com", "+short")), " ")
			if want := s.cname + " " + s.address; got != want {
				t.Errorf("from %s: %q, want %q", from, got, want)
			}
			if got := strings.TrimSpace(dig(from, "img.abc.com", "+short")); got != s.address {
				t.Errorf("img from %s: %q, want %q", from, got, s.address)
			}
		}
	}
	if out := dig("198.51.100.8", "nothing.abc.com"); !strings.Contains(out, "NXDOMAIN") {
		t.Errorf("nothing.abc.com:\n%s", out)
	}
	if out := dig("198.51.100.8", "big.abc.com", "TXT", "+short"); strings.Count(out, "xxx") < 8 {
		t.Errorf("an answer that needs TCP:\n%s", out)
	}
	if out := dig("198.51.100.8", "alias.abc.com", "+short"); !strings.Contains(out, "a.www.abc.com.") {
		t.Errorf("a CNAME to a steered name:\n%s", out)
	}
}

// startDNSNodeAt starts the DNS node in the topology's namespace, with the
// zone's own name server record at the address given.
func (tp *topology) startDNSNodeAt(address string) *node {
	tp.t.Helper()
	replaceText(tp.t, tp.zone, "ns1        IN A    127.0.0.1", "ns1        IN A    "+address)
	return tp.startDNSNode()
}
