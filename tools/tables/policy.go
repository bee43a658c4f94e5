package main

import (
	"fmt"
	"log"

	"gslb/geo"
	"gslb/steer"
)

// sites are spread over the world.
var sites = func() (all []steer.Site) {
	for i, l := range []geo.Coordinates{
		{Latitude: 37.57, Longitude: 126.98}, {Latitude: 35.18, Longitude: 129.08}, {Latitude: 31.23, Longitude: 121.47}, {Latitude: 37.34, Longitude: -121.89},
		{Latitude: 39.04, Longitude: -77.49}, {Latitude: 50.11, Longitude: 8.68}, {Latitude: -23.55, Longitude: -46.63}, {Latitude: 1.29, Longitude: 103.85},
		{Latitude: 51.5, Longitude: -0.12}, {Latitude: 19.08, Longitude: 72.88}, {Latitude: -33.87, Longitude: 151.21}, {Latitude: 35.69, Longitude: 139.69},
		{Latitude: 48.86, Longitude: 2.35}, {Latitude: -26.2, Longitude: 28.05}, {Latitude: 41.88, Longitude: -87.63}, {Latitude: 52.37, Longitude: 4.9},
	} {
		all = append(all, steer.Site{Name: fmt.Sprintf("s%d", i), Location: l, HasLocation: true})
	}
	return all
}()

func policies() []steer.Policy {
	to := func(list ...string) (tiers []steer.Target) {
		for _, s := range list {
			t, err := steer.ParseTarget(s, sites, nil)
			if err != nil {
				log.Fatal(err)
			}
			tiers = append(tiers, t)
		}
		return tiers
	}
	return []steer.Policy{
		{Name: "operators and countries", Rules: []steer.Rule{
			{Match: steer.Match{ISP: []string{"KT", "Korea Telecom"}}, Tiers: to("s0", "s1")},
			{Match: steer.Match{ISP: []string{"LG Uplus", "LG DACOM Corporation"}}, Tiers: to("s1", "s0")},
			{Match: steer.Match{Country: []string{"CN", "HK"}}, Tiers: to("s2", "s0")},
			{Match: steer.Match{Continent: []string{"EU", "AF"}}, Tiers: to("s5")},
			{Tiers: to("s3")},
		}},
		{Name: "nearest of four", Rules: []steer.Rule{{Tiers: to("nearest:s0,s3,s5,s6")}}},
		{Name: "nearest of sixteen", Rules: []steer.Rule{{Tiers: to("nearest:all")}}},
	}
}
