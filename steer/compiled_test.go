package steer

import (
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"gslb/geo"
)

func rules(t *testing.T, sites []Site) *Policy {
	return &Policy{Name: "www.abc.com.", Rules: []Rule{
		{Match: Match{Networks: prefixes("10.1.0.0/16")}, Tiers: targets(t, sites, "us")},
		{Match: Match{Networks: prefixes("10.0.0.0/8", "10.1.2.3/16")}, Tiers: targets(t, sites, "cn")},
		{Match: Match{ISP: []string{"KT"}}, Tiers: targets(t, sites, "kt", "lgu")},
		{Match: Match{Country: []string{"KR"}}, Tiers: targets(t, sites, "lgu", "kt")},
	}}
}

func TestRulesInOrder(t *testing.T) {
	c := compile(t, rules(t, example), example)
	for _, tc := range []struct {
		name   string
		place  geo.Place
		within string
		rule   int
		first  string
	}{
		{"the first of two networks that match", inKT, "10.1.0.0/16", 0, "us"},
		{"a network before an isp", inKT, "10.0.0.0/8", 1, "cn"},
		{"an isp before a country", inKT, "", 2, "kt"},
		{"the country", inLGU, "", 3, "lgu"},
		{"no rule: the nearest of all", inTokyo, "", 4, "kt"},
		{"no rule and no place: spread", geo.Place{}, "", 4, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var within netip.Prefix
			if tc.within != "" {
				within = netip.MustParsePrefix(tc.within)
			}
			plan := c.Plan(c.Classify(tc.place, within, nil))
			if plan.Rule != tc.rule {
				t.Errorf("rule %d, want %d", plan.Rule, tc.rule)
			}
			if tc.first == "" {
				if !plan.Tiers[0].Spread {
					t.Error("not spread")
				}
				return
			}
			if got := example[plan.Tiers[0].Members[0].Site].Name; got != tc.first || plan.Tiers[0].Spread {
				t.Errorf("first member %s, want %s", got, tc.first)
			}
		})
	}
}

func TestCuts(t *testing.T) {
	c := compile(t, rules(t, example), example)
	if got, want := c.Cuts(), prefixes("10.0.0.0/8", "10.1.0.0/16"); !reflect.DeepEqual(got, want) {
		t.Errorf("cuts %v, want %v", got, want)
	}
}

// Two clients have one cohort if and only if the rule and the order in every
// tier are the same.
func TestCohorts(t *testing.T) {
	p := rules(t, example)
	p.Rules = append(p.Rules, Rule{Match: Match{Continent: []string{"AS"}}, Tiers: targets(t, example, "hash:all", "kt,us")})
	p.LastResort = targets(t, example, "cn,us")
	c := compile(t, p, example)
	classify := func(p geo.Place) uint32 { return c.Classify(p, netip.Prefix{}, nil) }
	at := func(lat, lon float64, p geo.Place) geo.Place {
		p.Location, p.HasLocation = geo.Coordinates{Latitude: lat, Longitude: lon}, true
		return p
	}
	if classify(geo.Place{}) != 0 {
		t.Error("the client about whom nothing is known is not cohort 0")
	}
	for _, tc := range []struct {
		name string
		a, b geo.Place
		same bool
	}{
		{"equal", inKT, inKT, true},
		{"other rule", inKT, inLGU, false},
		{"one rule, another city", inLGU, geo.Place{Country: "KR", City: "Busan", Location: anyang, HasLocation: true}, true},
		{"hash first, then one order", at(35, 139, geo.Place{Continent: "AS"}), at(34, 135, geo.Place{Continent: "AS"}), true},
		{"hash first, then another order", at(35, 139, geo.Place{Continent: "AS"}), at(60, -100, geo.Place{Continent: "AS"}), false},
		{"located and not", at(35, 139, geo.Place{Continent: "AS"}), geo.Place{Continent: "AS"}, false},
		{"last resort in another order", at(36, 127, geo.Place{Country: "KR"}), at(39, -77, geo.Place{Country: "KR"}), false},
		{"implicit rule, one order", inLondon, at(51, -1, geo.Place{}), true},
		{"implicit rule, another order", inLondon, inTokyo, false},
		{"unknown, but for the isp", geo.Place{}, geo.Place{ISP: "SK"}, true},
	} {
		if a, b := classify(tc.a), classify(tc.b); (a == b) != tc.same {
			t.Errorf("%s: cohorts %d and %d", tc.name, a, b)
		}
	}
	// Explain agrees, and changes nothing.
	n := c.Cohorts()
	for _, p := range []geo.Place{inKT, inLGU, inLondon, {}} {
		if got, ok := c.Explain(p, netip.Prefix{}, nil); !ok || got != classify(p) {
			t.Errorf("Explain gives %d, %v, want %d", got, ok, classify(p))
		}
	}
	if _, ok := c.Explain(at(-80, 30, geo.Place{}), netip.Prefix{}, nil); ok {
		t.Error("Explain knows a client that Classify never met")
	}
	if c.Cohorts() != n {
		t.Error("Explain made a plan")
	}
	if c.Plan(1<<31) != c.Plan(0) {
		t.Error("the plan of a cohort that is not is not that of cohort 0")
	}
}

// Two rules that send their clients to the same tiers make one cohort, so that
// networks merge across them and the scope is no narrower than it need be.
func TestRulesWithTheSameTiersShareCohorts(t *testing.T) {
	sites := []Site{{Name: "a"}, {Name: "b"}}
	only := func(site int, label string) []Target {
		return []Target{{Label: label, Members: []Member{{Site: site, Weight: 1}}}}
	}
	network := netip.MustParsePrefix("10.0.0.0/8")
	c, err := Compile(&Policy{Name: "n", Rules: []Rule{
		{Match: Match{Networks: []netip.Prefix{network}}, Tiers: only(0, "a")},
		{Match: Match{Country: []string{"KR"}}, Tiers: only(1, "b")},
		{Tiers: only(0, "nearest:a")},
	}}, sites)
	if err != nil {
		t.Fatal(err)
	}
	first := c.Classify(geo.Place{}, network, nil)
	korea := c.Classify(geo.Place{Country: "KR"}, netip.Prefix{}, nil)
	rest := c.Classify(geo.Place{}, netip.Prefix{}, nil)
	if first != rest || first == korea {
		t.Errorf("cohorts %d, %d and %d: want the first and the last alike", first, korea, rest)
	}
	var tr Trace
	c.Explain(geo.Place{}, network, &tr)
	if len(tr.Rules) != 1 || !tr.Rules[0].Matched {
		t.Errorf("the trace names rules %+v: want the one that matched", tr.Rules)
	}
}

func TestNearestOrder(t *testing.T) {
	far, unlocated := site("far", london), Site{Name: "unlocated"}
	for _, tc := range []struct {
		name  string
		sites []Site
		place geo.Place
		want  string
	}{
		{"by distance", example, inLGU, "lgu kt cn us"},
		{"by distance from elsewhere", example, inLondon, "us cn kt lgu"},
		{"bias pushes away", []Site{{Name: "kt", Location: seoul, HasLocation: true, Bias: 30}, site("lgu", anyang)}, inKT, "lgu kt"},
		{"bias too small to matter", []Site{{Name: "kt", Location: seoul, HasLocation: true, Bias: 10}, site("lgu", anyang)}, inKT, "kt lgu"},
		{"negative bias draws in", []Site{site("kt", seoul), {Name: "us", Location: ashburn, HasLocation: true, Bias: -20000}}, inKT, "us kt"},
		{"a tie keeps the declared order", []Site{site("b", seoul), site("a", seoul), far}, inKT, "b a far"},
		{"unlocated sites are last", []Site{unlocated, far, {Name: "unlocated2"}, site("kt", seoul)}, inKT, "kt far unlocated unlocated2"},
		{"unlocated client: as declared, spread", example, nowhere, "kt lgu cn us spread"},
		{"unlocated sites: as declared, spread", []Site{unlocated, {Name: "b"}}, inKT, "unlocated b spread"},
		{"a lone member is not spread", []Site{unlocated}, nowhere, "unlocated"},
		{"0,0 is a location", []Site{site("kt", seoul), site("gulf", geo.Coordinates{})}, geo.Place{HasLocation: true}, "gulf kt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := compile(t, policy(t, tc.sites, "nearest:all"), tc.sites)
			tier := c.Plan(c.Classify(tc.place, netip.Prefix{}, nil)).Tiers[0]
			var got []string
			for _, m := range tier.Members {
				got = append(got, tc.sites[m.Site].Name)
			}
			if tier.Spread {
				got = append(got, "spread")
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("order %v, want %s", got, tc.want)
			}
		})
	}
}

func TestCompileErrors(t *testing.T) {
	one := []Target{{Label: "x", Members: []Member{{Site: 0, Weight: 1}}}}
	tier := func(target Target) *Policy { return &Policy{Name: "w", Rules: []Rule{{Tiers: []Target{target}}}} }
	for _, tc := range []struct {
		name   string
		policy *Policy
		sites  []Site
		want   string
	}{
		{"no sites", &Policy{}, nil, "no sites: must have at least one"},
		{"no name", &Policy{}, []Site{{}}, "a site has no name: must have one"},
		{"same name", &Policy{}, []Site{{Name: "a"}, {Name: "a"}}, `site "a" occurs twice: names must differ`},
		{"bad weight", &Policy{}, []Site{{Name: "a", Weight: -1}}, `site "a": weight -1: must be 0, or from 1e-9 to 1e9`},
		{"bad bias", &Policy{}, []Site{{Name: "a", Bias: math.Inf(1)}}, `site "a": bias +Inf: must be a number of kilometres`},
		{"bad capacity", &Policy{}, []Site{{Name: "a", Capacity: math.NaN()}}, `site "a": capacity NaN: must be from 0 to 1e+30`},
		{"bad location", &Policy{}, []Site{site("a", geo.Coordinates{Latitude: 91})}, `site "a": location 91, 0: must be a latitude of -90 to 90`},
		{"no tier", &Policy{Name: "w", Rules: []Rule{{Tiers: one}, {}}}, testSites, `policy "w": rule 2 has no tier: must have at least one`},
		{"no member", tier(Target{Label: "x"}), testSites, `rule 1, tier 1 ("x") has no member: must have at least one`},
		{"bad network", &Policy{Rules: []Rule{{Match: Match{Networks: []netip.Prefix{{}}}, Tiers: one}}}, testSites, "rule 1: network is not valid"},
		{"bad pick", tier(Target{Pick: 9, Members: one[0].Members}), testSites, "pick Pick(9): must be one of nearest, "},
		{"bad site", tier(Target{Members: []Member{{Site: 4}}}), testSites, "site number 4: must be 0 to 3"},
		{"negative site", tier(Target{Members: []Member{{Site: -1}}}), testSites, "site number -1: must be 0 to 3"},
		{"twice", tier(Target{Members: []Member{{Site: 1}, {Site: 1}}}), testSites, `site "lgu" occurs twice: must occur once`},
		{"bad member weight", tier(Target{Members: []Member{{Site: 1, Weight: math.NaN()}}}), testSites, `weight NaN of site "lgu": must be 0, or from 1e-9 to 1e9`},
		{"last resort", &Policy{LastResort: []Target{{Label: "y"}}}, testSites, `last resort 1 ("y") has no member`},
		{"too many tiers", &Policy{LastResort: make([]Target, 128)}, testSites, "last resort: 128 of them: must be at most 127"},
		{"all at once", &Policy{Rules: []Rule{{}}}, []Site{{}}, "a site has no name: must have one\nrule 1 has no tier"},
	} {
		_, err := Compile(tc.policy, tc.sites)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %s", tc.name, err, tc.want)
		}
	}
	if _, err := Compile(&Policy{}, testSites); err != nil {
		t.Errorf("a policy without rules: %v", err)
	}
}
