package config

import (
	"net/netip"
	"testing"
)

func TestCoveredBy(t *testing.T) {
	n := netip.MustParsePrefix
	kr, cn := SteerRule{Country: []string{"KR"}}, SteerRule{Country: []string{"cn"}}
	for _, test := range []struct {
		name  string
		rules []SteerRule
		want  []int
	}{
		{"the same", []SteerRule{kr, kr}, []int{0}},
		{"case", []SteerRule{kr, {Country: []string{"kr"}}}, []int{0}},
		{"narrower", []SteerRule{kr, {Country: []string{"KR"}, ISP: []string{"KT"}}}, []int{0}},
		{"wider", []SteerRule{{Country: []string{"KR"}, ISP: []string{"KT"}}, kr}, nil},
		{"one of two", []SteerRule{kr, {Country: []string{"KR", "CN"}}}, nil},
		{"two of two", []SteerRule{kr, cn, {Country: []string{"KR", "CN"}}}, []int{0, 1}},
		{"two of two, narrower", []SteerRule{kr, cn, {Country: []string{"KR", "CN"}, City: []string{"Seoul"}}}, []int{0, 1}},
		{"subdivision in country", []SteerRule{kr, {Subdivision: []string{"KR-11"}}}, []int{0}},
		{"subdivision of any country", []SteerRule{kr, {Subdivision: []string{"11"}}}, nil},
		{"subdivision by its code", []SteerRule{{Subdivision: []string{"11"}}, {Subdivision: []string{"KR-11"}}}, []int{0}},
		{"network", []SteerRule{{Network: []netip.Prefix{n("10.0.0.0/8")}}, {Network: []netip.Prefix{n("10.1.0.0/16")}}}, []int{0}},
		{"network, wider", []SteerRule{{Network: []netip.Prefix{n("10.1.0.0/16")}}, {Network: []netip.Prefix{n("10.0.0.0/8")}}}, nil},
		{"family", []SteerRule{{Network: []netip.Prefix{n("0.0.0.0/0")}}, {Network: []netip.Prefix{n("::/0")}}}, nil},
		{"other matcher", []SteerRule{{ASN: []uint32{1}}, {ISP: []string{"KT"}}}, nil},
		{"numbers", []SteerRule{{ASN: []uint32{1, 2}}, {ASN: []uint32{2}}}, []int{0}},
	} {
		got := coveredBy(test.rules, len(test.rules)-1)
		if len(got) != len(test.want) || len(got) > 0 && got[0] != test.want[0] {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
