package dnsserver

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/health"
	"gslb/steer"
)

// What becomes of sites changes where users are sent, never for how long that
// may be remembered: no TTL is 0 and none is raised. Answers that are given for
// want of better ones are counted as such.
func TestFailoverKeepsTTLAndIsFlagged(t *testing.T) {
	p := &steer.Policy{Name: "www", TTL: 30 * time.Second, Rules: []steer.Rule{{Tiers: []steer.Target{tier(steer.Nearest, 0)}}}, LastResort: []steer.Target{tier(steer.Nearest, 1)}}
	for _, c := range []struct {
		what             string
		kt, lgu          health.Status
		stale            bool
		site             string
		failOpen, resort uint64
	}{
		{"all up", health.Status{State: health.Up}, health.Status{State: health.Up}, false, "kt", 0, 0},
		{"unknown", health.Status{}, health.Status{}, false, "kt", 0, 0},
		{"stale", health.Status{State: health.Up}, health.Status{State: health.Up}, true, "kt", 0, 0},
		{"to the last resort", health.Status{State: health.Down}, health.Status{State: health.Up}, false, "lgu", 0, 1},
		{"drained to the last resort", health.Status{State: health.Up, Draining: true}, health.Status{State: health.Up}, false, "lgu", 0, 1},
		{"all down: fail open", health.Status{State: health.Down}, health.Status{State: health.Down}, false, "kt", 1, 0},
	} {
		st := &health.States{Revision: 1, Stale: c.stale, Sites: map[string]health.Status{"kt": c.kt, "lgu": c.lgu}}
		for _, name := range []string{"www.abc.com.", "app.abc.com.", "x.cdn.abc.com."} {
			for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
				s, w := steered(t, st, p)
				m := answer(t, s, w, query(t, name, qtype), false)
				if m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 {
					t.Fatalf("%s: %s: %s", c.what, name, brief(m))
				}
				if ttl := m.Answer[0].Header().Ttl; ttl != 30 {
					t.Errorf("%s: %s: TTL %d, want 30 as ever", c.what, name, ttl)
				}
				want := map[string]string{"kt": "192.0.2.10", "lgu": "192.0.2.20"}[c.site]
				if a, ok := m.Answer[len(m.Answer)-1].(*dns.A); ok && a.A.String() != want {
					t.Errorf("%s: %s: %s, want %s", c.what, name, a.A, want)
				}
				if n := s.Stats(); n.Tailored != 1 || n.FailOpen != c.failOpen || n.Resort != c.resort {
					t.Errorf("%s: %s: counted %d, fail open %d, last resort %d; want 1, %d, %d", c.what, name, n.Tailored, n.FailOpen, n.Resort, c.failOpen, c.resort)
				}
			}
		}
	}
}
