package health

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// votes writes the votes on one site: a letter for each vantage point v0, v1 …
// "U" up, "D" down, "G" degraded, "?" unknown, " " no vote.
func votes(site, letters string) []Vote {
	var out []Vote
	for i, l := range letters {
		if s := strings.IndexRune("?UGD", l); s >= 0 {
			v := Vote{Vantage: "v" + string(rune('0'+i)), Site: site, State: State(s)}
			if v.State == Down {
				v.Detail = "connect: connection refused"
			}
			out = append(out, v)
		}
	}
	return out
}

// reports writes one report for each pair of healthy and total servers.
func reports(site string, pairs ...[2]int) []Report {
	var out []Report
	for i, p := range pairs {
		out = append(out, Report{Site: site, Node: "b" + string(rune('0'+i)), Healthy: p[0], Total: p[1]})
	}
	return out
}

func order(kind OverrideKind, until time.Time) []Override {
	return []Override{{Site: "kt", Kind: kind, Who: "kim", Why: "maintenance", Since: noon.Add(-time.Minute), Until: until}}
}

// TestEvaluate has the rows of the truth table at Evaluate, in its order.
func TestEvaluate(t *testing.T) {
	later := noon.Add(time.Hour)
	tests := []struct {
		name     string
		override []Override
		reports  []Report
		votes    string
		quorum   float64
		want     State
		draining bool
		why      string // a part of it
	}{
		{"forced down beats all up", order(ForceDown, later), reports("kt", [2]int{3, 3}), "UUU", 0, Down, false, "forced down by kim (maintenance) until 2026-07-01T13:00:00Z"},
		{"forced up beats all down", order(ForceUp, later), reports("kt", [2]int{0, 3}), "DDD", 0, Up, false, "forced up by kim (maintenance)"},
		{"an override without end", order(ForceDown, time.Time{}), nil, "U", 0, Down, false, "forced down by kim (maintenance)"},
		{"an override ends", order(ForceDown, noon), nil, "U", 0, Up, false, "1 of 1 vantage point says up"},
		{"an override of another kind", order("sideways", later), nil, "U", 0, Up, false, "1 of 1 vantage point says up"},
		{"drained and up", order(Drain, later), nil, "UU", 0, Up, true, "draining by kim (maintenance) until 2026-07-01T13:00:00Z; 2 of 2 vantage points say up"},
		{"drained and down", order(Drain, later), nil, "DD", 0, Down, true, "draining by kim (maintenance)"},
		{"drained and unknown", order(Drain, later), nil, "", 0, Unknown, true, "no live vantage point has a verdict"},

		{"no healthy server beats all votes", nil, reports("kt", [2]int{0, 3}), "UUU", 0, Down, false, "none of 3 servers is healthy, as balancer b0 reports"},
		{"no healthy server at two balancers", nil, reports("kt", [2]int{0, 3}, [2]int{0, 1}), "UUU", 0, Down, false, "none of 4 servers is healthy, as 2 balancers report"},
		{"one balancer has a healthy server", nil, reports("kt", [2]int{0, 3}, [2]int{3, 3}), "UUU", 0, Up, false, "3 of 3 vantage points say up"},
		{"a balancer without servers says nothing", nil, reports("kt", [2]int{0, 0}), "UUU", 0, Up, false, "3 of 3 vantage points say up"},
		{"a balancer without servers beside one with none healthy", nil, reports("kt", [2]int{0, 0}, [2]int{0, 2}), "UUU", 0, Down, false, "none of 2 servers is healthy, as balancer b1 reports"},
		{"negative counts", nil, reports("kt", [2]int{-1, -3}), "UUU", 0, Up, false, "3 of 3 vantage points say up"},

		{"all down", nil, nil, "DDD", 0, Down, false, "3 of 3 vantage points say down (v0: connect: connection refused)"},
		{"two of three down", nil, nil, "UDD", 0, Down, false, "2 of 3 vantage points say down (v1: connect: connection refused)"},
		{"down though the servers are healthy: nobody reaches them", nil, reports("kt", [2]int{3, 3}), "DD", 0, Down, false, "2 of 2 vantage points say down"},
		{"unknown votes do not count", nil, nil, "?DD?U??", 0, Down, false, "2 of 3 vantage points say down"},
		{"a single vantage point", nil, nil, "D", 0, Down, false, "1 of 1 vantage point says down"},
		{"quorum of a third", nil, nil, "DUU", 1.0 / 3, Down, false, "1 of 3 vantage points says down"},
		{"quorum of a half", nil, nil, "DU", 0.5, Down, false, "1 of 2 vantage points says down"},
		{"quorum of three fifths", nil, nil, "DDDUU", 0.6, Down, false, "3 of 5"},
		{"two thirds, as people write it", nil, nil, "DDU", 0.67, Down, false, "2 of 3"},
		{"a little more than a third", nil, nil, "DUU", 0.34, Up, false, "no quorum for down"},
		{"nine tenths of many", nil, nil, "DDDDDDDDDDDDDDDDDUUU", 0.9, Degraded, false, "17 down"},
		{"quorum of all", nil, nil, "DDD", 1, Down, false, "3 of 3"},
		{"quorum beyond one is all", nil, nil, "DDD", 7, Down, false, "3 of 3"},
		{"negative quorum is the default", nil, nil, "DDU", -1, Down, false, "2 of 3"},

		{"all up", nil, nil, "UUU", 0, Up, false, "3 of 3 vantage points say up"},
		{"one of three down", nil, nil, "UUD", 0, Up, false, "2 of 3 vantage points say up, no quorum for down (v2: connect: connection refused)"},
		{"a tiny quorum, nobody down", nil, nil, "UU", 1e-12, Up, false, "2 of 2 vantage points say up"},
		{"few healthy servers", nil, reports("kt", [2]int{1, 3}), "UU", 0, Degraded, false, "only 1 of 3 servers are healthy; 2 of 2 vantage points say up"},
		{"half of the servers", nil, reports("kt", [2]int{1, 2}), "UU", 0, Up, false, "2 of 2 vantage points say up"},

		{"half and half", nil, nil, "UD", 0, Degraded, false, "of 2 vantage points 1 say up, 0 degraded, 1 down"},
		{"degraded", nil, nil, "GGU", 0, Degraded, false, "of 3 vantage points 1 say up, 2 degraded, 0 down"},
		{"two of three down, all needed", nil, nil, "UDD", 1, Degraded, false, "1 say up, 0 degraded, 2 down"},

		{"a report and no vote", nil, reports("kt", [2]int{2, 3}), "", 0, Up, false, "2 of 3 servers are healthy, and no live vantage point has a verdict"},
		{"a report and unknown votes", nil, reports("kt", [2]int{2, 3}), "??", 0, Up, false, "2 of 3 servers are healthy"},
		{"a report of few and no vote", nil, reports("kt", [2]int{1, 3}), "", 0, Degraded, false, "only 1 of 3 servers are healthy, and no live"},

		{"no vote at all is not down", nil, nil, "", 0, Unknown, false, "no live vantage point has a verdict"},
		{"unknown votes only", nil, nil, "???", 0, Unknown, false, "no live vantage point has a verdict"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out := Evaluate(Input{
				Revision: 7, Sites: []string{"kt", "kt"}, Votes: votes("kt", test.votes), Reports: test.reports,
				Overrides: test.override, Quorum: Quorum{Share: test.quorum}, Now: noon,
			})
			got := out.Sites["kt"]
			if got.State != test.want || got.Draining != test.draining || !strings.Contains(got.Why, test.why) {
				t.Errorf("got  %v, draining %v: %s\nwant %v, draining %v: %s", got.State, got.Draining, got.Why, test.want, test.draining, test.why)
			}
			if got.InService() != (test.want != Down && !test.draining) {
				t.Errorf("InService is %v", got.InService())
			}
			if out.Revision != 7 || out.Stale || !out.At.Equal(noon) || len(out.Sites) != 1 || got.Site != "kt" || !got.Since.Equal(noon) {
				t.Errorf("%+v", out)
			}
		})
	}
}

// TestBlind: which vantage points are discounted. Each row has the votes on sites
// a, b, c and d, and the states that result.
func TestBlind(t *testing.T) {
	tests := []struct {
		name  string
		votes [4]string // a letter for each vantage point
		want  [4]State
		note  string // the vantage points that Why of site a names as discounted
	}{
		{"one sees all down, the other does not", [4]string{"DU", "DU", "DU", "DU"}, [4]State{Up, Up, Up, Up}, "discounted: v0 "},
		{"alone it would have decided", [4]string{"D ", "D ", "DU", "DU"}, [4]State{Unknown, Unknown, Up, Up}, "discounted: v0 "},
		{"two of three see all down", [4]string{"DDU", "DDD", "DDU", "DDU"}, [4]State{Up, Down, Up, Up}, "discounted: v0, v1 "},
		{"it sees one up", [4]string{"DU", "DU", "DU", "UU"}, [4]State{Degraded, Degraded, Degraded, Up}, ""},
		{"two sites are too few", [4]string{"DU", "DU", "", ""}, [4]State{Degraded, Degraded, Unknown, Unknown}, ""},
		{"unknown does not count as a site", [4]string{"DU", "DU", "?U", "?U"}, [4]State{Degraded, Degraded, Up, Up}, ""},
		{"nobody sees better", [4]string{"DD", "DD", "DD", "DD"}, [4]State{Down, Down, Down, Down}, ""},
		{"the other one sees other sites", [4]string{"D ", "D ", "D ", " U"}, [4]State{Down, Down, Down, Up}, ""},
		{"the only one", [4]string{"D", "D", "D", "D"}, [4]State{Down, Down, Down, Down}, ""},
		{"one site really is down", [4]string{"DDD", "DUU", "DUU", "DUU"}, [4]State{Down, Up, Up, Up}, "discounted: v0 "},
	}
	sites := []string{"a", "b", "c", "d"}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := Input{Sites: sites, Now: noon}
			for i, s := range sites {
				in.Votes = append(in.Votes, votes(s, test.votes[i])...)
			}
			out := Evaluate(in)
			for i, s := range sites {
				if got := out.Sites[s]; got.State != test.want[i] {
					t.Errorf("site %s: %v, want %v (%s)", s, got.State, test.want[i], got.Why)
				}
			}
			why := out.Sites["a"].Why
			if test.note == "" && strings.Contains(why, "discounted") || !strings.Contains(why, test.note) {
				t.Errorf("why %q, want %q in it", why, test.note)
			}
		})
	}
}

// TestEvidence: what is kept of the input, and that nothing is shared with it.
func TestEvidence(t *testing.T) {
	in := Input{
		Sites: []string{"kt"},
		Votes: []Vote{
			{Vantage: "b", Site: "kt", State: Up},
			{Vantage: "a", Site: "kt", State: Down, Since: noon, Detail: "old"},
			{Vantage: "a", Site: "kt", State: Up, Since: noon.Add(1), Detail: "new"},
			{Vantage: "c", Site: "kt", State: State(200)},
			{Vantage: "a", Site: "elsewhere", State: Down},
		},
		Reports: []Report{
			{Site: "kt", Node: "y", Healthy: 1, Total: 1, Load: 10, Capacity: 100, At: noon.Add(1), Servers: []Server{{Address: "10.0.0.1:80"}}},
			{Site: "kt", Node: "y", Healthy: 0, Total: 1, Load: 99, Capacity: 100, At: noon},
			{Site: "kt", Node: "x", Healthy: 1, Total: 1, Load: 5, Capacity: 50, At: noon},
			{Site: "elsewhere", Node: "x", Total: 1},
		},
		Overrides: []Override{
			{Site: "kt", Kind: ForceDown, Since: noon.Add(-2)},
			{Site: "kt", Kind: Drain, Since: noon.Add(-1)},
			{Site: "kt", Kind: ForceDown, Since: noon, Until: noon},
			{Site: "elsewhere", Kind: ForceDown},
		},
		Now: noon,
	}
	out := Evaluate(in)
	got := out.Sites["kt"]
	if len(out.Sites) != 1 {
		t.Errorf("%d sites", len(out.Sites))
	}
	if len(got.Votes) != 3 || got.Votes[0].Vantage != "a" || got.Votes[0].Detail != "new" || got.Votes[1].Vantage != "b" || got.Votes[2].State != Unknown {
		t.Errorf("votes %+v", got.Votes)
	}
	if len(got.Reports) != 2 || got.Reports[0].Node != "x" || got.Reports[1].Healthy != 1 || got.Load != 15 || got.Capacity != 150 {
		t.Errorf("reports %+v, load %v of %v", got.Reports, got.Load, got.Capacity)
	}
	if got.Override == nil || got.Override.Kind != Drain || !got.Draining || got.State != Up {
		t.Errorf("override %+v", got.Override)
	}
	in.Reports[0].Servers[0].Address = "changed"
	in.Overrides[1].Who = "changed"
	in.Votes[0].Detail = "changed"
	if got.Reports[1].Servers[0].Address != "10.0.0.1:80" || got.Override.Who != "" || got.Votes[1].Detail != "" {
		t.Error("the States shares memory with the Input")
	}
}

func TestSince(t *testing.T) {
	in := Input{Sites: []string{"kt"}, Votes: votes("kt", "U"), Now: noon}
	first := Evaluate(in)
	in.Prev, in.Now = first, noon.Add(time.Minute)
	second := Evaluate(in)
	if got := second.Sites["kt"].Since; !got.Equal(noon) {
		t.Errorf("unchanged state: since %v, want %v", got, noon)
	}
	in.Prev, in.Now, in.Votes = second, noon.Add(time.Hour), votes("kt", "D")
	if got := Evaluate(in).Sites["kt"].Since; !got.Equal(in.Now) {
		t.Errorf("changed state: since %v, want %v", got, in.Now)
	}
	in.Sites = []string{"kt", "new"}
	if got := Evaluate(in).Sites["new"].Since; !got.Equal(in.Now) {
		t.Errorf("new site: since %v, want %v", got, in.Now)
	}
}

// TestLostVantagePoints: a dead prober's lease means unknown, not up and not down.
func TestLostVantagePoints(t *testing.T) {
	down := Evaluate(Input{Sites: []string{"kt"}, Votes: votes("kt", "D"), Now: noon})
	out := Evaluate(Input{Sites: []string{"kt"}, Prev: down, Now: noon})
	if got := out.Sites["kt"]; got.State != Unknown || !got.InService() {
		t.Errorf("%v: %s", got.State, got.Why)
	}
	var none *States
	if got := none.Site("kt"); got.State != Unknown || !got.InService() || got.Why == "" {
		t.Errorf("of no States: %+v", got)
	}
}

func TestCapacity(t *testing.T) {
	tests := []struct {
		name       string
		capacities []float64
		configured float64
		want       float64
	}{
		{"stated by all", []float64{100, 50}, 1000, 150},
		{"stated by none", []float64{0, 0}, 1000, 1000},
		{"stated by one of two", []float64{100, 0}, 1000, 1000},
		{"stated by one of two, none configured", []float64{100, 0}, 0, 0},
		{"known to nobody", []float64{0}, 0, 0},
		{"no report", nil, 1000, 1000},
		{"negative", []float64{-5}, -1, 0},
	}
	for _, test := range tests {
		in := Input{Sites: []string{"kt"}, Capacity: map[string]float64{"kt": test.configured}, Now: noon}
		for i, c := range test.capacities {
			in.Reports = append(in.Reports, Report{Site: "kt", Node: string(rune('a' + i)), Healthy: 1, Total: 1, Capacity: c})
		}
		if got := Evaluate(in).Sites["kt"].Capacity; got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestWhyIsBounded(t *testing.T) {
	v := votes("kt", "D")
	v[0].Detail = strings.Repeat("가", 10_000) + "\xff"
	why := Evaluate(Input{Sites: []string{"kt"}, Votes: v, Now: noon}).Sites["kt"].Why
	if len(why) > 300 || !strings.HasPrefix(why, "1 of 1 vantage point says down (v0: 가가") {
		t.Errorf("%d bytes: %s", len(why), why)
	}
}
