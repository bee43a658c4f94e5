package balancer

import (
	"math"
	"sync/atomic"
	"time"
)

// latency picks by peak EWMA, as Finagle and linkerd do: the time that connects
// to a server take, times the connections in flight and the one to come, over its
// size; the better of two. A server that slows down is left at its first slow
// connect, and comes back as the memory of it fades.
type latency sources

func (l latency) pick(t *table, _ flow) *server {
	return betterOfTwo(t, l.random, expectedWait{stamp(l.now())})
}

// expectedWait scores for latency.
type expectedWait struct {
	now uint32 // stamp
}

func (e expectedWait) score(c *candidate) float64 {
	return max(c.peak.at(e.now), latencyFloor) * c.score()
}

const (
	latencyDecay = 10 * time.Second // a measurement has 1/e of its weight left after this
	// latencyFloor is the latency, in seconds, below which servers are alike: what is
	// quicker is noise. A server that was not measured yet has it.
	latencyFloor = 1e-3
	// latencyStale is the age at which a measurement is not believed any more: the
	// next connection tells. One lost SYN would else shut a server out for longer.
	latencyStale = 3 * latencyDecay
)

// peakEWMA is a moving average that follows a rise at once and a fall slowly.
// The zero value has measured nothing. It is a float32 of seconds and a stamp in
// one word, so that both change together without a lock.
type peakEWMA struct {
	word atomic.Uint64
}

// stamp is a time in milliseconds, of which only differences mean something.
func stamp(t time.Time) uint32 { return uint32(t.UnixMilli()) }

func (p *peakEWMA) load() (seconds float64, at uint32) {
	word := p.word.Load()
	return float64(math.Float32frombits(uint32(word >> 32))), uint32(word)
}

// at returns the average at a time, in seconds: what was measured, faded.
func (p *peakEWMA) at(now uint32) float64 {
	seconds, at := p.load()
	if seconds == 0 {
		return 0
	}
	return seconds * fade(at, now)
}

// fade is the weight that a measurement has at now.
func fade(at, now uint32) float64 {
	age := int32(now - at) // below 0: another goroutine's clock reading was later
	if age <= 0 {
		return 1
	}
	if age >= int32(latencyStale.Milliseconds()) {
		return 0
	}
	return math.Exp(-float64(age) / float64(latencyDecay.Milliseconds()))
}

// forget makes p as it was before the first measurement.
func (p *peakEWMA) forget() { p.word.Store(0) }

// observe takes a measurement in.
func (p *peakEWMA) observe(took time.Duration, now uint32) {
	for {
		word := p.word.Load()
		seconds, at := p.load()
		rtt := took.Seconds()
		if rtt < seconds {
			w := fade(at, now)
			rtt = seconds*w + rtt*(1-w)
		}
		if p.word.CompareAndSwap(word, uint64(math.Float32bits(float32(rtt)))<<32|uint64(now)) {
			return
		}
	}
}
