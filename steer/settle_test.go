package steer

import (
	"net/netip"
	"testing"

	"gslb/geo"
)

// What Classify keeps of the clients that it has met changes nothing in what it says.
func TestClassifyAfterSettle(t *testing.T) {
	sites := worldSites(12)
	p := &Policy{Name: "w", Rules: []Rule{
		{Match: Match{ISP: []string{"KT"}}, Tiers: targets(t, sites, "site1", "nearest:all")},
		{Match: Match{Country: []string{"CN"}}, Tiers: targets(t, sites, "nearest:all")},
	}}
	kept, settled := compile(t, p, sites), compile(t, p, sites)
	settled.Settle()
	for i, place := range append(worldPlaces(2000), worldPlaces(2000)...) {
		switch i % 5 {
		case 1:
			place.ISP = "KT"
		case 2:
			place.Country = "CN"
		case 3:
			place.HasLocation, place.Location = false, geo.Coordinates{}
		}
		if got, want := kept.Classify(place, netip.Prefix{}, nil), settled.Classify(place, netip.Prefix{}, nil); got != want {
			t.Fatalf("%+v: cohort %d, want %d", place, got, want)
		}
	}
	if kept.Cohorts() < 100 || kept.Cohorts() != settled.Cohorts() {
		t.Errorf("%d cohorts, want %d and many", kept.Cohorts(), settled.Cohorts())
	}
}
