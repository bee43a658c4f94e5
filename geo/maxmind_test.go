package geo

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"gslb/test/bed"
)

// Every network of MaxMind's source tables must give the place that stands there.
func TestDatabasesAgainstSourceTables(t *testing.T) {
	tests := []struct {
		database, table string
		least           int // networks compared
	}{
		{"GeoIP2-City-Test", "GeoIP2-City-Test", 200},
		{"GeoLite2-City-Test", "GeoLite2-City-Test", 200},
		{"GeoIP2-Country-Test", "GeoIP2-Country-Test", 300},
		{"GeoLite2-Country-Test", "GeoLite2-Country-Test", 200},
		{"GeoIP2-Enterprise-Test", "GeoIP2-Enterprise-Test", 25},
		{"GeoIP2-Precision-Enterprise-Test", "GeoIP2-Precision-Enterprise-Test", 50},
		{"GeoIP2-ISP-Test", "GeoIP2-ISP-Test", 1000},
		{"GeoLite2-ASN-Test", "GeoLite2-ASN-Test", 300},
		{"GeoIP2-City-Shield-Test", "GeoIP2-City-Test", 200},
	}
	for _, tt := range tests {
		t.Run(tt.database, func(t *testing.T) {
			db := mustOpen(t, Config{Databases: []string{sharedDatabase(t, tt.database)}})
			rows := sourceTable(t, tt.table)
			compared := 0
			for i, row := range rows {
				a := row.network.Addr()
				if overwritten(rows[i+1:], a) || inEmbedded(a) {
					continue
				}
				compared++
				got, within := db.Lookup(a)
				if want := placeOfTable(row.record); got != want {
					t.Errorf("%s:\n got %+v\nwant %+v", row.network, got, want)
				}
				if !within.Contains(a) {
					t.Errorf("%s: network %s does not hold it", a, within)
				}
			}
			if compared < tt.least {
				t.Errorf("compared %d of %d networks, want at least %d", compared, len(rows), tt.least)
			}
		})
	}
}

func overwritten(later []listed, a netip.Addr) bool {
	for _, row := range later {
		if row.network.Contains(a) {
			return true
		}
	}
	return false
}

func inEmbedded(a netip.Addr) bool {
	for _, r := range embeddedRanges {
		if r.Contains(a) {
			return true
		}
	}
	return false
}

func placeOfTable(record map[string]any) Place {
	operator := any(record)
	if traits, ok := record["traits"]; ok {
		operator = traits
	}
	asn, _ := dig(operator, "autonomous_system_number").(float64)
	p := Place{
		Continent:    digString(record, "continent", "code"),
		Country:      first(digString(record, "country", "iso_code"), digString(record, "registered_country", "iso_code")),
		Subdivision:  [2]string{digString(record, "subdivisions", 0, "iso_code"), digString(record, "subdivisions", 1, "iso_code")},
		City:         digString(record, "city", "names", "en"),
		ASN:          uint32(asn),
		ASOrg:        digString(operator, "autonomous_system_organization"),
		ISP:          digString(operator, "isp"),
		Organization: digString(operator, "organization"),
	}
	latitude, ok1 := dig(record, "location", "latitude").(float64)
	longitude, ok2 := dig(record, "location", "longitude").(float64)
	p.Location, p.HasLocation = Coordinates{latitude, longitude}, ok1 && ok2
	return p.normal()
}

// Whatever is broken, or isn't about places, gives an error that names the file.
func TestOpenRefuses(t *testing.T) {
	var files []string
	for _, pattern := range []string{"bad-data/*/*.mmdb", "test-data/*roken*.mmdb", "test-data/*Invalid*.mmdb", "test-data/MaxMind-DB-*.mmdb"} {
		found, err := filepath.Glob(filepath.Join(shared(t, "maxmind"), pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(found), err)
		}
		files = append(files, found...)
	}
	for _, other := range []string{"GeoIP2-Anonymous-IP-Test", "GeoIP-Anonymous-Plus-Test", "GeoIP2-Connection-Type-Test", "GeoIP2-Domain-Test", "GeoIP2-User-Count-Test"} {
		files = append(files, sharedDatabase(t, other))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begin := time.Now()
			db, err := Open(Config{Databases: []string{file}})
			if err == nil {
				t.Fatalf("opened: %+v", db.Sources())
			}
			if !strings.Contains(err.Error(), file) {
				t.Errorf("error does not name the file: %v", err)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 { // all files are below 100 KB
				t.Errorf("allocated %d MB", grown>>20)
			}
		})
	}
}

// All bad files are in one error.
func TestOpenNamesAllBadFiles(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.mmdb")
	text := filepath.Join(dir, "text.mmdb")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(text, []byte("network,country\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Config{Databases: []string{empty, text, filepath.Join(dir, "none.mmdb"), dir}})
	if err == nil {
		t.Fatal("opened")
	}
	for _, want := range []string{
		"empty.mmdb: file is empty",
		"text.mmdb: ",
		"none.mmdb: no such file or directory",
		dir + ": is a directory: must be a regular file",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

func TestBuiltTime(t *testing.T) {
	db := mustOpen(t, Config{Databases: []string{sharedDatabase(t, "GeoLite2-City-Test")}})
	s := db.Sources()[0]
	if s.Type != "GeoLite2-City" || s.Built.Year() < 2020 || s.Networks == 0 || s.Places == 0 || s.Size == 0 {
		t.Errorf("source %+v", s)
	}
}

// The Table and the DB must say the same of every address, the boundaries of
// all networks among them, whatever is joined and overridden.
func TestTableAgreesWithLookup(t *testing.T) {
	city, isp := sharedDatabase(t, "GeoIP2-City-Test"), sharedDatabase(t, "GeoIP2-ISP-Test")
	enterprise := sharedDatabase(t, "GeoIP2-Enterprise-Test")
	override := []Override{
		{Networks: prefixes("2.125.160.218/31", "81.2.69.0/24", "2001:218::/32"), Place: PlaceConfig{Country: "KR", ISP: "KT"}},
		{Networks: prefixes("81.2.69.160/27", "2001:218:8000::/33", "2001:218:8000::5/128"), Place: PlaceConfig{ISP: "LG Uplus"}},
	}
	for name, cfg := range map[string]Config{
		"nothing":   {},
		"overrides": {Overrides: override},
		"city":      {Databases: []string{city}},
		"all":       {Databases: []string{city, isp, enterprise}, Overrides: override},
	} {
		t.Run(name, func(t *testing.T) { compareWithLookup(t, mustOpen(t, cfg)) })
	}
}

func compareWithLookup(t *testing.T, db *DB) {
	numbers := map[Place]uint32{}
	var places []Place
	table := Build(db, nil, func(p Place, within netip.Prefix) uint32 {
		if within.IsValid() {
			t.Errorf("within %s, and there are no cuts", within)
		}
		if _, ok := numbers[p]; !ok {
			numbers[p] = uint32(len(places))
			places = append(places, p)
		}
		return numbers[p]
	})
	check := func(a netip.Addr) {
		want, within := db.Lookup(a)
		number, bits := table.Lookup(a)
		if places[number] != want {
			t.Errorf("%s: table says %+v\n lookup %+v", a, places[number], want)
		}
		if !within.Contains(a.Unmap()) || int(bits) > within.Bits() {
			t.Errorf("%s: table's leaf has %d bits, lookup's network is %s", a, bits, within)
		}
		for _, edge := range []netip.Addr{within.Addr(), lastOf(within)} {
			if p, w := db.Lookup(edge); p != want || w != within {
				t.Errorf("%s lies in %s but its edge %s is %+v in %s", a, within, edge, p, w)
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	every := 1
	if bed.RaceDetector { // nothing here is concurrent, and it takes a minute and a half under it
		every = 25
	}
	for _, v4 := range []bool{true, false} {
		for _, s := range append([]*stream{db.overrides.family(v4)}, partitions(db, v4)...) {
			for i, r := range s.runs() {
				if i%every != 0 {
					continue
				}
				for _, k := range []key{r.start, r.last(), r.start.prev(), r.last().next()} {
					check(addrOf(k, v4))
				}
			}
		}
		for range 20000 / every {
			check(addrOf(key{random.Uint64(), random.Uint64()}, v4))
			check(addrOf(key{0x2001_0000_0000_0000 | random.Uint64()>>16, random.Uint64()}, v4))
		}
	}
}

func partitions(db *DB, v4 bool) (list []*stream) {
	for _, s := range db.sources {
		list = append(list, s.family(v4))
	}
	return list
}
