package balancer

import (
	"math"
	"time"
)

// Quantiles of a server's connections of the last minute or two.
type Quantiles struct {
	Count  uint64  `json:"count"`
	Median float64 `json:"median"` // seconds
	P90    float64 `json:"p90"`
	P99    float64 `json:"p99"`
}

// measured is what the manager measures of a server as time passes. Guarded by pool.mu.
type measured struct {
	at     time.Time // of the last sample
	total  int64     // connections, at that time
	rate   float64   // new connections a second, smoothed
	turned time.Time // when before became what now is
	before [timesKept]Histogram
	now    [timesKept]Histogram // as of turned
}

const (
	sampleEvery = time.Second
	rateSettles = 5 * time.Second // the rate follows a change in this time, but for 1/e
	turnEvery   = time.Minute     // quantiles are of what came since the last turn but one
)

// measure takes a sample, if one is due. Under mu.
func (p *pool) measure(s *server, now time.Time) {
	m := &s.measured
	took := now.Sub(m.at)
	if took < sampleEvery {
		return
	}
	total := s.total.Load()
	if !m.at.IsZero() {
		rate := float64(total-m.total) / took.Seconds()
		m.rate += (rate - m.rate) * (1 - math.Exp(-took.Seconds()/rateSettles.Seconds()))
	}
	m.at, m.total = now, total
	if now.Sub(m.turned) >= turnEvery {
		m.turned, m.before = now, m.now
		m.now = s.counted()
	}
}

// counted are the server's histograms now.
func (s *server) counted() (all [timesKept]Histogram) {
	for i := range all {
		all[i].add(&s.times[i])
	}
	return all
}

// lately are the quantiles of what was counted since the last turn but one.
func (s *server) lately(which int) Quantiles {
	var h Histogram
	h.add(&s.times[which])
	for i := range h.Buckets {
		h.Buckets[i] -= s.measured.before[which].Buckets[i]
	}
	return Quantiles{h.Count(), h.quantile(0.5), h.quantile(0.9), h.quantile(0.99)}
}

// Count is how many durations were counted.
func (t *Histogram) Count() (n uint64) {
	for _, b := range t.Buckets {
		n += b
	}
	return n
}

// Bound is the upper bound, in seconds, of a bucket.
func (t *Histogram) Bound(bucket int) float64 {
	return math.Pow(2, float64(bucket+histogramFirst)/4)
}

// Schema is that of a Prometheus native histogram, and First the index there of the first bucket.
func (t *Histogram) Schema() (schema int32, first int) { return histogramSchema, histogramFirst }

// quantile is the middle of the bucket that has it, in seconds; 0 of an empty histogram.
func (t *Histogram) quantile(q float64) float64 {
	rest := q * float64(t.Count())
	for i, n := range t.Buckets {
		if rest -= float64(n); rest <= 0 && n > 0 {
			return t.Bound(i) * math.Pow(2, -1.0/8)
		}
	}
	return 0
}

// plus adds another one.
func (t *Histogram) plus(o *Histogram) {
	t.Sum += o.Sum
	for i := range t.Buckets {
		t.Buckets[i] += o.Buckets[i]
	}
}
