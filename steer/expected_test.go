package steer

import (
	"math"
	"testing"

	"gslb/health"
)

// The shares of a cohort add up to 1 in every state, and one that does not exist is cohort 0.
func TestExpectedAddsUp(t *testing.T) {
	names := []string{"a", "b", "c"}
	var sites []Site
	for _, n := range names {
		sites = append(sites, Site{Name: n})
	}
	for _, pick := range []Pick{Nearest, Weighted, RoundRobin, Hash, Load} {
		p := &Policy{Name: "www.", Rules: []Rule{{Tiers: []Target{
			{Pick: pick, Members: []Member{{Site: 0, Weight: 3}, {Site: 1, Weight: 1}}}, {Members: []Member{{Site: 2, Weight: 1}}},
		}}}}
		c, err := Compile(p, sites)
		if err != nil {
			t.Fatal(err)
		}
		for states := range 64 { // two bits of each site
			s := &health.States{Sites: map[string]health.Status{}}
			for i, n := range names {
				s.Sites[n] = [...]health.Status{{}, {State: health.Down}, {Draining: true}, {Shed: 0.3}}[states>>(2*i)&3]
			}
			for _, cohort := range []uint32{0, 7} {
				sum := 0.0
				c.Live(s).Expected(cohort, func(p Portion) {
					sum += p.Share
					if p.Share < 0 {
						t.Errorf("%v, states %#x: %+v", pick, states, p)
					}
				})
				if math.Abs(sum-1) > 1e-9 {
					t.Errorf("%v, states %#x: the shares add up to %v", pick, states, sum)
				}
			}
		}
	}
}
