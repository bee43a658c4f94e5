package upkeep

import (
	"fmt"
	"log/slog"
	"testing"

	"gslb/dnssec"
)

// BenchmarkManyZones: a keeper that makes the keys of many zones, and one that
// finds them, for each zone. The folder's names are read once, not for each zone.
func BenchmarkManyZones(b *testing.B) {
	for _, n := range []int{250, 1000} {
		var zones []Zone
		for i := range n {
			zones = append(zones, zone(fmt.Sprintf("z%d.example.", i), func(c *dnssec.Config) { c.Algorithm = "ED25519" }))
		}
		prepare := func(b *testing.B, dir string) {
			k, err := New(Options{Keys: dir + "/keys", Maintain: true, State: dir + "/state", Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			if r, err := k.Prepare(zones, testTime); err != nil || len(r.Signing) != n {
				b.Fatal(err)
			}
		}
		kept := b.TempDir()
		b.Run(fmt.Sprintf("make/%d", n), func(b *testing.B) {
			for b.Loop() {
				prepare(b, b.TempDir())
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/zone")
		})
		prepare(b, kept)
		b.Run(fmt.Sprintf("find/%d", n), func(b *testing.B) {
			for b.Loop() {
				prepare(b, kept)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/zone")
		})
	}
}
