package steer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"gslb/geo"
	"gslb/health"
)

// world is a random policy, over random sites in random states.
type world struct {
	r      *rand.Rand
	sites  []Site
	policy *Policy
	states *health.States
}

func newWorld(r *rand.Rand) *world {
	w := &world{r: r, policy: &Policy{Name: fmt.Sprint("w", r.IntN(9))}, states: &health.States{Sites: map[string]health.Status{}}}
	for i := range 1 + r.IntN(7) {
		w.sites = append(w.sites, Site{Name: fmt.Sprint("s", i), HasLocation: r.IntN(4) > 0, Weight: float64(r.IntN(3)),
			Bias: float64(r.IntN(3)-1) * 500, Capacity: float64(r.IntN(3)) * 100, Location: w.location()})
	}
	for range r.IntN(4) {
		rule := Rule{Tiers: w.tiers(1 + r.IntN(3))}
		if r.IntN(2) == 0 {
			rule.Match.Country = []string{"KR"}
		}
		w.policy.Rules = append(w.policy.Rules, rule)
	}
	w.policy.LastResort = w.tiers(r.IntN(2))
	for _, s := range w.sites {
		if r.IntN(5) > 0 {
			w.states.Sites[s.Name] = w.status()
		}
	}
	return w
}

func (w *world) location() geo.Coordinates {
	return geo.Coordinates{Latitude: w.r.Float64()*180 - 90, Longitude: w.r.Float64()*360 - 180}
}

func (w *world) tiers(n int) []Target {
	tiers := make([]Target, n)
	for i := range tiers {
		tiers[i].Pick = Pick(w.r.IntN(len(pickNames)))
		for _, s := range w.r.Perm(len(w.sites))[:1+w.r.IntN(len(w.sites))] {
			tiers[i].Members = append(tiers[i].Members, Member{Site: s, Weight: [...]float64{0, 1, 1, 3, maxWeight, minWeight}[w.r.IntN(6)]})
		}
	}
	return tiers
}

func (w *world) status() health.Status {
	odd := [...]float64{0, 0, 0, 0.3, 0.95, 1, math.NaN(), math.Inf(1), -1, 1e308}
	st := health.Status{State: health.State(w.r.IntN(4)), Shed: odd[w.r.IntN(len(odd))], Load: odd[w.r.IntN(len(odd))], Capacity: odd[w.r.IntN(len(odd))]}
	switch w.r.IntN(6) {
	case 0:
		st.Draining = true
		st.Override = &health.Override{Kind: health.Drain}
	case 1:
		st.State = health.Down
		st.Override = &health.Override{Kind: health.ForceDown}
	}
	return st
}

func (w *world) place() geo.Place {
	return geo.Place{Country: [...]string{"", "KR", "JP"}[w.r.IntN(3)], HasLocation: w.r.IntN(3) > 0, Location: w.location()}
}

// inService tells whether some tier of the plan, the members of weight 0 too,
// has a site that is in service.
func (w *world) inService(tiers []Tier) bool {
	for _, tier := range tiers {
		for _, m := range tier.Members {
			if w.states.Site(w.sites[m.Site].Name).InService() {
				return true
			}
		}
	}
	return false
}

func member(tiers []Tier, c Choice) *Member {
	if int(c.Tier) < len(tiers) {
		for i, m := range tiers[c.Tier].Members {
			if m.Site == int(c.Site) {
				return &tiers[c.Tier].Members[i]
			}
		}
	}
	return nil
}

// Whatever the policy and the states: the choice is a member of the tier it
// names; while a member of the rule's tiers is in service, the one given is too; it
// fails open or to the last resort only when none is; with and without a trace it is
// the same; and all clients of a cohort have one width of the address consulted.
func TestChoiceProperties(t *testing.T) {
	for seed := range uint64(800) {
		w := newWorld(rand.New(rand.NewPCG(seed, 1)))
		c := compile(t, w.policy, w.sites)
		places, cohorts := make([]geo.Place, 4), make([]uint32, 4)
		for i := range places {
			places[i] = w.place()
			cohorts[i] = c.Classify(places[i], netip.Prefix{}, nil)
		}
		l := c.Live(w.states)
		for i, cohort := range cohorts {
			bits := l.Choose(cohort, Ask{Client: client(0)}, nil).Bits
			for j := range 8 {
				var one, two atomic.Uint32
				one.Store(uint32(j))
				two.Store(uint32(j))
				var tr Trace
				c.Explain(places[i], netip.Prefix{}, &tr)
				a := Ask{Client: client(w.r.IntN(1 << 20)), Period: w.r.Uint32(), Turn: &one}
				b := a
				b.Turn = &two
				got, traced := l.Choose(cohort, a, nil), l.Choose(cohort, b, &tr)
				if err := w.check(c.Plan(cohort), got); err != nil || got != traced {
					t.Fatalf("seed %d: %v; choice %+v, with a trace %+v\n%s", seed, err, got, traced, &tr)
				}
				if got.Bits != bits { // the scopes of neighbours would overlap
					t.Fatalf("seed %d: %d bits for one client of the cohort, %d for another", seed, got.Bits, bits)
				}
				if err := checkShares(&tr); err != nil {
					t.Fatalf("seed %d: %v\n%s", seed, err, &tr)
				}
			}
		}
	}
}

func (w *world) check(p *Plan, got Choice) error {
	tiers := p.Tiers
	if got.LastResort {
		tiers = p.LastResort
	}
	m := member(tiers, got)
	if m == nil {
		return fmt.Errorf("the choice is not a member of its tier")
	}
	in, st := w.inService(p.Tiers), w.states.Site(w.sites[got.Site].Name)
	switch {
	case in && !st.InService():
		return fmt.Errorf("%s is not in service, though a member is", st.Site)
	case in && (got.FailOpen || got.LastResort):
		return fmt.Errorf("given up, though a member is in service")
	case !in && !got.FailOpen && !got.LastResort:
		return fmt.Errorf("no member is in service, but it is not said so")
	case got.LastResort && !st.InService():
		return fmt.Errorf("a last resort that is not in service")
	case got.LastResort != (!in && w.inService(p.LastResort)):
		return fmt.Errorf("last resort is %v", got.LastResort)
	case got.FailOpen && got.LastResort, got.FailOpen && got.Shed, got.LastResort && got.Shed:
		return fmt.Errorf("flags that exclude each other")
	}
	return nil
}

// checkShares: the shares that the trace tells add up to 1, and the chosen has one.
func checkShares(tr *Trace) error {
	sum := 0.0
	for _, tier := range tr.Tiers {
		for _, m := range tier.Members {
			sum += m.Share
			if m.Share < 0 || math.IsNaN(m.Share) || m.Verdict == "" {
				return fmt.Errorf("%s has share %g, verdict %q", m.Site, m.Share, m.Verdict)
			}
		}
	}
	if math.Abs(sum-1) > 1e-6 {
		return fmt.Errorf("shares add up to %g", sum)
	}
	return nil
}

func TestChooseAllocatesNothing(t *testing.T) {
	for _, tc := range chooseCases {
		c := compile(t, policy(t, example, tc.tiers...), example)
		cohort := c.Classify(inKT, netip.Prefix{}, nil)
		l := c.Live(states(t, tc.states...))
		var turn atomic.Uint32
		for _, ask := range []Ask{{Client: aClient, Turn: &turn}, {Client: netip.MustParseAddr("2001:db8::1")}, {}} {
			if n := testing.AllocsPerRun(100, func() { l.Choose(cohort, ask, nil) }); n != 0 {
				t.Errorf("%s: allocates %v times", tc.name, n)
			}
		}
	}
}

func TestClassifyAllocatesOnlyForNewPlans(t *testing.T) {
	c := compile(t, rules(t, example), example)
	c.Classify(inTokyo, netip.Prefix{}, nil)
	if n := testing.AllocsPerRun(100, func() { c.Classify(inTokyo, netip.Prefix{}, nil) }); n != 0 {
		t.Errorf("allocates %v times", n)
	}
}

// Choose, traces and new Lives may run at once.
func TestConcurrentUse(t *testing.T) {
	c := compile(t, parsePolicy(t, "nearest:all / hash:all | round-robin:us,cn"), example)
	cohort := c.Classify(inKT, netip.Prefix{}, nil)
	var live atomic.Pointer[Live]
	live.Store(c.Live(nil))
	var turn atomic.Uint32
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				switch {
				case g == 0:
					live.Store(c.Live(states(t, fmt.Sprintf("kt up %g", float64(i)/200))))
				case g == 1:
					var tr Trace
					if got, ok := c.Explain(inKT, netip.Prefix{}, &tr); !ok || got != cohort {
						t.Errorf("Explain gives %d, %v", got, ok)
					}
					live.Load().Choose(cohort, Ask{Client: client(i)}, &tr)
				default:
					live.Load().Choose(cohort, Ask{Client: client(i), Turn: &turn}, nil)
				}
			}
		})
	}
	wg.Wait()
}
