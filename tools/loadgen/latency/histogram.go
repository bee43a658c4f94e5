// Package latency keeps a distribution of durations in constant space, as HDR
// histograms do: the buckets of each power of two are equally wide, so that
// every percentile is right to less than one percent from a nanosecond to
// hours, and recording one value is a shift and an increment.
//
// It knows nothing of DNS and nothing of clocks: durations come in.
package latency

import (
	"math"
	"math/bits"
	"time"
)

const (
	subBits = 7 // 128 buckets for each power of two: an error below 1/128
	sub     = 1 << subBits
	buckets = (64 - subBits) * sub
)

// Histogram counts durations. The zero Histogram is empty and ready. It is not
// safe for concurrent use: give each goroutine its own and Merge them.
type Histogram struct {
	counts   [buckets]uint64
	n        uint64
	sum      float64 // nanoseconds; a float does not overflow
	min, max int64   // valid when n > 0
}

// Record counts d once. A negative d counts as 0. It does not allocate.
func (h *Histogram) Record(d time.Duration) {
	v := max(int64(d), 0)
	h.counts[bucket(uint64(v))]++
	if h.n == 0 || v < h.min {
		h.min = v
	}
	h.max = max(h.max, v)
	h.n++
	h.sum += float64(v)
}

// Merge adds all that other counted.
func (h *Histogram) Merge(other *Histogram) {
	if other.n == 0 {
		return
	}
	for i, c := range other.counts {
		h.counts[i] += c
	}
	if h.n == 0 || other.min < h.min {
		h.min = other.min
	}
	h.max = max(h.max, other.max)
	h.n += other.n
	h.sum += other.sum
}

// Count is how many durations were recorded.
func (h *Histogram) Count() uint64 { return h.n }

// Min, Max and Mean are exact; 0 for an empty Histogram.
func (h *Histogram) Min() time.Duration { return time.Duration(h.min) }

// Max is the longest duration recorded.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max) }

// Mean is the arithmetic mean.
func (h *Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.n))
}

// Percentile returns the duration that p percent of those recorded do not
// exceed, by the nearest-rank rule: 0 gives Min, 100 gives Max. It is 0 for an
// empty Histogram.
func (h *Histogram) Percentile(p float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := uint64(math.Ceil(p / 100 * float64(h.n)))
	rank = min(max(rank, 1), h.n)
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen >= rank {
			// The bucket's upper end, but never outside what was really seen.
			return time.Duration(min(max(int64(upper(i)), h.min), h.max))
		}
	}
	return h.Max() // not reached: the counts add up to n
}

// bucket numbers the bucket of v. Values below 2*sub have a bucket each; above,
// the top subBits+1 bits of v tell the bucket.
func bucket(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift*sub + int(v>>shift)
}

// upper is the largest value of bucket i.
func upper(i int) uint64 {
	shift := max(i/sub-1, 0)
	return uint64(i-shift*sub+1)<<shift - 1
}
