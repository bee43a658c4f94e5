package balancer

import (
	"math"
	"sync/atomic"
	"time"
)

// The times of a server's connections that are kept as histograms.
const (
	timeConnect = iota // until the server has accepted
	timeFirst          // from the client's first byte, or the accept if the server speaks first, to the server's first byte
	timeWhole          // from accept to end
	timesKept
)

// histogram counts durations, by many goroutines at once and without a lock. Its
// buckets are those of a Prometheus native histogram of schema 2, each wider than
// the one before by the fourth root of 2, so that a quantile is right within 10 %. The zero
// histogram is empty.
type histogram struct {
	sum     atomic.Int64 // nanoseconds
	buckets [histogramBuckets]atomic.Uint64
}

const (
	histogramSchema = 2
	// The buckets' upper bounds are 2^((i+histogramFirst)/4) seconds: 1 µs to 9 hours.
	// What is below or above goes to the first or the last one.
	histogramFirst   = -80
	histogramBuckets = 141
)

// roots are the fractions of math.Frexp at which buckets end.
var roots = [...]float64{0.5, math.Pow(2, -0.75), math.Sqrt2 / 2, math.Pow(2, -0.25)}

func (h *histogram) observe(d time.Duration) {
	h.sum.Add(int64(d))
	h.buckets[bucketOf(d)].Add(1)
}

// bucketOf returns the bucket of a duration.
func bucketOf(d time.Duration) int {
	fraction, exponent := math.Frexp(d.Seconds())
	i := 4 * (exponent - 1)
	for _, r := range roots {
		if fraction > r {
			i++
		}
	}
	if d <= 0 {
		return 0
	}
	return min(max(i-histogramFirst, 0), histogramBuckets-1)
}

// Histogram is what a histogram had counted.
type Histogram struct {
	Sum     time.Duration
	Buckets [histogramBuckets]uint64
}

// add adds what h has counted so far.
func (t *Histogram) add(h *histogram) {
	t.Sum += time.Duration(h.sum.Load())
	for i := range h.buckets {
		t.Buckets[i] += h.buckets[i].Load()
	}
}
