package console

import (
	"slices"
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
