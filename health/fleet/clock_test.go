package fleet

import (
	"sync/atomic"
	"testing"
	"time"

	"gslb/health"
)

// TestClockJumps: the clock of a node steps by a year, forwards and back, while
// votes come from nodes whose clocks are years off: who is up stays so, and a
// change goes on to arrive.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	etcd := address(openEtcd(t, t.TempDir(), ""))
	var step atomic.Int64 // of ns1's clock
	ns1 := startNode(t, "ns1", etcd, func(c *Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
	})
	off := map[string]time.Duration{"past": -10 * 365 * 24 * time.Hour, "future": 10 * 365 * 24 * time.Hour}
	others := map[string]*node{}
	for name, by := range off {
		others[name] = startNode(t, name, etcd, func(c *Config) { c.Now = func() time.Time { return time.Now().Add(by) } })
		others[name].Vote(health.Vote{Site: "kt", State: health.Up})
	}
	ns1.Vote(vote("kt", health.Up))
	ns1.await(t, "three votes up", func(s *health.States) bool { return votes("kt", 3)(s) && is("kt", health.Up)(s) })
	for i, jump := range []time.Duration{365 * 24 * time.Hour, -365 * 24 * time.Hour, 0} {
		step.Store(int64(jump))
		// A change of the other site is evaluated with the clock as it is now.
		want := []health.State{health.Down, health.Up, health.Down}[i]
		for _, n := range others {
			n.Vote(vote("lgu", want))
		}
		for _, n := range []*node{ns1, others["past"], others["future"]} {
			s := n.await(t, "the change of lgu", is("lgu", want))
			if s.Site("kt").State != health.Up {
				t.Errorf("%s, after a jump of %v: kt is %v (%s)", n.cfg.Node, jump, s.Site("kt").State, s.Site("kt").Why)
			}
		}
		// A vote of the node whose clock has jumped still goes out.
		own := []health.State{health.Down, health.Up, health.Down}[i]
		ns1.Vote(vote("lgu", own))
		poll(t, "ns1's own vote arrives", func() bool {
			for _, v := range others["past"].States().Site("lgu").Votes {
				if v.Vantage == "ns1" && v.State == own {
					return true
				}
			}
			return false
		})
	}
}
