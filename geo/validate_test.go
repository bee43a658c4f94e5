package geo

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	nets := func(list ...string) []netip.Prefix {
		var out []netip.Prefix
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	kr := PlaceConfig{Country: "KR"}
	override := func(n []netip.Prefix, p PlaceConfig) Config { return Config{Overrides: []Override{{n, p}}} }
	one := nets("192.0.2.0/24")
	tests := []struct {
		name string
		cfg  Config
		want string // keys with faults
	}{
		{"nothing", Config{}, ""},
		{"all", Config{
			Databases: []string{"a.mmdb", "b.mmdb"}, Reload: time.Minute,
			Overrides: []Override{{nets("192.0.2.0/24", "2001:db8::/32"), PlaceConfig{
				Continent: "as", Country: "kr", Subdivision: "KR-11", City: "Seoul", Location: []float64{37.57, 126.98}, ASN: 4766, ISP: "KT",
			}}},
		}, ""},
		{"reload", Config{Reload: time.Millisecond}, "reload"},
		{"negative reload", Config{Reload: -time.Second}, "reload"},
		{"databases", Config{Databases: []string{"a", "", "a"}}, "databases[1] databases[2]"},
		{"no network", override(nil, kr), "override[0].networks"},
		{"no place", override(one, PlaceConfig{}), "override[0].place"},
		{"host bits", override(nets("192.0.2.1/24"), kr), "override[0].networks[0]"},
		{"twice in one", override(nets("192.0.2.0/24", "192.0.2.0/24"), kr), "override[0].networks[1]"},
		{"twice in two", Config{Overrides: []Override{{one, kr}, {one, kr}}}, "override[1].networks[0]"},
		{"nested", Config{Overrides: []Override{{one, kr}, {nets("192.0.2.0/25"), kr}}}, ""},
		{"codes", override(one, PlaceConfig{Continent: "XX", Country: "Korea", Subdivision: "Seoul"}), "override[0].place.continent override[0].place.country override[0].place.subdivision"},
		{"country of another continent", override(one, PlaceConfig{Continent: "EU", Country: "KR"}), "override[0].place.continent"},
		{"location", override(one, PlaceConfig{Location: []float64{91, 0}}), "override[0].place.location"},
		{"empty location", override(one, PlaceConfig{City: "Seoul", Location: []float64{}}), "override[0].place.location"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var keys []string
			tt.cfg.Validate(func(key, msg string) { keys = append(keys, key) })
			if got := strings.Join(keys, " "); got != tt.want {
				t.Errorf("faults at %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCheckCodes(t *testing.T) {
	tests := []struct {
		check func(string) error
		code  string
		hint  string // in the error; empty: none
	}{
		{CheckCountry, "KR", ""},
		{CheckCountry, "us", ""},
		{CheckCountry, "XK", ""},
		{CheckCountry, "UK", `"GB"`},
		{CheckCountry, "el", `"GR"`},
		{CheckCountry, "EU", "continent"},
		{CheckCountry, "ZZ", "no country"},
		{CheckCountry, "KOR", "two-letter"},
		{CheckCountry, "", "two-letter"},
		{CheckContinent, "AS", ""},
		{CheckContinent, "eu", ""},
		{CheckContinent, "Asia", `"AS"`},
		{CheckContinent, "North America", `"NA"`},
		{CheckContinent, "", "AF, AN"},
		{CheckSubdivision, "KR-11", ""},
		{CheckSubdivision, "11", ""},
		{CheckSubdivision, "GB-ENG", ""},
		{CheckSubdivision, "eng", ""},
		{CheckSubdivision, "KR-", "3166-2"},
		{CheckSubdivision, "Seoul", "3166-2"},
	}
	for _, tt := range tests {
		err := tt.check(tt.code)
		if (err == nil) != (tt.hint == "") || err != nil && !strings.Contains(err.Error(), tt.hint) {
			t.Errorf("%q: %v, want %q", tt.code, err, tt.hint)
		}
	}
}

func TestCheckLocation(t *testing.T) {
	for _, l := range [][]float64{{0, 0}, {-90, -180}, {90, 180}, {37.57, 126.98}} {
		if err := CheckLocation(l); err != nil {
			t.Errorf("%v: %v", l, err)
		}
	}
	for _, l := range [][]float64{nil, {1}, {1, 2, 3}, {90.1, 0}, {0, 180.1}, {-91, -181}} {
		if CheckLocation(l) == nil {
			t.Errorf("%v is taken", l)
		}
	}
	if err := CheckLocation([]float64{126.98, 37.57}); err == nil || !strings.Contains(err.Error(), "turned round") {
		t.Errorf("latitude and longitude turned round: %v", err)
	}
}
