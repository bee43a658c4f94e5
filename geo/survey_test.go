package geo

import (
	"math"
	"net/netip"
	"testing"
)

func surveyed(s *Survey) map[string]float64 {
	out := map[string]float64{}
	s.Each(func(p *Piece) {
		key := "4"
		if p.IPv6 {
			key = "6"
		}
		for _, q := range p.Places {
			key += " [" + q.String() + "]"
		}
		for _, w := range p.Within {
			if w.IsValid() {
				key += " " + w.String()
			} else {
				key += " -"
			}
		}
		out[key] += p.Size
	})
	return out
}

func override(place PlaceConfig, networks ...string) Override {
	o := Override{Place: place}
	for _, n := range networks {
		o.Networks = append(o.Networks, netip.MustParsePrefix(n))
	}
	return o
}

// Two DBs that differ in their overrides, and two sets of networks: what is
// counted is exact, and adds up to the whole space.
func TestSurveyMeasures(t *testing.T) {
	kr, jp := PlaceConfig{Country: "KR"}, PlaceConfig{Country: "JP"}
	a := mustOpen(t, Config{Overrides: []Override{override(kr, "203.0.113.0/24", "2001:db8::/32")}})
	b := mustOpen(t, Config{Overrides: []Override{override(kr, "203.0.113.0/25"), override(jp, "203.0.113.128/25")}})
	rules := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/26")}
	special := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("10.0.0.0/8")}
	got := surveyed(NewSurvey([]*DB{a, b, a, nil}, [][]netip.Prefix{rules, special}))
	want := map[string]float64{
		"4 [AS KR] [AS KR] [AS KR] [unknown] 203.0.113.0/26 203.0.113.0/24": 64,
		"4 [AS KR] [AS KR] [AS KR] [unknown] - 203.0.113.0/24":              64,
		"4 [AS KR] [AS JP] [AS KR] [unknown] - 203.0.113.0/24":              128,
		"4 [unknown] [unknown] [unknown] [unknown] - 10.0.0.0/8":            1 << 24,
		"4 [unknown] [unknown] [unknown] [unknown] - -":                     1<<32 - 1<<24 - 256,
		"6 [AS KR] [unknown] [AS KR] [unknown] - -":                         1 << 16,
	}
	var six float64
	for key, size := range got {
		if key[0] == '6' {
			six += size
		}
		if w, ok := want[key]; ok && w != size {
			t.Errorf("%s: %v, want %v", key, size, w)
		} else if _, ok := want[key]; !ok && key != "6 [unknown] [unknown] [unknown] [unknown] - -" {
			t.Errorf("unexpected %s: %v", key, size)
		}
	}
	for key := range want {
		if _, ok := got[key]; !ok {
			t.Errorf("missing %s", key)
		}
	}
	// ::ffff:0:0/96, 64:ff9b::/96, 2001::/32 and 2002::/16 are looked up as IPv4.
	whole := math.Ldexp(1, 48) - 2*math.Ldexp(1, -48) - math.Ldexp(1, 16) - math.Ldexp(1, 32)
	if math.Abs(six-whole) > 1 {
		t.Errorf("IPv6: %v networks in all, want %v", six, whole)
	}
}

// On databases, each piece's Place is that of the look-up, and the sizes add up to the space.
func TestSurveyAgreesWithLookup(t *testing.T) {
	db := mustOpen(t, Config{Databases: []string{sharedDatabase(t, "GeoIP2-City-Test"), sharedDatabase(t, "GeoLite2-ASN-Test")}})
	count := map[Place]float64{}
	total := 0.0
	NewSurvey([]*DB{db}, nil).Each(func(p *Piece) {
		if !p.IPv6 {
			count[p.Places[0]] += p.Size
			total += p.Size
		}
	})
	if total != 1<<32 {
		t.Errorf("%v IPv4 addresses, want all %d", total, uint64(1)<<32)
	}
	// The other way: from network to network with look-ups.
	looked := map[Place]float64{}
	for a := uint64(0); a < 1<<32; {
		p, within := db.Lookup(addr4(uint32(a)))
		n := math.Ldexp(1, 32-within.Bits())
		looked[p] += n
		a += uint64(n)
	}
	for p, n := range looked {
		if count[p] != n {
			t.Errorf("%v: %v addresses, look-ups say %v", p, count[p], n)
		}
	}
	if len(count) != len(looked) {
		t.Errorf("%d places, look-ups say %d", len(count), len(looked))
	}
}
