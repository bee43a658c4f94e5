package steer

import (
	"math"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"

	"gslb/health"
)

func TestWeightedShares(t *testing.T) {
	for _, tc := range []struct {
		tier string
		want map[string]float64
	}{
		{"weighted:kt,lgu", map[string]float64{"kt": .5, "lgu": .5}},
		{"weighted:kt=3,lgu", map[string]float64{"kt": .75, "lgu": .25}},
		{"weighted:kt=95,lgu=4,cn=1", map[string]float64{"kt": .95, "lgu": .04, "cn": .01}},
		{"weighted:kt=0.002,lgu=0.001,cn=0", map[string]float64{"kt": 2. / 3, "lgu": 1. / 3}},
		{"weighted:kt=1e9,lgu=1e9", map[string]float64{"kt": .5, "lgu": .5}},
		{"weighted:kt=0,lgu=0", map[string]float64{"kt": .5, "lgu": .5}},
		{"hash:kt=3,lgu", map[string]float64{"kt": .75, "lgu": .25}},
		{"hash:kt=95,lgu=4,cn=1", map[string]float64{"kt": .95, "lgu": .04, "cn": .01}},
		{"hash:all", map[string]float64{"kt": .25, "lgu": .25, "cn": .25, "us": .25}},
		{"load:kt=3,lgu", map[string]float64{"kt": .75, "lgu": .25}},
		{"round-robin:kt=3,lgu", map[string]float64{"kt": .5, "lgu": .5}}, // in turn, whatever the weight
	} {
		t.Run(tc.tier, func(t *testing.T) {
			c := compile(t, policy(t, example, tc.tier), example)
			near(t, countTurns(c.Live(nil), 0, 100_000), tc.want, 0.006)
		})
	}
}

// One client network has one draw for a period: whatever is asked for, from
// whichever of its addresses, on whichever node, however the sites are listed.
func TestDrawLastsAPeriod(t *testing.T) {
	for _, tier := range []string{"weighted:all", "load:all", "hash:all", "nearest:all"} {
		c := compile(t, policy(t, example, tier), example)
		l, other := c.Live(nil), compile(t, policy(t, example, tier), example).Live(nil)
		differs, n := 0, 0
		for i := range 200 {
			for period := range uint32(20) {
				b := client(i).As4()
				a := l.Choose(0, Ask{Client: client(i), Period: period}, nil)
				b[3] = 200
				for _, same := range []netip.Addr{netip.AddrFrom4(b), netip.AddrFrom16(netip.AddrFrom4(b).As16())} {
					if got := other.Choose(0, Ask{Client: same, Period: period}, nil); got != a {
						t.Fatalf("%s: %v of the same /24 got %+v, not %+v", tier, same, got, a)
					}
				}
				n++
				if a != l.Choose(0, Ask{Client: client(i), Period: period + 1}, nil) {
					differs++
				}
			}
		}
		sticky := tier == "hash:all" || tier == "nearest:all"
		if share := float64(differs) / float64(n); sticky && share > 0 || !sticky && math.Abs(share-.75) > .05 {
			t.Errorf("%s: the next period differs for %.2f of clients", tier, share)
		}
	}
}

func TestDrawIPv6Network(t *testing.T) {
	c := compile(t, policy(t, example, "hash:all"), example)
	l := c.Live(nil)
	choose := func(s string) Choice { return l.Choose(0, Ask{Client: netip.MustParseAddr(s)}, nil) }
	a := choose("2001:db8:1:ff00::1")
	if got := choose("2001:db8:1:ffff:1234::"); got != a || a.Bits != 56 {
		t.Errorf("one /56, but %+v and %+v", a, got)
	}
	differ := false
	for _, s := range []string{"2001:db8:1:fe00::", "2001:db8:1::", "2001:db8:2::", "2001:db9::"} {
		differ = differ || choose(s).Site != a.Site
	}
	if !differ {
		t.Error("other /56 networks all get the same site")
	}
	if got := l.Choose(0, Ask{}, nil); got.Bits != 0 {
		t.Errorf("no client, but %d bits of it consulted", got.Bits)
	}
}

// Policies split their clients independently: the eighth of clients that is
// sent to a small new site for one name is not the same one for every name.
func TestDrawsOfPoliciesAreIndependent(t *testing.T) {
	a, b := policy(t, example, "weighted:kt,us"), policy(t, example, "weighted:kt,us")
	b.Name = "api.abc.com."
	la, lb := compile(t, a, example).Live(nil), compile(t, b, example).Live(nil)
	same := 0
	for i := range 10000 {
		if ask := (Ask{Client: client(i)}); la.Choose(0, ask, nil).Site == lb.Choose(0, ask, nil).Site {
			same++
		}
	}
	if same < 4800 || same > 5200 {
		t.Errorf("%d of 10000 clients get the same site for both names, want about half", same)
	}
}

func TestBits(t *testing.T) {
	for _, tc := range []struct {
		tier   string
		states []string
		want   uint8
	}{
		{"nearest:all", nil, 0},
		{"weighted:all", nil, 0},
		{"load:all", nil, 0},
		{"round-robin:all", nil, 0},
		{"hash:all", nil, 24},
		{"hash:kt=2,lgu=1", nil, 24},
		{"hash:kt,lgu", []string{"kt down"}, 0}, // nothing left to choose by hash
		{"hash:kt", nil, 0},
		{"hash:kt,lgu", []string{"kt up 0.5"}, 24},
		{"nearest:all", []string{"kt up 0.5"}, 0},
	} {
		_, got, _ := decide(t, policy(t, example, tc.tier), example, inKT, states(t, tc.states...), Ask{Client: aClient})
		if got.Bits != tc.want {
			t.Errorf("%s %v: %d bits, want %d", tc.tier, tc.states, got.Bits, tc.want)
		}
	}
	_, got, _ := decide(t, policy(t, example, "nearest:all"), example, nowhere, nil, Ask{Client: aClient})
	if got.Bits != 24 {
		t.Errorf("nearest without a location: %d bits, want 24", got.Bits)
	}
}

func TestRoundRobin(t *testing.T) {
	c := compile(t, policy(t, example, "round-robin:us,kt,cn"), example)
	turns := func(l *Live, turn *atomic.Uint32, n int) (got []string) {
		for range n {
			got = append(got, l.Site(l.Choose(0, Ask{Client: aClient, Turn: turn}, nil).Site).Name)
		}
		return got
	}
	var one, other atomic.Uint32
	if got, want := turns(c.Live(nil), &one, 5), []string{"us", "kt", "cn", "us", "kt"}; !slices.Equal(got, want) {
		t.Errorf("turns %v, want %v", got, want)
	}
	if got := turns(c.Live(nil), &other, 2); !slices.Equal(got, []string{"us", "kt"}) {
		t.Errorf("another counter's turns: %v", got)
	}
	if one.Load() != 5 || other.Load() != 2 {
		t.Errorf("counters at %d and %d, want 5 and 2", one.Load(), other.Load())
	}
	if got := turns(c.Live(nil), nil, 2); !slices.Equal(got, []string{"us", "us"}) {
		t.Errorf("without a counter: %v", got)
	}
	if got := turns(c.Live(states(t, "kt down")), &one, 4); !slices.Equal(got, []string{"cn", "us", "cn", "us"}) {
		t.Errorf("with kt down: %v", got)
	}
	other.Store(math.MaxUint32)
	turns(c.Live(nil), &other, 2) // past the top without a fault
	for _, tier := range []string{"nearest:all", "weighted:all", "hash:all", "load:all"} {
		turns(compile(t, policy(t, example, tier), example).Live(nil), &one, 3)
	}
	if one.Load() != 9 {
		t.Errorf("another pick advanced the counter to %d", one.Load())
	}
}

func TestLoad(t *testing.T) {
	for _, tc := range []struct {
		name     string
		capacity [4]float64    // stated for kt lgu cn us
		report   [4][2]float64 // load, capacity; 0, 0: no report
		want     map[string]float64
	}{
		{"nothing known: even", [4]float64{}, [4][2]float64{}, map[string]float64{"kt": .25, "lgu": .25, "cn": .25, "us": .25}},
		{"stated capacity only", [4]float64{100, 100, 100, 300}, [4][2]float64{}, map[string]float64{"kt": 1. / 6, "lgu": 1. / 6, "cn": 1. / 6, "us": .5}},
		{"spare capacity", [4]float64{}, [4][2]float64{{90, 100}, {60, 100}, {50, 100}, {100, 100}}, map[string]float64{"kt": .1, "lgu": .4, "cn": .5}},
		{"the reported capacity wins", [4]float64{1, 1, 1, 1}, [4][2]float64{{0, 100}, {0, 100}, {0, 200}, {0, 400}}, map[string]float64{"kt": .125, "lgu": .125, "cn": .25, "us": .5}},
		{"no report: as free as the others", [4]float64{0, 0, 0, 200}, [4][2]float64{{50, 100}, {50, 100}, {50, 100}, {}}, map[string]float64{"kt": .2, "lgu": .2, "cn": .2, "us": .4}},
		{"no capacity: as large as the others", [4]float64{}, [4][2]float64{{50, 100}, {50, 100}, {50, 100}, {}}, map[string]float64{"kt": .25, "lgu": .25, "cn": .25, "us": .25}},
		{"all at capacity: by weight", [4]float64{}, [4][2]float64{{100, 100}, {110, 100}, {500, 100}, {100, 100}}, map[string]float64{"kt": .25, "lgu": .25, "cn": .25, "us": .25}},
		{"over capacity is not less than none", [4]float64{}, [4][2]float64{{500, 100}, {100, 100}, {50, 100}, {50, 100}}, map[string]float64{"cn": .5, "us": .5}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sites := slices.Clone(example)
			s := &health.States{Sites: map[string]health.Status{}}
			for i := range sites {
				sites[i].Capacity = tc.capacity[i]
				if r := tc.report[i]; r[1] > 0 {
					loads(s, sites[i].Name, r[0], r[1])
				}
			}
			c := compile(t, policy(t, sites, "load:all"), sites)
			near(t, countTurns(c.Live(s), 0, 100_000), tc.want, 0.006)
		})
	}
}
