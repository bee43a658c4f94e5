package steer

import (
	"fmt"
	"testing"
)

// The rows stand in the order of the levels in filter.go. Sites kt lgu cn us;
// the client is in KT's network, so that kt is nearest, then lgu, cn, us.
func TestLevels(t *testing.T) {
	const tiers = "kt,lgu / cn / us"
	for _, tc := range []struct {
		name       string
		tiers      string // separated by " / "; behind "|" the last resort
		states     []string
		want       string
		tier       int8
		failOpen   bool
		lastResort bool
	}{
		{"nothing known: all in service", tiers, nil, "kt", 0, false, false},
		{"all unknown", tiers, []string{"kt unknown", "lgu unknown", "cn unknown", "us unknown"}, "kt", 0, false, false},
		{"all up", tiers, []string{"kt up", "lgu up", "cn up", "us up"}, "kt", 0, false, false},
		{"degraded is available", tiers, []string{"kt degraded", "lgu up"}, "kt", 0, false, false},
		{"unknown beats nothing, down loses to unknown", tiers, []string{"kt down"}, "lgu", 0, false, false},
		{"first tier down", tiers, []string{"kt down", "lgu down"}, "cn", 1, false, false},
		{"two tiers down", tiers, []string{"kt down", "lgu down", "cn down"}, "us", 2, false, false},
		{"back again", tiers, []string{"kt up", "lgu down", "cn down"}, "kt", 0, false, false},
		{"draining is skipped", tiers, []string{"kt drain"}, "lgu", 0, false, false},
		{"a draining tier fails over", tiers, []string{"kt drain", "lgu drain"}, "cn", 1, false, false},
		{"forced down is skipped", tiers, []string{"kt forcedown"}, "lgu", 0, false, false},
		{"forced up is given", tiers, []string{"kt forceup", "lgu up"}, "kt", 0, false, false},
		{"weight 0 is not, even when nearest", "kt=0,lgu / cn", nil, "lgu", 0, false, false},
		{"weight 0 waits for every tier", "kt=0,lgu / cn", []string{"lgu down"}, "cn", 1, false, false},
		{"a tier of weight 0 alone is passed over", "kt=0 / cn", nil, "cn", 1, false, false},

		{"weight 0 when nothing else is left", "kt=0,lgu / cn", []string{"lgu down", "cn down"}, "kt", 0, false, false},
		{"weight 0 in the second tier", "lgu / kt=0,cn", []string{"lgu down", "cn down"}, "kt", 1, false, false},
		{"weight 0 before the last resort", "kt=0,lgu | us", []string{"lgu down"}, "kt", 0, false, false},
		{"all of weight 0", "weighted:kt=0 / weighted:lgu=0", []string{"kt down"}, "lgu", 1, false, false},

		{"held is skipped", tiers, []string{"kt held"}, "lgu", 0, false, false},
		{"a held tier fails over", "kt / us", []string{"kt held"}, "us", 1, false, false},
		{"held when nothing else is left", "kt / us", []string{"kt held", "us down"}, "kt", 0, false, false},
		{"held after weight 0", "kt,us=0", []string{"kt held"}, "us", 0, false, false},
		{"held before the last resort", "kt | us", []string{"kt held"}, "kt", 0, false, false},
		{"held and of weight 0", "kt=0,lgu | us", []string{"kt held", "lgu down"}, "kt", 0, false, false},
		{"held is better than a drain", "kt / us", []string{"kt drain", "us held"}, "us", 1, false, false},

		{"enough of a tier", "kt,lgu,cn; min 2 / us", []string{"kt down"}, "lgu", 0, false, false},
		{"too few of a tier", "kt,lgu,cn; min 2 / us", []string{"kt down", "cn drain"}, "us", 1, false, false},
		{"too few of each tier", "kt,lgu; min 2 / cn,us; min 2", []string{"kt down", "us down"}, "lgu", 0, false, false},
		{"weight 0 does not make it enough", "kt,lgu,cn=0; min 2 / us", []string{"kt down"}, "us", 1, false, false},
		{"too few, before the last resort", "kt,lgu; min 2 | us", []string{"kt down"}, "lgu", 0, false, false},
		{"held ones do not count for enough", "kt,lgu; min 2 / us", []string{"kt held"}, "us", 1, false, false},

		{"last resort", "kt / lgu | us", []string{"kt down", "lgu down"}, "us", 0, false, true},
		{"last resort when all drain", "kt / lgu | us", []string{"kt drain", "lgu drain"}, "us", 0, false, true},
		{"second last resort", "kt | cn / us", []string{"kt down", "cn down"}, "us", 1, false, true},
		{"last resort of weight 0", "kt | us=0", []string{"kt down"}, "us", 0, false, true},
		{"last resort: weight 0 after other weights", "kt | cn=0 / us", []string{"kt down"}, "us", 1, false, true},

		{"all down: as though all were up", tiers, []string{"kt down", "lgu down", "cn down", "us down"}, "kt", 0, true, false},
		{"the last resort is down too", "kt | us", []string{"kt down", "us down"}, "kt", 0, true, false},
		{"the last resort drains", "kt | us", []string{"kt down", "us drain"}, "kt", 0, true, false},
		{"fail open avoids a drain", tiers, []string{"kt downdrain", "lgu down", "cn down", "us down"}, "lgu", 0, true, false},
		{"fail open avoids what is forced down", tiers, []string{"kt forcedown", "lgu down", "cn down", "us down"}, "lgu", 0, true, false},
		{"fail open avoids a drain that is up", tiers, []string{"kt drain", "lgu down", "cn down", "us down"}, "lgu", 0, true, false},
		{"fail open leaves a tier under orders", tiers, []string{"kt drain", "lgu forcedown", "cn down", "us down"}, "cn", 1, true, false},
		{"fail open: weight 0 is not given", "kt=0,lgu", []string{"kt down", "lgu down"}, "lgu", 0, true, false},
		{"fail open: weight 0 if not under orders", "kt=0,lgu", []string{"kt down", "lgu forcedown"}, "kt", 0, true, false},

		{"all drain: as though none did", tiers, []string{"kt drain", "lgu drain", "cn drain", "us drain"}, "kt", 0, true, false},
		{"a drain is better than forced down", "kt / us", []string{"kt forcedown", "us drain"}, "us", 1, true, false},
		{"a drain that is up is better than one that is down", "kt / us", []string{"kt downdrain", "us drain"}, "us", 1, true, false},
		{"a drain of weight 0", "kt=0 / us", []string{"kt drain", "us forcedown"}, "kt", 0, true, false},

		{"all forced down", "kt / us", []string{"kt forcedown", "us forcedown"}, "kt", 0, true, false},
		{"all forced down, weight 0 last", "kt=0 / us", []string{"kt forcedown", "us forcedown"}, "us", 1, true, false},
		{"all forced down, all of weight 0", "kt=0 / us=0", []string{"kt forcedown", "us forcedown"}, "kt", 0, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := parsePolicy(t, tc.tiers)
			name, got, tr := decide(t, p, example, inKT, states(t, tc.states...), Ask{Client: aClient})
			want := Choice{Site: got.Site, Tier: tc.tier, FailOpen: tc.failOpen, LastResort: tc.lastResort}
			if name != tc.want || got != want {
				t.Errorf("%s %+v, want %s %+v\n%s", name, got, tc.want, want, tr)
			}
		})
	}
}

// In a tier that draws, those that may not be given get nothing, and the
// others what is theirs.
func TestLevelsInDraws(t *testing.T) {
	for _, pick := range []string{"weighted", "load", "round-robin", "hash"} {
		for _, tc := range []struct {
			states []string
			want   map[string]float64
		}{
			{nil, map[string]float64{"kt": 1. / 3, "lgu": 1. / 3, "cn": 1. / 3}},
			{[]string{"kt down"}, map[string]float64{"lgu": .5, "cn": .5}},
			{[]string{"kt drain", "lgu down"}, map[string]float64{"cn": 1}},
			{[]string{"kt down", "lgu down", "cn down"}, map[string]float64{"us": 1}},
			{[]string{"kt down", "lgu down", "cn down", "us down"}, map[string]float64{"kt": 1. / 3, "lgu": 1. / 3, "cn": 1. / 3}},
			{[]string{"kt down", "lgu down", "cn down", "us forcedown"}, map[string]float64{"kt": 1. / 3, "lgu": 1. / 3, "cn": 1. / 3}},
			{[]string{"kt down", "lgu forcedown", "cn downdrain", "us down"}, map[string]float64{"kt": 1}},
		} {
			t.Run(fmt.Sprint(pick, tc.states), func(t *testing.T) {
				p := parsePolicy(t, pick+":kt,lgu,cn,us=0")
				c := compile(t, p, example)
				near(t, countTurns(c.Live(states(t, tc.states...)), 0, 30000), tc.want, 0.01)
			})
		}
	}
}

// A cohort that does not exist gets what the client gets about whom nothing is known.
func TestChooseUnknownCohort(t *testing.T) {
	c := compile(t, parsePolicy(t, "hash:all"), example)
	early := c.Live(nil)
	if early.States() != nil {
		t.Error("made from no states, it has some")
	}
	late := c.Classify(inKT, inKTNetwork, nil)
	ask := Ask{Client: aClient}
	if got, want := early.Choose(1<<31, ask, nil), early.Choose(0, ask, nil); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := early.Choose(late, ask, nil), early.Choose(0, ask, nil); got != want {
		t.Errorf("a cohort younger than the Live: got %+v, want %+v", got, want)
	}
}
