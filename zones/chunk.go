package zones

import "math"

// list is a long list that grows without copying.
type list[T any] struct {
	chunks [][]T
	n      int
}

const listChunk = 1 << 12

func (l *list[T]) len() int       { return l.n }
func (l *list[T]) at(i uint32) *T { return &l.chunks[i/listChunk][i%listChunk] }

// add puts an element at the end and gives its number.
func (l *list[T]) add(x T) uint32 {
	if l.n%listChunk == 0 && l.n/listChunk == len(l.chunks) {
		l.chunks = append(l.chunks, make([]T, listChunk))
	}
	n := uint32(l.n)
	l.n++
	*l.at(n) = x
	return n
}

// clear empties the list, keeping a little memory.
func (l *list[T]) clear() {
	l.n = 0
	if len(l.chunks) > 1 {
		l.chunks = l.chunks[:1:1]
	}
}

// pieces keeps octets in pieces that do not move.
type pieces struct {
	chunks [][]byte
	used   int // of the last chunk
}

// pieceChunk is enough for any record. Pieces begin at multiples of 4; a place
// is a quarter of where one is, and never 0.
const pieceChunk = 1 << 17

// add makes room for a piece and gives its place; nil where there is no more room.
func (t *pieces) add(size int) (place uint32, piece []byte) {
	size = (size + 3) &^ 3
	if len(t.chunks) == 0 || t.used+size > pieceChunk {
		if len(t.chunks) >= math.MaxUint32/(pieceChunk/4) {
			return 0, nil
		}
		t.chunks = append(t.chunks, make([]byte, pieceChunk))
		t.used = 4
	}
	place = uint32((len(t.chunks)-1)*(pieceChunk/4) + t.used/4)
	piece = t.chunks[len(t.chunks)-1][t.used : t.used+size]
	t.used += size
	return place, piece
}

// at gives what begins at a place.
func (t *pieces) at(place uint32) []byte {
	return t.chunks[place/(pieceChunk/4)][place%(pieceChunk/4)*4:]
}

// clear empties it, keeping a little memory.
func (t *pieces) clear() {
	if len(t.chunks) > 1 {
		t.chunks = t.chunks[:1:1]
	}
	t.used = 4
}
