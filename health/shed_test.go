package health

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// plant is a site under a demand, as the controller meets it: resolvers give an
// answer for a TTL before they ask again, and connections live for a while.
type plant struct {
	demand func(t int) float64 // load at second t if nothing were shed, as a share of capacity
	ttl    int                 // seconds
	life   float64             // mean life of a connection in seconds; 0: gone at once
	noise  float64             // relative standard deviation of each measurement
	nodes  int                 // balancers that share the site
	every  int                 // seconds between the reports of one balancer
}

// run drives Evaluate for seconds and returns load (true, relative to capacity) and shed at each.
func (p plant) run(seconds int, seed uint64) (load, shed []float64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	nodes, every := max(p.nodes, 1), max(p.every, 1)
	reports := make([]Report, nodes)
	var prev *States
	given := make([]float64, p.ttl) // the share given to the site, for the last ttl seconds
	for i := range given {
		given[i] = 1
	}
	current := p.demand(0)
	for t := range seconds {
		kept := 0.0
		for _, g := range given {
			kept += g / float64(len(given))
		}
		if want := p.demand(t) * kept; p.life > 1 {
			current += (want - current) / p.life
		} else {
			current = want
		}
		for n := range reports {
			if (t+n)%every != 0 && t > 0 {
				continue
			}
			reports[n] = Report{
				Site: "kt", Node: fmt.Sprint("b", n), Healthy: 2, Total: 2, Capacity: 1000,
				Load: max(0, 1000*current*(1+p.noise*rng.NormFloat64())),
				// Each balancer's clock is off by its own amount.
				At: start.Add(time.Duration(t)*time.Second + time.Duration(n)*time.Hour),
			}
		}
		prev = Evaluate(Input{Sites: []string{"kt"}, Reports: reports, Prev: prev, Now: start.Add(time.Duration(t) * time.Second)})
		given[t%len(given)] = 1 - prev.Sites["kt"].Shed
		load = append(load, current)
		shed = append(shed, prev.Sites["kt"].Shed)
	}
	return load, shed
}

func constant(d float64) func(int) float64 { return func(int) float64 { return d } }

func bounds(x []float64) (low, high, mean float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range x {
		low, high = min(low, v), max(high, v)
		mean += v / float64(len(x))
	}
	return low, high, mean
}

// steady is what the controller must do with a constant demand.
func TestShedSettles(t *testing.T) {
	// The last quarter must lie within [low, high], which holds the target.
	tests := []struct {
		plant
		name      string
		under     int // second after which the site is never above its capacity again
		low, high float64
		least     float64 // the load never undershoots this
	}{
		{plant{ttl: 30, demand: constant(1.1)}, "a tenth too much", 100, 0.88, 0.92, 0.85},
		{plant{ttl: 30, demand: constant(1.5)}, "half too much", 150, 0.88, 0.92, 0.85},
		{plant{ttl: 30, demand: constant(3)}, "three times", 240, 0.88, 0.92, 0.85},
		{plant{ttl: 30, demand: constant(10)}, "ten times", 300, 0.87, 0.93, 0.80},
		{plant{ttl: 30, demand: constant(1.5), noise: 0.05}, "noisy", 200, 0.86, 0.94, 0.80},
		{plant{ttl: 30, demand: constant(1.5), nodes: 3}, "three balancers", 150, 0.88, 0.92, 0.85},
		{plant{ttl: 30, demand: constant(1.5), every: 5}, "a report each 5 s", 200, 0.87, 0.93, 0.80},
		{plant{ttl: 30, demand: constant(1.5), life: 10}, "connections of 10 s", 150, 0.87, 0.93, 0.80},
		{plant{ttl: 30, demand: constant(1.5), life: 60}, "connections of a minute", 200, 0.85, 0.95, 0.75},
		{plant{ttl: 30, demand: constant(1.5), life: 600}, "connections of ten minutes", 1700, 0.80, 1.00, 0.55},
		{plant{ttl: 5, demand: constant(1.5)}, "short TTL", 150, 0.88, 0.92, 0.85},
		{plant{ttl: 120, demand: constant(1.5)}, "four times the TTL it was made for", 300, 0.85, 0.95, 0.70},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			load, shed := test.run(3600, 1)
			for i, l := range load {
				if i > test.under && l > 1 {
					t.Errorf("load %.3f at second %d, want at most 1 after second %d", l, i, test.under)
					break
				}
			}
			if least, _, _ := bounds(load); least < test.least {
				t.Errorf("load undershoots to %.3f, want at least %.2f", least, test.least)
			}
			if low, high, _ := bounds(load[2700:]); low < test.low || high > test.high {
				t.Errorf("load of the last quarter is %.3f to %.3f, want %.2f to %.2f", low, high, test.low, test.high)
			}
			if way := travel(shed[2700:]); way > 0.5 {
				t.Errorf("shed went up and down by %.2f in 15 minutes", way)
			}
		})
	}
}

// travel is how far x goes up and down in all.
func travel(x []float64) (way float64) {
	for i := 1; i < len(x); i++ {
		way += math.Abs(x[i] - x[i-1])
	}
	return way
}

// TestShedSteps: never faster than the limits, never beyond the bounds.
func TestShedSteps(t *testing.T) {
	p := plant{ttl: 30, noise: 0.2, demand: func(t int) float64 { return []float64{0.1, 20, 0, 1.2}[t/300%4] }}
	_, shed := p.run(3600, 7)
	for i := 1; i < len(shed); i++ {
		if d := shed[i] - shed[i-1]; d > shedRise+1e-9 || d < -shedFall-1e-9 || shed[i] < 0 || shed[i] > shedMax {
			t.Fatalf("second %d: from %.4f to %.4f", i, shed[i-1], shed[i])
		}
	}
}

// TestShedReleases: when the load goes away, shed falls steadily to exactly 0.
func TestShedReleases(t *testing.T) {
	for _, rest := range []float64{0, 0.2, 0.6, 0.8} {
		p := plant{ttl: 30, demand: func(t int) float64 {
			if t < 1200 {
				return 2
			}
			return rest
		}}
		_, shed := p.run(2400, 1)
		if shed[1199] < 0.5 {
			t.Fatalf("shed is %.2f under twice the capacity", shed[1199])
		}
		zero := -1
		for i := 1240; i < len(shed); i++ {
			if shed[i] > shed[i-1] {
				t.Errorf("rest %.1f: shed rises from %.4f to %.4f at second %d", rest, shed[i-1], shed[i], i)
				break
			}
			if zero < 0 && shed[i] == 0 {
				zero = i - 1200
			}
		}
		if zero < 100 || zero > 900 {
			t.Errorf("rest %.1f: shed is 0 after %d s, want 100 to 900: users come back slowly, but they do", rest, zero)
		}
	}
}

// TestShedHysteresis: a load about the target, as high as 0.94, sheds nobody, since
// shedding begins only above 0.95.
func TestShedHysteresis(t *testing.T) {
	p := plant{ttl: 30, demand: func(t int) float64 { return 0.90 + 0.04*math.Sin(float64(t)/40) }}
	_, shed := p.run(3600, 1)
	if _, most, _ := bounds(shed); most != 0 {
		t.Errorf("shed up to %.3f, want 0", most)
	}
}

// site makes a Status as the table at steerShed needs it.
func site(shed, utilization float64, state State, draining bool, rs ...Report) Status {
	st := Status{Site: "kt", State: state, Draining: draining, Shed: shed, Utilization: utilization, Reports: rs}
	st.Load, st.Capacity = (&evidence{reports: rs}).load(0)
	return st
}

// TestSteerShed has the rows of the table at steerShed, in its order.
func TestSteerShed(t *testing.T) {
	at := func(second int, load, capacity float64) Report {
		return Report{Node: "b", Healthy: 1, Total: 1, Load: load, Capacity: capacity, At: noon.Add(time.Duration(second) * time.Second)}
	}
	old := at(0, 100, 100)
	const (
		kept = iota
		raised
		lowered
		zero
	)
	tests := []struct {
		name string
		prev Status
		now  Status
		want int
	}{
		{"down", site(0.3, 2, Up, false, old), site(0, 0, Down, false, at(1, 0, 100)), kept},
		{"draining", site(0.3, 2, Up, false, old), site(0, 0, Up, true, at(1, 0, 100)), kept},
		{"no report", site(0.3, 2, Up, false, old), site(0, 0, Up, false), kept},
		{"no capacity", site(0.3, 2, Up, false, old), site(0, 0, Up, false, at(1, 100, 0)), zero},
		{"the same report", site(0.3, 2, Up, false, old), site(0, 0, Up, false, old), kept},
		{"the same time, other numbers", site(0.3, 2, Up, false, old), site(0, 0, Up, false, at(0, 900, 100)), kept},
		{"an older report", site(0.3, 2, Up, false, old), site(0, 0, Up, false, at(-5, 900, 100)), kept},
		{"another balancer's first report", site(0.3, 2, Up, false, Report{Node: "a", Total: 1, Capacity: 100}), site(0, 0, Up, false, at(1, 900, 100)), kept},
		{"first report after a silence", site(0.3, 2, Up, false), site(0, 0, Up, false, at(1, 900, 100)), kept},
		{"not shedding, idle", site(0, 0.1, Up, false, old), site(0, 0, Up, false, at(1, 10, 100)), zero},
		{"not shedding, at the target", site(0, 0.9, Up, false, old), site(0, 0, Up, false, at(1, 90, 100)), zero},
		{"not shedding, below the start", site(0, 0.94, Up, false, old), site(0, 0, Up, false, at(1, 94, 100)), zero},
		{"not shedding, above the start", site(0, 0.96, Up, false, old), site(0, 0, Up, false, at(1, 96, 100)), raised},
		{"shedding, above the band", site(0.3, 0.93, Up, false, old), site(0, 0, Up, false, at(1, 93, 100)), raised},
		{"shedding, degraded", site(0.3, 0.93, Up, false, old), site(0, 0, Degraded, false, at(1, 93, 100)), raised},
		{"shedding, unknown", site(0.3, 0.93, Up, false, old), site(0, 0, Unknown, false, at(1, 93, 100)), raised},
		{"above, but falling fast already", site(0.3, 1.5, Up, false, old), site(0, 0, Up, false, at(1, 50, 100)), kept},
		{"shedding, within the band", site(0.3, 0.9, Up, false, old), site(0, 0, Up, false, at(1, 91, 100)), kept},
		{"shedding, below the band", site(0.3, 0.87, Up, false, old), site(0, 0, Up, false, at(1, 87, 100)), lowered},
		{"below, but rising fast already", site(0.3, 0.5, Up, false, old), site(0, 0, Up, false, at(1, 200, 100)), kept},
		{"shedding, idle", site(0.3, 0.1, Up, false, old), site(0, 0, Up, false, at(1, 0, 100)), lowered},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u, got := steerShed(test.prev, test.now)
			before := test.prev.Shed
			ok := map[int]bool{kept: got == before, raised: got > before, lowered: got < before, zero: got == 0}[test.want]
			if !ok {
				t.Errorf("shed goes from %v to %v at utilization %v", before, got, u)
			}
			if math.Abs(got-before) > shedRise && test.want != zero {
				t.Errorf("a step of %v in a second", got-before)
			}
		})
	}
}

// TestTelemetryTime: clocks that disagree, jump or stand still.
func TestTelemetryTime(t *testing.T) {
	r := func(node string, second float64) Report {
		return Report{Node: node, At: noon.Add(time.Duration(second * float64(time.Second)))}
	}
	tests := []struct {
		name        string
		before, now []Report
		want        time.Duration
	}{
		{"one", []Report{r("a", 0)}, []Report{r("a", 1.5)}, 1500 * time.Millisecond},
		{"one of two", []Report{r("a", 0), r("b", 3600)}, []Report{r("a", 1), r("b", 3600)}, 500 * time.Millisecond},
		{"one came", []Report{r("a", 0)}, []Report{r("a", 1), r("b", 50)}, time.Second},
		{"one went", []Report{r("a", 0), r("b", 0)}, []Report{r("a", 1)}, time.Second},
		{"the same", []Report{r("a", 0)}, []Report{r("a", 0)}, 0},
		{"back", []Report{r("a", 9)}, []Report{r("a", 0)}, 0},
		{"a jump", []Report{r("a", 0)}, []Report{r("a", 1e6)}, shedStep},
		{"strangers", []Report{r("a", 0)}, []Report{r("b", 1)}, 0},
		{"none", nil, nil, 0},
	}
	for _, test := range tests {
		if got := telemetryTime(test.before, test.now); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
