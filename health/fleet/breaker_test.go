package fleet

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gslb/health"
)

// TestReconnectBreaker: when etcd comes back with votes that would take every
// site out, they wait for the settling time.
func TestReconnectBreaker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	etcd := openEtcd(t, dir, "")
	addr := address(etcd)
	a := startNode(t, "a", addr, func(c *Config) { c.Settle = 1500 * time.Millisecond })
	a.await(t, "a first view", func(s *health.States) bool { return !s.Stale })
	if err := etcd.Close(); err != nil {
		t.Fatal(err)
	}
	a.await(t, "stale", func(s *health.States) bool { return s.Stale })
	side := openEtcd(t, dir, "") // on another port: a cannot see it
	for _, site := range []string{"kt", "lgu"} {
		raw, _ := json.Marshal(health.Vote{Site: site, Vantage: "x", State: health.Down})
		if _, err := side.Put(t.Context(), keyOf(kindVote, site, "x"), raw); err != nil {
			t.Fatal(err)
		}
	}
	if err := side.Close(); err != nil {
		t.Fatal(err)
	}
	openEtcd(t, dir, addr)
	s := a.await(t, "fresh", func(s *health.States) bool { return !s.Stale })
	for _, site := range []string{"kt", "lgu"} {
		if st := s.Site(site); st.State != health.Unknown || !strings.HasPrefix(st.Why, "held") {
			t.Errorf("%s is not held: %v, %s", site, st.State, st.Why)
		}
	}
	a.await(t, "both down after settling", func(s *health.States) bool {
		return s.Site("kt").State == health.Down && s.Site("lgu").State == health.Down
	})
}

func TestBreaker(t *testing.T) {
	states := func(list string) *health.States { // one letter per site: u d ? and F forced down
		s := &health.States{Sites: map[string]health.Status{}}
		for i, c := range list {
			st := health.Status{State: map[rune]health.State{'u': health.Up, 'd': health.Down, '?': health.Unknown, 'F': health.Down}[c]}
			if c == 'F' {
				st.Override = &health.Override{Kind: health.ForceDown}
			}
			s.Sites[fmt.Sprint(i)] = st
		}
		return s
	}
	for _, tc := range []struct{ before, after, held string }{
		{"uuuu", "uuuu", ""},
		{"uuuu", "dddd", "0123"},
		{"u", "d", "0"},
		{"uu", "ud", ""},
		{"uuuu", "uudd", ""},
		{"uuuu", "uddd", "123"},
		{"uddd", "dddd", "0"},
		{"uudd", "dudd", ""},
		{"????", "dddu", "012"},
		{"uuuu", "FFFF", ""},
		{"uuuu", "FFFd", "3"},
		{"dddd", "uuuu", ""},
	} {
		before := states(tc.before)
		held := settling(before, states(tc.after))
		if s := strings.Join(held, ""); s != tc.held {
			t.Errorf("%s -> %s: held %q, want %q", tc.before, tc.after, s, tc.held)
		}
		got := keep(before, states(tc.after), held, "")
		for _, name := range held {
			if got.Sites[name].State != before.Sites[name].State {
				t.Errorf("%s -> %s: site %s is %v", tc.before, tc.after, name, got.Sites[name].State)
			}
		}
	}
}
