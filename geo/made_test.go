package geo

import (
	"encoding/binary"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// made writes a database of some networks to a file of its own in dir.
func made(t testing.TB, dir, databaseType string, records map[string]mmdbtype.DataType) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		BuildEpoch: 1, DatabaseType: databaseType, IncludeReservedNetworks: true,
		Description: map[string]string{"en": "test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Wide networks first: one that comes after those within it takes their place.
	networks := slices.SortedFunc(maps.Keys(records), func(a, b string) int {
		return netip.MustParsePrefix(a).Bits() - netip.MustParsePrefix(b).Bits()
	})
	for _, network := range networks {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(n, records[network]); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.CreateTemp(dir, "*.mmdb")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// inCountry is a record of the Country edition.
func inCountry(code string) mmdbtype.Map {
	return mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(code)}}
}

// replace puts a copy of one file in the place of another by rename.
func replace(t *testing.T, path, by string) {
	t.Helper()
	data, err := os.ReadFile(by)
	if err != nil {
		t.Fatal(err)
	}
	aside := filepath.Join(filepath.Dir(path), "aside")
	if err := os.WriteFile(aside, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, path); err != nil {
		t.Fatal(err)
	}
}

// crafted is a database file put together by hand, with records of 24 bits.
type crafted struct {
	nodes     [][2]uint32 // records; nodes+16+offset points to data
	data      []byte
	ipVersion byte
	separator []byte // nil: as it must be
	nodeCount uint32 // 0: as it is
	format    byte   // 0: 2
}

func (c crafted) bytes() []byte {
	var file []byte
	for _, n := range c.nodes {
		for _, record := range n {
			file = append(file, binary.BigEndian.AppendUint32(nil, record)[1:]...)
		}
	}
	if c.separator == nil {
		c.separator = make([]byte, 16)
	}
	if c.nodeCount == 0 {
		c.nodeCount = uint32(len(c.nodes))
	}
	if c.format == 0 {
		c.format = 2
	}
	file = append(file, c.separator...)
	file = append(file, c.data...)
	file = append(file, "\xab\xcd\xefMaxMind.com"...)
	file = append(file, 7<<5|7) // a map of 7
	text := func(s string) { file = append(append(file, 2<<5|byte(len(s))), s...) }
	uint16 := func(name string, v byte) { text(name); file = append(file, 5<<5|1, v) }
	uint16("binary_format_major_version", c.format)
	uint16("binary_format_minor_version", 0)
	uint16("ip_version", c.ipVersion)
	uint16("record_size", 24)
	text("node_count")
	file = binary.BigEndian.AppendUint32(append(file, 6<<5|4), c.nodeCount)
	text("database_type")
	text("crafted")
	text("build_epoch")
	return append(file, 1, 9-7, 1)
}

// recordKR is {"country_code": "KR"}.
const recordKR = "\xe1\x4ccountry_code\x42KR"
