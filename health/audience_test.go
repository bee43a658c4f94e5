package health

import (
	"fmt"
	"strings"
	"testing"
)

// TestElsewhere: a fault that only one audience's vantage points see is theirs
// alone. Of the vantage points, k1 to k3 stand in KT's network, l1 in LG U+'s, x1
// to x4 in none that is an audience.
func TestElsewhere(t *testing.T) {
	of := map[string]string{"k1": "kt", "k2": "kt", "k3": "kt", "l1": "lgu"}
	for _, test := range []struct {
		name     string
		votes    string // "k1D l1U"
		min      int
		override OverrideKind
		state    State
		want     string // audiences for which it is down
	}{
		{"both of kt, others not", "k1D k2D x1U x2U x3U", 2, "", Up, "kt"},
		{"one of kt sees it", "k1D k2U x1U x2U x3U", 2, "", Up, ""},
		{"one of kt, two needed", "k1D x1U x2U", 2, "", Up, ""},
		{"one of kt, one needed", "k1D x1U x2U", 1, "", Up, "kt"},
		{"the default is two", "k1D x1U x2U", 0, "", Up, ""},
		{"degraded counts as seen", "k1D k2G x1U x2U", 2, "", Degraded, ""},
		{"unknown has no verdict", "k1D k2? x1U x2U", 2, "", Up, ""},
		{"unknown beside enough", "k1D k2D k3? x1U x2U x3U", 2, "", Up, "kt"},
		{"two audiences", "k1D l1D x1U x2U x3U", 1, "", Up, "kt lgu"},
		{"those outside are no audience", "x1D x2D k1U k2U l1U", 1, "", Up, ""},
		{"the quorum takes it from all", "k1D k2D k3D x1U x2U", 2, "", Down, ""},
		{"all down", "k1D k2D x1D", 2, "", Down, ""},
		{"nobody else", "k1D", 1, "", Down, ""},
		{"forced up", "k1D k2D x1U x2U x3U", 2, ForceUp, Up, ""},
		{"draining", "k1D k2D x1U x2U x3U", 2, Drain, Up, "kt"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := Input{Sites: []string{"kt"}, Audience: of, AudienceMin: map[string]int{"kt": test.min, "lgu": test.min}, Now: noon}
			for _, word := range strings.Fields(test.votes) {
				state := map[byte]State{'U': Up, 'D': Down, 'G': Degraded, '?': Unknown}[word[2]]
				in.Votes = append(in.Votes, Vote{Vantage: word[:2], Site: "kt", State: state, Detail: "detail of " + word[:2]})
			}
			if test.override != "" {
				in.Overrides = []Override{{Site: "kt", Kind: test.override}}
			}
			st := Evaluate(in).Sites["kt"]
			got := ""
			for _, audience := range []string{"", "kt", "lgu"} {
				why, down := st.Elsewhere[audience]
				if down {
					got = strings.TrimSpace(got + " " + audience)
				}
				if as := st.For(audience); st.State != Down && (as.State == Down) != down || down && as.Why != why {
					t.Errorf("for %q: %v, %s", audience, as.State, as.Why)
				}
			}
			if st.State != test.state || got != test.want {
				t.Errorf("%v, down for %q, want %v, %q", st.State, got, test.state, test.want)
			}
			if test.want == "kt" && (!strings.Contains(st.Elsewhere["kt"], "detail of k1") || !strings.Contains(st.Elsewhere["kt"], "x1")) {
				t.Errorf("evidence: %s", st.Elsewhere["kt"])
			}
		})
	}
}

// TestElsewhereIgnoresTheBlind: vantage points of an operator that see every site
// down have lost their own network, and say nothing of the sites.
func TestElsewhereIgnoresTheBlind(t *testing.T) {
	in := Input{Audience: map[string]string{"k1": "kt", "k2": "kt"}, Now: noon}
	for i := range 3 {
		site := fmt.Sprint("s", i)
		in.Sites = append(in.Sites, site)
		for v, s := range map[string]State{"k1": Down, "k2": Down, "x1": Up, "x2": Up, "x3": Up} {
			in.Votes = append(in.Votes, Vote{Vantage: v, Site: site, State: s})
		}
	}
	in.Reports = []Report{{Site: "s0", Node: "b", Healthy: 2, Total: 2}}
	for site, st := range Evaluate(in).Sites {
		if len(st.Elsewhere) > 0 {
			t.Errorf("%s: %v", site, st.Elsewhere)
		}
	}
	in.Votes = append(in.Votes[:0:0], in.Votes...)
	for i := range in.Votes {
		if in.Votes[i].Site == "s2" {
			in.Votes[i].State = Up
		}
	}
	st := Evaluate(in).Sites["s0"]
	if why := st.Elsewhere["kt"]; !strings.Contains(why, "2 of its 2 servers are healthy, as balancer b reports") {
		t.Errorf("s0: %q", why)
	}
}
