package geo

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func addrOf(k key, v4 bool) netip.Addr {
	return k.addr(v4)
}

func lastOf(p netip.Prefix) netip.Addr {
	return addrOf(keyOf(p.Addr()).last(uint8(p.Bits())), p.Addr().Is4())
}

// divided is what a stream and lines have in common.
type divided interface {
	runs() []run
	findLeaf(key) leaf
	count() int
}

func (s *stream) runs() (runs []run) {
	for c := s.reader(); ; {
		c.next()
		runs = append(runs, c.run)
		if c.last == lastKey {
			return runs
		}
	}
}

func (s *stream) findLeaf(k key) leaf { return s.find(k) }
func (s *stream) count() int          { return s.leaves }

// family6 are lines of IPv6 addresses, in which the holes are as wide as they are.
type family6 struct{ *trie }

func (t *trie) runs() []run   { return runsOf(t.findLeaf) }
func (t family6) runs() []run { return runsOf(t.findLeaf) }
func (t *trie) count() int    { return t.leaves }
func (t *trie) findLeaf(k key) (lf leaf) {
	lf.value, lf.bits = t.find(k)
	return lf
}

var knownHoles = holes()

func (t family6) findLeaf(k key) leaf {
	lf := t.trie.findLeaf(k)
	lf.hole = knownHoles.v6.find(k).hole
	return lf
}

func runsOf(find func(key) leaf) (runs []run) {
	for at := (key{}); ; {
		r := run{at, find(at)}
		runs = append(runs, r)
		if at = r.last().next(); at == (key{}) {
			return runs
		}
	}
}

func dividedBy(t *Table, v4 bool) divided {
	if v4 {
		return &t.v4
	}
	return family6{&t.v6}
}

// numbered gives each distinct cut its index in the list plus 1.
func numbered(cuts []netip.Prefix) func(Place, netip.Prefix) uint32 {
	numbers := map[netip.Prefix]uint32{{}: 0}
	for i, c := range cuts {
		numbers[c] = uint32(i + 1)
	}
	return func(_ Place, within netip.Prefix) uint32 { return numbers[within] }
}

// The exact widths: leaves never overlap, exceptions narrow what is around them.
func TestTableWidths(t *testing.T) {
	cuts := prefixes("10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:2::8000:0/97")
	table := Build(nil, cuts, numbered(cuts))
	tests := []struct {
		addr  string
		value uint32
		bits  uint8
	}{
		{"10.2.3.4", 1, 15}, // not /8, which would hold the exception
		{"10.0.0.0", 1, 16},
		{"10.1.255.255", 2, 16},
		{"10.128.0.0", 1, 9},
		{"10.255.255.255", 1, 9},
		{"11.0.0.0", 0, 8},
		{"0.0.0.0", 0, 5},
		{"192.0.2.1", 3, 32},
		{"192.0.2.0", 0, 32},
		{"192.0.2.2", 0, 31},
		{"2001:db8::", 4, 48},
		{"2001:db8:8000::", 4, 33},
		{"2001:db8:1::", 5, 63},
		{"2001:db8:1:2::", 5, 97},
		{"2001:db8:1:2::8000:0", 6, 97},
		{"2001:db8:1:2::ffff:ffff", 6, 97},
		{"2001:db8:1:2:0:1::", 5, 96},
		{"2001:db8:1:2:8000::", 5, 65},
		{"2001:db8:1:3::", 5, 64},
		{"ffff::", 0, 1},
		// Neighbours of the ranges that hold IPv4 addresses stay clear of them.
		{"2003::1", 0, 16},
		{"2001:1::", 0, 32},
		{"::1", 0, 81},
		{"64:ff9b::1:0:0", 0, 96},
		// Those ranges are looked up by the IPv4 address within.
		{"::ffff:10.2.3.4", 1, 15},
		{"2002:a02:304::1", 1, 16 + 15},
		{"2002:a01:304:ffff::1", 2, 16 + 16},
		{"64:ff9b::10.2.3.4", 1, 96 + 15},
		{"2001:0:4136:e378:8000:63bf:f5fd:fcfb", 1, 96 + 15}, // ^f5fdfcfb is 10.2.3.4
	}
	for _, tt := range tests {
		a := netip.MustParseAddr(tt.addr)
		if value, bits := table.Lookup(a); value != tt.value || bits != tt.bits {
			t.Errorf("%s: got %d with %d bits, want %d with %d", a, value, bits, tt.value, tt.bits)
		}
	}
}

func TestTableEdges(t *testing.T) {
	var zero Table
	for _, a := range []netip.Addr{{}, netip.MustParseAddr("1.2.3.4"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2002::1")} {
		zero.Lookup(a) // must not panic
	}
	table := Build(nil, nil, func(Place, netip.Prefix) uint32 { return 7 })
	for addr, bits := range map[string]uint8{"1.2.3.4": 0, "2a00::1": 5, "fe80::1%eth0": 1, "2002:102:304::": 16} {
		if value, got := table.Lookup(netip.MustParseAddr(addr)); value != 7 || got != bits {
			t.Errorf("%s: %d with %d bits, want 7 with %d", addr, value, got, bits)
		}
	}
	if s := table.Stats(); s.Leaves4 != 1 || s.Bytes == 0 {
		t.Errorf("stats %+v", s)
	}
	if value, bits := table.Lookup(netip.Addr{}); value != 0 || bits != 0 {
		t.Errorf("invalid address: %d with %d bits", value, bits)
	}
}

// Cuts as people write them: host bits set, IPv4-mapped, twice.
func TestBuildNormalizesCuts(t *testing.T) {
	cuts := prefixes("10.9.9.9/8", "10.0.0.0/8", "::ffff:192.0.2.0/120")
	cuts = append(cuts, netip.Prefix{})
	var seen []string
	Build(nil, cuts, func(_ Place, within netip.Prefix) uint32 {
		seen = append(seen, within.String())
		return uint32(len(seen))
	})
	// The last one is that of IPv6.
	if got, want := fmt.Sprint(seen), "[invalid Prefix 10.0.0.0/8 192.0.2.0/24 invalid Prefix]"; got != want {
		t.Errorf("within %s, want %s", got, want)
	}
}

// For random nested networks of either family: leaves are disjoint, cover all,
// have one value all over, no two siblings are alike, and what a look-up says
// is what the longest network says.
func TestTableProperties(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 7))
		cuts := randomNetworks(random, 1+random.IntN(60))
		values := map[netip.Prefix]uint32{{}: 0}
		for _, c := range cuts {
			values[c] = random.Uint32N(4) // few values, so that much merges
		}
		table := Build(nil, cuts, func(_ Place, within netip.Prefix) uint32 { return values[within] })
		for _, v4 := range []bool{true, false} {
			checkPartition(t, dividedBy(table, v4))
			for _, k := range probes(random, cuts, v4) {
				a := addrOf(k, v4)
				if _, _, ok := embedded(k); !v4 && ok || a.Is4In6() {
					continue
				}
				value, bits := table.Lookup(a)
				if want := values[longest(cuts, a)]; value != want {
					t.Fatalf("seed %d: %s: got %d, want %d", seed, a, value, want)
				}
				leaf := prefixOf(a, bits)
				for _, edge := range []netip.Addr{leaf.Addr(), lastOf(leaf)} {
					if v, b := table.Lookup(edge); v != value || b != bits {
						t.Fatalf("seed %d: %s has %d in %s, its edge %s %d with %d bits", seed, a, value, leaf, edge, v, b)
					}
				}
			}
		}
	}
}

func randomNetworks(random *rand.Rand, n int) []netip.Prefix {
	var list []netip.Prefix
	for range n {
		v4 := random.IntN(2) == 0
		k := key{random.Uint64(), random.Uint64()}
		if len(list) > 0 && random.IntN(3) > 0 { // near another one, so that they nest
			other := list[random.IntN(len(list))]
			v4 = other.Addr().Is4()
			k = keyOf(other.Addr()).last(uint8(other.Bits() + random.IntN(3)))
		}
		width := 128
		if v4 {
			width = 32
		}
		p, _ := addrOf(k, v4).Prefix(random.IntN(width + 1))
		if p, ok := normalPrefix(p); ok {
			list = append(list, p)
		}
	}
	return list
}

func probes(random *rand.Rand, cuts []netip.Prefix, v4 bool) []key {
	keys := []key{{}, lastKey}
	for _, c := range cuts {
		if c.Addr().Is4() == v4 {
			begin := keyOf(c.Addr())
			end := begin.last(uint8(c.Bits()))
			keys = append(keys, begin, end, begin.prev(), end.next())
		}
	}
	for range 50 {
		keys = append(keys, key{random.Uint64(), random.Uint64()})
	}
	return keys
}

func longest(cuts []netip.Prefix, a netip.Addr) (best netip.Prefix) {
	for _, c := range cuts {
		if c.Contains(a) && (!best.IsValid() || c.Bits() > best.Bits()) {
			best = c
		}
	}
	return best
}

// checkPartition checks that leaves follow on one another without gap or
// overlap, begin at multiples of their size, and are merged maximally.
func checkPartition(t *testing.T, p divided) {
	t.Helper()
	at := key{}
	type network struct {
		start key
		bits  uint8
	}
	seen := map[network]leaf{}
	for _, r := range p.runs() {
		if r.start != at {
			t.Fatalf("leaf %+v begins at the wrong place: want %+v", r, at)
		}
		if m := mask(r.bits); r.start.hi&m.hi != 0 || r.start.lo&m.lo != 0 {
			t.Fatalf("leaf %+v has host bits", r)
		}
		if r.bits > 0 {
			m, up := mask(r.bits), mask(r.bits-1)
			bit := key{m.hi ^ up.hi, m.lo ^ up.lo}
			other := network{key{r.start.hi ^ bit.hi, r.start.lo ^ bit.lo}, r.bits}
			if sibling, ok := seen[other]; ok && sibling == r.leaf {
				t.Fatalf("leaf %+v is not merged with its sibling", r)
			}
			seen[network{r.start, r.bits}] = r.leaf
		}
		if got := p.findLeaf(r.start); got != r.leaf {
			t.Fatalf("find says %+v of leaf %+v", got, r)
		}
		if got := p.findLeaf(r.last()); got != r.leaf {
			t.Fatalf("find says %+v of the end of leaf %+v", got, r)
		}
		at = r.last().next()
	}
	if n := len(p.runs()); p.count() != n {
		t.Fatalf("it says %d leaves of %d", p.count(), n)
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{10, 0, 0, 0, 8, 10, 1, 0, 0, 16}, []byte{10, 2, 3, 4})
	f.Add([]byte{0, 0, 0, 0, 0, 255, 255, 255, 255, 32}, []byte{255, 255, 255, 254})
	f.Fuzz(func(t *testing.T, networks, addr []byte) {
		var cuts []netip.Prefix
		for ; len(networks) >= 5; networks = networks[5:] {
			p, _ := netip.AddrFrom4([4]byte(networks)).Prefix(int(networks[4] % 33))
			cuts = append(cuts, p)
		}
		table := Build(nil, cuts, func(_ Place, within netip.Prefix) uint32 { return uint32(within.Bits() + 1) })
		checkPartition(t, &table.v4)
		if len(addr) < 4 {
			return
		}
		a := netip.AddrFrom4([4]byte(addr))
		if value, _ := table.Lookup(a); value != uint32(longest(cuts, a).Bits()+1) {
			t.Fatalf("%s in %v: got %d", a, cuts, value)
		}
	})
}

func TestLookupDoesNotAllocate(t *testing.T) {
	cuts := prefixes("10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32", "2001:db8::1/128")
	table := Build(nil, cuts, numbered(cuts))
	for _, addr := range []string{"10.2.3.4", "::ffff:10.2.3.4", "2001:db8::1", "2002:a02:304::", "64:ff9b::a02:304"} {
		a := netip.MustParseAddr(addr)
		if n := testing.AllocsPerRun(100, func() { table.Lookup(a) }); n != 0 {
			t.Errorf("%s: %v allocations", a, n)
		}
	}
}
