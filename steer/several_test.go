package steer

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gslb/geo"
	"gslb/health"
)

// several compiles tiers of a policy that answers with several sites, for a client at a place.
func several(t testing.TB, answers int, p *Policy, at geo.Place) (*Compiled, uint32) {
	t.Helper()
	p.Answers = answers
	c := compile(t, p, example)
	return c, c.Classify(at, inKTNetwork, nil)
}

func names(l *Live, c Choice) string {
	var all []string
	for _, s := range l.Sites(c) {
		all = append(all, l.Site(s).Name)
	}
	return strings.Join(all, " ")
}

// Which sites an answer gives: those of one tier that may be given, in the order of the pick.
func TestSeveral(t *testing.T) {
	for _, tc := range []struct {
		tiers   string
		answers int
		states  []string
		want    string // of the first client and turn
	}{
		{"nearest:all", 1, nil, "kt"},
		{"nearest:all", 2, nil, "kt lgu"},
		{"nearest:all", 3, nil, "kt lgu cn"},
		{"nearest:all", 16, nil, "kt lgu cn us"},
		{"nearest:all", 3, []string{"lgu down"}, "kt cn us"},
		{"nearest:all", 3, []string{"lgu drain", "us held"}, "kt cn"},
		{"nearest:all", 3, []string{"kt down", "lgu down", "cn down"}, "us"},
		{"nearest:all", 3, []string{"kt down", "lgu down", "cn down", "us down"}, "kt lgu cn"},     // fail open
		{"nearest:all", 3, []string{"kt down", "lgu forcedown", "cn down", "us down"}, "kt cn us"}, // but not against an order
		{"kt,lgu / cn,us", 4, nil, "kt lgu"},                                                       // one tier only
		{"kt,lgu / cn,us", 4, []string{"kt down"}, "lgu"},                                          //
		{"kt,lgu; min 2 / cn,us", 4, []string{"kt down"}, "cn us"},                                 // too few count for none
		{"kt,lgu; min 2 / cn,us; min 2", 4, []string{"kt down", "cn down"}, "lgu"},                 // but for some when no tier has enough
		{"kt,lgu | us,cn", 2, []string{"kt down", "lgu down"}, "cn us"},                            // the last resort, by distance
		{"nearest:kt,lgu=0,cn", 3, nil, "kt cn"},                                                   // weight 0 only when nothing else is left
		{"nearest:kt=0,lgu=0,cn", 3, []string{"cn down"}, "kt lgu"},                                //
		{"nearest:all", 2, []string{"kt up 1"}, "lgu cn"},                                          // a site that is full
		{"round-robin:all", 2, nil, "kt lgu"},                                                      //
		{"round-robin:all", 3, []string{"kt down"}, "lgu cn us"},                                   //
		{"weighted:kt=1,lgu=0", 2, nil, "kt"},                                                      //
	} {
		l, cohort := func() (*Live, uint32) {
			c, cohort := several(t, tc.answers, parsePolicy(t, tc.tiers), inKT)
			return c.Live(states(t, tc.states...)), cohort
		}()
		got := l.Choose(cohort, Ask{Client: aClient}, nil)
		if names(l, got) != tc.want {
			t.Errorf("%s, %d answers, %q: %s, want %s", tc.tiers, tc.answers, tc.states, names(l, got), tc.want)
		}
		if (got.Set == 0) != !strings.Contains(tc.want, " ") {
			t.Errorf("%s: set %d", tc.tiers, got.Set)
		}
		var tr Trace
		if again := l.Choose(cohort, Ask{Client: aClient}, &tr); again != got || strings.Join(tr.Choice.All(), " ") != tc.want {
			t.Errorf("%s: traced %v (%v), not traced %v", tc.tiers, again, tr.Choice.All(), got)
		}
	}
}

// For each pick, with sites that shed and are down: what is expected is what the decisions come
// to; an answer has no site twice, none that may not be given, and as many as there can be.
func TestSeveralAsExpected(t *testing.T) {
	for _, tiers := range []string{"nearest:all", "weighted:kt=3,lgu=2,cn=1,us=9", "weighted:kt=3,lgu=2,cn=1", "hash:all", "hash:kt=5,lgu=1,us=1", "round-robin:all", "load:all", "nearest:kt,lgu / weighted:cn=2,us"} {
		for _, with := range [][]string{nil, {"kt up 0.4"}, {"lgu down"}, {"kt up 0.4", "lgu up 0.7", "us down"}, {"kt up 0.3", "lgu up 0.3", "cn up 0.3", "us up 0.3"}, {"kt up 1", "lgu up 1", "cn up 1", "us up 1"}} {
			for _, answers := range []int{2, 3, 4} {
				t.Run(fmt.Sprint(tiers, with, answers), func(t *testing.T) {
					c, cohort := several(t, answers, parsePolicy(t, tiers), inKT)
					st := loads(states(t, with...), "lgu", 300, 1000)
					asExpected(t, c.Live(st), cohort, answers)
				})
			}
		}
	}
}

func asExpected(t *testing.T, l *Live, cohort uint32, answers int) {
	t.Helper()
	const clients, periods = 400, 10
	var turn atomic.Uint32
	var drawn, expected [4]float64
	for i := range clients {
		for period := range uint32(periods) {
			c := l.Choose(cohort, Ask{Client: client(i), Period: period, Turn: &turn}, nil)
			sites := l.Sites(c)
			if sites[0] != c.Site || len(sites) > answers {
				t.Fatalf("%+v gives %v", c, sites)
			}
			if s := slices.Clone(sites); len(slices.Compact(slices.Sorted(slices.Values(s)))) != len(sites) {
				t.Fatalf("%v: a site twice", sites)
			}
			for _, s := range sites {
				if l.views[0][s].available == false {
					t.Fatalf("%v: a site that is down", sites)
				}
				drawn[s] += 1 / float64(len(sites)) / clients / periods
			}
		}
	}
	sum := 0.0
	l.Expected(cohort, func(p Portion) {
		expected[p.Site] += p.Share
		sum += p.Share
		if p.Set != nil && !slices.Contains(p.Set, p.Site) {
			t.Errorf("%d is not among %v", p.Site, p.Set)
		}
	})
	if math.Abs(sum-1) > 1e-6 {
		t.Errorf("the shares add up to %v", sum)
	}
	for s := range expected {
		if math.Abs(drawn[s]-expected[s]) > 0.1 { // hashes draw once for each client
			t.Errorf("site %d gets %.3f, expected %.3f: %.3f and %.3f", s, drawn[s], expected[s], drawn, expected)
		}
	}
}

// Weights hold to the digit where no site's share is more than an answer's part, and a
// site that sheds loses that much of its answers.
func TestSeveralShares(t *testing.T) {
	for _, tc := range []struct {
		tiers   string
		answers int
		states  []string
		want    [4]float64 // kt, lgu, cn, us
	}{
		{"weighted:kt=3,lgu=2,cn=1", 2, nil, [4]float64{1. / 2, 1. / 3, 1. / 6}},
		{"weighted:kt=8,lgu=1,cn=1", 2, nil, [4]float64{1. / 2, 1. / 4, 1. / 4}}, // it cannot have more
		{"weighted:kt=3,lgu=2,cn=1", 3, nil, [4]float64{1. / 3, 1. / 3, 1. / 3}},
		{"weighted:kt,lgu,cn,us", 2, []string{"kt up 0.5"}, [4]float64{1. / 8, 7. / 24, 7. / 24, 7. / 24}},
		{"weighted:kt,lgu", 2, []string{"kt up 0.5"}, [4]float64{1. / 4, 3. / 4}}, // alone in half of the answers
		{"nearest:all", 2, []string{"kt up 0.5"}, [4]float64{1. / 4, 1. / 2, 1. / 4}},
		{"nearest:all", 2, []string{"us up 0.5"}, [4]float64{1. / 2, 1. / 2}},
		{"round-robin:all", 3, nil, [4]float64{1. / 4, 1. / 4, 1. / 4, 1. / 4}},
		{"hash:all", 3, nil, [4]float64{1. / 4, 1. / 4, 1. / 4, 1. / 4}},
	} {
		c, cohort := several(t, tc.answers, parsePolicy(t, tc.tiers), inKT)
		var got [4]float64
		c.Live(states(t, tc.states...)).Expected(cohort, func(p Portion) { got[p.Site] += p.Share })
		for i := range got {
			if math.Abs(got[i]-tc.want[i]) > 1e-6 {
				t.Errorf("%s, %d answers, %v: %.4f, want %.4f", tc.tiers, tc.answers, tc.states, got, tc.want)
				break
			}
		}
	}
}

// When a site goes, answers by hash change in which it was, and in no other; in those one
// site comes in its place.
func TestSeveralHashMovesFew(t *testing.T) {
	c, cohort := several(t, 3, parsePolicy(t, "hash:all"), inKT)
	before, after := c.Live(states(t)), c.Live(states(t, "cn down"))
	moved := 0
	for i := range 2000 {
		a := before.Sites(before.Choose(cohort, Ask{Client: client(i)}, nil))
		b := after.Sites(after.Choose(cohort, Ask{Client: client(i)}, nil))
		common := 0
		for _, s := range a {
			if slices.Contains(b, s) {
				common++
			}
		}
		switch {
		case !slices.Contains(a, 2) && !slices.Equal(a, b), a[0] != 2 && a[0] != b[0], common < 2:
			t.Fatalf("client %d: %v, then %v", i, a, b)
		case slices.Contains(a, 2):
			moved++
		}
	}
	if moved < 1200 || moved > 1800 { // three quarters
		t.Errorf("%d of 2000 had the site that went", moved)
	}
}

// The order in which sites are declared does not matter to a hash, and the sets of a
// policy are bounded.
func TestSeveralSetsAreFew(t *testing.T) {
	sites := worldSites(60)
	for _, tier := range []string{"nearest:all", "weighted:all", "hash:all", "round-robin:all"} {
		p := policy(t, sites, tier)
		p.Answers = 8
		c := compile(t, p, sites)
		for _, place := range worldPlaces(500) {
			c.Classify(place, inKTNetwork, nil)
		}
		s := &health.States{Sites: map[string]health.Status{"site3": {Shed: 0.25}, "site7": {Shed: 0.5}}}
		if n := len(c.Live(s).Sets()); n < 2 || n > 60*8*3+1500 {
			t.Errorf("%s: %d sets", tier, n)
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	p := policy(t, example, "nearest:all")
	for _, n := range []int{-1, 17} {
		p.Answers = n
		if _, err := Compile(p, example); err == nil || !strings.Contains(err.Error(), "must be 1 to 16") {
			t.Errorf("%d answers: %v", n, err)
		}
	}
}
