package zones

import (
	"strings"
	"testing"

	"gslb/dnsname"
)

// counter is a sink that keeps nothing.
type counter struct {
	collector
	n int
}

func (c *counter) add(record) error { c.n++; return nil }

// masterLines are entries of the types of large zones, with the bytes of each one's data.
var masterLines = []struct{ name, line string }{
	{"A", "h123456 A 10.1.2.3\n"},
	{"AAAA", "h123456 AAAA 2001:db8::10:1:2:3\n"},
	{"CNAME", "h123456 3600 IN CNAME www\n"},
	{"MX", "h123456 IN 1h MX 10 mail.example.com.\n"},
	{"TXT", "h123456 TXT \"v=spf1 -all\" \"a\\\"b\"\n"},
	{"SRV", "_sip._tcp SRV 0 5 5060 h123456\n"},
	{"DS", "h123456 DS 1 13 2 00000000000000000000000000000000000000000000000000000000000000FF\n"},
	{"RRSIG", "h123456 RRSIG A 13 3 300 20300101000000 20200101000000 12345 @ AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n"},
	{"NSEC", "h123456 NSEC h123457 A RRSIG NSEC\n"},
	{"NSEC3", "2t7b4g4vsa5smi47k61mv5bv1a22bojr NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A RRSIG\n"},
}

// A record of the types of large zones costs no allocation.
func TestMasterAllocatesNothing(t *testing.T) {
	origin, _ := dnsname.Parse("example.com.")
	for _, c := range masterLines {
		text := "$TTL 60\n" + strings.Repeat(c.line, 1000)
		var m master
		var sink counter
		read := func() {
			if _, faults := m.read("example.com.", "z", origin, strings.NewReader(text), &sink); faults != nil {
				t.Fatal(faults)
			}
		}
		// The reader of the text, and what its name and faults are handed over in.
		if n := testing.AllocsPerRun(5, read); n > 10 {
			t.Errorf("%s: %v allocations for 1000 records", c.name, n)
		}
	}
}

func BenchmarkMaster(b *testing.B) {
	origin, _ := dnsname.Parse("example.com.")
	for _, c := range masterLines {
		b.Run(c.name, func(b *testing.B) {
			text := "$TTL 60\n" + strings.Repeat(c.line, 10000)
			var m master
			var sink counter
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, faults := m.read("example.com.", "z", origin, strings.NewReader(text), &sink); faults != nil {
					b.Fatal(faults)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sink.n), "ns/record")
		})
	}
}
