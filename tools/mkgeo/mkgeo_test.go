package main

import (
	"bytes"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gslb/geo"
)

// demoEpoch is the -epoch in main.go's go:generate lines.
const demoEpoch = "1767225600"

var demoDir = filepath.Join("..", "..", "cmd", "gslb", "demo", "geo")

// The databases in the repository must be what go generate makes of the table.
func TestDemoDatabasesAreCurrent(t *testing.T) {
	for file, edition := range map[string]string{"demo-city.mmdb": "city", "demo-isp.mmdb": "isp"} {
		out := filepath.Join(t.TempDir(), file)
		if err := run([]string{"-type", edition, "-epoch", demoEpoch, "-o", out, filepath.Join(demoDir, "demo.csv")}, io.Discard); err != nil {
			t.Fatal(err)
		}
		made, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(filepath.Join(demoDir, file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(made, kept) {
			t.Errorf("%s is not what demo.csv makes: run go generate ./tools/mkgeo", file)
		}
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func build(t *testing.T, table string, flags ...string) *geo.DB {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.mmdb")
	if err := run(append(flags, "-o", out, table), io.Discard); err != nil {
		t.Fatal(err)
	}
	db, err := geo.Open(geo.Config{Databases: []string{out}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestEditions(t *testing.T) {
	table := write(t, "t.csv", "\ufeffNetwork,country,registered_country,continent,subdivision,subdivision2,city,latitude,longitude,isp,organization,asn,as_org\n"+
		"# the longer network stands first\n"+
		"10.1.0.0/16,gb,,EU,GB-ENG,OXF,Oxford,51.75,-1.25,BT,,AS2856,British Telecommunications PLC\n"+
		"10.0.0.0/8,US,,NA,,,,,,Comcast,\"Comcast, Inc.\",7922,\n"+
		"2001:db8::1,,KR,,,,,,,,,,\n")
	gb := geo.Place{Continent: "EU", Country: "GB"}
	gbCity := gb
	gbCity.Subdivision, gbCity.City = [2]string{"ENG", "OXF"}, "Oxford"
	gbCity.Location, gbCity.HasLocation = geo.Coordinates{Latitude: 51.75, Longitude: -1.25}, true
	bt := geo.Place{ASN: 2856, ASOrg: "British Telecommunications PLC", ISP: "BT"}
	both := gbCity
	both.ASN, both.ASOrg, both.ISP = bt.ASN, bt.ASOrg, bt.ISP
	us := geo.Place{Continent: "NA", Country: "US"}
	comcast := geo.Place{ASN: 7922, ISP: "Comcast", Organization: "Comcast, Inc."}
	usComcast := us
	usComcast.ASN, usComcast.ISP, usComcast.Organization = comcast.ASN, comcast.ISP, comcast.Organization
	kr := geo.Place{Continent: "AS", Country: "KR"} // by registration
	tests := []struct {
		edition          string
		in1016, in10, v6 geo.Place
	}{
		{"country", gb, us, kr},
		{"city", gbCity, us, kr},
		{"isp", bt, comcast, geo.Place{}},
		{"asn", geo.Place{ASN: 2856, ASOrg: bt.ASOrg}, geo.Place{ASN: 7922}, geo.Place{}},
		{"enterprise", both, usComcast, kr},
	}
	for _, tt := range tests {
		db := build(t, table, "-type", tt.edition)
		for addr, want := range map[string]geo.Place{"10.1.2.3": tt.in1016, "10.2.3.4": tt.in10, "2001:db8::1": tt.v6, "11.0.0.0": {}} {
			if got, _ := db.Lookup(netip.MustParseAddr(addr)); got != want {
				t.Errorf("%s, %s:\n got %+v\nwant %+v", tt.edition, addr, got, want)
			}
		}
		if got := db.Sources()[0].Type; !strings.EqualFold(got, "gslb-"+tt.edition) {
			t.Errorf("%s: database type %q", tt.edition, got)
		}
	}
	db := build(t, table, "-type", "city", "-database-type", "GeoIP2-City", "-epoch", "86400")
	if s := db.Sources()[0]; s.Type != "GeoIP2-City" || s.Built.Unix() != 86400 {
		t.Errorf("source %+v", s)
	}
}

func TestTableErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "t.csv: file is empty: must begin with a row that names the columns"},
		{"country,city\nKR,Seoul\n", `t.csv:1: column "network" missing: the header has country, city`},
		{"network,contry\n", `t.csv:1: column "contry": must be one of network, continent, country,`},
		{"network,network\n", `t.csv:1: column "network" stands there twice`},
		{"network,latitude\n", `t.csv:1: column "longitude" missing`},
		{"network,country\n10.0.0.0/8\n", "t.csv:2: 1 fields: the header has 2"},
		{"network,country\n# comment\n\n10.0.0.0/33,KR\n", `t.csv:4: network "10.0.0.0/33": must be a network such as "192.0.2.0/24"`},
		{"network,country\n10.0.0.1/8,KR\n", `t.csv:2: network "10.0.0.1/8": has bits set beyond its length; the network is "10.0.0.0/8"`},
		{"network,country\n::ffff:10.0.0.0/104,KR\n", `t.csv:2: network "::ffff:10.0.0.0/104": must be written as an IPv4 network`},
		{"network,country\n,KR\n", `t.csv:2: network "": must be a network`},
		{"network,country\n10.0.0.0/8,Korea\n", `t.csv:2: country "Korea": must be a two-letter code`},
		{"network,continent\n10.0.0.0/8,Asia\n", `t.csv:2: continent "Asia": must be the continent's code, "AS"`},
		{"network,asn\n10.0.0.0/8,AS\n", `t.csv:2: asn "AS": must be a number up to 4294967295`},
		{"network,latitude,longitude\n10.0.0.0/8,37.5,\n", "t.csv:2: latitude and longitude: one of them is missing"},
		{"network,latitude,longitude\n10.0.0.0/8,north,1\n", `t.csv:2: latitude "north": must be a number of degrees`},
		{"network,latitude,longitude\n10.0.0.0/8,126.98,37.57\n", "latitude comes first and must be -90 to 90"},
		{"network,latitude,longitude\n10.0.0.0/8,NaN,37.57\n", "t.csv:2: latitude and longitude"},
		{"network,country\n10.0.0.0/8,KR\n10.0.0.0/8,US\n", "t.csv:3: network 10.0.0.0/8 is already on line 2"},
		{"network,country\n10.0.0.0/8,\"KR\n", "t.csv:"},
		{"network,country\n10.0.0.0/8,Korea\n11.0.0.0/8,USA\n", `t.csv:3: country "USA"`}, // all at once
		{"network,isp\n10.0.0.0/8,KT\n", "t.csv: 1 rows, and none of them has anything for a database of type city"},
		{"network,country\n2002:a00::/24,KR\n", "line 2: network 2002:a00::/24: "},
	}
	for _, tt := range tests {
		table := write(t, "t.csv", tt.text)
		out := filepath.Join(t.TempDir(), "out.mmdb")
		err := run([]string{"-type", "city", "-o", out, table}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q:\n got %v\nwant %s", tt.text, err, tt.want)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(out), "*")); len(left) > 0 {
			t.Errorf("%q: left %v behind", tt.text, left)
		}
	}
}

func TestFlagErrors(t *testing.T) {
	table := write(t, "t.csv", "network,country\n10.0.0.0/8,KR\n")
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"-type", "city", table}, "-o missing"},
		{[]string{"-type", "town", "-o", "x.mmdb", table}, `-type "town": must be one of city, country, enterprise, isp, asn`},
		{[]string{"-o", "x.mmdb", table}, `-type ""`},
		{[]string{"-type", "city", "-o", "x.mmdb"}, "0 tables: give one CSV file, or -random N"},
		{[]string{"-type", "city", "-random", "5", "-o", "x.mmdb", table}, "both -random and the table"},
		{[]string{"-type", "city", "-random", "-5", "-o", "x.mmdb"}, "-random -5: must be at least 1"},
		{[]string{"-type", "city", "-epoch", "-5", "-o", "x.mmdb", table}, "-epoch -5"},
		{[]string{"-type", "city", "-o", "x.mmdb", "none.csv"}, "none.csv: no such file"},
		{[]string{"-type", "city", "-o", filepath.Join("none", "x.mmdb"), table}, "none"},
	}
	for _, tt := range tests {
		err := run(tt.args, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %s", tt.args, err, tt.want)
		}
	}
}

// The same seed gives the same bytes, another one others; the number of networks
// is about what was asked for, and the table that can be written instead makes
// the same database.
func TestRandom(t *testing.T) {
	const n, most = 5000, 1500 // networks, and how many it may be off by
	networks := strconv.Itoa(n)
	dir := t.TempDir()
	make := func(name string, args ...string) []byte {
		path := filepath.Join(dir, name)
		if err := run(append(args, "-epoch", "1", "-o", path), io.Discard); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	one := make("1.mmdb", "-type", "isp", "-random", networks, "-seed", "1")
	if !bytes.Equal(one, make("2.mmdb", "-type", "isp", "-random", networks, "-seed", "1")) {
		t.Error("the same seed gives another database")
	}
	if bytes.Equal(one, make("3.mmdb", "-type", "isp", "-random", networks, "-seed", "2")) {
		t.Error("another seed gives the same database")
	}
	make("4.csv", "-random", networks, "-seed", "1")
	make("4.mmdb", "-type", "isp", filepath.Join(dir, "4.csv"))
	make("city.mmdb", "-type", "city", "-random", networks, "-seed", "1")
	open := func(name string) *geo.DB {
		db, err := geo.Open(geo.Config{Databases: []string{filepath.Join(dir, name)}})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	direct, table, city := open("1.mmdb"), open("4.mmdb"), open("city.mmdb")
	operators := map[string]bool{}
	for _, r := range randomRows(n, 1) {
		a := r.network.Addr()
		p, _ := direct.Lookup(a)
		if q, _ := table.Lookup(a); p != q || p.ISP != r.isp || p.ASN != r.asn {
			t.Fatalf("%s: %+v, by way of the table %+v, want %+v", a, p, q, r)
		}
		if p, _ := city.Lookup(a); p.City != r.city || p.Location != r.location {
			t.Fatalf("%s: %+v, want %+v", a, p, r)
		}
		operators[p.ISP] = true
	}
	if got := len(randomRows(n, 1)); max(got-n, n-got) > most {
		t.Errorf("%d networks, want about %d", got, n)
	}
	if !operators["KT"] || !operators["LG Uplus"] || len(operators) < 100 {
		t.Errorf("%d operators, want KT, LG Uplus and many more", len(operators))
	}
}

func FuzzReadTable(f *testing.F) {
	f.Add("network,country,asn\n10.0.0.0/8,KR,AS4766\n# comment\n2001:db8::/32,,1\n")
	f.Add("network,latitude,longitude\n10.0.0.0/8,1e400,-0\n")
	f.Add("\"network\",subdivision\n10.0.0.0,KR-\n")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := readTable("t.csv", strings.NewReader(text))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := writeTable(&out, rows); err != nil {
			t.Fatal(err)
		}
		again, err := readTable("again.csv", &out)
		if err != nil || len(again) != len(rows) {
			t.Fatalf("%q: %d rows, and written and read again %d, %v", text, len(rows), len(again), err)
		}
	})
}
