package zones

import (
	"fmt"
	"strings"
	"testing"

	"gslb/dnsname"
)

// Reading ahead goes where the look-up will go: to the zone and the node of each
// name, in small zones and in large ones, and allocates nothing.
func TestAhead(t *testing.T) {
	const head = "$TTL 60\n@ SOA ns1.other. h 1 2 3 4 5\n@ NS ns1.other.\n"
	many := strings.Builder{}
	for i := range 100 {
		fmt.Fprintf(&many, "h%d A 192.0.2.%d\n", i, i)
	}
	small, large, below := read(t, "small.example.", head+"www A 192.0.2.1\n"), read(t, "large.example.", head+many.String()), read(t, "below.small.example.", head+"www A 192.0.2.1\n")
	absent, err := Absent("absent.example.", "")
	if err != nil {
		t.Fatal(err)
	}
	db, err := Build([]*Zone{small, large, below, absent}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		zone *Zone
		node string // empty: none
	}{
		{"www.small.example.", small, "www.small.example."},
		{"WWW.below.small.example.", below, "www.below.small.example."},
		{"small.example.", small, "small.example."},
		{"no.small.example.", small, ""},
		{"h77.large.example.", large, "h77.large.example."},
		{"h100.large.example.", large, ""},
		{"www.elsewhere.example.", &noZone, ""},
		{".", &noZone, ""},
		{"www.absent.example.", absent, ""},
	}
	a := NewAhead(len(cases))
	var wires [][]byte
	for _, c := range cases {
		wire, err := dnsname.Parse(c.name)
		if err != nil {
			t.Fatal(err)
		}
		wires = append(wires, wire)
	}
	fill := func() {
		a.Add(db, []byte{64, 1})
		a.Add(db, nil)
		for _, wire := range wires {
			a.Add(db, wire)
		}
		a.Add(db, wires[0]) // there is no room for it
		a.Read(db)
	}
	if allocs := testing.AllocsPerRun(10, fill); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	for i, c := range cases {
		got := &a.names[i]
		node := ""
		if got.next != 0 {
			var name Name
			owner := got.zone.arena.owner(got.next)
			name.Set(owner)
			node = dnsname.Format(owner)
			if node != c.node && uint32(name.hash[0])&smallTag == uint32(got.hash)&smallTag {
				node = c.node // the other name has the same tag
			}
		}
		if got.zone != c.zone || node != c.node {
			t.Errorf("%s: zone %q, node %q; want %q and %q", c.name, got.zone.Name, node, c.zone.Name, c.node)
		}
	}
	a.Add(new(DB), wires[0])
	a.Read(new(DB)) // of nothing
}

// How much there is to read is known after each change.
func TestLarge(t *testing.T) {
	z, big := read(t, "example.", "@ SOA ns1.other. h 1 2 3 4 5\n@ NS ns1.other.\n"), read(t, "example.", string(hosts(80_000)))
	db, err := Build([]*Zone{z}, nil, nil)
	if err != nil || db.Large() {
		t.Fatal(err, db.Large())
	}
	for _, c := range []struct {
		z    *Zone
		want bool
	}{{big, true}, {z, false}} {
		if db, err = db.With([]*Zone{c.z}, nil); err != nil || db.Large() != c.want || db.table.octets != c.z.Bytes() {
			t.Errorf("%v, large: %v, %d octets; want %v, %d", err, db.Large(), db.table.octets, c.want, c.z.Bytes())
		}
	}
}
