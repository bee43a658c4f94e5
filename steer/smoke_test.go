package steer

import (
	"net/netip"
	"testing"

	"gslb/geo"
	"gslb/health"
)

func TestSmoke(t *testing.T) {
	sites := []Site{
		{Name: "kt", Location: geo.Coordinates{Latitude: 37.57, Longitude: 126.98}, HasLocation: true},
		{Name: "lgu", Location: geo.Coordinates{Latitude: 37.4, Longitude: 127.1}, HasLocation: true},
		{Name: "us", Location: geo.Coordinates{Latitude: 37.3, Longitude: -121.9}, HasLocation: true},
	}
	groups := map[string][]Member{}
	tgt := func(s string) Target {
		x, err := ParseTarget(s, sites, groups)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	p := &Policy{Name: "www.abc.com.", Rules: []Rule{{Match: Match{ISP: []string{"KT"}}, Tiers: []Target{tgt("kt"), tgt("weighted:lgu=3,us")}}}}
	c, err := Compile(p, sites)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range []*health.States{nil, {Revision: 4, Sites: map[string]health.Status{"kt": {State: health.Down, Why: "2 of 3 say down"}}},
		{Revision: 4, Sites: map[string]health.Status{"kt": {State: health.Up, Shed: .5, Load: 95, Capacity: 100, Why: "2 of 3 say up"}}}} {
		for _, pl := range []geo.Place{{ISP: "kt", Country: "KR"}, {Country: "JP", HasLocation: true, Location: geo.Coordinates{Latitude: 35, Longitude: 139}}, {}} {
			var tr Trace
			k := c.Classify(pl, netip.Prefix{}, &tr)
			c.Live(st).Choose(k, Ask{Client: netip.MustParseAddr("203.0.113.7")}, &tr)
			t.Log("\n" + tr.String())
		}
	}
}
