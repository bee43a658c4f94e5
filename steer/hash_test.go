package steer

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"gslb/health"
)

// assignment is the site of each of n clients, under hash with these sites.
func assignment(t *testing.T, sites []Site, s *health.States, n int) []string {
	t.Helper()
	l := compile(t, policy(t, sites, "hash:all"), sites).Live(s)
	got := make([]string, n)
	for i := range got {
		got[i] = l.Site(l.Choose(0, Ask{Client: client(i), Period: uint32(i)}, nil).Site).Name
	}
	return got
}

// When a site goes, its clients move and no others; when one comes, the
// clients that move are those that move to it. Whether it goes by its health or out of
// the configuration, and with equal weights or not.
func TestHashMovesTheFewest(t *testing.T) {
	const n = 8_000
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 8 {
		sites := make([]Site, 2+r.IntN(8))
		for i := range sites {
			sites[i] = Site{Name: fmt.Sprint("site", i, round)}
			if round%2 == 1 {
				sites[i].Weight = math.Trunc(1+99*r.Float64()) / 10
			}
		}
		gone := r.IntN(len(sites))
		name := sites[gone].Name
		with := assignment(t, sites, nil, n)
		down := assignment(t, sites, &health.States{Sites: map[string]health.Status{name: {State: health.Down}}}, n)
		removed := assignment(t, slices.Delete(slices.Clone(sites), gone, gone+1), nil, n)
		slices.Reverse(sites)
		reversed := assignment(t, sites, nil, n)
		for i := range n {
			if with[i] != name && down[i] != with[i] {
				t.Fatalf("%s is down: a client moved from %s to %s", name, with[i], down[i])
			}
			if down[i] == name || removed[i] != down[i] {
				t.Fatalf("%s is down: %s; removed: %s", name, down[i], removed[i])
			}
			if reversed[i] != with[i] {
				t.Fatalf("listed in another order, a client moved from %s to %s", with[i], reversed[i])
			}
		}
	}
}

// The clients of a site that goes spread over the others by their weights.
func TestHashSpreadsTheRest(t *testing.T) {
	sites := []Site{{Name: "a", Weight: 1}, {Name: "b", Weight: 2}, {Name: "c", Weight: 3}, {Name: "d", Weight: 4}}
	const n = 100_000
	with := assignment(t, sites, nil, n)
	down := assignment(t, sites, &health.States{Sites: map[string]health.Status{"d": {State: health.Down}}}, n)
	got, moved := map[string]float64{}, 0.0
	for i := range n {
		if with[i] == "d" {
			got[down[i]]++
			moved++
		}
	}
	for name := range got {
		got[name] /= moved
	}
	near(t, got, map[string]float64{"a": 1. / 6, "b": 2. / 6, "c": 3. / 6}, 0.01)
}

// A weight that grows draws clients in and pushes none about among the others.
func TestHashWeightMovesTheFewest(t *testing.T) {
	const n = 8_000
	before := assignment(t, []Site{{Name: "a"}, {Name: "b"}, {Name: "c"}}, nil, n)
	after := assignment(t, []Site{{Name: "a"}, {Name: "b", Weight: 2}, {Name: "c"}}, nil, n)
	for i := range n {
		if before[i] != after[i] && after[i] != "b" {
			t.Fatalf("a client moved from %s to %s when b grew", before[i], after[i])
		}
	}
}

// Nodes of different versions serve side by side while a fleet is upgraded, so
// who gets what must not change with the program. A change here is one that
// operators must be told of.
func TestChoicesArePinned(t *testing.T) {
	for _, tc := range []struct{ tier, want string }{
		{"hash:all", "lckuuclcuucluucklllullcllculcucl"},
		{"hash:kt=1,lgu=2,cn=3,us=4", "lccuuclcuucluucullluluculculcucl"},
		{"weighted:kt=1,lgu=2,cn=3,us=4", "llullcuukuuuuculukuccuululuucucc"},
	} {
		l := compile(t, policy(t, example, tc.tier), example).Live(nil)
		got := ""
		for i := range 32 {
			got += l.Site(l.Choose(0, Ask{Client: client(i), Period: 7}, nil).Site).Name[:1]
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.tier, got, tc.want)
		}
	}
}

func TestCost(t *testing.T) {
	for _, u := range []uint64{1, 2, 3, 1 << 20, 1<<63 - 1, 1 << 63, 1<<63 + 1, 3 << 62, math.MaxUint64 - 1, math.MaxUint64} {
		want := (64 - math.Log2(float64(u))) * (1 << 26)
		if got := float64(cost(u)); math.Abs(got-want) > 1+1e-5*(1<<26) {
			t.Errorf("cost(%#x) = %g, want %g", u, got, want)
		}
	}
	if got := cost(0); got < 1 || bits.Len64(got) > 33 {
		t.Errorf("cost(0) = %d", got)
	}
	r := rand.New(rand.NewPCG(7, 8))
	for range 200_000 {
		u := r.Uint64() >> r.IntN(64)
		v := u + r.Uint64N(1+u>>uint(r.IntN(64)))
		if v >= u && cost(v) > cost(u) {
			t.Fatalf("cost(%#x) = %d < cost(%#x) = %d", u, cost(u), v, cost(v))
		}
		if cost(u) < 1 {
			t.Fatalf("cost(%#x) = %d", u, cost(u))
		}
	}
}
