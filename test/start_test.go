package test

import (
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestStartBeforeEtcd: a node that starts for the first time while etcd is away
// has nothing to go by. It waits for a bounded time until it says that it is
// ready, answers meanwhile as though all sites were up, saying that it does not
// know (RFC 8914, code 14), and its own probes make it leave a dead one.
func TestStartBeforeEtcd(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.outside = true
	tp.startPlainSites("lgu") // kt is dead
	n := tp.startDNSNode()    // waits for /readyz
	m := n.ask("www.abc.com.", dns.TypeA, clientLGU)
	if m.Rcode != dns.RcodeSuccess || siteOf(m) != "lgu" {
		t.Errorf("%v", m)
	}
	if code := extendedError(m); code != int(dns.ExtendedErrorCodeNotReady) {
		t.Errorf("extended error %d, want 14 (Not Ready)", code)
	}
	n.sentTo(patience, clientKT, "lgu")
}

// TestVerdictKeptOverRestart: a node that starts again does not send users to a
// site that it knew to be down, not even until its own probes have failed again.
func TestVerdictKeptOverRestart(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.startPlainSites("lgu") // kt is dead
	n := tp.startDNSNode()
	n.waitUp("lgu")
	n.sentTo(patience, clientKT, "lgu")
	for _, end := range []func(){n.Stop, func() { n.Kill() }} {
		tp.keeps("ns1-data/verdicts.json", siteNamed(t, "kt").address)
		end()
		n = tp.startDNSNode()
		for began := time.Now(); time.Since(began) < time.Second; time.Sleep(5 * time.Millisecond) {
			if got := n.www(clientKT); got != "lgu" {
				t.Fatalf("%v after a restart sent to %s, which is dead", time.Since(began), got)
			}
		}
	}
	tp.startPlainSites("kt")
	n.sentTo(patience, clientKT, "kt")
}

// extendedError is the info-code of an answer, -1 for none.
func extendedError(m *dns.Msg) int {
	if o := m.IsEdns0(); o != nil {
		for _, opt := range o.Option {
			if e, ok := opt.(*dns.EDNS0_EDE); ok {
				return int(e.InfoCode)
			}
		}
	}
	return -1
}
