package test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Where dnsdist asks from: gslb believes its headers from the one address only.
const (
	frontEnd    = "127.0.0.250"
	noFrontEnd  = "127.0.0.251"
	behindKT    = "127.0.51.7" // clients of dnsdist, and where they are
	behindLGU   = "127.0.52.7"
	behindOther = "127.0.53.7" // in Shanghai
)

// startDnsdist starts dnsdist in front of a node: at plain over UDP and TCP as they
// come, at encrypted over TLS, and at strange from an address that is no front end's.
func startDnsdist(t testing.TB, n *node, tls, plain, encrypted, strange string) *process {
	t.Helper()
	server := func(name, address, source string, timeout int, more string) string {
		return fmt.Sprintf("newServer({name=%q, pool=%[1]q, address=%q, source=%q, useProxyProtocol=true, checkName=\"abc.com.\", checkType=\"SOA\", mustResolve=true, checkInterval=1, checkTimeout=%d%s})\n", name, address, source, timeout, more)
	}
	port := func(address string) string { _, p, _ := net.SplitHostPort(address); return p }
	// Its patience is of half a minute, but for the server that does not answer.
	text := "setACL({\"127.0.0.0/8\"})\nsetSecurityPollSuffix(\"\")\nsetUDPTimeout(30)\nsetTCPRecvTimeout(30)\nsetTCPSendTimeout(30)\n" +
		fmt.Sprintf("addLocal(%q)\naddLocal(%q)\naddLocal(%q)\n", plain, encrypted, strange) +
		server("plain", n.dns, frontEnd, 30000, "") +
		server("encrypted", tls, frontEnd, 30000, `, tls="openssl", validateCertificates=false`) +
		server("strange", n.dns, noFrontEnd, 1000, "")
	for _, p := range [][2]string{{plain, "plain"}, {encrypted, "encrypted"}, {strange, "strange"}} {
		text += fmt.Sprintf("addAction(DSTPortRule(%s), PoolAction(%q))\n", port(p[0]), p[1])
	}
	p := start(t, "dnsdist", nil, "dnsdist", "--supervised", "--disable-syslog", "-C", write(t, t.TempDir(), "dnsdist.conf", text))
	t.Cleanup(p.Kill) // SIGTERM would do the same: it has no orderly end
	return p
}

// from asks from an address, several times over one connection or socket.
func from(address, network, server string, questions ...*dns.Msg) (all []*dns.Msg, err error) {
	local, _ := net.ResolveTCPAddr("tcp", address+":0")
	d := &net.Dialer{Timeout: patience, LocalAddr: local}
	if network == "udp" {
		d.LocalAddr = &net.UDPAddr{IP: local.IP}
	}
	conn, err := d.Dial(network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	c := &dns.Client{Net: network, Timeout: patience, UDPSize: 1232}
	for _, q := range questions {
		m, _, err := c.ExchangeWithConn(q.Copy(), &dns.Conn{Conn: conn, UDPSize: 1232})
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
	return all, nil
}

// TestDnsdist: behind dnsdist, which tells its clients by the PROXY protocol, over
// UDP, TCP and TLS, answers go by the client's address, or by the Client Subnet that
// it sends; dnsdist's own health checks pass; and from an address that is no front
// end's, dnsdist gets nowhere.
func TestDnsdist(t *testing.T) {
	t.Parallel()
	needTool(t, "dnsdist")
	tp := newTopology(t)
	tls, plain, encrypted, strange := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	cert, key := newPair(t, "ns.example", 90*24*time.Hour)
	write(t, tp.dir, "ns.pem", string(cert))
	write(t, tp.dir, "ns.key", string(key))
	tp.keys = fmt.Sprintf("proxy_from = [\"%s/32\"]\n[dns.tls]\nlisten = [%q]\ncert = \"ns.pem\"\nkey = \"ns.key\"\n", frontEnd, tls)
	for i, client := range []string{behindKT, behindLGU, behindOther} {
		tp.extra += fmt.Sprintf("[[geo.override]]\nnetworks = [\"%s/32\"]\nplace = { %s }\n\n", client, sites[i].place)
	}
	tp.startPlainSites()
	n := tp.startDNSNode()
	n.waitUp("kt", "lgu", "cn", "us")
	p := startDnsdist(t, n, tls, plain, encrypted, strange)
	p.says("Marking downstream plain")
	p.says("Marking downstream encrypted")

	www := question("www.abc.com", dns.TypeA, "")
	for _, server := range []string{plain, encrypted} {
		for _, network := range []string{"udp", "tcp"} {
			// Two rounds: the second one may come over connections that dnsdist kept.
			for range 2 {
				for client, want := range map[string]string{behindKT: "kt", behindLGU: "lgu", behindOther: "cn"} {
					all, err := from(client, network, server, www, www, www)
					if err != nil {
						t.Fatalf("%s %s from %s: %v\n%s", network, server, client, err, tail(p.log.String(), 10))
					}
					for _, m := range all {
						if got := siteOf(m); got != want {
							t.Errorf("%s %s from %s: %s, want %s", network, server, client, got, want)
						}
					}
				}
			}
			all, err := from(behindKT, network, server, question("www.abc.com", dns.TypeA, clientCN), question("big.abc.com", dns.TypeTXT, ""))
			if err != nil {
				t.Fatal(err)
			}
			if e := subnetOf(all[0]); siteOf(all[0]) != "cn" || e == nil || e.SourceScope != 24 {
				t.Errorf("%s %s with a Client Subnet: %v", network, server, all[0])
			}
			if m := all[1]; m.Truncated != (network == "udp") || !m.Truncated && len(m.Answer) != 8 {
				t.Errorf("%s %s, a large answer: TC %v, %d records", network, server, m.Truncated, len(m.Answer))
			}
		}
	}

	p.says("Marking downstream strange")
	for _, line := range strings.Split(p.log.String(), "\n") {
		name, state, marked := strings.Cut(line, ") as '")
		if marked && (strings.Contains(name, "strange") == strings.HasPrefix(state, "up")) {
			t.Error(line)
		}
	}
	// It drops what comes for a server that is down; what it does not drop is answered within a moment.
	if m, _, err := (&dns.Client{Timeout: time.Second}).Exchange(www, strange); err == nil && len(m.Answer) > 0 {
		t.Errorf("from no front end's address: %v", m)
	}
	text, err := get("http://" + n.api + "/metrics")
	if err != nil || !strings.Contains(text, "gslb_dns_proxy_errors_total 0") {
		t.Errorf("headers of dnsdist are not understood: %v", err)
	}
}
