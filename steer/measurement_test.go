package steer

import (
	"net/netip"
	"strings"
	"testing"

	"gslb/geo"
	"gslb/health"
)

// TestMeasured: whose times order a tier by latency, for each kind of client: its own,
// the most specific that has two members of the tier, before a vantage point's.
//
//	network │ ASN │ country │ vantage point │ the times are
//	────────┼─────┼─────────┼───────────────┼─────────────────────
//	yes     │ -   │ -       │ -             │ the longest network's
//	no      │ yes │ -       │ -             │ the AS number's
//	no      │ no  │ yes     │ -             │ the country's
//	no      │ no  │ no      │ yes           │ the vantage point's
//	no      │ no  │ no      │ no            │ none: by distance
func TestMeasured(t *testing.T) {
	rtt := func(ms ...float64) map[string]float64 { return times("", nil, ms...).RTT }
	p := policy(t, example, "latency:all")
	p.Measured = []Measurement{
		{Name: "wide", Networks: []netip.Prefix{netip.MustParsePrefix("198.51.0.0/16")}, RTT: rtt(50, 40, 30, 20)},
		{Name: "narrow", Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32")}, RTT: rtt(50, 5, 90, 20)},
		{Name: "as", ASN: []uint32{64500, 64501}, RTT: rtt(-1, 40, -1, 20)},
		{Name: "little", ASN: []uint32{64502}, RTT: rtt(-1, -1, 1, -1)},
		{Name: "country", Country: []string{"KR"}, RTT: rtt(31, 30, 2, 99)},
	}
	c := compile(t, p, example)
	at := func(network string) netip.Prefix { return netip.MustParsePrefix(network) }
	korea := geo.Place{Country: "kr"}
	as := func(p geo.Place, n uint32) geo.Place { p.ASN = n; return p }
	for _, tc := range []struct {
		what   string
		place  geo.Place
		within netip.Prefix
		times  []health.Times
		want   string
		from   string
	}{
		{"the longest network", as(korea, 64500), at("198.51.100.0/24"), nil, "lgu us kt cn", "narrow"},
		{"the shorter one", as(korea, 64500), at("198.51.0.0/16"), nil, "us cn lgu kt", "wide"},
		{"IPv6", nowhere, at("2001:db8::/32"), nil, "lgu us kt cn", "narrow"},
		{"by AS number, others last", as(korea, 64501), netip.Prefix{}, nil, "us lgu kt cn", "as"},
		{"times of one site alone: the country's", as(korea, 64502), netip.Prefix{}, nil, "cn kt lgu us", "country"},
		{"by country; alike ones by distance", inKT, netip.Prefix{}, nil, "cn kt lgu us", "country"},
		{"before a vantage point", inKT, netip.Prefix{}, []health.Times{times("ns1", &seoul, 1, 90, 90, 90)}, "cn kt lgu us", "country"},
		{"none of its own: a vantage point's", inTokyo, netip.Prefix{}, []health.Times{times("ns1", &seoul, 20, 1, 90, 90)}, "lgu kt cn us", "ns1"},
		{"none at all", inTokyo, netip.Prefix{}, nil, "lgu kt cn us", ""},
	} {
		s := states(t)
		s.Times = tc.times
		cohort := c.Classify(tc.place, tc.within, nil)
		var tr Trace
		if again, ok := c.Explain(tc.place, tc.within, &tr); !ok || again != cohort {
			t.Errorf("%s: cohort %d, explained %d", tc.what, cohort, again)
		}
		l := c.Live(s)
		got, traced := l.Choose(cohort, Ask{Client: aClient}, nil), l.Choose(cohort, Ask{Client: aClient}, &tr)
		var order []string
		for _, m := range tr.Tiers[0].Members {
			order = append(order, m.Site)
		}
		if got != traced || tr.Tiers[0].Vantage != tc.from || tc.from != "" && strings.Join(order, " ") != tc.want || example[got.Site].Name != order[0] {
			t.Errorf("%s: %v by the times of %q, want %s by those of %q: %s", tc.what, order, tr.Tiers[0].Vantage, tc.want, tc.from, tr.Sentence)
		}
	}
	if cuts := c.Cuts(); len(cuts) != 3 {
		t.Errorf("networks told apart: %v", cuts)
	}
	if p := policy(t, example, "nearest:all"); !p.Picks(Nearest) || p.Picks(Latency) {
		t.Error("what a policy picks by")
	} else if p.Measured = []Measurement{{Networks: []netip.Prefix{at("198.51.100.0/24")}}}; len(compile(t, p, example).Cuts()) != 0 {
		t.Error("a policy that does not pick by latency tells networks apart that were measured")
	}
}
