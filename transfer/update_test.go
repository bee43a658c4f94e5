package transfer

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/zones"
)

// living is a Host that serves what it is given, as the node does.
type living struct{ db atomic.Pointer[zones.DB] }

func (l *living) DB() *zones.DB { return l.db.Load() }
func (l *living) Put(put []*zones.Zone, drop []string, durable func() error) error {
	next, err := l.db.Load().With(put, drop)
	if err == nil && durable != nil {
		err = durable()
	}
	if err == nil {
		l.db.Store(next)
	}
	return err
}
func (l *living) Default(*zones.Steered) []int32 { return nil }

// updatedZone is a zone of so many names that takes updates.
func updatedZone(t testing.TB, names int) *zone {
	t.Helper()
	base, err := zones.Make("example.", "", func(yield func(zones.RR) bool) {
		for _, text := range []string{"example. 300 IN SOA ns1.example. host.example. 1 3600 600 86400 60", "example. 300 IN NS ns1.example.", "ns1.example. 300 IN A 192.0.2.53"} {
			if !yield(testRR(t, text)) {
				return
			}
		}
		for i := range names {
			r := zones.RR{Owner: fmt.Appendf(nil, "\x08%08x\x07example\x00", i), Type: dns.TypeA, TTL: 300, Data: []byte{192, 0, 2, 1}}
			if !yield(r) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	db, err := zones.Build([]*zones.Zone{base}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	host := new(living)
	host.db.Store(db)
	m := New(t.TempDir(), host, slog.New(slog.NewTextHandler(io.Discard, nil)))
	z := &zone{m: m, name: "example.", apex: []byte("\x07example\x00")}
	z.set.Store(&settings{permits: []permit{{rule: rule{network: netip.MustParsePrefix("0.0.0.0/0")}}}})
	z.journal = &journal{entries{path: filepath.Join(t.TempDir(), "journal"), magic: journalMagic}}
	t.Cleanup(z.journal.close)
	z.raw.Store(base)
	return z
}

func testRR(t testing.TB, text string) zones.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1024)
	n, err := dns.PackRR(r, b, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	owner := b[:len(r.Header().Name)+1]
	return zones.RR{Owner: owner, Type: r.Header().Rrtype, TTL: r.Header().Ttl, Data: b[len(owner)+10 : n]}
}

// BenchmarkUpdate adds a record to a zone, one update after the other: from the
// decision to what is served, the write to disk and what IXFR needs included.
func BenchmarkUpdate(b *testing.B) {
	for _, names := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(names), func(b *testing.B) {
			z := updatedZone(b, names)
			z.current()
			i := 0
			for b.Loop() {
				i++
				r := testRR(b, fmt.Sprintf("x%d.example. 60 IN TXT \"%d\"", i, i))
				u := &updating{zone: z, changes: []record{{r, dns.ClassINET}}, from: netip.MustParseAddr("127.0.0.1")}
				if z.submit(u); u.rcode != dns.RcodeSuccess {
					b.Fatal(u.why)
				}
			}
		})
	}
}

// A version whose TTLs the zone's DNSSEC policy does not allow is not installed,
// however it comes: the next start would refuse it.
func TestTTLsOfASignedZone(t *testing.T) {
	z := updatedZone(t, 3)
	base := z.raw.Load()
	set := *z.set.Load()
	set.MaxTTL = 300 * time.Second
	z.set.Store(&set)
	version := func(ttl string) (*zones.Zone, *change) {
		e := newEdit(base)
		soa := soaOf(base)
		soa.Data = withSerial(soa.Data, 2)
		e.put(z.apex, typeSOA, []zones.RR{soa})
		e.add(testRR(t, "new.example. "+ttl+" IN A 192.0.2.1"))
		next, err := e.build(base.Name, base.File, new(zones.Patcher))
		if err != nil {
			t.Fatal(err)
		}
		return next, e.change()
	}
	next, c := version("301")
	for what, changes := range map[string][]*change{"whole": nil, "a difference": {c}} {
		if err := z.install(next, changes); err == nil || !strings.Contains(err.Error(), `new.example. A has TTL 301`) || z.raw.Load() != base {
			t.Errorf("%s: %v", what, err)
		}
	}
	good, other := version("300")
	// What is gone again at the end does no harm on the way.
	if err := z.install(good, []*change{c, other}); err != nil {
		t.Error(err)
	}
	set.MaxTTL = 0
	z.set.Store(&set)
	if err := z.install(next, nil); err != nil {
		t.Errorf("a zone that is not signed here: %v", err)
	}
}
