package dnsserver

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"gslb/steer"
)

const (
	// Of each goroutine's choices one in sampleEvery is kept, and of those the last
	// sampleRing until somebody looks.
	sampleEvery = 8
	sampleRing  = 512
	// splitHalfLife is after which time a sample counts half.
	splitHalfLife = 5 * time.Minute
	// leastSamples is how many choices a split needs to say something.
	leastSamples = 20
)

// samples are some of the choices that were made: of which steered name, for which
// cohort, and which site. They tell what was to be expected of just these clients,
// beside what they were given.
type samples [pickShards]struct {
	at [sampleRing]atomic.Uint64
	_  [64]byte // the next one's cache lines
}

// Split is how the clients of a steered name were spread lately, beside how its
// policy spreads such clients in the long run, by site. Shares of 1.
type Split struct {
	Samples       float64 // choices that it is about, older ones counting less
	Got, Expected map[string]float64
}

// splits sum samples up by name.
type splits struct {
	samples samples

	mu    sync.Mutex // guards what follows
	at    time.Time
	names map[string]*Split // not yet divided by Samples
}

// sample keeps some of the choices of one site; those of several together are equal
// parts, and of no interest here.
func (w *responder) sample(steered int, cohort uint32) {
	if w.sampled++; w.sampled%sampleEvery != 0 || w.samples == nil {
		return
	}
	site := uint64(w.choice.Site)
	if steered >= math.MaxUint16 || site > math.MaxUint16 {
		return
	}
	w.samples[w.shard%pickShards].at[w.sampled/sampleEvery%sampleRing].Store(uint64(steered+1)<<48 | site<<32 | uint64(cohort))
}

// fold takes in the samples of a generation. It is to be called before another one
// answers, and before the sums are read.
func (s *splits) fold(g *Generation, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fade(now)
	steered, sites := g.DB.Steered(), g.picked.sites
	for i := range s.samples {
		for k := range s.samples[i].at {
			if s.samples[i].at[k].Load() == 0 {
				continue
			}
			v := s.samples[i].at[k].Swap(0)
			name, site := int(v>>48)-1, int(v>>32&math.MaxUint16)
			if name < 0 || name >= len(steered) || site >= len(sites) {
				continue // of a generation before, by a query that was still under way
			}
			one := s.names[steered[name].Name]
			if one == nil {
				one = &Split{Got: map[string]float64{}, Expected: map[string]float64{}}
				s.names[steered[name].Name] = one
			}
			one.Samples++
			one.Got[sites[site]]++
			g.live[steered[name].Policy].Expected(uint32(v), func(p steer.Portion) { one.Expected[sites[p.Site]] += p.Share })
		}
	}
}

// fade has what is there count less, and forgets what counts no more.
func (s *splits) fade(now time.Time) {
	if s.names == nil {
		s.names = make(map[string]*Split)
	}
	past := now.Sub(s.at)
	s.at = now
	if past <= 0 {
		return
	}
	by := math.Exp2(-float64(past) / float64(splitHalfLife))
	for name, one := range s.names {
		if one.Samples *= by; one.Samples < 0.5 {
			delete(s.names, name)
			continue
		}
		for _, m := range []map[string]float64{one.Got, one.Expected} {
			for site := range m {
				m[site] *= by
			}
		}
	}
}

// shares are the sums as they are now.
func (s *splits) shares() map[string]Split {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]Split, len(s.names))
	for name, one := range s.names {
		of := func(m map[string]float64) map[string]float64 {
			out := make(map[string]float64, len(m))
			for site, n := range m {
				if share := n / one.Samples; share > 1e-6 {
					out[site] = share
				}
			}
			return out
		}
		all[name] = Split{one.Samples, of(one.Got), of(one.Expected)}
	}
	return all
}
