package steer

import (
	"net/netip"
	"testing"

	"gslb/geo"
)

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func TestMatch(t *testing.T) {
	london := geo.Place{Continent: "EU", Country: "GB", Subdivision: [2]string{"ENG", "LND"}, City: "London"}
	for _, tc := range []struct {
		name   string
		match  Match
		place  geo.Place
		within string
		want   bool
		why    string
	}{
		{"no matcher, anyone", Match{}, inKT, "", true, "everyone"},
		{"no matcher, nothing known", Match{}, geo.Place{}, "", true, "everyone"},

		{"isp", Match{ISP: []string{"KT"}}, inKT, "", true, "isp KT"},
		{"isp, other case", Match{ISP: []string{"kt"}}, inKT, "", true, "isp kt"},
		{"isp, second of list", Match{ISP: []string{"SK", "KT"}}, inKT, "", true, "isp SK, KT"},
		{"isp is the AS's organization", Match{ISP: []string{"korea telecom"}}, inKT, "", true, "isp korea telecom"},
		{"isp is the organization", Match{ISP: []string{"ACME"}}, geo.Place{Organization: "Acme"}, "", true, "isp ACME"},
		{"isp is not a part of one", Match{ISP: []string{"Korea"}}, inKT, "", false, "isp: wants Korea, the client's is KT, Korea Telecom"},
		{"isp differs", Match{ISP: []string{"KT"}}, inLGU, "", false, "isp: wants KT, the client's is LG Uplus, LG POWERCOMM"},
		{"isp unknown", Match{ISP: []string{"KT"}}, geo.Place{}, "", false, "isp: wants KT, the client's is unknown"},
		{"an empty isp is not an unknown one", Match{ISP: []string{""}}, geo.Place{}, "", false, "isp: wants , the client's is unknown"},

		{"asn", Match{ASN: []uint32{1, 4766}}, inKT, "", true, "asn 1, 4766"},
		{"asn differs", Match{ASN: []uint32{1}}, inKT, "", false, "asn: wants 1, the client's is 4766"},
		{"asn unknown", Match{ASN: []uint32{0, 1}}, geo.Place{}, "", false, "asn: wants 0, 1, the client's is unknown"},

		{"city", Match{City: []string{"seoul"}}, inKT, "", true, "city seoul"},
		{"city differs", Match{City: []string{"Busan"}}, inKT, "", false, "city: wants Busan, the client's is Seoul"},
		{"subdivision with country", Match{Subdivision: []string{"kr-11"}}, inKT, "", true, "subdivision kr-11"},
		{"subdivision alone", Match{Subdivision: []string{"11"}}, inKT, "", true, "subdivision 11"},
		{"subdivision of another country", Match{Subdivision: []string{"JP-11"}}, inKT, "", false, "subdivision: wants JP-11, the client's is KR-11"},
		{"the smaller subdivision", Match{Subdivision: []string{"GB-LND"}}, london, "", true, "subdivision GB-LND"},
		{"the larger subdivision", Match{Subdivision: []string{"ENG"}}, london, "", true, "subdivision ENG"},
		{"subdivision unknown", Match{Subdivision: []string{"GB-", "-"}}, geo.Place{Country: "GB"}, "", false, "subdivision: wants GB-, -, the client's is unknown"},
		{"country", Match{Country: []string{"kr"}}, inKT, "", true, "country kr"},
		{"country differs", Match{Country: []string{"CN", "HK"}}, inKT, "", false, "country: wants CN, HK, the client's is KR"},
		{"continent", Match{Continent: []string{"as"}}, inKT, "", true, "continent as"},
		{"continent differs", Match{Continent: []string{"EU"}}, inKT, "", false, "continent: wants EU, the client's is AS"},

		{"network is the cut", Match{Networks: prefixes("10.0.0.0/8")}, inKT, "10.0.0.0/8", true, "network 10.0.0.0/8"},
		{"network contains the cut", Match{Networks: prefixes("10.0.0.0/8")}, inKT, "10.1.0.0/16", true, "network 10.0.0.0/8"},
		{"network is within the cut", Match{Networks: prefixes("10.1.0.0/16")}, inKT, "10.0.0.0/8", false, "network: client is in none of 10.1.0.0/16"},
		{"network beside the cut", Match{Networks: prefixes("10.1.0.0/16")}, inKT, "10.2.0.0/16", false, "network: client is in none of 10.1.0.0/16"},
		{"no cut", Match{Networks: prefixes("0.0.0.0/0")}, inKT, "", false, "network: client is in none of 0.0.0.0/0"},
		{"the whole family", Match{Networks: prefixes("0.0.0.0/0")}, inKT, "0.0.0.0/0", true, "network 0.0.0.0/0"},
		{"the other family", Match{Networks: prefixes("::/0")}, inKT, "10.0.0.0/8", false, "network: client is in none of ::/0"},
		{"IPv6", Match{Networks: prefixes("2001:db8::/32")}, inKT, "2001:db8:1::/48", true, "network 2001:db8::/32"},
		{"host bits set", Match{Networks: prefixes("10.1.2.3/8")}, inKT, "10.0.0.0/8", true, "network 10.1.2.3/8"},
		{"IPv4-mapped", Match{Networks: prefixes("::ffff:10.0.0.0/104")}, inKT, "10.0.0.0/8", true, "network ::ffff:10.0.0.0/104"},
		{"second of several lengths", Match{Networks: prefixes("10.0.0.0/16", "10.0.0.0/8")}, inKT, "10.9.0.0/16", true, "network 10.0.0.0/16, 10.0.0.0/8"},

		{"both", Match{ISP: []string{"KT"}, Country: []string{"KR"}}, inKT, "", true, "isp KT and country KR"},
		{"one of both", Match{ISP: []string{"KT"}, Country: []string{"US"}}, inKT, "", false, "country: wants US, the client's is KR"},
		{"a long list is cut", Match{ASN: []uint32{1, 2, 3, 4, 5, 6, 7, 8}}, inKT, "", false, "asn: wants 1, 2, 3, 4, 5, 6, … (8 in all), the client's is 4766"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var within netip.Prefix
			if tc.within != "" {
				within = netip.MustParsePrefix(tc.within)
			}
			m, why := compileMatch(tc.match), ""
			if got := m.matches(&tc.place, within, &why); got != tc.want || why != tc.why {
				t.Errorf("got %v because %q, want %v because %q", got, why, tc.want, tc.why)
			}
			if got := m.matches(&tc.place, within, nil); got != tc.want {
				t.Errorf("without a trace %v", got)
			}
		})
	}
}

// Neither a match nor a miss costs memory while the geo table is built.
func TestMatchAllocates(t *testing.T) {
	m := compileMatch(Match{ISP: []string{"KT", "Korea Telecom"}, Subdivision: []string{"KR-11"}, Networks: prefixes("10.0.0.0/8")})
	within := netip.MustParsePrefix("10.1.0.0/16")
	if n := testing.AllocsPerRun(100, func() {
		m.matches(&inKT, within, nil)
		m.matches(&inLGU, within, nil)
	}); n != 0 {
		t.Errorf("allocates %v times", n)
	}
}
