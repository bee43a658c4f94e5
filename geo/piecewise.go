package geo

import (
	"unsafe"

	"gslb/parallel"
)

// Go does not interrupt the copying of memory: the world, stopped for a collection of
// garbage, would wait while append moves megabytes, and with it the queries.

// roomy makes room for n more.
func roomy[T any](s []T, n int) []T {
	if len(s)+n > cap(s) {
		s = piecewise(make([]T, 0, max(len(s)+n, cap(s)+cap(s)/2)), s)
	}
	return s
}

// longer appends n zeros. What is behind the end must never have been used.
func longer[T any](s []T, n int) []T { return roomy(s, n)[:len(s)+n] }

// exact copies a slice without spare capacity.
func exact[T any](s []T) []T { return piecewise(make([]T, 0, len(s)), s) }

// pieceSize is copied without yielding: tens of microseconds.
const pieceSize = 256 << 10

// piecewise appends from to to, which has the room.
func piecewise[T any](to, from []T) []T {
	n := max(1, pieceSize/max(1, int(unsafe.Sizeof(*new(T)))))
	for len(from) > n {
		to, from = append(to, from[:n]...), from[n:]
		parallel.Yield()
	}
	return append(to, from...)
}
