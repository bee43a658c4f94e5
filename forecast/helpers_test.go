package forecast

import (
	"math"
	"net/netip"
	"testing"

	"gslb/geo"
	"gslb/health"
	"gslb/steer"
)

// The networks of the tests: 1024 addresses of known users in all.
//
//	203.0.113.0/24   KR KT         256
//	198.51.100.0/24  KR LG Uplus   256
//	192.0.2.0/24     CN Unicom     256, of which 192.0.2.128/25 is a Telecom's
//	198.18.0.0/24    US            256, operator unknown
func places(t testing.TB, more ...geo.Override) *geo.DB {
	t.Helper()
	one := func(country, isp string, at []float64, networks ...string) geo.Override {
		return geo.Override{Networks: parse(networks...), Place: geo.PlaceConfig{Country: country, ISP: isp, Location: at}}
	}
	db, err := geo.Open(geo.Config{Overrides: append(more,
		one("KR", "KT", seoul, "203.0.113.0/24"),
		one("KR", "LG Uplus", anyang, "198.51.100.0/24"),
		one("CN", "Unicom", shanghai, "192.0.2.0/24"),
		one("CN", "Telecom", shanghai, "192.0.2.128/25"),
		one("US", "", ashburn, "198.18.0.0/24"),
	)})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

var (
	seoul    = []float64{37.57, 126.98}
	anyang   = []float64{37.48, 126.9}
	shanghai = []float64{31.2, 121.5}
	ashburn  = []float64{39.0, -77.5}
)

func sites() []steer.Site {
	at := func(l []float64) geo.Coordinates { return geo.Coordinates{Latitude: l[0], Longitude: l[1]} }
	return []steer.Site{
		{Name: "kt", Location: at(seoul), HasLocation: true, Capacity: 1000},
		{Name: "lgu", Location: at(anyang), HasLocation: true, Capacity: 500},
		{Name: "cn", Location: at(shanghai), HasLocation: true, Capacity: 500},
		{Name: "us", Location: at(ashburn), HasLocation: true, Capacity: 500},
	}
}

func policy(t testing.TB, name string, rules ...[]string) steer.Policy {
	t.Helper()
	p := steer.Policy{Name: name}
	for _, r := range rules {
		rule := steer.Rule{}
		switch m := r[0]; {
		case m == "*":
		case m == "KR" || m == "CN":
			rule.Match.Country = []string{m}
		default:
			if n, err := netip.ParsePrefix(m); err == nil {
				rule.Match.Networks = []netip.Prefix{n}
			} else {
				rule.Match.ISP = []string{m}
			}
		}
		for _, to := range r[1:] {
			target, err := steer.ParseTarget(to, sites(), nil)
			if err != nil {
				t.Fatal(err)
			}
			rule.Tiers = append(rule.Tiers, target)
		}
		p.Rules = append(p.Rules, rule)
	}
	return p
}

// counted makes the users of the tests those that count: as though a database said so.
func counted() *Weights {
	w := &Weights{networks: map[netip.Prefix]float64{}}
	for _, n := range parse("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "198.18.0.0/24") {
		w.networks[n] = 256
	}
	return w
}

func down(sites ...string) *health.States {
	s := &health.States{Sites: map[string]health.Status{}}
	for _, site := range sites {
		s.Sites[site] = health.Status{Site: site, State: health.Down}
	}
	return s
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

func survey(t testing.TB, before, after *Topology, w *Weights) *Users {
	t.Helper()
	u, err := Survey(before, after, w)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func compare(t testing.TB, u *Users, before, after Side, o Options) *Comparison {
	t.Helper()
	c, err := u.Compare(before, after, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Comparison) site(name string) SiteChange {
	for _, s := range c.Sites {
		if s.Site == name {
			return s
		}
	}
	return SiteChange{}
}
