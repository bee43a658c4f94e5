package zones

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"

	"gslb/dnsname"

	"github.com/miekg/dns"
)

// What Bytes counts, and where the fields lie that a look-up reads, are the compiler's to say.
func TestLayoutOfZone(t *testing.T) {
	var z Zone
	if unsafe.Sizeof(uintptr(0)) == 8 && unsafe.Sizeof(z) != zoneBytes {
		t.Errorf("a Zone takes %d octets, zoneBytes is %d", unsafe.Sizeof(z), zoneBytes)
	}
	if zoneBytes%64 != 0 {
		t.Errorf("a Zone takes %d octets: they would not begin at cache lines", zoneBytes)
	}
	if end := unsafe.Offsetof(z.labels) + 1; end > 64 {
		t.Errorf("what each look-up reads ends at %d, behind the first cache line", end)
	}
}

// Zones of all sizes around that up to which the index is small: all names are
// found, with all hashes, and none that is not there.
func TestSmallIndex(t *testing.T) {
	for names := range 2 * smallNames {
		text := "@ SOA ns1.other. h 1 2 3 4 5\n@ NS ns1.other.\n"
		for i := range names {
			text += fmt.Sprintf("h%d A 192.0.2.%d\n", i, i)
		}
		z := read(t, "abc.com.", text)
		if small := z.index == nil; small != (names+1 <= smallNames) {
			t.Errorf("%d names: the index is small: %v", names+1, small)
		}
		if len(z.nodes()) != names+1 {
			t.Errorf("%d names: %d nodes", names+1, len(z.nodes()))
		}
		db, err := Build([]*Zone{z}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var r Result
		for i := range 500 {
			wire, _ := dnsname.Parse(fmt.Sprintf("H%d.abc.com.", i))
			db.Lookup(named(t, wire), dns.TypeA, false, &r)
			want := NXDomain
			if i < names {
				want = Answer
			}
			if r.Outcome != want || i < names && r.Answer[0].Set.first()[3] != byte(i) {
				t.Fatalf("%d names, h%d: %v, want %v", names+1, i, r.Outcome, want)
			}
		}
	}
}

// A tag and a slot of 0 are no match.
func TestSmallIndexZero(t *testing.T) {
	x := smallIndex{1: 7, 2: 0xffff0007}
	for _, c := range []struct {
		hash uint64
		from int
		n    node
		at   int
	}{{0, 0, 7, 1}, {0x1234, 0, 7, 1}, {0, 2, 0, smallNames}, {0xffff0000, 0, 7, 2}, {0xffff0000 | 5<<32, 3, 0, smallNames}, {0x00010000, 0, 0, smallNames}} {
		if n, at := x.scan(c.hash, c.from); n != c.n || at != c.at {
			t.Errorf("%x from %d: node %d at %d, want %d at %d", c.hash, c.from, n, at, c.n, c.at)
		}
	}
}

// The tables of DBs that share pages do not see each other's changes, whatever
// the number of zones.
func TestZoneTable(t *testing.T) {
	for _, n := range []int{0, 1, 152, 153, 154, 2000} {
		first := newZoneTable(n)
		zs := make([]*Zone, n)
		var name Name
		for i := range zs {
			wire, _ := dnsname.Parse(fmt.Sprintf("z%d.", i))
			name.Set(wire)
			zs[i] = &Zone{apex: bytes.Clone(wire), hash: name.hash[0]}
			first.put(zs[i])
		}
		second := first.shared()
		others := make([]*Zone, n)
		for i := range others {
			if others[i] = zs[i]; i%3 == 0 {
				other := *zs[i]
				others[i] = &other
				second.replace(zs[i], &other)
			}
		}
		for i := range zs {
			if a, b := only(&first, zs[i]), only(&second, zs[i]); a != zs[i] || b != others[i] {
				t.Fatalf("%d zones: zone %d is not the one of its table", n, i)
			}
		}
		if z, _ := first.first(12345); z != nil {
			t.Errorf("%d zones: one of a hash that none has", n)
		}
	}
}

// only is what a table has of the name of a zone.
func only(table *zoneTable, like *Zone) *Zone {
	for z, i := table.first(like.hash); z != nil; z, i = table.after(like.hash, i) {
		if string(z.apex) == string(like.apex) {
			return z
		}
	}
	return nil
}
