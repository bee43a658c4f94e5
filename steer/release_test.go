package steer

import (
	"strings"
	"testing"

	"gslb/geo"
	"gslb/health"
)

// TestRelease: new users go to sites with the released content alone, as long as there
// is one in service; then to those that lack it, before a last resort and fail open.
func TestRelease(t *testing.T) {
	serve := func(s *health.States, released string, of ...string) *health.States {
		s.Releases = map[string]health.Release{"www.abc.com.": {Name: "www.abc.com.", Generation: released}}
		if released == "" {
			s.Releases = nil
		}
		for _, text := range of {
			site, g, _ := strings.Cut(text, " ")
			st := s.Sites[site]
			st.Generations = strings.Split(g, "+")
			s.Sites[site] = st
		}
		return s
	}
	p := policy(t, example, "kt", "lgu", "cn")
	p.Release, p.LastResort = "www.abc.com.", targets(t, example, "us")
	up := []string{"kt up", "lgu up", "cn up", "us up"}
	for _, tc := range []struct {
		name   string
		states *health.States
		want   string
		says   string
	}{
		{"nothing is released", serve(states(t, up...), "", "kt v1", "lgu v2"), "kt", "chosen"},
		{"the first has it", serve(states(t, up...), "v1", "kt v1", "lgu v2"), "kt", "v1 is released"},
		{"the first is behind", serve(states(t, up...), "v2", "kt v1", "lgu v2"), "lgu", "held, for it serves v1 and v2 is released"},
		{"the first serves both", serve(states(t, up...), "v2", "kt v1+v2", "lgu v2"), "lgu", "held, for it serves v1 and v2 and v2 is released"},
		{"who does not say waits", serve(states(t, up...), "v2", "lgu v2"), "lgu", "held, for it serves an unknown generation and v2 is released"},
		{"nobody has it", serve(states(t, up...), "v3", "kt v1", "lgu v2"), "kt", "no other member of any tier is in service and serves v3"},
		{"who has it is down", serve(states(t, "kt up", "lgu down", "cn up", "us up"), "v2", "kt v1", "lgu v2", "us v2"), "kt", "no other member of any tier is in service and serves v2"},
		{"who has it drains", serve(states(t, "kt up", "lgu drain", "cn down", "us up"), "v2", "kt v1", "lgu v2"), "kt", "no other member"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := compile(t, p, example)
			var tr Trace
			cohort := c.Classify(geo.Place{}, inKTNetwork, &tr)
			live := c.Live(tc.states)
			plain := live.Choose(cohort, Ask{Client: aClient}, nil)
			live.Choose(cohort, Ask{Client: aClient}, &tr)
			if got := live.Site(plain.Site).Name; got != tc.want || tr.Choice.Site != tc.want {
				t.Errorf("%s, explained as %s; want %s", got, tr.Choice.Site, tc.want)
			}
			if text := tr.String(); !strings.Contains(text, tc.says) {
				t.Errorf("does not say %q:\n%s", tc.says, text)
			}
		})
	}
	p.Release = ""
	if live := compile(t, p, example).Live(serve(states(t, up...), "v2", "kt v1", "lgu v2")); live.Site(live.Choose(0, Ask{}, nil).Site).Name != "kt" {
		t.Error("a policy that does not hold obeys the release")
	}
}
