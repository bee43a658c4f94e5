package geo

import (
	"encoding/json"
	"math"
	"net/netip"
	"strings"
	"testing"
)

func TestFill(t *testing.T) {
	seoul := Place{Continent: "AS", Country: "KR", Subdivision: [2]string{"11"}, City: "Seoul", Location: Coordinates{37.57, 126.98}, HasLocation: true}
	kt := Place{ASN: 4766, ASOrg: "Korea Telecom", ISP: "KT"}
	comcast := Place{ASN: 7922, ASOrg: "COMCAST-7922", ISP: "Comcast", Organization: "Comcast Cable"}
	seoulKT := seoul
	seoulKT.ASN, seoulKT.ASOrg, seoulKT.ISP = kt.ASN, kt.ASOrg, kt.ISP
	tests := []struct {
		name       string
		p, q, want Place
	}{
		{"nothing and something", Place{}, seoulKT, seoulKT},
		{"something and nothing", seoulKT, Place{}, seoulKT},
		{"place and operator", seoul, kt, seoulKT},
		{"the same country", Place{Country: "KR"}, seoul, seoul},
		{"case is no contradiction", Place{City: "SEOUL", Country: "KR"}, seoul,
			Place{Continent: "AS", Country: "KR", Subdivision: [2]string{"11"}, City: "SEOUL", Location: seoul.Location, HasLocation: true}},
		{"another country", Place{Country: "JP"}, seoulKT, Place{Country: "JP", ASN: 4766, ASOrg: "Korea Telecom", ISP: "KT"}},
		{"another city", Place{Country: "KR", City: "Busan"}, seoul, Place{Country: "KR", City: "Busan"}},
		{"another subdivision", Place{Subdivision: [2]string{"26"}}, seoul, Place{Subdivision: [2]string{"26"}}},
		{"another continent", Place{Continent: "EU"}, seoul, Place{Continent: "EU"}},
		{"another operator", Place{ISP: "KT"}, comcast, Place{ISP: "KT"}},
		{"another number", Place{ASN: 4766}, comcast, Place{ASN: 4766}},
		{"operator known by number only", Place{ISP: "KT"}, Place{ASN: 4766, ASOrg: "Korea Telecom"}, kt},
		{"0,0 is a place", Place{HasLocation: true}, seoul, Place{Continent: "AS", Country: "KR", Subdivision: [2]string{"11"}, City: "Seoul", HasLocation: true}},
	}
	for _, tt := range tests {
		if got := tt.p.fill(tt.q); got != tt.want {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, tt.want)
		}
	}
}

func TestNormal(t *testing.T) {
	got := Place{Country: "kr", Location: Coordinates{math.NaN(), 1}, HasLocation: true}.normal()
	if want := (Place{Continent: "AS", Country: "KR"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestContinents(t *testing.T) {
	for country, want := range map[string]string{
		"KR": "AS", "US": "NA", "DE": "EU", "AS": "OC", "AU": "OC", "ZA": "AF", "BR": "SA", "AQ": "AN", "XK": "EU", "XX": "", "": "", "K": "", "R K": "",
	} {
		if got := continentOf(country); got != want {
			t.Errorf("%q: %q, want %q", country, got, want)
		}
	}
	n := 0
	for continent, countries := range countriesOf {
		if CheckContinent(continent) != nil {
			t.Errorf("continent %q", continent)
		}
		for _, c := range strings.Fields(countries) {
			n++
			if got := continentOf(c); got != continent {
				t.Errorf("%s is in %s and in %s", c, continent, got)
			}
		}
	}
	if n != 250 { // ISO 3166-1 has 249
		t.Errorf("%d countries", n)
	}
}

func TestDistance(t *testing.T) {
	seoul, busan := Coordinates{37.57, 126.98}, Coordinates{35.18, 129.08}
	tests := []struct {
		a, b Coordinates
		want float64
	}{
		{seoul, seoul, 0},
		{seoul, busan, 325},
		{busan, seoul, 325},
		{Coordinates{51.5, -0.12}, Coordinates{40.71, -74.01}, 5570}, // London, New York
		{Coordinates{0, 179.9}, Coordinates{0, -179.9}, 22.24},       // over the date line
		{Coordinates{90, 0}, Coordinates{-90, 123}, 20015.1},
		{Coordinates{0, 0}, Coordinates{0, 180}, 20015.1},
		{Coordinates{10, 20}, Coordinates{-10, -160}, 20015.1}, // antipodes
	}
	for _, tt := range tests {
		if got := Distance(tt.a, tt.b); !(math.Abs(got-tt.want) <= 0.002*tt.want) {
			t.Errorf("%v to %v: %v km, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestPlaceText(t *testing.T) {
	full := Place{Continent: "EU", Country: "GB", Subdivision: [2]string{"ENG", "OXF"}, City: "Oxford",
		Location: Coordinates{51.75, -1.25}, HasLocation: true, ASN: 2856, ASOrg: "x", ISP: "BT"}
	for want, p := range map[string]Place{
		"unknown": {}, "EU GB-ENG-OXF Oxford (51.75,-1.25) BT AS2856": full, "Korea Telecom": {ASOrg: "Korea Telecom"},
	} {
		if got := p.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	text, err := json.Marshal(Place{Country: "KR"})
	if err != nil || string(text) != `{"country":"KR"}` {
		t.Errorf("JSON %s, %v", text, err)
	}
	var back Place
	if text, err = json.Marshal(full); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &back); err != nil || back != full {
		t.Errorf("JSON and back: %+v, %v", back, err)
	}
}

// The worked example: operators of one country apart, and the countries.
func TestDemoDatabases(t *testing.T) {
	db := mustOpen(t, Config{
		Databases: []string{demoDatabase("demo-city.mmdb"), demoDatabase("demo-isp.mmdb")},
		Overrides: []Override{
			{Networks: prefixes("203.0.113.64/26"), Place: PlaceConfig{ISP: "LG Uplus"}},
			{Networks: prefixes("198.19.0.0/16", "100.64.0.0/10"), Place: PlaceConfig{Country: "kr", Subdivision: "KR-11"}},
			{Networks: prefixes("198.19.0.7/32"), Place: PlaceConfig{ASN: 65000}},
		},
	})
	tests := []struct{ addr, place, within string }{
		{"203.0.113.7", "AS KR-11 Seoul (37.57,126.98) KT AS4766", "203.0.113.0/26"},
		{"203.0.113.70", "AS KR-11 Seoul (37.57,126.98) LG Uplus", "203.0.113.64/26"},
		{"203.0.113.200", "AS KR-11 Seoul (37.57,126.98) KT AS4766", "203.0.113.128/25"},
		{"198.51.100.1", "AS KR-26 Busan (35.18,129.08) LG Uplus AS3786", "198.51.100.0/24"},
		{"::ffff:198.51.100.1", "AS KR-26 Busan (35.18,129.08) LG Uplus AS3786", "198.51.100.0/24"},
		{"2002:c633:6401::1", "AS KR-26 Busan (35.18,129.08) LG Uplus AS3786", "2002:c633:6400::/40"},
		{"64:ff9b::c633:6401", "AS KR-26 Busan (35.18,129.08) LG Uplus AS3786", "64:ff9b::c633:6400/120"},
		{"192.0.2.1", "AS CN-SH Shanghai (31.23,121.47) China Telecom AS4134", "192.0.2.0/24"},
		{"198.18.64.1", "NA US-VA Ashburn (39.04,-77.49) Comcast AS7922", "198.18.64.0/18"},
		{"192.0.3.1", "unknown", "192.0.3.0/24"},
		{"198.19.128.1", "AS KR-11 NTT AS4713", "198.19.128.0/17"}, // not Tokyo: that would contradict the override
		{"198.19.0.7", "EU DE-HE Frankfurt am Main (50.11,8.68) AS65000", "198.19.0.7/32"},
		{"100.64.1.1", "AS KR-11", "100.64.0.0/10"},
		{"2001:db8:1000::1", "AS KR-11 Seoul (37.57,126.98) KT AS4766", "2001:db8:1000::/36"},
		{"2001:db8:4fff::1", "NA US-VA Ashburn (39.04,-77.49) Comcast AS7922", "2001:db8:4000::/36"},
		{"2001:db8:8000::1", "unknown", "2001:db8:8000::/33"},
	}
	for _, tt := range tests {
		p, within := db.Lookup(netip.MustParseAddr(tt.addr))
		if p.String() != tt.place || within.String() != tt.within {
			t.Errorf("%s:\n got %s in %s\nwant %s in %s", tt.addr, p, within, tt.place, tt.within)
		}
	}
	compareWithLookup(t, db)
}

func TestLookupEdges(t *testing.T) {
	for _, db := range []*DB{nil, mustOpen(t, Config{})} {
		for addr, want := range map[string]string{"1.2.3.4": "0.0.0.0/0", "2a00::1": "2800::/5", "fe80::1%eth0": "8000::/1"} {
			if p, within := db.Lookup(netip.MustParseAddr(addr)); p != (Place{}) || within.String() != want {
				t.Errorf("%s: %+v in %s, want nothing in %s", addr, p, within, want)
			}
		}
		if p, within := db.Lookup(netip.Addr{}); p != (Place{}) || within.IsValid() {
			t.Errorf("invalid address: %+v in %s", p, within)
		}
		if len(db.Sources()) != 0 {
			t.Errorf("sources %v", db.Sources())
		}
	}
}
