package steer

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"

	"gslb/geo"
	"gslb/health"
)

func worldSites(n int) []Site {
	r := rand.New(rand.NewPCG(1, 2))
	sites := make([]Site, n)
	for i := range sites {
		sites[i] = site(fmt.Sprintf("site%d", i), geo.Coordinates{Latitude: r.Float64()*140 - 60, Longitude: r.Float64()*360 - 180})
		sites[i].Weight = float64(1 + i%4)
	}
	return sites
}

func worldPlaces(n int) []geo.Place {
	r := rand.New(rand.NewPCG(3, 4))
	places := make([]geo.Place, n)
	for i := range places {
		places[i] = geo.Place{Country: "KR", ISP: "LG Uplus", HasLocation: true,
			Location: geo.Coordinates{Latitude: r.Float64()*140 - 60, Longitude: r.Float64()*360 - 180}}
	}
	return places
}

// chooseCases is one of each kind of stage.
var chooseCases = []struct {
	name   string
	tiers  []string
	states []string
}{
	{"fixed", []string{"nearest:all"}, nil},
	{"nearest-shed", []string{"nearest:all"}, []string{"kt up 0.5", "lgu up 0.2"}},
	{"weighted", []string{"weighted:all"}, nil},
	{"weighted-shed-spill", []string{"weighted:kt,lgu", "hash:cn,us"}, []string{"kt up 0.5", "lgu up 0.5"}},
	{"load", []string{"load:all"}, nil},
	{"round-robin", []string{"round-robin:all"}, nil},
	{"round-robin-shed", []string{"round-robin:all"}, []string{"kt up 0.5"}},
	{"hash", []string{"hash:all"}, nil},
	{"hash-by-weight", []string{"hash:kt=1,lgu=2,cn=3,us=4"}, nil},
	{"fail-open", []string{"kt", "us"}, []string{"kt down", "us down"}},
}

func BenchmarkChoose(b *testing.B) {
	for _, tc := range chooseCases {
		b.Run(tc.name, func(b *testing.B) {
			c := compile(b, policy(b, example, tc.tiers...), example)
			cohort := c.Classify(inKT, netip.Prefix{}, nil)
			benchmarkChoose(b, c.Live(states(b, tc.states...)), cohort)
		})
	}
	for _, tier := range []string{"hash:all", "weighted:all"} {
		b.Run("20-sites/"+tier, func(b *testing.B) {
			sites := worldSites(20)
			c := compile(b, policy(b, sites, tier), sites)
			benchmarkChoose(b, c.Live(nil), c.Classify(inKT, netip.Prefix{}, nil))
		})
	}
}

func benchmarkChoose(b *testing.B, l *Live, cohort uint32) {
	var turn atomic.Uint32
	ask := Ask{Turn: &turn}
	var sum int32
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ask.Client = client(i)
		sum += l.Choose(cohort, ask, nil).Site
	}
	_ = sum
}

func BenchmarkClassify(b *testing.B) {
	sites := worldSites(20)
	c := compile(b, &Policy{Name: "w", Rules: []Rule{
		{Match: Match{ISP: []string{"KT", "Korea Telecom"}}, Tiers: targets(b, sites, "site1")},
		{Match: Match{Country: []string{"CN", "HK"}}, Tiers: targets(b, sites, "site2", "nearest:all")},
	}}, sites)
	places := worldPlaces(20000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Classify(places[i%len(places)], netip.Prefix{}, nil)
	}
	b.ReportMetric(float64(c.Cohorts()), "cohorts")
}

func BenchmarkLive(b *testing.B) {
	for _, shed := range []float64{0, 0.3} {
		for _, tier := range []string{"nearest:all", "weighted:all", "hash:all"} {
			b.Run(fmt.Sprintf("5000x20/%s/shed=%g", tier, shed), func(b *testing.B) {
				sites := worldSites(20)
				// A nearest second tier makes the plans many.
				c := compile(b, policy(b, sites, tier, "nearest:all"), sites)
				for _, p := range worldPlaces(200000) {
					if c.Cohorts() < 5000 {
						c.Classify(p, netip.Prefix{}, nil)
					}
				}
				s := &health.States{Sites: map[string]health.Status{}}
				for i := range 4 {
					s.Sites[sites[i].Name] = health.Status{State: health.Down}
					s.Sites[sites[i+4].Name] = health.Status{State: health.Up, Shed: shed}
				}
				b.ReportAllocs()
				for b.Loop() {
					c.Live(s)
				}
			})
		}
	}
}
