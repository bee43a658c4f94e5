package fleet

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gslb/health"
	"gslb/history"
)

// TestWatchman walks through courses of evaluations, a second apart: one letter for each site,
// u up, d down by one vantage point, D by two, B by its balancer, F forced down.
func TestWatchman(t *testing.T) {
	states := func(list string) *health.States {
		s := &health.States{Revision: 1, Sites: map[string]health.Status{}}
		down := health.Vote{State: health.Down}
		for i, c := range list {
			st := health.Status{State: health.Down}
			switch c {
			case 'u':
				st.State = health.Up
			case 'd':
				st.Votes = []health.Vote{down}
			case 'D':
				st.Votes = []health.Vote{down, down}
			case 'B':
				st.Reports = []health.Report{{Total: 2}}
			case 'F':
				st.Override = &health.Override{Kind: health.ForceDown}
			}
			s.Sites[string(rune('0'+i))] = st
		}
		return s
	}
	served := func(s *health.States) (out string) {
		for i := range len(s.Sites) {
			c := "d"
			if s.Sites[string(rune('0'+i))].State.Available() {
				c = "u"
			}
			out += c
		}
		return out
	}
	for _, tc := range []struct {
		name   string
		limit  float64
		course string // evaluated
		want   string // served; "!" after one: an order to let through comes before it
	}{
		{"no limit", 0, "uuuu dddd", "uuuu dddd"},
		{"one", 0.5, "uuuu duuu", "uuuu duuu"},
		{"half", 0.5, "uuuu dduu", "uuuu dduu"},
		{"more than half", 0.5, "uuuu dddu uuuu", "uuuu uuuu uuuu"},
		{"confirmed by a second", 0.5, "uuuu DDDu", "uuuu dddu"},
		{"only what is not confirmed is held", 0.5, "uuuu DDdu", "uuuu dduu"},
		{"said by the balancers", 0.5, "uuuu BBBu", "uuuu dddu"},
		{"ordered", 0.5, "uuuu FFFF", "uuuu dddd"},
		{"the last one", 0.5, "ud dd", "ud ud"},
		{"one after the other", 0.5, "uuuu duuu dduu dddu", "uuuu duuu dduu dduu"},
		{"slowly", 0.5, "uuuu duuu dduu dduu dduu dduu dddu", "uuuu duuu dduu dduu dduu dduu dddu"},
		{"for a bounded time", 0.5, "uuuu dddu dddu dddu dddu dddu dddu", "uuuu uuuu uuuu uuuu uuuu uuuu dddu"},
		{"confirmed later", 0.5, "uuuu dddu DDDu", "uuuu uuuu dddu"},
		{"let through", 0.5, "uuuu dddu !dddu dddu", "uuuu uuuu dddu dddu"},
		{"an order of before does not count", 0.5, "uuuu !uuuu dddu", "uuuu uuuu uuuu"},
		{"etcd came back", 0, "uuuu ~DDDu ~DDDu DDDu", "uuuu uuuu uuuu dddu"},
		{"etcd came back, half", 0, "uuuu ~DDuu", "uuuu dduu"},
		{"etcd came back, let through", 0, "uuuu ~DDDu !~DDDu ~DDDu", "uuuu uuuu dddu dddu"},
		{"etcd came back, and one vantage point says it then", 0.5, "uuuu ~dddu dddu", "uuuu uuuu uuuu"},
	} {
		w := &watchman{}
		c := health.BreakerConfig{MaxSitesLost: tc.limit, Window: 3 * time.Second, Hold: 5 * time.Second}
		now := time.Unix(1000, 0)
		var allow *allowed
		var before *health.States
		var got []string
		for list := range strings.FieldsSeq(tc.course) {
			if strings.HasPrefix(list, "!") {
				allow = &allowed{ID: now.String()}
				list = list[1:]
			}
			var settled time.Time
			if strings.HasPrefix(list, "~") { // etcd came back lately
				settled, list = now.Add(time.Hour), list[1:]
			}
			w.order(allow)
			after := states(list)
			publish, held, next := w.watch(c, before, after, settled, now)
			if (held != nil) != (served(publish) != served(after)) || held != nil && !next.Equal(health.Sooner(held.Until, settled)) {
				t.Errorf("%s: %s is served as %s, held is %+v, next %v", tc.name, list, served(publish), held, next)
			}
			got = append(got, served(publish))
			before, now = publish, now.Add(time.Second)
		}
		if want := strings.Fields(tc.want); !slices.Equal(got, want) {
			t.Errorf("%s: served %v, want %v", tc.name, got, want)
		}
	}
}

// TestBreakerAllow: a fleet whose only checker sees all sites down serves on, until somebody lets it through.
func TestBreakerAllow(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	a := startNode(t, "a", address(etcd), func(c *Config) {
		c.Breaker = health.BreakerConfig{MaxSitesLost: 0.5, Hold: time.Hour}
	})
	a.await(t, "a first view", func(s *health.States) bool { return !s.Stale })
	all := func(state health.State) {
		for _, site := range []string{"kt", "lgu"} {
			a.Vote(health.Vote{Site: site, State: state})
		}
	}
	all(health.Up)
	a.await(t, "both up", func(s *health.States) bool {
		return s.Site("kt").State == health.Up && s.Site("lgu").State == health.Up
	})
	all(health.Down)
	a.await(t, "a hold", func(s *health.States) bool {
		return strings.HasPrefix(s.Site("kt").Why, "held by the breaker") || strings.HasPrefix(s.Site("lgu").Why, "held by the breaker")
	})
	if h := a.Held(); h == nil || len(h.Sites) == 0 || !strings.Contains(h.Why, "one vantage point") {
		t.Errorf("held: %+v", h)
	}
	if err := a.Allow(t.Context(), history.Order{Who: "lee"}); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("an order without a reason: %v", err)
	}
	if err := a.Allow(t.Context(), history.Order{Who: "lee", Why: "it is so"}); err != nil {
		t.Fatal(err)
	}
	a.await(t, "both down", func(s *health.States) bool {
		return s.Site("kt").State == health.Down && s.Site("lgu").State == health.Down
	})
}
