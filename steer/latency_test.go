package steer

import (
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gslb/geo"
	"gslb/health"
)

var measuredAt = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// times is what a vantage point has measured, in the order kt, lgu, cn, us; negative: not.
func times(vantage string, at *geo.Coordinates, ms ...float64) health.Times {
	t := health.Times{Vantage: vantage, At: measuredAt, RTT: map[string]float64{}}
	if at != nil {
		t.Location = &[2]float64{at.Latitude, at.Longitude}
	}
	for i, x := range ms {
		if x >= 0 {
			t.RTT[example[i].Name] = x
		}
	}
	return t
}

// The order of a tier by latency, for each kind of what has been measured.
func TestLatency(t *testing.T) {
	berlin := geo.Coordinates{Latitude: 52.52, Longitude: 13.40}
	for _, tc := range []struct {
		what  string
		place geo.Place
		times []health.Times
		down  []string
		want  string
		why   string // in the sentence
	}{
		{"nothing measured: as nearest", inKT, nil, nil, "kt lgu cn us", "nearest, at"},
		{"the least time", inKT, []health.Times{times("ns1", &seoul, 30, 5, 60, 200)}, nil, "lgu kt cn us", "the least time, 5 ms from ns1"},
		{"a farther site that is faster", inKT, []health.Times{times("ns1", &seoul, 250, 240, 60, 200)}, nil, "cn us kt lgu", ""},
		{"alike: the nearer one", inKT, []health.Times{times("ns1", &seoul, 6.5, 5, 60, 200)}, nil, "kt lgu cn us", "the nearest of the 2 whose times are alike, 6.5 ms from ns1, of the 4 in service"},
		{"alike, but down", inKT, []health.Times{times("ns1", &seoul, 6.5, 5, 60, 200)}, []string{"lgu down"}, "kt cn us", "the least time, 6.5 ms from ns1"},
		{"alike by share", inKT, []health.Times{times("ns1", &seoul, 109, 100, 111, 200)}, nil, "kt lgu cn us", "the nearest of the 2 whose times are alike, 109 ms"},
		{"the first is down", inKT, []health.Times{times("ns1", &seoul, 30, 5, 60, 200)}, []string{"lgu down"}, "kt cn us", "the least time, 30 ms"},
		{"one not measured: last", inKT, []health.Times{times("ns1", &seoul, -1, 5, 60, 200)}, nil, "lgu cn us kt", ""},
		{"only one that is not measured is up", inKT, []health.Times{times("ns1", &seoul, -1, 5, 60, 200)}, []string{"lgu down", "cn down", "us down"}, "kt", "the only one"},
		{"one measured is not enough", inKT, []health.Times{times("ns1", &seoul, -1, -1, -1, 1)}, nil, "kt lgu cn us", "nearest, at"},
		{"the nearest vantage point", inKT, []health.Times{times("far", &beijing, 50, 60, 1, 200), times("ns1", &anyang, 9, 3, 40, 200)}, nil, "lgu kt cn us", "3 ms from ns1"},
		{"the next one, if the nearest has measured too little", inKT, []health.Times{times("beijing", &beijing, 50, 40, 1, 200), times("ns1", &anyang, 9, -1, -1, -1)}, nil, "cn lgu kt us", "from beijing"},
		{"one that is nowhere stands for nobody", inKT, []health.Times{times("ns1", nil, 30, 5, 60, 200)}, nil, "kt lgu cn us", "nearest, at"},
		{"one that is far stands for nobody", inKT, []health.Times{times("us", &ashburn, 200, 190, 60, 1)}, nil, "kt lgu cn us", "nearest, at"},
		{"nor for clients who have a nearer site", inTokyo, []health.Times{times("us", &ashburn, 200, 190, 60, 1)}, nil, "kt lgu cn us", ""},
		{"but it does where no site is nearer", inLondon, []health.Times{times("berlin", &berlin, 300, 200, 100, 90)}, nil, "us cn lgu kt", "from berlin"},
		{"a client of whom nothing is known", nowhere, []health.Times{times("ns1", &seoul, 30, 5, 60, 200)}, nil, "", "by hash"},
	} {
		p := policy(t, example, "latency:all")
		c := compile(t, p, example)
		cohort := c.Classify(tc.place, netip.Prefix{}, nil)
		s := states(t, tc.down...)
		s.Times = tc.times
		var tr Trace
		again, ok := c.Explain(tc.place, netip.Prefix{}, &tr)
		if !ok || again != cohort {
			t.Errorf("%s: cohort %d, then %d", tc.what, cohort, again)
		}
		l := c.Live(s)
		got := l.Choose(cohort, Ask{Client: aClient}, nil)
		if traced := l.Choose(cohort, Ask{Client: aClient}, &tr); traced != got || !strings.Contains(tr.Sentence, tc.why) {
			t.Errorf("%s: traced %v, not traced %v: %s", tc.what, traced, got, tr.Sentence)
		}
		if tc.want == "" {
			continue
		}
		// All that can be given, in order, as the name with several answers has it.
		p.Answers = 4
		several := compile(t, p, example)
		cohort = several.Classify(tc.place, netip.Prefix{}, nil)
		l = several.Live(s)
		all := l.Choose(cohort, Ask{Client: aClient}, nil)
		if names(l, all) != tc.want || all.Site != got.Site {
			t.Errorf("%s: %s, want %s; alone %d", tc.what, names(l, all), tc.want, got.Site)
		}
	}
}

// What explain shows: whose times, since when, and each member's.
func TestLatencyTrace(t *testing.T) {
	c := compile(t, policy(t, example, "latency:all"), example)
	s := states(t, "us down")
	s.Times = []health.Times{times("ns1.seoul", &anyang, 30, 5, -1, 200)}
	var tr Trace
	cohort := c.Classify(inKT, netip.Prefix{}, &tr)
	c.Live(s).Choose(cohort, Ask{Client: aClient}, &tr)
	got := tr.String()
	for _, want := range []string{"(times measured by ns1.seoul, about 42 km from the client, since 2026-03-01T09:00:00Z)", "=> lgu", "MS", "  5  ", "slower", "not measured", "choice  lgu"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
	if m := tr.Tiers[0].Members; m[3].Site != "cn" || m[3].RTT != nil || m[0].RTT == nil || *m[0].RTT != 5 || m[0].Distance == nil {
		t.Errorf("%+v", m)
	}
}

// A site that is as quick as the one that was chosen, and farther, is not called slower.
func TestLatencyTraceAlike(t *testing.T) {
	c := compile(t, policy(t, example, "latency:all"), example)
	s := states(t)
	s.Times = []health.Times{times("ns1", &anyang, 6.5, 5, 60, 61)}
	var tr Trace
	cohort := c.Classify(inKT, netip.Prefix{}, &tr)
	c.Live(s).Choose(cohort, Ask{Client: aClient}, &tr)
	var got []string
	for _, m := range tr.Tiers[0].Members {
		got = append(got, m.Site+" "+m.Verdict)
	}
	if want := "kt chosen, lgu as quick, but farther, cn slower, us slower"; strings.Join(got, ", ") != want {
		t.Errorf("%s, want %s", strings.Join(got, ", "), want)
	}
}

// Two nodes that have the same times decide alike, whatever they knew before and in whatever
// order they met clients; and vantage points that come and go change no cohort.
func TestLatencyIsAFunctionOfTheTimes(t *testing.T) {
	sites := worldSites(12)
	p := policy(t, sites, "latency:all")
	a, b := compile(t, p, sites), compile(t, p, sites)
	places := worldPlaces(300)
	for _, at := range places {
		a.Classify(at, netip.Prefix{}, nil)
	}
	for _, at := range slices.Backward(places) {
		b.Classify(at, netip.Prefix{}, nil)
	}
	rtt := func(k int) map[string]float64 {
		out := map[string]float64{}
		for i := range sites {
			out[sites[i].Name] = math.Mod(float64(i*37+k*11), 100)
		}
		return out
	}
	var all []health.Times
	for i := range 4 {
		l := sites[3*i].Location
		all = append(all, health.Times{Vantage: sites[3*i].Name, Location: &[2]float64{l.Latitude, l.Longitude}, RTT: rtt(i)})
	}
	cohorts := a.Cohorts()
	before := a.Live(&health.States{Revision: 1})
	moved := 0
	for _, seen := range [][]health.Times{all, all[:2], nil, all} {
		s := &health.States{Revision: 2, Times: seen}
		one, other := a.Live(s), b.Live(&health.States{Revision: 2, Times: slices.Clone(seen)})
		for _, at := range places {
			x := one.Choose(a.Classify(at, netip.Prefix{}, nil), Ask{Client: aClient}, nil)
			y := other.Choose(b.Classify(at, netip.Prefix{}, nil), Ask{Client: aClient}, nil)
			if x.Site != y.Site {
				t.Fatalf("%v: site %d, and %d", at.Location, x.Site, y.Site)
			}
			if z := before.Choose(a.Classify(at, netip.Prefix{}, nil), Ask{Client: aClient}, nil); z.Site != x.Site {
				moved++
			}
		}
	}
	if a.Cohorts() != cohorts || cohorts > 300 || moved == 0 {
		t.Errorf("%d cohorts, then %d; %d moved", cohorts, a.Cohorts(), moved)
	}
}

// What only some times touch comes to the same as when all is made anew, times that are shown included.
func TestLatencyOfSomeTimes(t *testing.T) {
	t.Parallel()
	const count = 12
	sites := worldSites(count)
	rng := rand.New(rand.NewPCG(7, 7))
	pol := policy(t, sites, "latency:all")
	c := compile(t, pol, sites)
	for _, at := range worldPlaces(300) {
		c.Classify(at, netip.Prefix{}, nil)
	}
	var seen []health.Times
	for i := range 6 {
		l := sites[2*i].Location
		rtt := map[string]float64{}
		for j := range sites {
			rtt[sites[j].Name] = float64(rng.IntN(300))
		}
		seen = append(seen, health.Times{Vantage: sites[2*i].Name, Location: &[2]float64{l.Latitude, l.Longitude}, RTT: rtt})
	}
	kept, made := 0, 0
	var before []*Plan
	for round := range 60 {
		seen = slices.Clone(seen)
		v := &seen[rng.IntN(len(seen))]
		v.At, v.RTT = v.At.Add(time.Second), maps.Clone(v.RTT)
		switch site := sites[rng.IntN(count)].Name; {
		case round%7 == 6: // it is written anew, and says the same
		case v.RTT[site] == 0:
			v.RTT[site] = float64(1 + rng.IntN(300))
		case rng.IntN(4) == 0:
			delete(v.RTT, site)
		default:
			v.RTT[site] = float64(1 + rng.IntN(300))
		}
		s := &health.States{Times: seen}
		got := c.Live(s).plans
		m := newMeasured(seen, sites)
		for i, p := range c.plans {
			want := m.plan(p)
			if !reflect.DeepEqual(got[i], want) {
				t.Fatalf("round %d, plan %d: %+v, want %+v", round, i, got[i], want)
			}
			if before != nil && got[i] == before[i] {
				kept++
			} else {
				made++
			}
		}
		before = got
	}
	if kept < made {
		t.Errorf("%d plans were kept, %d made anew: most are not touched", kept, made)
	}
}

// The order is made anew when the times change, not when a site's state does.
func TestLatencyOrderIsKept(t *testing.T) {
	c := compile(t, policy(t, example, "latency:all"), example)
	c.Classify(inKT, netip.Prefix{}, nil)
	s := states(t)
	s.Times = []health.Times{times("ns1", &seoul, 30, 5, 60, 200)}
	first := c.Live(s).plans
	next := states(t, "lgu down")
	next.Times = s.Times
	if again := c.Live(next).plans; &again[0] != &first[0] {
		t.Error("made anew though the times are the same")
	}
	next.Times = []health.Times{times("ns1", &seoul, 5, 30, 60, 200)}
	if again := c.Live(next).plans; &again[0] == &first[0] {
		t.Error("the times have changed")
	}
}

// BenchmarkLatencyLive is what a change of the times costs, with a cohort for each of many places,
// and then a change of a site's state; nearest is the same without times.
func BenchmarkLatencyLive(b *testing.B) {
	sites := worldSites(50)
	rtt := map[string]float64{}
	for i := range sites {
		rtt[sites[i].Name] = float64(i)
	}
	var other, one [2]map[string]float64
	for k := range other {
		other[k], one[k] = map[string]float64{}, maps.Clone(rtt)
		for site, ms := range rtt {
			other[k][site] = ms + float64(10*k)
		}
		one[k][sites[7].Name] += float64(20 * k)
	}
	var all []health.Times
	for i := range sites {
		l := sites[i].Location
		all = append(all, health.Times{Vantage: sites[i].Name, Location: &[2]float64{l.Latitude, l.Longitude}, RTT: rtt})
	}
	for _, name := range []string{"nearest", "times", "a time", "states"} {
		b.Run(name, func(b *testing.B) {
			tier := "latency:all"
			if name == "nearest" {
				tier = "nearest:all"
			}
			c := compile(b, policy(b, sites, tier), sites)
			for _, at := range worldPlaces(20000) {
				c.Classify(at, netip.Prefix{}, nil)
			}
			for n := 0; b.Loop(); n++ {
				times := all
				switch name {
				case "times": // all of them, of all vantage points
					times = slices.Clone(all)
					for i := range times {
						times[i].RTT = other[n%2]
					}
				case "a time": // of one vantage point to one site
					times = slices.Clone(all)
					times[n%len(times)].RTT = one[n/len(times)%2]
				}
				c.Live(&health.States{Times: times})
			}
			b.ReportMetric(float64(c.Cohorts()), "cohorts")
		})
	}
}
