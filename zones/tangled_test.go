package zones

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gslb/dnssec"
	"gslb/test/bed"
)

// tangledSeed lets TestSignedTangles draw other zones than it ever does:
//
//	go test ./zones -run TestSignedTangles -tangled.seed 17 -tangled.zones 100
var (
	tangledSeed  = flag.Uint64("tangled.seed", 1, "what the zones of TestSignedTangles are drawn from")
	tangledZones = flag.Int("tangled.zones", 4, "how many they are")
)

// tangler draws zones whose names have so few labels that they collide: wildcards beside
// names, cuts above them, aliases to all of them.
type tangler struct {
	*rand.Rand
	text  strings.Builder
	taken map[string]bool
}

func (g *tangler) name() string {
	labels := []string{"a", "b", "c", "*", "a", "ns", "bb", "a-rather-long-label-that-is-longer-than-hashes-are"}
	var words []string
	for range 1 + g.IntN(3) {
		words = append(words, labels[g.IntN(len(labels))])
	}
	return strings.Join(words, ".")
}

// target is a name to lead to: in the zone but for one in ten.
func (g *tangler) target() string {
	switch g.IntN(10) {
	case 0:
		return g.name() + ".elsewhere.example."
	case 1:
		return "@"
	}
	return g.name()
}

// zone writes a master file of about so many names.
func (g *tangler) zone(size int) string {
	g.text.Reset()
	g.taken = map[string]bool{"ns": true}
	g.text.WriteString("$TTL 300\n@ SOA ns h 7 7200 900 1209600 60\n@ NS ns\nns A 192.0.2.1\nns AAAA 2001:db8::1\n")
	var dnames []string
	for range size {
		name := strings.ToLower(g.name())
		if g.taken[name] || slices.ContainsFunc(dnames, func(d string) bool { return strings.HasSuffix(name, "."+d) }) {
			continue
		}
		g.taken[name] = true
		switch kind := g.IntN(20); {
		case kind < 3:
			fmt.Fprintf(&g.text, "%s CNAME %s\n", name, g.target())
		case kind == 3 && !slices.ContainsFunc(slices.Collect(maps.Keys(g.taken)), func(t string) bool { return strings.HasSuffix(t, "."+name) }):
			dnames = append(dnames, name)
			fmt.Fprintf(&g.text, "%s DNAME %s\n", name, g.target())
		case kind < 7 && !strings.HasPrefix(name, "*"):
			fmt.Fprintf(&g.text, "%s NS ns.%[1]s\n%[1]s NS %s\n", name, g.target())
			if !g.taken["ns."+name] {
				g.taken["ns."+name] = true
				fmt.Fprintf(&g.text, "ns.%s A 192.0.2.7\nns.%[1]s AAAA 2001:db8::7\n", name)
			}
			if g.IntN(2) == 0 {
				fmt.Fprintf(&g.text, "%s DS 1 13 2 %064d\n", name, g.IntN(100))
			}
		default:
			for range 1 + g.IntN(4) {
				fmt.Fprintf(&g.text, "%s %s\n", name, g.data())
			}
		}
	}
	return g.text.String()
}

func (g *tangler) data() string {
	switch g.IntN(10) {
	case 0, 1:
		return fmt.Sprintf("A 192.0.2.%d", g.IntN(256))
	case 2:
		return fmt.Sprintf("AAAA 2001:db8::%x", g.IntN(65536))
	case 3:
		return "MX 10 " + g.target()
	case 4:
		return "SRV 0 1 2 " + g.target()
	case 5:
		return "HTTPS 0 " + g.target()
	case 6:
		return "HTTPS 1 " + g.target() + " alpn=h2"
	case 7:
		return "SVCB 1 . port=53"
	case 8:
		return fmt.Sprintf("TXT %q", strings.Repeat("x", g.IntN(100)))
	}
	return "TYPE65280 \\# 1 00"
}

// tangledDB is a signed zone of these with as many steered names and ALIAS records as
// can stand in it.
func (g *tangler) db(t testing.TB, s *dnssec.Signing) *DB {
	t.Helper()
	text, steered := g.zone(10+g.IntN(40)), []SteeredConfig(nil)
	build := func(text string, steered []SteeredConfig) (*DB, error) {
		z, err := tryRead("abc.com.", text)
		if err != nil {
			return nil, err
		}
		db, err := Build([]*Zone{z}, steered, steeredSites)
		if err == nil {
			db.now = func() time.Time { return signTime }
			db, err = db.Resign(map[string]*dnssec.Signing{"abc.com.": s})
		}
		return db, err
	}
	db, err := build(text, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for range 12 {
		more, names := text, slices.Clone(steered)
		if g.IntN(3) == 0 {
			more += fmt.Sprintf("%s ALIAS %s\n", g.name(), g.target())
		} else {
			names = append(names, SteeredConfig{Name: g.name() + ".abc.com.", Form: Form(g.IntN(2)), TTL: 30 * time.Second, Sites: []int{0, 1}, Hints: g.IntN(3) == 0})
		}
		if next, err := build(more, names); err == nil {
			db, text, steered = next, more, names
		}
	}
	t.Logf("%d steered names in\n%s", len(steered), text)
	return db
}

// In zones drawn at random, with steered names and ALIAS records where they can stand,
// every answer is validated, is what is said without DO, and is the same from what is
// ready and through the encoder.
func TestSignedTangles(t *testing.T) {
	count := *tangledZones
	if bed.RaceDetector { // nothing here is concurrent
		count = 1
	}
	for name, s := range signings(t) {
		t.Run(name, func(t *testing.T) {
			g := &tangler{Rand: rand.New(rand.NewPCG(*tangledSeed, uint64(len(name))))}
			for range count {
				db := g.db(t, s)
				for site := range steeredSites {
					if checkSignedAt(t, db, db.Zones()[0], signTime, site); t.Failed() {
						return
					}
				}
			}
		})
	}
}

// tryRead is read where the zone may not be one.
func tryRead(name, text string) (*Zone, error) {
	return Read(Config{Name: name, File: name + "zone"}, strings.NewReader(text))
}
