package zones

import "math/bits"

// pages is the index of a zone that has been patched: the slots of an index, some
// of whose pages have been copied since, as they have changed. So a change costs a
// page and the list of them, whatever the size of the zone, and a look-up one more
// step in a list that is small enough to lie near: 4 KiB for a million names.
type pages struct {
	slots int
	list  []*page
}

const (
	pageBits = 11
	pageSize = 1 << pageBits
)

type page [pageSize]uint64

// pagesOf makes pages of an index, which they hold on to.
func pagesOf(x index) *pages {
	p := &pages{slots: len(x), list: make([]*page, 0, (len(x)+pageSize-1)/pageSize)}
	for ; len(x) >= pageSize; x = x[pageSize:] {
		p.list = append(p.list, (*page)(x))
	}
	if len(x) > 0 {
		last := new(page)
		copy(last[:], x)
		p.list = append(p.list, last)
	}
	return p
}

func (p *pages) at(i int) uint64 { return p.list[i>>pageBits][i&(pageSize-1)] }

func (p *pages) start(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(p.slots))
	return int(hi)
}

func (p *pages) next(i int) int {
	if i++; i < p.slots {
		return i
	}
	return 0
}

// first and after are those of index.
func (p *pages) first(h uint64) (number uint32, at int)        { return p.scan(h, p.start(h)) }
func (p *pages) after(h uint64, i int) (number uint32, at int) { return p.scan(h, p.next(i)) }

func (p *pages) scan(h uint64, i int) (number uint32, at int) {
	for {
		s := p.at(i)
		if s == 0 || uint32(s>>32) == uint32(h) {
			return uint32(s), i
		}
		i = p.next(i)
	}
}

// taken is how many slots are not free.
func (p *pages) taken() (n int) {
	for _, page := range p.list {
		for _, slot := range page {
			if slot != 0 {
				n++
			}
		}
	}
	return n
}

// bytes is the memory that they take, all pages counted.
func (p *pages) bytes() int {
	if p == nil {
		return 0
	}
	return 32 + len(p.list)*(8+8*pageSize)
}

// pageEdit makes the next pages.
type pageEdit struct {
	*pages
	own map[int]bool // pages that are not shared with those before
}

func (p *pages) edit() pageEdit {
	next := &pages{p.slots, make([]*page, len(p.list))}
	copy(next.list, p.list)
	return pageEdit{next, make(map[int]bool)}
}

func (e *pageEdit) set(i int, slot uint64) {
	n := i >> pageBits
	if !e.own[n] {
		copied := *e.list[n]
		e.list[n], e.own[n] = &copied, true
	}
	e.list[n][i&(pageSize-1)] = slot
}

func (e *pageEdit) put(h uint64, n node) {
	i := e.start(h)
	for e.at(i) != 0 {
		i = e.next(i)
	}
	e.set(i, h<<32|uint64(n))
}

// slot is the place of a node, which must be there.
func (e *pageEdit) slot(h uint64, n node) int {
	number, i := e.first(h)
	for node(number) != n {
		number, i = e.after(h, i)
	}
	return i
}

// replace puts a node in the place of another of that name.
func (e *pageEdit) replace(h uint64, old, n node) { e.set(e.slot(h, old), h<<32|uint64(n)) }

// drop takes a node out. Its slot must not be free, or what comes behind it would
// not be found: it leads to the first node, the apex as it was once, under a hash
// that the apex does not have.
func (e *pageEdit) drop(h uint64, n node, apexHash uint64) {
	e.set(e.slot(h, n), uint64(^uint32(apexHash))<<32|uint64(apex))
}
