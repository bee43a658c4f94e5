package geo

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	with := func(p PlaceConfig, networks ...string) Config {
		return Config{Overrides: []Override{{Networks: prefixes(networks...), Place: p}}}
	}
	kr := PlaceConfig{Country: "KR"}
	n := "192.0.2.0/24"
	tests := []struct {
		name string
		cfg  Config
		want []string // "key: message"
	}{
		{"zero", Config{}, nil},
		{"good", Config{Databases: []string{"a", "b"}, Reload: time.Second, Overrides: []Override{
			{prefixes(n, "2001:db8::/32", "::/0"), PlaceConfig{Continent: "as", Country: "kr", Subdivision: "KR-11", City: "Seoul", Location: []float64{37.5, 127}, ASN: 1, ISP: "KT"}},
			{prefixes("0.0.0.0/0"), PlaceConfig{Subdivision: "11"}},
		}}, nil},
		{"reload", Config{Reload: time.Millisecond}, []string{"reload: 1ms: must be at least 100ms"}},
		{"negative", Config{Reload: -time.Second}, []string{"reload: -1s: must be at least 100ms"}},
		{"databases", Config{Databases: []string{"", "a", "a"}}, []string{`databases[0]: "": must be the name of a MaxMind DB file`, `databases[2]: "a": listed twice`}},
		{"no networks", with(kr), []string{`override[0].networks: missing: must list at least one network, such as ["192.0.2.0/24"]`}},
		{"no place", with(PlaceConfig{}, n), []string{`override[0].place: missing: must state something, such as { country = "KR", isp = "KT" }`}},
		{"host bits", with(kr, "192.0.2.7/24"), []string{`override[0].networks[0]: "192.0.2.7/24": has bits set beyond its length; the network is "192.0.2.0/24"`}},
		{"twice", with(kr, n, n), []string{`override[0].networks[1]: "192.0.2.0/24": already in override[0]`}},
		{"mapped", with(kr, "::ffff:192.0.2.0/120"), []string{`override[0].networks[0]: "::ffff:192.0.2.0/120": must be written as an IPv4 network, "192.0.2.0/24"`}},
		{"6to4", with(kr, "2002:c000:200::/40"), []string{`override[0].networks[0]: "2002:c000:200::/40": lies in 2002::/16, where addresses are looked up by the IPv4 address within: must be the IPv4 network`}},
		{"continent", with(PlaceConfig{Continent: "Asia"}, n), []string{`override[0].place.continent: "Asia": must be the continent's code, "AS"`}},
		{"continent", with(PlaceConfig{Continent: "XX"}, n), []string{`override[0].place.continent: "XX": must be one of AF, AN, AS, EU, NA, OC, SA`}},
		{"country", with(PlaceConfig{Country: "UK"}, n), []string{`override[0].place.country: "UK": the code of the United Kingdom is "GB"`}},
		{"country", with(PlaceConfig{Country: "Korea"}, n), []string{`override[0].place.country: "Korea": must be a two-letter code of ISO 3166-1, such as "KR"`}},
		{"subdivision", with(PlaceConfig{Subdivision: "Seoul"}, n), []string{`override[0].place.subdivision: "Seoul": must be a code of ISO 3166-2, such as "KR-11" or "11"`}},
	}
	for _, tt := range tests {
		var got []string
		tt.cfg.Validate(func(key, msg string) { got = append(got, key+": "+msg) })
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
	for _, l := range [][]float64{{}, {1}, {126.98, 37.57}, {91, 200}, {0, 181}, {math.NaN(), 0}, {0, math.Inf(1)}} {
		if CheckLocation(l) == nil {
			t.Errorf("location %v passes", l)
		}
	}
}

func TestWithDefaults(t *testing.T) {
	if got := (Config{}).WithDefaults().Reload; got != 5*time.Second {
		t.Errorf("reload %v", got)
	}
	if got := (Config{Reload: time.Minute}).WithDefaults().Reload; got != time.Minute {
		t.Errorf("reload %v", got)
	}
	if got := fmt.Sprint((Config{Reload: -1}).WithDefaults().Reload); got != "-1ns" { // for Validate to see
		t.Errorf("reload %v", got)
	}
}
