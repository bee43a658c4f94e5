package geo

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shared returns the path of a file of the test data that lie beside the
// checkout, or skips the test.
func shared(t testing.TB, elem ...string) string {
	t.Helper()
	root := os.Getenv("GSLB_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "shared")
	}
	path := filepath.Join(append([]string{root}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("MaxMind's test data aren't here (%v); set GSLB_SHARED to the folder that holds maxmind/", err)
	}
	return path
}

func sharedDatabase(t testing.TB, name string) string {
	return shared(t, "maxmind", "test-data", name+".mmdb")
}

// demoDatabase returns the path of a database that is in the repository.
func demoDatabase(name string) string {
	return filepath.Join("..", "cmd", "gslb", "demo", "geo", name)
}

func mustOpen(t testing.TB, cfg Config) *DB {
	t.Helper()
	db, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// listed is a network of MaxMind's source tables with its record.
type listed struct {
	network netip.Prefix
	record  map[string]any
}

// sourceTable reads a source table in its order, the order of insertion.
func sourceTable(t testing.TB, name string) []listed {
	t.Helper()
	text, err := os.ReadFile(shared(t, "maxmind", "source-data", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]map[string]any
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	var list []listed
	for _, row := range rows {
		for network, record := range row {
			p, err := netip.ParsePrefix(network)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, listed{unmapTable(p), record})
		}
	}
	return list
}

// unmapTable turns ::1.2.3.0/120, as IPv4 networks stand in the tables, into 1.2.3.0/24.
func unmapTable(p netip.Prefix) netip.Prefix {
	b := p.Addr().As16()
	if p.Addr().Is6() && p.Bits() >= 96 && strings.Trim(string(b[:12]), "\x00") == "" {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[12:])), p.Bits()-96)
	}
	return p
}

// dig returns what lies under a path in a record, or nil.
func dig(v any, path ...any) any {
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[s]
		case int:
			l, _ := v.([]any)
			if s >= len(l) {
				return nil
			}
			v = l[s]
		}
	}
	return v
}

func digString(v any, path ...any) string {
	s, _ := dig(v, path...).(string)
	return s
}
