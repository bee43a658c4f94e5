package geo

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// The schema is told by the metadata's type or by the fields present.
func TestSchemas(t *testing.T) {
	text := func(s string) mmdbtype.DataType { return mmdbtype.String(s) }
	seoul := Place{Continent: "AS", Country: "KR", City: "Seoul", Location: Coordinates{37.5, 127}, HasLocation: true}
	tests := []struct {
		name, databaseType string
		record             mmdbtype.Map
		want               Place
	}{
		{"city of another publisher", "DBIP-City-Lite", mmdbtype.Map{
			"continent": mmdbtype.Map{"code": text("AS")},
			"country":   mmdbtype.Map{"iso_code": text("KR")},
			"city":      mmdbtype.Map{"names": mmdbtype.Map{"en": text("Seoul"), "de": text("Söul")}},
			"location":  mmdbtype.Map{"latitude": mmdbtype.Float64(37.5), "longitude": mmdbtype.Float64(127)},
		}, seoul},
		{"flat city", "city ipvAll", mmdbtype.Map{
			"country_code": text("kr"), "city": text("Seoul"), "state1": text("x"),
			"latitude": mmdbtype.Float32(37.5), "longitude": mmdbtype.Float32(127),
		}, seoul},
		{"flat country", "country ipv4", mmdbtype.Map{"country_code": text("KR")}, Place{Continent: "AS", Country: "KR"}},
		{"flat asn", "asn ipv4", mmdbtype.Map{
			"autonomous_system_number": mmdbtype.Uint32(4766), "autonomous_system_organization": text("Korea Telecom"),
		}, Place{ASN: 4766, ASOrg: "Korea Telecom"}},
		{"flat place and asn together", "own", mmdbtype.Map{
			"country_code": text("KR"), "autonomous_system_number": mmdbtype.Uint32(4766), "isp": text("KT"),
		}, Place{Continent: "AS", Country: "KR", ASN: 4766, ISP: "KT"}},
		{"no country but a registered one", "GeoLite2-Country", mmdbtype.Map{
			"registered_country": mmdbtype.Map{"iso_code": text("US")},
		}, Place{Continent: "NA", Country: "US"}},
		{"country beats registered country", "GeoIP2-Country", mmdbtype.Map{
			"country": mmdbtype.Map{"iso_code": text("KR")}, "registered_country": mmdbtype.Map{"iso_code": text("US")},
			"represented_country": mmdbtype.Map{"iso_code": text("US"), "type": text("military")},
		}, Place{Continent: "AS", Country: "KR"}},
		{"coordinates off the earth", "GeoIP2-City", mmdbtype.Map{
			"country":  mmdbtype.Map{"iso_code": text("KR")},
			"location": mmdbtype.Map{"latitude": mmdbtype.Float64(91), "longitude": mmdbtype.Float64(0)},
		}, Place{Continent: "AS", Country: "KR"}},
		{"one coordinate", "GeoIP2-City", mmdbtype.Map{
			"country": mmdbtype.Map{"iso_code": text("KR")}, "location": mmdbtype.Map{"latitude": mmdbtype.Float64(1)},
		}, Place{Continent: "AS", Country: "KR"}},
		{"three subdivisions", "GeoIP2-City", mmdbtype.Map{
			"country": mmdbtype.Map{"iso_code": text("GB")},
			"subdivisions": mmdbtype.Slice{
				mmdbtype.Map{"iso_code": text("ENG")}, mmdbtype.Map{"iso_code": text("OXF")}, mmdbtype.Map{"iso_code": text("X")},
			},
		}, Place{Continent: "EU", Country: "GB", Subdivision: [2]string{"ENG", "OXF"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := made(t, t.TempDir(), tt.databaseType, map[string]mmdbtype.DataType{"203.0.113.0/24": tt.record})
			db := mustOpen(t, Config{Databases: []string{file}})
			if got, within := db.Lookup(netip.MustParseAddr("203.0.113.7")); got != tt.want || within.String() != "203.0.113.0/24" {
				t.Errorf("got %+v in %s\nwant %+v", got, within, tt.want)
			}
		})
	}
}

// Records that differ only in what isn't used are one place, and their networks merge.
func TestNetworksOfOnePlaceMerge(t *testing.T) {
	withPostal := func(code string) mmdbtype.Map {
		m := inCountry("KR")
		m["postal"] = mmdbtype.Map{"code": mmdbtype.String(code)}
		return m
	}
	file := made(t, t.TempDir(), "GeoIP2-City", map[string]mmdbtype.DataType{
		"203.0.113.0/25": withPostal("1"), "203.0.113.128/25": withPostal("2"),
	})
	db := mustOpen(t, Config{Databases: []string{file}})
	if _, within := db.Lookup(netip.MustParseAddr("203.0.113.7")); within.String() != "203.0.113.0/24" {
		t.Errorf("network %s, want /24", within)
	}
	if s := db.Sources()[0]; s.Networks != 2 || s.Places != 1 {
		t.Errorf("source %+v", s)
	}
}

func TestDatabaseErrors(t *testing.T) {
	dir := t.TempDir()
	record := func(databaseType string, r mmdbtype.DataType) []byte {
		data, err := os.ReadFile(made(t, dir, databaseType, map[string]mmdbtype.DataType{"203.0.113.0/24": r}))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	empty, err := os.ReadFile(made(t, dir, "GeoIP2-City", nil))
	if err != nil {
		t.Fatal(err)
	}
	point := func(c crafted, offset uint32) uint32 { return uint32(len(c.nodes)) + 16 + offset }
	one := crafted{nodes: make([][2]uint32, 1), data: []byte(recordKR), ipVersion: 4}
	one.nodes[0] = [2]uint32{point(one, 0), 1}
	with := func(change func(*crafted)) []byte {
		c := one
		c.nodes = append([][2]uint32(nil), one.nodes...)
		change(&c)
		return c.bytes()
	}
	// Each node leads to the next one twice: 2^100 networks.
	bomb := crafted{data: []byte(recordKR), ipVersion: 6}
	for i := range uint32(100) {
		bomb.nodes = append(bomb.nodes, [2]uint32{i + 1, i + 1})
	}
	bomb.nodes[99] = [2]uint32{point(bomb, 0), 100}
	// The same by way of the node that may be shared, the root of IPv4.
	alias := crafted{data: []byte(recordKR), ipVersion: 6}
	for i := range uint32(98) {
		alias.nodes = append(alias.nodes, [2]uint32{i + 1, 98})
	}
	alias.nodes[97] = [2]uint32{96, 96}
	chain := crafted{data: []byte(recordKR), ipVersion: 4}
	for i := range uint32(60) {
		chain.nodes = append(chain.nodes, [2]uint32{i + 1, 60})
	}
	chain.nodes[59] = [2]uint32{60, 60}

	tests := []struct {
		name string
		data []byte
		want string // empty: it opens
	}{
		{"the crafted one as such", one.bytes(), ""},
		{"no marker", []byte("hello"), "invalid MaxMind DB file"},
		{"no records", empty, `database type "GeoIP2-City" has no record at all`},
		{"nothing of use", record("GeoIP2-Connection-Type", mmdbtype.Map{"connection_type": mmdbtype.String("Cellular")}),
			`database type "GeoIP2-Connection-Type" has no country, city, location, ASN or ISP in any of its 1 records: must be a City,`},
		{"wrong type of a field", record("GeoIP2-City", mmdbtype.Map{"country": mmdbtype.String("KR")}), "record of network 203.0.113.0/24: "},
		{"not a map", record("GeoIP2-City", mmdbtype.String("KR")), "record of network 203.0.113.0/24: "},
		{"format", with(func(c *crafted) { c.format = 3 }), "MaxMind DB format version 3: must be 2"},
		{"ip version", with(func(c *crafted) { c.ipVersion = 5 }), "ip_version 5: must be 4 or 6"},
		{"separator", with(func(c *crafted) { c.separator = []byte("0123456789abcdef") }), "no separator of 16 zero bytes"},
		{"node count", with(func(c *crafted) { c.nodeCount = 1 << 31 }), "the MaxMind DB contains invalid metadata"},
		{"record past the data", with(func(c *crafted) { c.nodes[0][1] = 1 << 20 }), "network 128.0.0.0/1: the MaxMind DB file's search tree is corrupt"},
		{"record in the separator", with(func(c *crafted) { c.nodes[0][1] = 5 }), "network 128.0.0.0/1: the MaxMind DB file's search tree is corrupt"},
		{"record within another", with(func(c *crafted) { c.nodes[0][1] = point(*c, 13) }), "record of network 128.0.0.0/1: "},
		{"cycle", with(func(c *crafted) { c.nodes[0][1] = 0 }), "corrupt search tree: node 0 is reached a second time from node 0"},
		{"shared nodes", bomb.bytes(), "corrupt search tree: node 1 is reached a second time from node 0"},
		{"cycle through the root of IPv4", alias.bytes(), "invalid search tree"},
		{"too deep for IPv4", chain.bytes(), "invalid search tree"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := newSource(tt.data)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, %v\nwant %s", s, err, tt.want)
			}
		})
	}
}

// A truncated file is refused wherever it ends.
func TestTruncatedDatabase(t *testing.T) {
	whole, err := os.ReadFile(demoDatabase("demo-city.mmdb"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := newSource(whole[:n]); err == nil {
			t.Fatalf("opened with %d of %d bytes", n, len(whole))
		}
	}
}

// The IPv4 addresses of an IPv6 tree that has no part for them.
func TestTreeWithoutIPv4(t *testing.T) {
	c := crafted{data: []byte(recordKR), ipVersion: 6, nodes: [][2]uint32{{1 + 16, 1}}}
	path := filepath.Join(t.TempDir(), "x.mmdb")
	if err := os.WriteFile(path, c.bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	db := mustOpen(t, Config{Databases: []string{path}})
	for addr, want := range map[string]string{
		"1.2.3.4": "AS KR 0.0.0.0/0", "7fff::1": "AS KR 4000::/2", "::1": "AS KR ::/81", "8000::": "unknown 8000::/1",
	} {
		p, within := db.Lookup(netip.MustParseAddr(addr))
		if got := p.String() + " " + within.String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	compareWithLookup(t, db)
}

func FuzzDatabase(f *testing.F) {
	for _, name := range []string{"demo-city.mmdb", "demo-isp.mmdb"} {
		data, err := os.ReadFile(demoDatabase(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(crafted{data: []byte(recordKR), ipVersion: 4, nodes: [][2]uint32{{1 + 16, 1}}}.bytes())
	f.Add(crafted{data: []byte(recordKR), ipVersion: 6, nodes: [][2]uint32{{1, 2 + 16}, {0, 1}}}.bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := newSource(data)
		if err != nil {
			return
		}
		checkPartition(t, &s.v4)
		checkPartition(t, &s.v6)
	})
}
