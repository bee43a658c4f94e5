package geo

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// crowd returns many networks, some of them in crowds within few others, so that
// subtrees are deep, and some are equal.
func crowd(random *rand.Rand, n int, v4 bool) []netip.Prefix {
	width := 128
	if v4 {
		width = 32
	}
	var list []netip.Prefix
	for len(list) < n {
		k := key{random.Uint64(), random.Uint64()}
		if v4 {
			k = key4(uint32(k.hi))
		}
		outer := uint8(random.IntN(width - 2))
		for range 1 + random.IntN(1<<random.IntN(10)) {
			bits := int(outer) + random.IntN(width+1-int(outer))
			m := mask(outer)
			inner := key{k.hi&^m.hi | random.Uint64()&m.hi, k.lo&^m.lo | random.Uint64()&m.lo}
			p, _ := addrOf(inner, v4).Prefix(bits)
			if p, ok := normalPrefix(p); ok && p.Addr().Is4() == v4 {
				list = append(list, p)
			}
		}
	}
	return list
}

// A trie says of every leaf's first and last address what the stream says that it
// was made of, its width too, and covers the whole family; whatever octets its values need.
func TestTrieAgreesWithStream(t *testing.T) {
	for seed := range uint64(8) {
		values := []uint32{5, 5000, 1 << 20, maxNumber + 1}[seed%4]
		for _, v4 := range []bool{true, false} {
			random := rand.New(rand.NewPCG(seed, 9))
			var networks []valued
			cuts := crowd(random, 1+random.IntN(1<<random.IntN(13)), v4)
			slices.SortFunc(cuts, netip.Prefix.Compare)
			for _, c := range slices.Compact(cuts) {
				networks = append(networks, valued{c, leaf{value: random.Uint32N(values)}})
			}
			p := nested(networks).family(v4)
			checkPartition(t, p)
			l, err := lay(p, v4, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := l.runs(), p.runs(); !slices.Equal(got, want) {
				t.Fatalf("seed %d, IPv4 %v: %d leaves in the trie, %d in the stream, or others", seed, v4, len(got), len(want))
			}
			for _, r := range p.runs() {
				if got := l.findLeaf(r.last()); got != r.leaf {
					t.Fatalf("seed %d: %+v: the trie says %+v of its end", seed, r, got)
				}
			}
			if per := float64(l.bytes()) / float64(p.leaves); p.leaves > 1000 && per > 100 {
				t.Errorf("seed %d: %.0f bytes for each of %d leaves", seed, per, p.leaves)
			}
		}
	}
}

// An IPv6 network with many leaves is divided by a second step of entries, and its
// neighbours with few are not.
func TestTrieOfDenseNetworks(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 9))
	networks := map[netip.Prefix]uint32{}
	for i := range 3 * furtherLeaves {
		first := []uint64{0x2a00, 0x2a02, 0xffff}[i%3]
		if i%3 == 1 && i > 100 {
			continue
		}
		bits := 17 + random.IntN(112)
		p, _ := key{first<<48 | random.Uint64()>>16, random.Uint64()}.addr(false).Prefix(bits)
		networks[p] = random.Uint32N(1000)
	}
	var list []valued
	for p, v := range networks {
		list = append(list, valued{p, leaf{value: v}})
	}
	p := nested(list).family(false)
	l, err := lay(p, false, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	checkPartition(t, l)
	if !slices.Equal(l.runs(), p.runs()) {
		t.Fatal("the trie says otherwise than the stream")
	}
	var more []int
	for i, e := range l.direct[:1<<l.bits] {
		if e&(leads|further) == leads|further {
			more = append(more, i)
		}
	}
	if want := []int{0x2a00, 0xffff}; l.bits != directBits || !slices.Equal(more, want) {
		t.Errorf("of %d bits, %x have a second step, want %x", l.bits, more, want)
	}
}

// Networks that are divided alike, at the same place within a step, take no memory each.
func TestTrieKeepsEqualSubtreesOnce(t *testing.T) {
	octets := func(n int) int {
		var list []valued
		for i := range n {
			for _, inner := range []uint32{0x00, 0x3f, 0x80} {
				list = append(list, valued{netip.PrefixFrom(addr4(uint32(i)<<16|inner<<4|7), 32), leaf{value: 1 + inner}})
			}
		}
		l, err := lay(nested(list).family(true), true, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		return len(l.nodes)
	}
	if a, b := octets(20000), octets(40000); a != b || a > 1000 {
		t.Errorf("%d octets for 20000 networks, %d for 40000", a, b)
	}
}

// Tables that are made together are those that are made one by one.
func TestBuildAllSharesTheWalk(t *testing.T) {
	db := mustOpen(t, Config{
		Databases: []string{demoDatabase("demo-city.mmdb"), demoDatabase("demo-isp.mmdb")},
		Overrides: []Override{{Networks: prefixes("203.0.113.64/26"), Place: PlaceConfig{ISP: "LG Uplus"}}},
	})
	cuts := [][]netip.Prefix{nil, prefixes("203.0.0.0/16", "2001:db8::/33"), prefixes("203.0.113.0/24", "203.0.113.9/32", "::ffff:198.18.0.0/111"), nil}
	cohort := func(i int) func(Place, netip.Prefix) uint32 {
		numbers := map[string]uint32{}
		return func(p Place, within netip.Prefix) uint32 {
			what := fmt.Sprint(within, p.Country)
			if i%2 == 0 {
				what += p.ISP
			}
			if _, ok := numbers[what]; !ok {
				numbers[what] = uint32(len(numbers))
			}
			return numbers[what]
		}
	}
	var specs []Spec
	for i := range cuts {
		specs = append(specs, Spec{Cuts: cuts[i], Cohort: cohort(i)})
	}
	tables, err := BuildAll(db, specs)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range tables {
		want := Build(db, cuts[i], cohort(i))
		for _, v4 := range []bool{true, false} {
			g, w := dividedBy(got, v4).runs(), dividedBy(want, v4).runs()
			// Another walk meets the cohorts in another order.
			names := map[uint32]uint32{}
			for j := range w {
				if len(g) != len(w) || g[j].start != w[j].start || g[j].bits != w[j].bits {
					t.Fatalf("table %d: %d networks together, %d alone, or others", i, len(g), len(w))
				}
				if n, ok := names[w[j].value]; ok && n != g[j].value {
					t.Fatalf("table %d: %+v together, %+v alone", i, g[j], w[j])
				}
				names[w[j].value] = g[j].value
			}
		}
	}
}

// A table that would be too large, or a number, is refused by name.
func TestBuildAllRefuses(t *testing.T) {
	cuts := crowd(rand.New(rand.NewPCG(1, 1)), 3000, true)
	number := uint32(0)
	_, err := buildAll(nil, []Spec{{Name: "small", Cohort: func(Place, netip.Prefix) uint32 { return 0 }}, {Name: "www", Cuts: cuts, Cohort: func(Place, netip.Prefix) uint32 {
		number++
		return number
	}}}, 4096)
	if err == nil || !strings.Contains(err.Error(), "www: table of IPv4: its ") || !strings.Contains(err.Error(), "take more than 4096 bytes") ||
		strings.Contains(err.Error(), "small") {
		t.Errorf("error %v", err)
	}
	_, err = BuildAll(nil, []Spec{{Name: "www", Cohort: func(Place, netip.Prefix) uint32 { return 1 << 26 }}})
	if err == nil || !strings.Contains(err.Error(), "www: number 67108864: must be at most 67108863") {
		t.Errorf("error %v", err)
	}
}

func TestEachPlace(t *testing.T) {
	db := mustOpen(t, Config{Databases: []string{demoDatabase("demo-city.mmdb"), demoDatabase("demo-isp.mmdb")}})
	seen := map[Place]bool{}
	db.EachPlace(func(p Place) { seen[p] = true })
	for _, addr := range []string{"203.0.113.7", "192.0.3.1", "2001:db8:1000::1"} {
		if p, _ := db.Lookup(netip.MustParseAddr(addr)); !seen[p] {
			t.Errorf("%+v of %s is missing", p, addr)
		}
	}
	(*DB)(nil).EachPlace(func(Place) { t.Error("a place of no database") })
}

func TestPairs(t *testing.T) {
	var m pairs
	want := map[uint64]uint32{}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		k := 1 + random.Uint64N(3000)<<(32*random.Uint64N(2))
		v := m.at(k)
		if *v != want[k] {
			t.Fatalf("%d: %d, want %d", k, *v, want[k])
		}
		*v = random.Uint32()
		want[k] = *v
	}
}

// FuzzTable6 compares tables of IPv6 networks with the longest match in a list.
// Networks may end on both sides of the 64th bit, where a look-up goes from one
// half of the address to the other, and may be IPv4-mapped; some are overrides,
// which know a place, the others are cuts. Each is looked up at its first and last
// address and just outside, besides the address given.
func FuzzTable6(f *testing.F) {
	f.Add([]byte{0x20, 1, 13, 0xb8, 0, 0, 0, 0, 32, 0x20, 1, 13, 0xb8, 1, 2, 3, 4, 64}, []byte{}, uint64(0x20010db8_01020304), uint64(1))
	f.Add([]byte{0x20, 1, 13, 0xb8, 0, 0, 0, 0, 62, 0x20, 1, 13, 0xb8, 0, 0, 0, 1, 66, 0x20, 1, 13, 0xb8, 0, 0, 0, 1, 128}, []byte{2, 0}, uint64(0x20010db8_00000001), uint64(1)<<62)
	f.Add([]byte{0xa0, 1, 0, 0, 0xc0, 0, 2, 0, 120, 0xa0, 1, 0, 0, 0xc0, 0, 2, 128, 121}, []byte{1, 1}, uint64(0), uint64(0xffff_c0000281))
	f.Fuzz(func(t *testing.T, networks, kinds []byte, hi, lo uint64) {
		var cuts, known []netip.Prefix
		var config []Override
		for n := 0; len(networks) >= 9 && n < 64; n, networks = n+1, networks[9:] {
			var b [16]byte
			copy(b[:], networks[:8])
			copy(b[8:], networks[:8])
			if networks[0] == 0xa0 && networks[1] == 1 { // mapped
				b = netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: networks[4], 13: networks[5], 14: networks[6], 15: networks[7]}).As16()
			}
			p, err := netip.AddrFrom16(b).Prefix(int(networks[8]) % 129)
			if err != nil {
				continue
			}
			p, ok := normalPrefix(p)
			if !ok {
				continue
			}
			if len(kinds) > n && kinds[n]&1 == 1 {
				if !slices.Contains(known, p) {
					config = append(config, Override{Networks: []netip.Prefix{p}, Place: PlaceConfig{ASN: uint32(len(known) + 1)}})
					known = append(known, p)
				}
			} else {
				cuts = append(cuts, p)
			}
		}
		db, err := Open(Config{Overrides: config})
		if err != nil {
			t.Fatal(err)
		}
		// The number says both: which override, and how long the longest cut is.
		table := Build(db, cuts, func(p Place, within netip.Prefix) uint32 { return p.ASN<<9 | uint32(within.Bits()+1) })
		checkPartition(t, dividedBy(table, true))
		checkPartition(t, dividedBy(table, false))
		check := func(a netip.Addr) {
			a = a.Unmap()
			if !a.IsValid() || a.Is6() && knownHoles.v6.find(keyOf(a)).hole {
				return
			}
			if a.Is6() {
				if _, _, ok := embedded(keyOf(a)); ok {
					return // looked up as IPv4: TestTable has that
				}
			}
			want := uint32(longest(cuts, a).Bits() + 1)
			if o := longest(known, a); o.IsValid() {
				want |= uint32(slices.Index(known, o)+1) << 9
			}
			value, bits := table.Lookup(a)
			if value != want {
				t.Fatalf("%s with cuts %v and overrides %v: got %#x, want %#x", a, cuts, known, value, want)
			}
			leaf, err := a.Prefix(int(bits))
			if err != nil {
				t.Fatalf("%s: %d bits", a, bits)
			}
			for _, p := range slices.Concat(cuts, known) { // none ends within the leaf, but where it makes no difference
				if again, _ := table.Lookup(p.Addr()); leaf.Contains(p.Addr()) && again != value {
					t.Fatalf("%s and %s are in the leaf %s with %#x and %#x", a, p.Addr(), leaf, value, again)
				}
			}
		}
		check(key{hi, lo}.addr(false))
		for _, p := range slices.Concat(cuts, known) {
			check(p.Addr())
			check(p.Addr().Prev())
			end := p.Addr().AsSlice()
			for i := p.Bits(); i < 8*len(end); i++ {
				end[i/8] |= 0x80 >> (i % 8)
			}
			last, _ := netip.AddrFromSlice(end)
			check(last)
			check(last.Next())
		}
	})
}
