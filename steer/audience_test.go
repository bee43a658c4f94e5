package steer

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"gslb/geo"
	"gslb/health"
)

func withAudience(p *Policy) *Policy {
	p.Audiences = []Audience{{Name: "kt", Match: Match{ISP: []string{"KT"}}}, {Name: "japan", Match: Match{Country: []string{"JP"}}}}
	return p
}

// downFor makes a site down for an audience alone.
func downFor(s *health.States, site, audience string) *health.States {
	st := s.Site(site)
	st.Elsewhere = map[string]string{audience: "down for the audience " + audience + " alone: k1"}
	if s.Sites == nil {
		s.Sites = map[string]health.Status{}
	}
	s.Sites[site] = st
	return s
}

func TestAudienceAloneIsMoved(t *testing.T) {
	c := compile(t, withAudience(policy(t, example, "kt, lgu", "us")), example)
	var cohorts []uint32
	clients := []geo.Place{inKT, inLGU, inTokyo, nowhere}
	for _, p := range clients {
		cohorts = append(cohorts, c.Classify(p, netip.Prefix{}, nil))
	}
	for _, test := range []struct {
		states *health.States
		want   string // of KT, LG U+, Tokyo
	}{
		{states(t), "kt lgu kt"},
		{downFor(states(t), "kt", "kt"), "lgu lgu kt"},
		{downFor(states(t, "lgu down", "kt up"), "kt", "kt"), "us kt kt"},
		// Nothing else is left for KT: rather what is down for it alone than what is down for all.
		{downFor(states(t, "lgu down", "us down", "kt up"), "kt", "kt"), "kt kt kt"},
		{downFor(states(t, "kt up"), "kt", "unheard-of"), "kt lgu kt"},
	} {
		l := c.Live(test.states)
		var got []string
		for i := range 3 {
			choice := l.Choose(cohorts[i], Ask{Client: aClient}, nil)
			got = append(got, l.Site(choice.Site).Name)
			var tr Trace
			c.Explain(clients[i], netip.Prefix{}, &tr)
			if traced := l.Choose(cohorts[i], Ask{Client: aClient}, &tr); traced != choice {
				t.Errorf("traced %+v, not %+v", traced, choice)
			}
			if want := []string{"kt", "", "japan"}[i]; tr.Audience != want {
				t.Errorf("audience %q, want %q", tr.Audience, want)
			}
			if i == 0 && got[0] == "lgu" && !strings.Contains(tr.member(0, false, "kt").Why, "audience kt alone: k1") {
				t.Errorf("evidence: %+v", tr.member(0, false, "kt"))
			}
		}
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("got %s, want %s", s, test.want)
		}
	}
}

// TestAudienceNeverWorse: whatever is down for whom, nobody is sent to a site that is
// down for all while one is in service, and who is in no audience is sent as without.
func TestAudienceNeverWorse(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	texts := []string{"kt, lgu / us", "nearest:all", "weighted:all", "hash:kt, lgu / load:cn, us", "round-robin:all | us", "kt=0, lgu / cn"}
	for range 3000 {
		text := texts[r.IntN(len(texts))]
		plain, with := compile(t, parsePolicy(t, text), example), compile(t, withAudience(parsePolicy(t, text)), example)
		s := &health.States{Sites: map[string]health.Status{}}
		for _, site := range example {
			st := health.Status{Site: site.Name, State: health.State(r.IntN(4)), Draining: r.IntN(6) == 0}
			if r.IntN(3) == 0 {
				st.Elsewhere = map[string]string{"kt": "k1"}
			}
			s.Sites[site.Name] = st
		}
		for _, p := range []geo.Place{inKT, inLGU, inLondon, nowhere} {
			a, b := plain.Classify(p, netip.Prefix{}, nil), with.Classify(p, netip.Prefix{}, nil)
			lp, lw := plain.Live(s), with.Live(s)
			without, choice := lp.Choose(a, Ask{Client: aClient}, nil), lw.Choose(b, Ask{Client: aClient}, nil)
			if p != inKT && without != choice {
				t.Fatalf("%s: %+v, without audiences %+v", text, choice, without)
			}
			if p == inKT && choice.FailOpen != without.FailOpen {
				t.Fatalf("%s: fails open %v, without audiences %v: %+v", text, choice.FailOpen, without.FailOpen, s.Sites)
			}
			if st := s.Sites[lw.Site(choice.Site).Name]; !choice.FailOpen && !st.State.Available() {
				t.Fatalf("%s: sent to %s, which is down", text, st.Site)
			}
		}
	}
}
