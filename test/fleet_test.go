package test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestFleet: several nodes share one etcd. An order given to one is obeyed by
// all; one vantage point that is wrong is outvoted; the votes of a vantage
// point that is gone do not count; a fault that only the vantage point in one
// operator's network, or in one country, sees moves the users there alone.
func TestFleet(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.startPlainSites()
	tp.shared = "[[audience]]\nname = \"uplus\"\nisp = [\"LG U+\"]\nmin = 1\n\n[[audience]]\nname = \"china\"\ncountry = [\"CN\"]\nmin = 1\n\n"
	ns1 := tp.startDNSNode()
	ns1.waitUp("kt", "lgu", "cn", "us")
	// lost looks for a site where nothing is, as one does whose network has no way there.
	lost := func(configuration, site string) string {
		address := siteNamed(t, site).address
		return strings.ReplaceAll(configuration, fmt.Sprintf("check_address = [\"%s:%d\"]", address, tp.port), fmt.Sprintf("check_address = [\"%s9:%d\"]", strings.TrimSuffix(address, "0"), tp.port))
	}
	blind := func(configuration string) string { return lost(configuration, "kt") }
	ns2 := tp.startMore("ns2", func(configuration string) string {
		return lost(blind(configuration), "cn") + "[checker.place]\ncountry = \"CN\"\n"
	})
	ns3 := tp.startMore("ns3", func(configuration string) string {
		return lost(configuration, "lgu") + "[checker.place]\nisp = \"LG U+\"\n"
	})
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
			n.waitStatus(patience, votes(3, "up"))
			n.sentTo(patience, clientKT, "kt")
		}
	})
	t.Run("what one network alone sees down is down for its users", func(t *testing.T) {
		down := func(site, audience, words string) func(status) error {
			return func(s status) error {
				for _, x := range s.Sites {
					if why := x.DownFor[audience]; x.Site == site && (x.State != "up" || len(x.DownFor) != 1 || !strings.Contains(why, words)) {
						return fmt.Errorf("%s is %s and down for %q, want up, and down for %s as %s", site, x.State, x.DownFor, audience, words)
					}
				}
				return nil
			}
		}
		for _, n := range nodes {
			n.waitStatus(patience, down("lgu", "uplus", "its 1 vantage point says down (ns3: "))
			n.waitStatus(patience, down("cn", "china", "its 1 vantage point says down (ns2: "))
			n.sentTo(patience, clientLGU, "kt") // its other tier
			n.sentTo(patience, clientCN, "lgu") // the nearest to Shanghai but cn: for China it is up
			for client, site := range map[string]string{clientKT: "kt", clientUS: "us"} {
				n.sentTo(patience, client, site) // as ever
			}
		}
		if out := ns1.explain("203.0.113.9"); !strings.Contains(out, "down for the audience uplus alone") {
			t.Errorf("explain does not tell why:\n%s", out)
		}
		until(t, patience, func() error {
			if out := must(t, binary(t), "events", "--site", "lgu", "--api", ns2.api); !strings.Contains(out, "down for the audience uplus alone") {
				return fmt.Errorf("the time line does not tell of it:\n%s", out)
			}
			return nil
		})
	})
	t.Run("an order to one is obeyed by all", func(t *testing.T) {
		ns2.override("drain", "kt", "--why", "new rack")
		for _, n := range nodes {
			n.sentTo(patience, clientKT, "lgu") // down for others alone
		}
		ns3.override("undrain", "kt")
		for _, n := range nodes {
			n.sentTo(patience, clientKT, "kt")
		}
	})
	t.Run("three of five are the quorum, until one is gone", func(t *testing.T) {
		ns4, ns5 := tp.startMore("ns4", blind), tp.startMore("ns5", blind)
		for _, n := range append(nodes, ns4, ns5) {
			n.waitStatus(patience, votes(5, "down"))
			n.sentTo(patience, clientKT, "lgu")
		}
		ns5.Kill() // its lease runs out
		ns4.Stop() // it takes its votes along
		for _, n := range nodes {
			n.waitStatus(patience, votes(3, "up"))
			n.sentTo(patience, clientKT, "kt")
		}
	})
	t.Run("a network that has its way again has its users back", func(t *testing.T) {
		replace(t, ns3.config, []byte(strings.ReplaceAll(readFile(t, ns3.config), "127.0.12.19:", "127.0.12.10:")))
		ns3.reload()
		for _, n := range nodes {
			n.sentTo(patience, clientLGU, "lgu")
			n.waitStatus(patience, func(s status) error {
				for _, x := range s.Sites {
					if x.Site == "lgu" && len(x.DownFor) > 0 {
						return fmt.Errorf("lgu is still down for %q", x.DownFor)
					}
				}
				return nil
			})
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
	until(t, patience, func() error {
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
	until(t, 2*patience, func() error { // users come back slowly
		if got := share(); got > 0.02 {
			return fmt.Errorf("an idle site sheds %.2f of its users", got)
		}
		return nil
	})
}
