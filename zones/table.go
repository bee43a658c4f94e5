package zones

import (
	"math/bits"
	"slices"
)

// zoneTable finds zones by the hash of their apex: open addressing with linear
// probing. A slot has the whole hash, so that nearly always the first slot that
// fits leads to the zone, and what is read to get there is one cache line of the
// table. It is made of pages, which the tables of several DBs share where they
// have the same zones: who changes one of a million zones copies one page.
type zoneTable struct {
	pages []*zonePage
	own   []bool // the pages that no other table has; nil: all

	octets int // that the zones take
}

type zonePage [pageSlots]zoneSlot

type zoneSlot struct {
	hash uint64
	zone *Zone // nil: free
}

const pageSlots = 256 // a power of two; of 16 octets each

// newZoneTable makes room for n zones, so that at most three of five slots are taken.
func newZoneTable(n int) zoneTable {
	t := zoneTable{pages: make([]*zonePage, (n+2*n/3)/pageSlots+1)}
	for i := range t.pages {
		t.pages[i] = new(zonePage)
	}
	return t
}

// shared gives a table that has the same zones until it is changed.
func (t *zoneTable) shared() zoneTable {
	return zoneTable{slices.Clone(t.pages), make([]bool, len(t.pages)), t.octets}
}

// start is where to look for h first; next where to look then.
func (t *zoneTable) start(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(t.pages)*pageSlots))
	return int(hi)
}

func (t *zoneTable) next(i int) int {
	if i++; i < len(t.pages)*pageSlots {
		return i
	}
	return 0
}

func (t *zoneTable) slot(i int) *zoneSlot { return &t.pages[i/pageSlots][i%pageSlots] }

// first gives the first zone whose apex may have that hash, and where it is; after
// the next one behind a place. nil: there is none.
func (t *zoneTable) first(h uint64) (z *Zone, at int) {
	if len(t.pages) == 0 {
		return nil, 0
	}
	return t.scan(h, t.start(h))
}

func (t *zoneTable) after(h uint64, i int) (z *Zone, at int) { return t.scan(h, t.next(i)) }

func (t *zoneTable) scan(h uint64, i int) (z *Zone, at int) {
	for {
		s := t.slot(i)
		if s.zone == nil || s.hash == h {
			return s.zone, i
		}
		i = t.next(i)
	}
}

// put adds a zone, for which there must be room.
func (t *zoneTable) put(z *Zone) {
	i := t.start(z.hash)
	for t.slot(i).zone != nil {
		i = t.next(i)
	}
	*t.mine(i) = zoneSlot{z.hash, z}
	t.octets += z.Bytes()
}

// replace puts a zone in the place of that of the same name.
func (t *zoneTable) replace(old, z *Zone) {
	for found, i := t.first(z.hash); found != nil; found, i = t.after(z.hash, i) {
		if found == old {
			t.mine(i).zone = z
			t.octets += z.Bytes() - old.Bytes()
			return
		}
	}
}

// mine gives a slot that may be written.
func (t *zoneTable) mine(i int) *zoneSlot {
	if page := i / pageSlots; t.own != nil && !t.own[page] {
		copied := *t.pages[page]
		t.pages[page], t.own[page] = &copied, true
	}
	return t.slot(i)
}
