package forecast

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gslb/geo"
	"gslb/health"
	"gslb/steer"
)

func moves(n NameChange) (out []string) {
	for _, m := range n.Moves {
		out = append(out, fmt.Sprintf("%s %s>%s %.4g", m.Group, m.From, m.To, m.Share))
	}
	return out
}

// One topology, and sites that fail: who moves where, and what load that makes.
func TestCompareStates(t *testing.T) {
	topology := &Topology{Sites: sites(), Places: places(t), Policies: []steer.Policy{policy(t, "www.", []string{"KT", "kt", "lgu"}, []string{"CN", "cn"}, []string{"*", "nearest:all"})}}
	u := survey(t, topology, nil, counted())
	for _, test := range []struct {
		name   string
		states *health.States
		moves  []string
		share  map[string]float64
		over   string
		open   float64
	}{
		{"nothing", nil, nil, map[string]float64{"kt": .25, "lgu": .25, "cn": .25, "us": .25}, "", 0},
		{"kt", down("kt"), []string{"KR KT kt>lgu 0.25"}, map[string]float64{"kt": 0, "lgu": .5, "cn": .25, "us": .25}, "lgu", 0},
		{"us", down("us"), []string{"US us>kt 0.25"}, map[string]float64{"kt": .5, "lgu": .25, "cn": .25, "us": 0}, "", 0},
		{"cn has no other tier", down("cn"), nil, map[string]float64{"kt": .25, "lgu": .25, "cn": .25, "us": .25}, "", .25},
		{"all", down("kt", "lgu", "cn", "us"), nil, map[string]float64{"kt": .25, "lgu": .25, "cn": .25, "us": .25}, "", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := compare(t, u, Side{}, Side{States: test.states}, Options{Total: 1200})
			if got := moves(c.Names[0]); !slices.Equal(got, test.moves) {
				t.Errorf("moves %q, want %q", got, test.moves)
			}
			for site, want := range test.share {
				s := c.site(site)
				if !near(s.ShareAfter, want) || !near(s.LoadAfter, 1200*want) || !near(s.ShareBefore, .25) {
					t.Errorf("site %s: %+v, want a share of %v", site, s, want)
				}
			}
			if got := strings.Join(c.Overloaded, " "); got != test.over {
				t.Errorf("overloaded %q, want %q", got, test.over)
			}
			if got := c.Names[0].FailOpen; !near(got, test.open) {
				t.Errorf("fail open %v, want %v", got, test.open)
			}
		})
	}
}

// Two topologies: rules, overrides, sites and names change at once.
func TestCompareTopologies(t *testing.T) {
	before := &Topology{Sites: sites(), Places: places(t), Policies: []steer.Policy{
		policy(t, "www.", []string{"KT", "kt"}, []string{"KR", "lgu"}, []string{"CN", "cn"}, []string{"*", "us"}),
		policy(t, "same.", []string{"*", "us"}),
		policy(t, "old.", []string{"*", "us"}),
	}}
	// A quarter of KT's network is given to Unicom; LG Uplus goes to kt; cn is no more.
	changed := places(t, geo.Override{Networks: parse("203.0.113.0/26"), Place: geo.PlaceConfig{Country: "CN", ISP: "Unicom"}})
	all := sites()
	after := &Topology{Sites: []steer.Site{all[3], all[0], all[1]}, Places: changed}
	for _, p := range []struct {
		name  string
		tiers map[string]int // country to site
	}{{"www.", map[string]int{"KR": 1, "CN": 0, "US": 0}}, {"same.", map[string]int{"": 0}}, {"new.", map[string]int{"": 0}}} {
		policy := steer.Policy{Name: p.name}
		for _, country := range []string{"KR", "CN", "US", ""} {
			site, ok := p.tiers[country]
			if !ok {
				continue
			}
			r := steer.Rule{Tiers: []steer.Target{{Label: country, Members: []steer.Member{{Site: site, Weight: 1}}}}}
			if country != "" {
				r.Match.Country = []string{country}
			}
			policy.Rules = append(policy.Rules, r)
		}
		after.Policies = append(after.Policies, policy)
	}
	u := survey(t, before, after, counted())
	c := compare(t, u, Side{}, Side{After: true}, Options{Total: 1000})
	byName := map[string]NameChange{}
	for _, n := range c.Names {
		for _, name := range n.Names {
			byName[name] = n
		}
	}
	www := byName["www."]
	want := []string{"KR LG Uplus lgu>kt 0.25", "CN Unicom cn>us 0.125", "CN Telecom cn>us 0.125", "CN Unicom kt>us 0.0625"}
	if got := moves(www); !slices.Equal(got, want) {
		t.Errorf("www.: moves %q, want %q", got, want)
	}
	if !near(www.Moved, .5625) {
		t.Errorf("www.: %v move, want 0.5625", www.Moved)
	}
	if n := byName["same."]; n.Moved != 0 || n.New || n.Removed {
		t.Errorf("same.: %+v", n)
	}
	if n := byName["new."]; !n.New || n.Moved != 0 || len(n.After) != 1 {
		t.Errorf("new.: %+v", n)
	}
	if n := byName["old."]; !n.Removed || n.Moved != 0 || len(n.Before) != 1 {
		t.Errorf("old.: %+v", n)
	}
	if s := c.site("cn"); s.After != "none" || s.Before != "unknown" || s.ShareAfter != 0 {
		t.Errorf("cn: %+v", s)
	}
	back := compare(t, u, Side{After: true}, Side{}, Options{Total: 1000})
	if !near(back.Moved, c.Moved) {
		t.Errorf("%v move one way, %v back", c.Moved, back.Moved)
	}
}

// What is expected is what the decisions come to: for each pick, with sites that
// are down, drain and shed, over all networks and many periods.
func TestExpectationIsWhatIsDecided(t *testing.T) {
	states := down("cn")
	states.Sites["kt"] = health.Status{Site: "kt", State: health.Up, Shed: 0.4}
	states.Sites["us"] = health.Status{Site: "us", State: health.Up, Capacity: 500, Load: 250, Reports: []health.Report{{Node: "n"}}}
	for _, to := range [][]string{
		{"nearest:all"}, {"weighted:kt=3,lgu=1,cn=4"}, {"load:all"}, {"hash:kt=3,lgu=1,us=1"}, {"round-robin:all"}, {"kt", "us"},
		{"nearest:all", "2"}, {"weighted:kt=3,lgu=1,us=2", "2"},
	} {
		t.Run(strings.Join(to, " "), func(t *testing.T) {
			answers := 1
			if last := to[len(to)-1]; last == "2" { // sites in an answer
				answers, to = 2, to[:len(to)-1]
			}
			p := policy(t, "www.", append([]string{"*"}, to...))
			p.Answers = answers
			c, err := steer.Compile(&p, sites())
			if err != nil {
				t.Fatal(err)
			}
			db := places(t)
			place, _ := db.Lookup(netip.MustParseAddr("192.0.2.1"))
			cohort := c.Classify(place, netip.Prefix{}, nil)
			live := c.Live(states)
			var drawn, expected [4]float64
			var turn atomic.Uint32
			const clients, periods = 400, 50
			for i := range clients {
				for period := range uint32(periods) {
					ask := steer.Ask{Client: netip.AddrFrom4([4]byte{100, byte(i >> 8), byte(i), 1}), Period: period}
					if strings.HasPrefix(to[0], "round-robin") {
						ask.Turn = &turn
					}
					given := live.Sites(live.Choose(cohort, ask, nil))
					for _, site := range given {
						drawn[site] += 1 / float64(len(given))
					}
				}
			}
			sum := 0.0
			live.Expected(cohort, func(p steer.Portion) { expected[p.Site] += p.Share; sum += p.Share })
			if !near(sum, 1) {
				t.Errorf("the shares add up to %v", sum)
			}
			for site := range expected {
				got := drawn[site] / clients / periods
				// Four times the deviation of so many draws; hashes draw once for each client.
				n := float64(clients * periods)
				if strings.HasPrefix(to[0], "hash") {
					n = clients
				}
				if d := 4 * math.Sqrt(expected[site]*(1-expected[site])/n); math.Abs(got-expected[site]) > d+1e-6 {
					t.Errorf("site %d: %v of the users, expected %v ± %v", site, got, expected[site], d)
				}
			}
		})
	}
}

// A load that passes one site's capacity and not that of all: shedding settles with
// all below. One that passes that of all overloads.
func TestShedding(t *testing.T) {
	topology := &Topology{Sites: sites(), Places: places(t), Policies: []steer.Policy{policy(t, "www.", []string{"*", "nearest:all"})}}
	u := survey(t, topology, nil, counted())
	for _, test := range []struct {
		total    float64
		shedding bool
		over     bool
		sheds    bool
	}{
		{1000, true, false, false},
		{2200, false, true, false}, // cn and us get 550 each of 500
		{2200, true, false, true},
		{2600, true, true, true},
	} {
		c := compare(t, u, Side{}, Side{}, Options{Total: test.total, Shedding: test.shedding})
		sheds := false
		sum := 0.0
		for _, s := range c.Sites {
			sheds = sheds || s.Shed > 0
			sum += s.LoadAfter
		}
		if (len(c.Overloaded) > 0) != test.over || sheds != test.sheds || !near(sum, test.total) {
			t.Errorf("%+v: overloaded %v, %v in all: %+v", test, c.Overloaded, sum, c.Sites)
		}
	}
}

func TestCarries(t *testing.T) {
	topology := &Topology{Sites: sites(), Places: places(t), Policies: []steer.Policy{policy(t, "www.", []string{"KR", "kt"}, []string{"*", "us"})}}
	u := survey(t, topology, nil, counted())
	c := compare(t, u, Side{}, Side{}, Options{})
	if !near(c.Carries, 1000) || c.First != "us" || c.Total != 0 || len(c.Overloaded) != 0 {
		t.Errorf("carries %v, first %s, total %v", c.Carries, c.First, c.Total)
	}
	states := &health.States{Sites: map[string]health.Status{"kt": {Load: 300}, "us": {Load: 100, Capacity: 150, Reports: []health.Report{{Node: "lb", Load: 100, Capacity: 150}}}}}
	c = compare(t, u, Side{States: states}, Side{States: states}, Options{})
	if !near(c.Total, 400) || !slices.Equal(c.Overloaded, []string{"us"}) {
		t.Errorf("total %v, overloaded %v", c.Total, c.Overloaded)
	}
}

// A capacity that the new topology changes is the one that counts after it, whatever the
// States of the one in force say; but what balancers state counts first.
func TestCapacityOfTheNewTopology(t *testing.T) {
	for _, c := range []struct {
		name    string
		reports []health.Report
		want    float64
	}{{"stated by the topology", nil, 500}, {"stated by a balancer", []health.Report{{Node: "lb", Capacity: 800}}, 800}, {"a balancer that states none", []health.Report{{Node: "lb"}}, 500}} {
		u := &Users{in: [2][]steer.Site{{{Name: "lgu", Capacity: 1000}}, {{Name: "lgu", Capacity: 500}}}, sites: []string{"lgu"}, index: [2][]int{{0}, {0}}}
		v := &view{Users: u, topology: 1,
			states: &health.States{Sites: map[string]health.Status{"lgu": {Capacity: 1000, Reports: c.reports}}}}
		if c.reports != nil && c.want == 800 {
			v.states.Sites["lgu"] = health.Status{Capacity: 800, Reports: c.reports}
		}
		if got := v.capacity(0); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	topology := &Topology{Sites: sites(), Places: places(t), Policies: []steer.Policy{policy(t, "www.", []string{"*", "us"})}}
	u := survey(t, topology, nil, counted())
	for _, o := range []Options{{By: "city"}, {Total: -1}, {Total: math.NaN()}, {Names: map[string]float64{}}, {Names: map[string]float64{"www.": -1}}} {
		if _, err := u.Compare(Side{}, Side{}, o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	if _, err := Survey(&Topology{Sites: sites()}, nil, nil); err == nil {
		t.Error("no steered name: no error")
	}
}

// What is listed and what is left out add up, whatever the lines are of.
func TestRestAddsUp(t *testing.T) {
	topology := &Topology{Sites: sites(), Places: places(t), Policies: []steer.Policy{policy(t, "www.", []string{"*", "weighted:kt=1,us=3", "lgu"})}}
	u := survey(t, topology, nil, counted())
	for _, by := range []By{ByBoth, ByCountry, ByOperator} {
		for _, most := range []int{1, 2, 20} {
			c := compare(t, u, Side{}, Side{States: down("kt")}, Options{By: by, Most: most})
			n := c.Names[0]
			moved, users := n.Rest.Share, n.RestRows.Share
			for _, m := range n.Moves {
				moved += m.Share
			}
			for _, r := range n.Rows {
				users += r.Share
			}
			if !near(moved, .25) || !near(n.Moved, .25) || !near(users, 1) {
				t.Errorf("by %s, %d: %v move, %v users: %+v", by, most, moved, users, n)
			}
			var b strings.Builder
			if err := c.Write(&b, true); err != nil || !strings.Contains(b.String(), "www.: 25 % of its users move") {
				t.Errorf("%v:\n%s", err, b.String())
			}
		}
	}
}
