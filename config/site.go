package config

import (
	"net/netip"
	"time"

	"gslb/geo"
	"gslb/health"
	"gslb/steer"
)

// Site is one [[site]]: a place that users can be sent to.
type Site struct {
	Name string `toml:"name"`
	// CNAME is the site's canonical name, absolute; what answers of the cname form give.
	CNAME string `toml:"cname"`
	// Addresses are what answers of the address form give, both families together.
	Addresses []netip.Addr `toml:"addresses"`
	// Location is latitude and longitude in degrees; empty: unknown, and then
	// "nearest" picks the site only after those that have one.
	Location []float64 `toml:"location"`
	// Capacity is what the site can take, in the units that its balancer
	// reports load in; 0: not stated.
	Capacity float64 `toml:"capacity"`
	// Weight is the site's share in "weighted" and "hash" picks; default 1.
	Weight float64 `toml:"weight"`
	// Bias is added to distances from the site, in kilometres; negative draws users in.
	Bias float64 `toml:"bias"`
	// Check names the [check.NAME] that probes the site; empty: not probed.
	Check string `toml:"check"`
	// CheckAddress is what the check probes, host or host:port; default: Addresses.
	CheckAddress []string `toml:"check_address"`
	// Vantage says which checkers probe the site, Quorum how many of them must say
	// that it is down; default: those of [health].
	Vantage health.Vantage `toml:"vantage"`
	Quorum  health.Quorum  `toml:"quorum"`
	// Failback is when the site gets users again after it was down: "now", how long it
	// must have been up, or "manual": once somebody undrains it.
	Failback string `toml:"failback"`
	// SlowStart is how long its share of new users then grows from little to all.
	SlowStart time.Duration `toml:"slow_start"`
	// FlapLimit is how many falls hold the site out of service, each counting half
	// after FlapHalf, until half as many are left; 0: any number is allowed.
	FlapLimit float64       `toml:"flap_limit"`
	FlapHalf  time.Duration `toml:"flap_half"`
	// Maintenance are the times in which the site drains.
	Maintenance []Window `toml:"maintenance"`
}

// Group is one [[group]]: sites under one name.
type Group struct {
	Name    string             `toml:"name"`
	Members []string           `toml:"members"`
	Weights map[string]float64 `toml:"weights"` // by site; default: the site's own weight
}

func (s Site) withDefaults() Site {
	if s.Failback == "" {
		s.Failback = failbackNow
	}
	if s.FlapHalf == 0 {
		s.FlapHalf = defaultFlapHalf
	}
	if s.Weight == 0 {
		s.Weight = 1
	}
	return s
}

// SteerSites returns the sites as the decision sees them, in the order of Sites.
func (c *Config) SteerSites() []steer.Site {
	sites := make([]steer.Site, len(c.Sites))
	for i, s := range c.Sites {
		sites[i] = steer.Site{Name: s.Name, Capacity: s.Capacity, Weight: s.Weight, Bias: s.Bias}
		if len(s.Location) == 2 {
			sites[i].Location = geo.Coordinates{Latitude: s.Location[0], Longitude: s.Location[1]}
			sites[i].HasLocation = true
		}
	}
	return sites
}
