package health

import (
	"slices"
	"strings"
	"testing"
)

func TestGeneration(t *testing.T) {
	for _, tc := range []struct{ stated, want string }{
		{"v42", "v42"},
		{"  v42\n", "v42"},
		{"v42 (build 3)", "v42_(build_3)"},
		{"a,b", "a_b"},
		{"a\x00\xffb", "ab"},
		{"", ""},
		{strings.Repeat("é", 200), strings.Repeat("é", MaxGeneration)},
	} {
		if got := Generation(tc.stated); got != tc.want {
			t.Errorf("Generation(%q) = %q, want %q", tc.stated, got, tc.want)
		}
		if again := Generation(tc.want); again != tc.want {
			t.Errorf("Generation(%q) = %q: not the same again", tc.want, again)
		}
	}
	if got := JoinGenerations([]string{"b", "", "a", "b"}); got != "a,b" {
		t.Errorf("JoinGenerations = %q", got)
	}
}

// TestSiteServes: all who see the site must see one generation, and those who do not reach it have none.
func TestSiteServes(t *testing.T) {
	vote := func(by string, s State, g string) Vote { return Vote{Vantage: by, Site: "kt", State: s, Generation: g} }
	report := func(g string) []Report {
		return []Report{{Site: "kt", Node: "lb", Healthy: 1, Total: 1, Generation: g}}
	}
	for _, tc := range []struct {
		name    string
		votes   []Vote
		reports []Report
		want    []string
		serves  bool // v2
	}{
		{"nobody says", []Vote{vote("a", Up, "")}, nil, nil, false},
		{"one says", []Vote{vote("a", Up, ""), vote("b", Up, "v2")}, nil, []string{"v2"}, true},
		{"all say the same", []Vote{vote("a", Up, "v2"), vote("b", Degraded, "v2")}, report("v2"), []string{"v2"}, true},
		{"an old one", []Vote{vote("a", Up, "v1")}, nil, []string{"v1"}, false},
		{"mixed servers", nil, report("v1,v2"), []string{"v1", "v2"}, false},
		{"the balancer knows better", []Vote{vote("a", Up, "v2")}, report("v1,v2"), []string{"v1", "v2"}, false},
		{"who says down has seen an old one", []Vote{vote("a", Down, "v1"), vote("b", Up, "v2"), vote("c", Up, "v2")}, nil, []string{"v2"}, true},
		{"unknown", []Vote{vote("a", Unknown, "v1")}, nil, nil, false},
	} {
		st := Evaluate(Input{Sites: []string{"kt"}, Votes: tc.votes, Reports: tc.reports, Now: noon}).Site("kt")
		if !slices.Equal(st.Generations, tc.want) || st.Serves("v2") != tc.serves {
			t.Errorf("%s: %v, serves v2: %v; want %v, %v", tc.name, st.Generations, st.Serves("v2"), tc.want, tc.serves)
		}
	}
}

func TestReleased(t *testing.T) {
	s := Evaluate(Input{Now: noon, Releases: []Release{
		{Name: AllNames, Generation: "v1", Since: noon}, {Name: "www.abc.com.", Generation: "v2", Since: noon},
		{Name: "www.abc.com.", Generation: "v0", Since: noon.Add(-1)},
	}})
	if s.Released("www.abc.com.") != "v2" || s.Released("img.abc.com.") != "v1" {
		t.Errorf("released: %q and %q", s.Released("www.abc.com."), s.Released("img.abc.com."))
	}
	if got := (*States)(nil).Released("x."); got != "" {
		t.Errorf("of nothing: %q", got)
	}
	if got := new(States).Released("x."); got != "" {
		t.Errorf("of no states: %q", got)
	}
}
