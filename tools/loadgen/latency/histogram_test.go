package latency

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketBounds(t *testing.T) {
	values := []uint64{0, 1, sub - 1, sub, 2*sub - 1, 2 * sub, 2*sub + 1, 1000, 1 << 20, 1<<20 + 1, 1 << 40, math.MaxInt64}
	for _, v := range values {
		i := bucket(v)
		if i < 0 || i >= buckets {
			t.Fatalf("bucket(%d) = %d: outside the %d buckets", v, i, buckets)
		}
		if top := upper(i); top < v || float64(top-v) > float64(v)/sub {
			t.Errorf("bucket(%d) = %d with upper end %d: off by more than 1/%d", v, i, top, sub)
		}
		if i > 0 && upper(i-1) >= v {
			t.Errorf("bucket(%d) = %d, but the bucket before it reaches to %d", v, i, upper(i-1))
		}
	}
}

func TestPercentilesAgainstSortedValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []time.Duration
	for range 20000 {
		d := time.Duration(math.Exp(rng.Float64()*20) * 10) // 10 ns to 5 s, log-uniform
		h.Record(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, p := range []float64{0, 1, 50, 90, 99, 99.9, 100} {
		want := all[max(int(math.Ceil(p/100*float64(len(all))))-1, 0)]
		got := h.Percentile(p)
		if diff := math.Abs(float64(got-want)) / float64(want); diff > 1.0/sub {
			t.Errorf("p%v = %v, want %v: off by %.2f%%", p, got, want, diff*100)
		}
	}
	if h.Min() != all[0] || h.Max() != all[len(all)-1] || h.Count() != uint64(len(all)) {
		t.Errorf("min %v max %v count %d, want %v %v %d", h.Min(), h.Max(), h.Count(), all[0], all[len(all)-1], len(all))
	}
}

func TestEmptyAndNegative(t *testing.T) {
	var h Histogram
	if h.Percentile(50) != 0 || h.Mean() != 0 || h.Min() != 0 || h.Max() != 0 {
		t.Error("an empty histogram is not all 0")
	}
	h.Record(-time.Second)
	if h.Max() != 0 || h.Count() != 1 {
		t.Errorf("a negative duration: max %v count %d, want 0 and 1", h.Max(), h.Count())
	}
}

func TestMerge(t *testing.T) {
	var a, b, empty Histogram
	a.Record(time.Millisecond)
	b.Record(time.Microsecond)
	b.Record(time.Second)
	a.Merge(&b)
	a.Merge(&empty)
	empty.Merge(&a)
	for _, h := range []*Histogram{&a, &empty} {
		if h.Count() != 3 || h.Min() != time.Microsecond || h.Max() != time.Second {
			t.Errorf("merged: count %d min %v max %v, want 3 1µs 1s", h.Count(), h.Min(), h.Max())
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	b.ReportAllocs()
	var h Histogram
	d := time.Duration(0)
	for b.Loop() {
		h.Record(d)
		d += 977
	}
}
