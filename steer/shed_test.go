package steer

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// A share that is counted over so many draws is off by less than fiveSigma,
// five standard deviations of the worst share, a half.
const (
	draws     = 25_000
	fiveSigma = 5 * 0.5 / 158 // 158² is draws
)

// Who gets how much when sites shed. The client is nearest to kt, then lgu, cn, us.
func TestShed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tiers  string
		states []string
		want   map[string]float64
	}{
		{"none sheds", "nearest:all", []string{"kt up 0"}, map[string]float64{"kt": 1}},
		{"nearest: to the next", "nearest:all", []string{"kt up 0.3"}, map[string]float64{"kt": .7, "lgu": .3}},
		{"nearest: a farther one sheds", "nearest:all", []string{"lgu up 0.3"}, map[string]float64{"kt": 1}},
		{"nearest: down several steps", "nearest:all", []string{"kt up 0.5", "lgu up 0.5", "cn up 0.5"}, map[string]float64{"kt": .5, "lgu": .25, "cn": .125, "us": .125}},
		{"nearest: past one that is full", "nearest:all", []string{"kt up 0.4", "lgu up 1"}, map[string]float64{"kt": .6, "cn": .4}},
		{"nearest: past one that is down", "nearest:all", []string{"kt up 0.4", "lgu down"}, map[string]float64{"kt": .6, "cn": .4}},
		{"nearest: past one that drains", "nearest:all", []string{"kt up 0.4", "lgu drain"}, map[string]float64{"kt": .6, "cn": .4}},
		{"nearest: not to weight 0", "kt,lgu=0,cn", []string{"kt up 0.4"}, map[string]float64{"kt": .6, "cn": .4}},
		{"nearest: first is full", "nearest:all", []string{"kt up 1"}, map[string]float64{"lgu": 1}},

		{"inside the tier first", "kt,lgu / us", []string{"kt up 0.4"}, map[string]float64{"kt": .6, "lgu": .4}},
		{"then the next tier, in proportion", "kt,lgu / us", []string{"kt up 0.5", "lgu up 0.5"}, map[string]float64{"kt": .5, "lgu": .25, "us": .25}},
		{"a lone member spills", "kt / us", []string{"kt up 0.2"}, map[string]float64{"kt": .8, "us": .2}},
		{"a full tier goes on whole", "kt,lgu / us", []string{"kt up 1", "lgu up 1"}, map[string]float64{"us": 1}},
		{"past a tier that is down", "kt / lgu / us", []string{"kt up 0.2", "lgu down"}, map[string]float64{"kt": .8, "us": .2}},
		{"over three tiers", "kt / lgu / us", []string{"kt up 0.5", "lgu up 0.5"}, map[string]float64{"kt": .5, "lgu": .25, "us": .25}},
		{"into a tier that draws", "kt / weighted:cn=3,us", []string{"kt up 0.4"}, map[string]float64{"kt": .6, "cn": .3, "us": .1}},
		{"into a tier that hashes", "kt / hash:cn=3,us", []string{"kt up 0.4"}, map[string]float64{"kt": .6, "cn": .3, "us": .1}},
		{"into a tier in turn", "kt / round-robin:cn,us", []string{"kt up 0.4"}, map[string]float64{"kt": .6, "cn": .2, "us": .2}},
		{"not into weight 0", "kt / us=0", []string{"kt up 0.4"}, map[string]float64{"kt": 1}},
		{"not into the last resort", "kt | us", []string{"kt up 0.4"}, map[string]float64{"kt": 1}},

		{"everything is full: by capacity", "nearest:all", []string{"kt up 1", "lgu up 1", "cn up 1", "us up 1"}, map[string]float64{"kt": .25, "lgu": .25, "cn": .25, "us": .25}},
		{"every tier is full: by capacity", "kt / us", []string{"kt up 1", "us up 1"}, map[string]float64{"kt": .5, "us": .5}},
		{"a draw that is full", "weighted:kt=3,lgu / us", []string{"kt up 1", "lgu up 1", "us up 1"}, map[string]float64{"kt": 1. / 3, "lgu": 1. / 3, "us": 1. / 3}},
		{"a hash that is full", "hash:kt=3,lgu / us", []string{"kt up 1", "lgu up 1", "us up 1"}, map[string]float64{"kt": 1. / 3, "lgu": 1. / 3, "us": 1. / 3}},
		{"what none takes is shared out", "kt / us", []string{"kt up 0.5", "us up 0.5"}, map[string]float64{"kt": .625, "us": .375}},
		{"over a tier that is down", "kt / lgu / us", []string{"kt up 1", "lgu down", "us up 1"}, map[string]float64{"kt": .5, "us": .5}},
		{"a site of two tiers does not get its users back", "kt / nearest:all", []string{"kt up 0.8"}, map[string]float64{"kt": .2, "lgu": .8}},
		{"nor does one of a tier that draws", "weighted:kt,lgu / weighted:kt,lgu,cn", []string{"kt up 0.5", "lgu up 0.5"}, map[string]float64{"kt": .375, "lgu": .375, "cn": .25}},
		{"nor when all are full", "kt / nearest:kt,us", []string{"kt up 1", "us up 1"}, map[string]float64{"kt": .5, "us": .5}},
		{"a tier of nobody else", "kt / kt / us", []string{"kt up 0.4"}, map[string]float64{"kt": .6, "us": .4}},
		{"one site alone", "kt", []string{"kt up 0.9"}, map[string]float64{"kt": 1}},

		{"fail open does not shed", "kt / us", []string{"kt down 0.9", "us down"}, map[string]float64{"kt": 1}},
		{"the last resort does not shed", "kt | cn,us", []string{"kt down", "cn up 0.9"}, map[string]float64{"cn": 1}},
		{"weight 0 sheds among its like", "kt / cn=0,us=0", []string{"kt down", "cn up 0.25"}, map[string]float64{"cn": .75, "us": .25}},
		{"a shed above 1 is 1", "kt / us", []string{"kt up 7"}, map[string]float64{"us": 1}},
		{"a shed below 0 is 0", "kt / us", []string{"kt up -7"}, map[string]float64{"kt": 1}},
		{"a shed that is no number is 0", "kt / us", []string{"kt up NaN"}, map[string]float64{"kt": 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := compile(t, parsePolicy(t, tc.tiers), example)
			cohort := c.Classify(inKT, inKTNetwork, nil)
			l := c.Live(states(t, tc.states...))
			near(t, countTurns(l, cohort, draws), tc.want, fiveSigma)
			near(t, traced(l, cohort), tc.want, 1e-6)
		})
	}
}

// The picks that spread users over a tier shed alike.
func TestShedInDraws(t *testing.T) {
	for _, pick := range []string{"weighted", "load", "round-robin", "hash"} {
		for _, tc := range []struct {
			members string
			states  []string
			want    map[string]float64
		}{
			{"kt,lgu", []string{"kt up 0.4"}, map[string]float64{"kt": .3, "lgu": .7}},
			{"kt,lgu,cn", []string{"kt up 0.6"}, map[string]float64{"kt": 1. / 3 * .4, "lgu": 1. / 3 * 1.3, "cn": 1. / 3 * 1.3}},
			{"kt,lgu", []string{"kt up 1"}, map[string]float64{"lgu": 1}},
			{"kt,lgu,cn", []string{"kt up 1", "lgu up 1"}, map[string]float64{"cn": 1}},
			{"kt,lgu / us", []string{"kt up 0.5", "lgu up 0.5"}, map[string]float64{"kt": .375, "lgu": .375, "us": .25}},
			{"kt,lgu / us", []string{"kt up 0.5", "lgu up 1"}, map[string]float64{"kt": .5, "us": .5}},
			{"kt,lgu / us", []string{"kt up 1", "lgu up 1"}, map[string]float64{"us": 1}},
			{"kt,lgu", []string{"kt up 0.5", "lgu up 0.5"}, map[string]float64{"kt": .5, "lgu": .5}},
		} {
			t.Run(fmt.Sprint(pick, ":", tc.members, tc.states), func(t *testing.T) {
				c := compile(t, parsePolicy(t, pick+":"+tc.members), example)
				l := c.Live(states(t, tc.states...))
				near(t, countTurns(l, 0, draws), tc.want, fiveSigma)
				near(t, traced(l, 0), tc.want, 1e-6)
			})
		}
	}
}

// Load sheds to those that have room by their own word, even when the pick
// would give them nothing.
func TestShedToWhoHasRoom(t *testing.T) {
	s := states(t, "kt up 1", "lgu up 0.5", "us up 0")
	loads(s, "kt", 0, 100)
	loads(s, "lgu", 100, 100)
	loads(s, "us", 0, 100)
	c := compile(t, parsePolicy(t, "load:kt,lgu / us"), example)
	near(t, traced(c.Live(s), 0), map[string]float64{"lgu": .5, "us": .5}, 1e-6)
}

// A hash that sheds moves only users of the site that sheds, and the same ones
// in every period.
func TestShedHashIsSticky(t *testing.T) {
	for _, tier := range []string{"hash:kt,lgu,cn", "hash:kt=3,lgu=2,cn=1"} {
		c := compile(t, policy(t, example, tier), example)
		before, after := c.Live(nil), c.Live(states(t, "kt up 0.4"))
		more := c.Live(states(t, "kt up 0.6"))
		for i := range 8_000 {
			ask := Ask{Client: client(i)}
			a, b := before.Choose(0, ask, nil), after.Choose(0, ask, nil)
			if a.Site != b.Site && a.Site != 0 {
				t.Fatalf("%s: a user of %s moved when kt shed", tier, before.Site(a.Site).Name)
			}
			if b.Shed != (a.Site != b.Site) {
				t.Fatalf("%s: from site %d to %d, but Shed is %v", tier, a.Site, b.Site, b.Shed)
			}
			if c := more.Choose(0, ask, nil); a.Site != b.Site && c.Site != b.Site {
				t.Fatalf("%s: a user who had left for %d moved to %d when kt shed more", tier, b.Site, c.Site)
			}
			ask.Period = 77
			if again := after.Choose(0, ask, nil); again != b {
				t.Fatalf("%s: %+v in one period, %+v in another", tier, b, again)
			}
		}
	}
}

// When all are full they share what comes by capacity, over all tiers and in each, by
// hash and by draw, and Expected says the same.
func TestOverflowByCapacity(t *testing.T) {
	for _, tiers := range []string{"kt / lgu,cn", "kt,lgu,cn", "kt / weighted:lgu,cn", "hash:kt,lgu / cn"} {
		s := states(t, "kt up 1", "lgu up 1", "cn up 1")
		loads(s, "kt", 100, 100)
		loads(s, "lgu", 300, 300)
		loads(s, "cn", 600, 600)
		c := compile(t, parsePolicy(t, tiers), example)
		cohort := c.Classify(inKT, inKTNetwork, nil)
		l := c.Live(s)
		want := map[string]float64{"kt": .1, "lgu": .3, "cn": .6}
		t.Run(tiers, func(t *testing.T) {
			near(t, countTurns(l, cohort, 40_000), want, 0.012)
			var tr Trace
			l.Choose(cohort, Ask{Client: aClient}, &tr)
			got := map[string]float64{}
			for _, tier := range tr.Tiers {
				for _, m := range tier.Members {
					got[m.Site] += m.Share
				}
			}
			near(t, got, want, 1e-6)
		})
	}
}

// Shed tells which users are elsewhere than they would be otherwise.
func TestShedFlag(t *testing.T) {
	for _, tc := range []struct {
		tiers  string
		states []string
		want   float64 // share of users that are flagged
	}{
		{"nearest:all", nil, 0},
		{"nearest:all", []string{"kt up 0.3"}, .3},
		{"kt / us", []string{"kt up 0.3"}, .3},
		{"kt / us", []string{"kt up 1"}, 1},
		{"kt / us", []string{"kt up 1", "us up 1"}, .5},
		{"weighted:kt,lgu", []string{"kt up 0.4"}, .2},
		{"weighted:kt,lgu / us", []string{"kt up 0.5", "lgu up 0.5"}, .5},
		{"round-robin:kt,lgu", []string{"kt up 0.4"}, .2},
		{"hash:kt,lgu", []string{"kt up 0.4"}, .2},
	} {
		c := compile(t, parsePolicy(t, tc.tiers), example)
		cohort := c.Classify(inKT, inKTNetwork, nil)
		l := c.Live(states(t, tc.states...))
		var turn atomic.Uint32
		flagged := 0
		const n = 40_000
		for i := range n {
			if l.Choose(cohort, Ask{Client: client(i), Turn: &turn}, nil).Shed {
				flagged++
			}
		}
		if got := float64(flagged) / n; got < tc.want-.009 || got > tc.want+.009 {
			t.Errorf("%s %v: %.3f are flagged, want %.3f", tc.tiers, tc.states, got, tc.want)
		}
	}
}

// A little more shed moves a few more users: no share jumps.
func TestShedIsContinuous(t *testing.T) {
	for _, tiers := range []string{"nearest:all", "weighted:kt=3,lgu / us", "load:kt,lgu,cn / us", "round-robin:kt,lgu / hash:cn,us"} {
		c := compile(t, parsePolicy(t, tiers), example)
		cohort := c.Classify(inKT, inKTNetwork, nil)
		for _, site := range []string{"kt", "lgu", "us"} {
			var last map[string]float64
			for step := range 101 {
				other := fmt.Sprintf("%s up 0.5", map[string]string{"kt": "lgu", "lgu": "kt", "us": "kt"}[site])
				now := traced(c.Live(states(t, fmt.Sprintf("%s up %g", site, float64(step)/100), other)), cohort)
				for _, s := range example {
					if d := now[s.Name] - last[s.Name]; last != nil && (d > .021 || d < -.021) {
						t.Errorf("%s: as %s goes to shed %d %%, %s jumps by %.3f", tiers, site, step, s.Name, d)
					}
				}
				last = now
			}
		}
	}
}

// traced is the share of each site as the trace tells it.
func traced(l *Live, cohort uint32) map[string]float64 {
	var tr Trace
	l.Choose(cohort, Ask{Client: aClient}, &tr)
	shares := map[string]float64{}
	for _, tier := range tr.Tiers {
		for _, m := range tier.Members {
			if m.Share > 0 {
				shares[m.Site] += m.Share
			}
		}
	}
	return shares
}
