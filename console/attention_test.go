package console

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gslb/health"
)

func TestAttention(t *testing.T) {
	site := func(st health.State, shed float64) Site {
		return Site{Status: health.Status{Site: "kt", State: st, Shed: shed, Why: "because"}}
	}
	drained := site(health.Up, 0.5)
	drained.Draining = true
	for _, tt := range []struct {
		name     string
		site     Site
		problems []string
		want     []string
	}{
		{"up", site(health.Up, 0), nil, nil},
		{"unknown", site(health.Unknown, 0), nil, nil},
		{"down", site(health.Down, 0), []string{"other"}, []string{"site kt is down: because", "other"}},
		{"degraded", site(health.Degraded, 0), nil, []string{"site kt is degraded: because"}},
		{"full", site(health.Up, 0.5), nil, []string{"site kt sheds 50% of its new users: because"}},
		{"full, but drained", drained, nil, nil},
		{"told already", site(health.Down, 0), []string{"site kt is down for 3s"}, []string{"site kt is down for 3s"}},
		{"told already, quoted", site(health.Down, 0), []string{`site "kt" is down`}, []string{`site "kt" is down`}},
		{"a server's", site(health.Down, 0), []string{"site kt: server a is down"}, []string{"site kt is down: because", "site kt: server a is down"}},
		{"another site's", site(health.Down, 0), []string{"site kt2 is down"}, []string{"site kt is down: because", "site kt2 is down"}},
	} {
		s := Status{Sites: []Site{tt.site}, Problems: tt.problems}
		if got := s.Attention(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		} else if s.Problems = got; !slices.Equal(s.Attention(), tt.want) {
			t.Errorf("%s: told twice: %q", tt.name, s.Attention())
		}
	}
	whole := Status{Stale: true, Geo: []Database{{Path: "a.mmdb", Error: "cut"}, {Path: "b.mmdb"}}}
	want := []string{"the store can't be reached: what other nodes said is the last known", "geo database a.mmdb: cut; the one opened before stays"}
	if got := whole.Attention(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	whole.Problems = []string{"etcd is lost", "geo databases: a.mmdb: cut"}
	if got := whole.Attention(); !slices.Equal(got, whole.Problems) {
		t.Errorf("%q, want %q", got, whole.Problems)
	}
}

// Of very many sites that are down, the text tells some, and how many more; nothing else is left out.
func TestManySitesDown(t *testing.T) {
	s := Status{Problems: []string{"etcd: not connected"}}
	for i := range 100 {
		name := fmt.Sprintf("s%d", i)
		site := Site{Status: health.Status{Site: name, State: health.Down, Why: "1 of 1 vantage point says down"}}
		if s.Sites = append(s.Sites, site); i%2 == 0 {
			s.Problems = append(s.Problems, "site "+name+" is down since 09:00: refused")
		}
	}
	s.Problems = append(s.Problems, "site s99: server 10.0.0.1:80 is down: refused", "the last")
	var out strings.Builder
	if err := WriteStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(out.String(), "\nSITES")
	if n := strings.Count(text, " is down: 1 of 1") + strings.Count(text, " is down since"); n != mostDown {
		t.Errorf("%d sites are told, want %d:\n%s", n, mostDown, text)
	}
	for _, want := range []string{"PROBLEMS (103)", "80 more sites are down", "etcd: not connected", "server 10.0.0.1:80 is down", "the last"} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
}
