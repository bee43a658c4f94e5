package main

import (
	"net/netip"
	"testing"
	"time"

	"gslb/balancer"
	"gslb/geo"
)

// TestClientsOf: visitors are summed up by operator and country, without those who are
// nobody's users.
func TestClientsOf(t *testing.T) {
	places, err := geo.Open(geo.Config{Overrides: []geo.Override{
		{Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("192.0.2.0/24")}, Place: geo.PlaceConfig{Country: "KR", ISP: "KT"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	kt, other, checker := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("198.51.100.53")
	v := balancer.Visitors{Since: now.Add(-time.Minute), New: 12, Last: now.Add(-4 * time.Second), Ignored: 30, Steps: []int64{5, 7},
		Arrived: map[netip.Prefix]balancer.Arrivals{
			balancer.NetworkOf(kt):                  {New: 3, Last: now.Add(-9 * time.Second)},
			netip.MustParsePrefix("192.0.2.0/24"):   {New: 8, Last: now.Add(-4 * time.Second)},
			netip.MustParsePrefix("203.0.113.0/24"): {New: 1, Last: now.Add(-30 * time.Second)},
		},
		Open: []balancer.Visit{{Client: kt, Server: "a", Since: now.Add(-time.Hour)}, {Client: other, Server: "b", Since: now.Add(-time.Second)}, {Client: checker, Server: "a", Since: now}},
	}
	c := clientsOf(v, places, 10*time.Minute, func(a netip.Addr) bool { return a == checker }, now)
	if c.Open != 2 || c.Long != 1 || c.New != 12 || c.Ignored != 31 || c.Quiet != 4*time.Second {
		t.Errorf("the sums: %+v", c)
	}
	if len(c.Groups) != 2 {
		t.Fatalf("groups %+v", c.Groups)
	}
	g := c.Groups[0]
	if g.Operator != "KT" || g.Country != "KR" || g.Open != 1 || g.New != 11 || g.Quiet != 4*time.Second || len(g.Networks) != 2 || g.Networks[0] != "192.0.2.0/24" {
		t.Errorf("the largest group: %+v", g)
	}
	if g := c.Groups[1]; g.Operator != "" || g.Open != 1 || g.New != 1 {
		t.Errorf("those of whom nothing is known: %+v", g)
	}
	if len(c.Oldest) != 2 || c.Oldest[0].Client != "198.51.100.7" || c.Oldest[0].Age != time.Hour || c.Oldest[0].Country != "KR" {
		t.Errorf("the oldest: %+v", c.Oldest)
	}
	if none := clientsOf(balancer.Visitors{Since: now.Add(-time.Minute)}, places, time.Minute, func(netip.Addr) bool { return false }, now); none.Quiet != time.Minute || none.Groups != nil {
		t.Errorf("nobody: %+v", none)
	}
}

// TestGiven: an answer that names the site puts the end of its TTL off.
func TestGiven(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ttls := map[string]time.Duration{"www.": 30 * time.Second, "img.": time.Hour}
	n := &node{started: now.Add(-2 * time.Hour)}
	counts := map[string]uint64{"www.": 5, "img.": 0}
	if d := n.outstanding(counts, ttls, now); d != 30*time.Second {
		t.Errorf("the only name that ever gave it has 30s, not %v", d)
	}
	n.started = now.Add(-time.Minute)
	if d := n.outstanding(counts, ttls, now); d != time.Hour {
		t.Errorf("what was given before the start is not known: %v", d)
	}
	g := &given{counts: counts, expires: now.Add(30 * time.Second)}
	g.look(map[string]uint64{"www.": 5, "img.": 0}, ttls, now.Add(10*time.Second))
	if !g.seen.IsZero() || !g.expires.Equal(now.Add(30*time.Second)) {
		t.Errorf("nothing was answered: %+v", g)
	}
	g.look(map[string]uint64{"www.": 7, "img.": 0}, ttls, now.Add(20*time.Second))
	if g.since != 2 || !g.expires.Equal(now.Add(50*time.Second)) {
		t.Errorf("after two answers: %+v", g)
	}
	g.look(map[string]uint64{"www.": 1}, ttls, now.Add(25*time.Second)) // counted anew
	if g.since != 2 {
		t.Errorf("a counter that began anew: %+v", g)
	}
	g.look(map[string]uint64{"www.": 1, "img.": 1}, ttls, now.Add(26*time.Second))
	if !g.expires.Equal(now.Add(26*time.Second + time.Hour)) {
		t.Errorf("after an answer with a long TTL: %+v", g)
	}
}

// TestSpan: spans in commands may have days.
func TestSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{"30m": 30 * time.Minute, "2d": 48 * time.Hour, "1w12h": 7*24*time.Hour + 12*time.Hour} {
		var s spanValue
		if err := s.Set(text); err != nil || time.Duration(s) != want {
			t.Errorf("%s: %v, %v", text, time.Duration(s), err)
		}
	}
	if err := new(spanValue).Set("2"); err == nil {
		t.Error("a number without a unit is taken")
	}
}
