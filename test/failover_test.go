package test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestServerKilled: users notice nothing when a web server dies; the spare
// comes in for it, and goes out again when the server is back.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	n := tp.startDNSNode()
	tp.startPlainSites("lgu")
	kt := tp.startSite("kt")
	n.waitUp("kt", "lgu")
	kt.waitService("kt-server1", "kt-server2")

	queries := n.queries(20*time.Millisecond, clientKT)
	users := connections(t, 10*time.Millisecond, kt.frontend)
	time.Sleep(500 * time.Millisecond) // a steady stream before
	kt.servers[0].Kill()
	killed := time.Now()
	kt.waitService("kt-server2", "kt-spare")
	isolated := time.Now()
	kt.waitStatus(patience, func(st status) error {
		if s := st.Frontends[0].Servers[0]; !s.Isolated {
			return fmt.Errorf("status does not show %s as isolated: %+v", s.Address, s)
		}
		return nil
	})
	// And after: the spare is given its share slowly.
	until(t, patience, func() error {
		for _, e := range users.far() {
			if e.err == nil && e.got == "kt-spare" && e.at.After(isolated) {
				return nil
			}
		}
		return fmt.Errorf("the spare has served nobody")
	})
	far := users.far()

	kt.servers[0] = tp.startWeb("kt-server1", kt.server(tp.port, 1))
	kt.waitService("kt-server1", "kt-server2")
	until(t, patience, func() error { // the fleet's time line has it, asked of another node
		out := must(t, binary(t), "events", "--kind", "balancer", "--site", "kt", "--api", n.api)
		for _, what := range []string{": isolated: ", ": spare in: ", ": recovered: ", ": spare out: "} {
			if !strings.Contains(out, what) {
				return fmt.Errorf("no %q in the time line:\n%s", what, out)
			}
		}
		return nil
	})

	served := map[string]int{}
	for _, e := range far {
		switch {
		case e.err == nil && e.at.After(isolated):
			served[e.got]++
		case e.err == nil:
		case e.at.Before(killed) && e.at.Add(e.took).After(killed):
			// it was with the server that died
		case e.at.After(isolated):
			t.Errorf("%v after isolation: %v", e.at.Sub(isolated), e.err)
		default:
			t.Logf("before isolation, %v after the kill: %v", e.at.Sub(killed), e.err)
		}
	}
	if served["kt-server1"] > 0 || served["kt-server2"] == 0 || served["kt-spare"] == 0 {
		t.Errorf("after isolation served by %v, want server2 and the spare", served)
	}
	for _, e := range queries.end() {
		if e.err != nil || e.got != "kt" && !n.busy() {
			t.Errorf("DNS left the site for one dead server: %v %v", e.got, e.err)
		}
	}
	for _, e := range users.end() {
		if e.err != nil && e.at.After(isolated) {
			t.Errorf("%v after isolation: %v", e.at.Sub(isolated), e.err)
		}
	}
}

// waitService waits until exactly these servers of the site are given new connections.
func (s *siteNode) waitService(names ...string) {
	s.t.Helper()
	want := map[string]bool{}
	for _, name := range names {
		want[name] = true
	}
	addresses := map[string]string{
		s.server(s.tp.port, 1): s.site.name + "-server1",
		s.server(s.tp.port, 2): s.site.name + "-server2",
		s.server(s.tp.port, 3): s.site.name + "-spare",
	}
	s.waitStatus(patience, func(st status) error {
		if len(st.Frontends) != 1 {
			return fmt.Errorf("%d frontends", len(st.Frontends))
		}
		for _, server := range st.Frontends[0].Servers {
			name := addresses[server.Address]
			if serving := server.InService && server.State == "up"; serving != want[name] {
				return fmt.Errorf("%s: in service %v, %s", name, server.InService, server.State)
			}
		}
		return nil
	})
}

// TestSiteKilled: a site that dies without a word is left within the time that
// its checks promise, every answer on the way is good, and users come back
// after it recovers.
func TestSiteKilled(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	n := tp.startDNSNode()
	others := tp.startPlainSites("lgu", "cn")
	kt := tp.startSite("kt")
	n.waitUp("kt", "lgu", "cn")
	kt.waitService("kt-server1", "kt-server2")
	n.sentTo(patience, clientKT, "kt")

	const every = 5 * time.Millisecond
	users := n.queries(every, clientKT)
	neighbours := n.queries(20*time.Millisecond, clientCN)
	time.Sleep(300 * time.Millisecond)
	killed := time.Now()
	kt.KillAll()
	n.sentTo(patience, clientKT, "lgu")
	time.Sleep(500 * time.Millisecond)

	n.checkFailover(t, users.end(), killed, every, tp.detection(), "kt", "lgu")
	for _, e := range neighbours.end() {
		if e.err != nil || e.got != "cn" && !n.busy() {
			t.Errorf("a client of another site: %v %v", e.got, e.err)
		}
	}

	// The next one dies as well: the rule's tiers are at an end, and answers are
	// given as though all were up rather than none.
	others["lgu"].Kill()
	n.waitStates(patience, map[string]string{"lgu": "down"})
	if got := n.www(clientKT); got != "kt" && got != "lgu" {
		t.Errorf("with all members down: sent to %s, want a member all the same", got)
	}

	tp.startSite("kt")
	n.sentTo(patience, clientKT, "kt")
}

// checkFailover judges a stream of queries around the death of a site.
func (n *node) checkFailover(t *testing.T, events []event, killed time.Time, every, bound time.Duration, dead, next string) {
	t.Helper()
	var avoided, last time.Time
	var stall time.Duration // for how long, in all, this machine did not let the stream go on
	for _, e := range events {
		if !last.IsZero() && e.at.After(killed) && avoided.IsZero() {
			stall += max(e.at.Sub(last)-every, 0)
		}
		last = e.at
		switch {
		case e.err != nil:
			t.Errorf("%v after the kill: %v", e.at.Sub(killed), e.err)
		case e.got == next && e.at.After(killed):
			if avoided.IsZero() {
				avoided = e.at
			}
		case e.got != dead && !n.busy():
			t.Errorf("%v after the kill: sent to %s", e.at.Sub(killed), e.got)
		case !avoided.IsZero() && !n.busy():
			t.Errorf("%v after the kill: sent back to the dead site", e.at.Sub(killed))
		}
	}
	switch took := avoided.Sub(killed); {
	case avoided.IsZero():
		t.Error("no answer avoided the dead site")
	case took > 3*(bound+stall): // no time is promised on a machine that has none
		t.Errorf("the first answer that avoids the dead site came after %v, want at most %v (and %v of stall)", took, bound, stall)
	default:
		t.Logf("left the dead site after %v of at most %v (and %v of stall)", took, bound, stall)
	}
}

// TestSiteWithoutServers: the balancer still takes connections, but its report
// makes DNS leave the site.
func TestSiteWithoutServers(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	n := tp.startDNSNode()
	tp.startPlainSites("lgu")
	kt := tp.startSite("kt")
	n.waitUp("kt", "lgu")
	kt.waitService("kt-server1", "kt-server2")
	n.sentTo(patience, clientKT, "kt")
	for _, p := range append(kt.servers, kt.spare) {
		p.Kill()
	}
	n.sentTo(patience, clientKT, "lgu")
}
