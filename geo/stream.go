package geo

import (
	"encoding/binary"
	"slices"
)

// leaf is one network of a partition without its first address.
type leaf struct {
	value uint32
	bits  uint8 // width of the network
	// hole marks a range that is not looked up here: see embedded.go. It keeps
	// its neighbours from growing over it.
	hole bool
}

// run is a leaf with its place in the address space.
type run struct {
	start key
	leaf
}

func (r run) last() key { return r.start.last(r.bits) }

// stream is a partition written down as compactly as a walk allows: for each leaf,
// in address order, its width and value. Where a leaf starts follows from the
// widths before it. A stream takes three to five bytes for a leaf.
//
// It is filled by pushing runs in address order without gaps, then sealed, and
// never changes after that. Siblings of equal value merge as they are pushed.
type stream struct {
	chunks []chunk
	leaves int
	most   uint32 // value
	merger merger
}

// chunk is a piece of a stream that can be read on its own: find reads one.
type chunk struct {
	start key
	data  []byte
}

const (
	chunkSize = 4 << 10
	maxLeaf   = 1 + binary.MaxVarintLen32
	// holeWidth is added to the width of a hole: no width is above 128.
	holeWidth = 129
)

func (s *stream) push(r run) { s.merger.push(r, s.write) }

func (s *stream) seal() {
	s.merger.flush(s.write)
	s.merger = merger{}
	s.chunks = exact(s.chunks)
	if n := len(s.chunks); n > 0 {
		s.chunks[n-1].data = exact(s.chunks[n-1].data)
	}
}

func (s *stream) write(r run) {
	n := len(s.chunks)
	if n == 0 || len(s.chunks[n-1].data)+maxLeaf > chunkSize {
		s.chunks = append(s.chunks, chunk{start: r.start, data: make([]byte, 0, chunkSize)})
		n++
	}
	width := r.bits
	if r.hole {
		width += holeWidth
	}
	c := &s.chunks[n-1]
	c.data = binary.AppendUvarint(append(c.data, width), uint64(r.value))
	s.leaves++
	s.most = max(s.most, r.value)
}

// find returns the leaf that holds k. It reads a chunk: microseconds.
func (s *stream) find(k key) leaf {
	i, found := slices.BinarySearchFunc(s.chunks, k, func(c chunk, k key) int { return c.start.compare(k) })
	if !found {
		i--
	}
	c := reader{chunks: s.chunks[i : i+1], at: s.chunks[i].start}
	for c.next(); c.last.compare(k) < 0; c.next() {
	}
	return c.leaf
}

func (s *stream) reader() reader { return reader{chunks: s.chunks} }

func (s *stream) bytes() (n int) {
	for _, c := range s.chunks {
		n += cap(c.data) + 40
	}
	return n
}

// reader steps through the leaves of a sealed stream in address order.
type reader struct {
	run
	last   key // address of the run
	at     key // what follows it
	data   []byte
	chunks []chunk
}

// next must not be called after the last leaf.
func (c *reader) next() {
	if len(c.data) == 0 {
		c.data, c.chunks = c.chunks[0].data, c.chunks[1:]
	}
	width := c.data[0]
	c.hole = width >= holeWidth
	if c.hole {
		width -= holeWidth
	}
	// Written out, since it is the innermost step of every walk: encoding/binary's Uvarint isn't inlined.
	value, n := uint32(c.data[1]&0x7f), 1
	for shift := 7; c.data[n] >= 0x80; shift += 7 {
		n++
		value |= uint32(c.data[n]&0x7f) << shift
	}
	c.data = c.data[n+1:]
	c.start, c.bits, c.value = c.at, width, value
	c.last = c.at.last(width)
	c.at = c.last.next()
}

// merger merges siblings of equal value, and the result with its own sibling, in a
// sequence of runs in address order without gaps. So the leaves that come out are
// the fewest there can be.
//
// It holds back what can still merge: left siblings of one value, each within the
// right half of what the one before it would become. There are at most 128.
type merger struct{ held []run }

func (m *merger) push(r run, out func(run)) {
	for n := len(m.held); n > 0; n-- {
		if top := m.held[n-1]; top.leaf != r.leaf {
			break
		}
		// An equal leaf of equal width right behind a left sibling is the right one.
		r.start = m.held[n-1].start
		r.bits--
		m.held = m.held[:n-1]
	}
	if n := len(m.held); n > 0 && (m.held[n-1].value != r.value || m.held[n-1].hole != r.hole || !r.isLeft()) {
		m.flush(out)
	}
	if r.isLeft() {
		m.held = append(m.held, r)
	} else {
		out(r)
	}
}

func (m *merger) flush(out func(run)) {
	for _, r := range m.held {
		out(r)
	}
	m.held = m.held[:0]
}

// isLeft tells whether a run is the lower half of the network around it.
func (r run) isLeft() bool { return r.bits > 0 && !r.start.bit(r.bits-1) }
