package dnsserver

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/zones"
)

// preparing is a bed for what is prepared: steered names in a zone, and another zone
// that aliases lead to.
type preparing struct {
	t       testing.TB
	own     *zones.Zone
	other   *zones.Zone
	steered []zones.SteeredConfig
	sites   []zones.Site
}

func newPreparing(t testing.TB, names, sites int) *preparing {
	p := &preparing{t: t, own: plainZone(t, "own.example.", "x A 192.0.2.1\n"), other: plainZone(t, "other.example.", siteRecords(sites, 1))}
	var all []int
	for i := range sites {
		all = append(all, i)
		p.sites = append(p.sites, zones.Site{Name: fmt.Sprint("s", i), CNAME: fmt.Sprintf("s%d.other.example.", i), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}})
	}
	for i := range names {
		c := zones.SteeredConfig{Name: fmt.Sprintf("n%d.own.example.", i), TTL: time.Minute, TroubleTTL: time.Second, Sites: all}
		if i%2 == 0 {
			c.Form = zones.Address
		}
		p.steered = append(p.steered, c)
	}
	return p
}

func plainZone(t testing.TB, name, records string) *zones.Zone {
	z, err := zones.Read(zones.Config{Name: name, File: "f"}, strings.NewReader("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.53\n"+records))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func siteRecords(sites, version int) string {
	var b strings.Builder
	for i := range sites {
		fmt.Fprintf(&b, "s%d A 192.0.%d.%d\n", i, version, i)
	}
	return b.String()
}

func (p *preparing) db() *zones.DB {
	db, err := zones.Build([]*zones.Zone{p.own, p.other}, p.steered, p.sites)
	if err != nil {
		p.t.Fatal(err)
	}
	return db
}

func generationOf(db *zones.DB, sites int) *Generation {
	g := &Generation{DB: db, sites: sites}
	g.prepare(nil)
	return g
}

// After a change all that is prepared is what it would be if nothing had been there
// before, and what the change does not touch is not made again.
func TestPrepareAgain(t *testing.T) {
	const names, sites = 6, 3
	for _, c := range []struct {
		what            string
		change          func(db *zones.DB) (*zones.DB, error)
		addresses, same bool // whether those, and aliases, are taken over
	}{
		{"nothing", func(db *zones.DB) (*zones.DB, error) { return db.With(nil, nil) }, true, true},
		{"another zone", func(db *zones.DB) (*zones.DB, error) {
			return db.With([]*zones.Zone{plainZone(t, "other.example.", siteRecords(sites, 2))}, nil)
		}, true, false},
		{"a further zone", func(db *zones.DB) (*zones.DB, error) {
			return db.With([]*zones.Zone{plainZone(t, "s1.other.example.", "@ A 192.0.2.77\n")}, nil)
		}, true, false},
		{"their zone", func(db *zones.DB) (*zones.DB, error) {
			return db.With([]*zones.Zone{plainZone(t, "own.example.", "y A 192.0.2.2\n")}, nil)
		}, false, false},
	} {
		db := newPreparing(t, names, sites).db()
		first := generationOf(db, sites)
		next, err := c.change(db)
		if err != nil {
			t.Fatal(c.what, err)
		}
		g := &Generation{DB: next, sites: sites}
		g.prepare(first)
		want := generationOf(next, sites)
		for i, s := range next.Tailored() {
			for site := range sites {
				got, fresh, was := g.answers[i].get(dns.TypeA, int32(site)), want.answers[i].get(dns.TypeA, int32(site)), first.answers[i].get(dns.TypeA, int32(site))
				if string(got.wire.Body) != string(fresh.wire.Body) || got.outcome != fresh.outcome {
					t.Errorf("%s: %s, site %d: %x, want %x", c.what, s.Name, site, got.wire.Body, fresh.wire.Body)
				}
				taken := c.addresses && s.Form == zones.Address || c.same
				if (got == was) != taken {
					t.Errorf("%s: %s, site %d: taken over: %v, want %v", c.what, s.Name, site, got == was, taken)
				}
			}
		}
	}
}

// BenchmarkPrepare is what a reload costs the prepared answers: all made, or taken over.
func BenchmarkPrepare(b *testing.B) {
	const names, sites = 1000, 50
	p := newPreparing(b, names, sites)
	db := p.db()
	first := generationOf(db, sites)
	b.Run("made", func(b *testing.B) {
		for b.Loop() {
			generationOf(db, sites)
		}
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			next, err := db.With(nil, nil)
			if err != nil {
				b.Fatal(err)
			}
			(&Generation{DB: next, sites: sites}).prepare(first)
		}
	})
}
