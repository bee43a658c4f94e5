package test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestFleet: several nodes share one etcd. An order given to one is obeyed by
// all; one vantage point that is wrong is outvoted; the votes of a vantage
// point that is gone do not count.
func TestFleet(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.startPlainSites()
	ns1 := tp.startDNSNode()
	ns1.waitUp("kt", "lgu", "cn", "us")
	// These look for kt where nothing is.
	blind := func(configuration string) string {
		kt := siteNamed(t, "kt").address
		return strings.ReplaceAll(configuration, fmt.Sprintf("check_address = [\"%s:%d\"]", kt, tp.port), fmt.Sprintf("check_address = [\"%s:%d\"]", "127.0.11.99", tp.port))
	}
	same := func(configuration string) string { return configuration }
	ns2, ns3 := tp.startMore("ns2", same), tp.startMore("ns3", blind)
	nodes := []*node{ns1, ns2, ns3}
	votes := func(count int, state string) func(status) error {
		return func(s status) error {
			for _, site := range s.Sites {
				if site.Site == "kt" && (len(site.Votes) != count || site.State != state) {
					return fmt.Errorf("kt has %d votes and is %s (%s), want %d and %s", len(site.Votes), site.State, site.Why, count, state)
				}
			}
			return nil
		}
	}
	t.Run("one of three is outvoted", func(t *testing.T) {
		for _, n := range nodes {
			n.waitStatus(20*time.Second, votes(3, "up"))
			if got := n.www(clientKT); got != "kt" {
				t.Errorf("%s sends to %s, want kt", n.name, got)
			}
		}
	})
	t.Run("an order to one is obeyed by all", func(t *testing.T) {
		ns2.override("drain", "kt", "--why", "new rack")
		for _, n := range nodes {
			n.sentTo(2*time.Second, clientKT, "lgu")
		}
		ns3.override("undrain", "kt")
		for _, n := range nodes {
			n.sentTo(2*time.Second, clientKT, "kt")
		}
	})
	t.Run("three of five are the quorum, until one is gone", func(t *testing.T) {
		ns4, ns5 := tp.startMore("ns4", blind), tp.startMore("ns5", blind)
		for _, n := range append(nodes, ns4, ns5) {
			n.waitStatus(20*time.Second, votes(5, "down"))
			n.sentTo(2*time.Second, clientKT, "lgu")
		}
		ns5.Kill() // its lease runs out
		ns4.Stop() // it takes its votes along
		for _, n := range nodes {
			n.waitStatus(40*time.Second, votes(3, "up"))
			n.sentTo(2*time.Second, clientKT, "kt")
		}
	})
}

// TestFullSiteSheds: a site near its capacity gives part of its new users to
// the next, and takes them back when it has room.
func TestFullSiteSheds(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.capacity = 20
	// KT has many networks: the draw is made for each.
	tp.extra = "[[geo.override]]\nnetworks = [\"100.1.0.0/16\"]\nplace = { country = \"KR\", isp = \"KT\" }\n"
	n := tp.startDNSNode()
	tp.startPlainSites("lgu")
	kt := tp.startSite("kt")
	n.waitUp("kt", "lgu")
	kt.waitService("kt-server1", "kt-server2")

	// share is the part of KT's networks that is sent away from kt.
	share := func() float64 {
		away := 0
		for i := range 200 {
			m, err := exchange("udp", n.dns, question("www.abc.com.", dns.TypeA, fmt.Sprintf("100.1.%d.0/24", i)))
			if err != nil {
				t.Fatal(err)
			}
			switch got := siteOf(m); got {
			case "kt":
			case "lgu":
				away++
			default:
				t.Fatalf("sent to %s", got)
			}
		}
		return float64(away) / 200
	}
	if got := share(); got != 0 {
		t.Fatalf("an idle site sheds %.2f of its users", got)
	}
	var open []net.Conn
	t.Cleanup(func() {
		for _, c := range open {
			c.Close()
		}
	})
	for range 40 { // as many as its servers can take
		c, err := net.Dial("tcp", kt.frontend)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	until(t, 60*time.Second, func() error {
		if got := share(); got < 0.05 {
			return fmt.Errorf("a full site sheds %.2f of its users", got)
		}
		return nil
	})
	if got := share(); got > 0.95 {
		t.Errorf("a full site sheds %.2f of its users: not in proportion", got)
	}
	for _, c := range open {
		c.Close()
	}
	until(t, 120*time.Second, func() error {
		if got := share(); got > 0.02 {
			return fmt.Errorf("an idle site sheds %.2f of its users", got)
		}
		return nil
	})
}
