package fleet

import (
	"testing"
	"time"

	"gslb/health"
)

// TestBlindCheckerHasNoVote: a checker that cannot see its control targets takes no
// site down, and what it took for down then does not count when it sees again.
func TestBlindCheckerHasNoVote(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	role := func(c *Config) { c.Roles = []string{"checker"} }
	a, b := startNode(t, "a", address(etcd), role), startNode(t, "b", address(etcd), role)
	is := func(kt, lgu health.State) func(*health.States) bool {
		return func(s *health.States) bool { return s.Sites["kt"].State == kt && s.Sites["lgu"].State == lgu }
	}
	begin := time.Now()
	a.Vote(health.Vote{Site: "kt", State: health.Up})
	a.Vote(health.Vote{Site: "lgu", State: health.Down, Since: begin.Add(-time.Hour)})
	b.await(t, "a's votes", is(health.Up, health.Down))
	a.Blind("0 of 2 control targets answer")
	b.await(t, "a has no vote", is(health.Unknown, health.Unknown))
	a.Vote(health.Vote{Site: "kt", State: health.Down}) // so it seems
	a.Sees(begin)
	b.await(t, "lgu was down before, kt is to be probed", is(health.Unknown, health.Down))
	if s := a.States(); s.Sites["kt"].State == health.Down {
		t.Errorf("kt is %v", s.Sites["kt"].State)
	}
	a.Vote(health.Vote{Site: "kt", State: health.Up})
	b.await(t, "a votes again", is(health.Up, health.Down))
}
